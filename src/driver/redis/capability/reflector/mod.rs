//! A stand-in for Redis on loopback: answers what the drivers ask, from memory and as cheaply as it can, so that the
//! same load against it shows what our own path costs (the instrument's floor).
//!
//! One thread, one epoll, nothing checked that the drivers do not get wrong: it must never serve as a broker.

mod server;
mod store;

use crate::driver::{DriverError, Reflector};
use crate::model::System;
use server::ReflectorServer;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

struct RedisReflector {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub fn start() -> Result<Box<dyn Reflector>, DriverError> {
    // The reflector serves all three systems; errors of the machine are told under the first.
    let refused = |cause: std::io::Error| DriverError::Refused {
        system: System::RedisPubsub,
        action: "starting the loopback reflector".into(),
        cause: cause.to_string(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?.to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let server = ReflectorServer::new(listener, Arc::clone(&stop)).map_err(refused)?;
    let thread = std::thread::Builder::new().name("redis-reflector".into()).spawn(|| server.run()).map_err(refused)?;
    Ok(Box::new(RedisReflector { address, stop, thread: Some(thread) }))
}

impl Reflector for RedisReflector {
    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }
}

impl Drop for RedisReflector {
    /// The thread looks at `stop` ten times a second at least.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
