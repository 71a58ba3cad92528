//! One page over HTTP, on one thread of its own that is asleep unless somebody reads.
//!
//! Few at a time, each in its time: who connects and says nothing keeps nobody else away.

use crate::engine::thread_cpu_ns;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Readers at a time.
const MOST: usize = 8;
/// For a request to come, and for the whole connection, which is of one request.
const REQUEST: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(15);
/// After a connection that could not be taken, as where files have run out.
const PAUSE: Duration = Duration::from_millis(100);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

#[derive(Clone)]
pub struct Page {
    registry: Arc<Mutex<Registry>>,
    reads: Arc<AtomicU64>,
    /// CPU time of the answers.
    spent_ns: Arc<AtomicU64>,
}

impl Page {
    pub fn of(registry: Arc<Mutex<Registry>>) -> Self {
        Self { registry, reads: Arc::default(), spent_ns: Arc::default() }
    }

    /// How often it was read, and the CPU time that took, ns; since the last time it was asked.
    pub fn taken(&self) -> (u64, u64) {
        (self.reads.swap(0, Relaxed), self.spent_ns.swap(0, Relaxed))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let begun_ns = thread_cpu_ns();
        let (status, kind, text) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/" | "/metrics") => match self.text() {
                Ok(text) => (StatusCode::OK, OPEN_METRICS, text),
                Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{why}\n")),
            },
            (&Method::GET, _) => (StatusCode::NOT_FOUND, PLAIN, "try /metrics\n".to_owned()),
            _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.spent_ns.fetch_add(thread_cpu_ns().saturating_sub(begun_ns), Relaxed);
        response
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        self.reads.fetch_add(1, Relaxed);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Serves the page until the process ends.
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let run = move || runtime.block_on(accept(listener, page));
    std::thread::Builder::new().name("metrics".into()).spawn(run).map(drop)
}

async fn accept(listener: TcpListener, page: Page) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let page = page.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = page.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST)
                .serve_connection(TokioIo::new(stream), answer);
            // Whatever goes wrong is the reader's to see.
            let _ = timeout(CONNECTION, connection).await;
            drop(place);
        });
    }
}
