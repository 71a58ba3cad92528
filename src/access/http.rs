//! An HTTP client for the SDK of AWS over sockets of ours: each address is looked up once, judged,
//! connected to and put behind TLS by [`Access`], so that the SDK goes nowhere by itself.
//!
//! HTTP/1.1, one request a connection at a time; idle connections are kept. A client belongs to the
//! runtime that first uses it.

use super::{Access, AccessError, AsyncStream};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);

/// A client that connects as `access` lets it.
pub fn http_client(access: &Access) -> SharedHttpClient {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(Dialer(access.clone()));
    let connector = SharedHttpConnector::new(JudgedHttp { client });
    http_client_fn(move |_, _| connector.clone())
}

struct JudgedHttp {
    client: Client<Dialer, SdkBody>,
}

impl fmt::Debug for JudgedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JudgedHttp")
    }
}

impl HttpConnector for JudgedHttp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let answer = self.client.request(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await.map_err(failed)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What was forbidden is not tried again; what broke may be.
fn failed(error: Error) -> ConnectorError {
    let why = why_not_connected(&error);
    let broke =
        why.is_none_or(|why| matches!(why, AccessError::Unknown(_) | AccessError::Unreachable(_)));
    if broke { ConnectorError::io(error.into()) } else { ConnectorError::user(error.into()) }
}

/// Why there was no connection, so that nothing was sent; `None` where there was one.
pub fn why_not_connected<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e AccessError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[derive(Clone)]
struct Dialer(Access);

impl Service<Uri> for Dialer {
    type Response = TokioIo<AsyncStream>;
    type Error = AccessError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, AccessError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AccessError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(dial(self.0.clone(), uri))
    }
}

async fn dial(access: Access, uri: Uri) -> Result<TokioIo<AsyncStream>, AccessError> {
    let address = address(&uri, access.tls().is_some())?;
    let dialed = tokio::task::spawn_blocking(move || access.connect(&address, CONNECT));
    let stream = dialed.await.map_err(io::Error::other)??;
    Ok(TokioIo::new(AsyncStream::new(stream)?))
}

impl Connection for AsyncStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// `host:port` of a request; behind TLS exactly where the target is.
fn address(uri: &Uri, tls: bool) -> Result<String, AccessError> {
    let secure = uri.scheme_str() == Some("https");
    if secure != tls {
        let asked = if secure { "https" } else { "http" };
        let has = if tls { "has TLS" } else { "has none" };
        return Err(AccessError::Tls(format!("{asked} is asked for where the target {has}")));
    }
    let host = uri.host().ok_or_else(|| AccessError::Unknown("there is no host".into()))?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(if secure { 443 } else { 80 })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_spoken_exactly_where_the_target_has_it() {
        let of = |text: &'static str, tls| address(&Uri::from_static(text), tls);
        let aws = of("https://sns.eu-west-1.amazonaws.com/", true).unwrap();
        assert_eq!(aws, "sns.eu-west-1.amazonaws.com:443");
        assert_eq!(of("http://127.0.0.1:4566/", false).unwrap(), "127.0.0.1:4566");
        assert_eq!(of("http://[::1]/x", false).unwrap(), "[::1]:80");
        for (text, tls) in [("http://127.0.0.1:1/", true), ("https://127.0.0.1:1/", false)] {
            assert!(matches!(of(text, tls), Err(AccessError::Tls(_))), "{text}");
        }
    }

    #[test]
    fn whoever_is_not_permitted_is_not_connected_to_and_it_is_known_why() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::builder(TokioExecutor::new()).build(Dialer(Access::default()));
        let asked = |uri: &'static str| {
            let request = hyper::Request::get(uri).body(SdkBody::empty()).unwrap();
            runtime.block_on(client.request(request)).unwrap_err()
        };
        let far = asked("http://192.0.2.1:80/");
        assert!(matches!(why_not_connected(&far), Some(AccessError::Remote(_))), "{far:?}");
        assert!(failed(far).is_user());
        let dead = asked("http://127.0.0.1:1/");
        assert!(matches!(why_not_connected(&dead), Some(AccessError::Unreachable(_))), "{dead:?}");
        assert!(failed(dead).is_io());
    }
}
