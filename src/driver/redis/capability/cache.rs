//! Values by key: SET with PX and GET on one pipelined connection. The same for every Redis system:
//! it belongs to none of the three messaging primitives. RESP of our own, as the load's: answers
//! are stamped where they are read.

use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::capability::{CacheAnswer, CacheClient, CacheRequest};
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::wire::redis::{self as resp, Token};
use redis::cmd;

/// Unsent bytes from which on the user is told to wait.
const UNSENT: usize = 1 << 20;

pub struct RedisCache {
    connection: Connection,
    clock: Clock,
    /// Put before every key, so that no other cell's values are touched.
    prefix: String,
}

impl RedisCache {
    pub fn connect(endpoint: &Endpoint, clock: Clock, prefix: &str) -> Result<Self, DriverError> {
        let connection = Connection::open(endpoint)?;
        Ok(Self { connection, clock, prefix: format!("{prefix}-") })
    }
}

impl CacheClient for RedisCache {
    fn submit(&mut self, request: CacheRequest<'_>) -> Result<bool, DriverError> {
        if self.connection.output.unsent() > UNSENT {
            return Ok(false);
        }
        let name = |key: &str| format!("{}{key}", self.prefix);
        let command = match request {
            CacheRequest::Set { key, value, ttl } => {
                let ttl_ms = (ttl.nanos() / 1_000_000).max(1);
                cmd("SET").arg(name(key)).arg(value).arg("PX").arg(ttl_ms).take()
            }
            CacheRequest::Get { key } => cmd("GET").arg(name(key)).take(),
        };
        self.connection.collect(&command);
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        self.connection.write().map(|_| ())
    }

    fn wait(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(CacheAnswer<'_>, u64),
    ) -> Result<(), DriverError> {
        loop {
            if !self.connection.read_until(&self.clock, until_ns)? {
                return Ok(());
            }
            // One stamp for all answers of one read: they were all there when it returned.
            let at_ns = self.clock.now_ns();
            let (endpoint, input) = (&self.connection.endpoint, &mut self.connection.input);
            let mut used = 0;
            while let Some((token, length)) =
                resp::token(&input.filled()[used..]).map_err(|cause| endpoint.malformed(cause))?
            {
                match token {
                    Token::Simple(_) => sink(CacheAnswer::Stored, at_ns),
                    Token::Bulk(value) => sink(CacheAnswer::Found(value), at_ns),
                    Token::Null => sink(CacheAnswer::Missing, at_ns),
                    Token::Error(text) => {
                        sink(CacheAnswer::Refused(&resp::error_text(text)), at_ns)
                    }
                    other => {
                        return Err(
                            endpoint.malformed(resp::unexpected("an answer to SET or GET", other))
                        );
                    }
                }
                used += length;
            }
            input.consume(used);
            if used > 0 {
                return Ok(());
            }
        }
    }
}
