//! The load through redis-rs, the `redis` crate that applications of this ecosystem use, on tokio:
//! what `client: {library: redis-rs}` asks for.
//!
//! The same [`crate::driver::Publisher`] and [`crate::driver::Subscriber`] as our own path
//! (`load`), so that the books are the same. The crate logs in, encodes, pipelines and decodes;
//! sockets and TLS are ours ([`stream`]), since it connects to whatever a name stands for at that
//! moment. It carries plain load only: it has no account of what it tries again.

mod publisher;
mod stream;
mod subscriber;

pub use publisher::RedisRsPublisher;
pub use subscriber::{LibraryList, LibraryPubSub, LibraryReliableList, LibraryStream};

use super::SET_UP;
use super::endpoint::Endpoint;
use crate::access::ExposeSecret;
use crate::driver::DriverError;
use crate::wire::redis as resp;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError};
use std::future::Future;
use std::time::Duration;
use stream::{CountedStream, Unanswered};
use tokio::runtime::Runtime;

/// The version of the crate, which does not tell it. A test holds it to `Cargo.lock`.
pub const VERSION: &str = "1.8.1";

/// One thread's runtime: whoever blocks on it drives it.
fn runtime(endpoint: &Endpoint) -> Result<Runtime, DriverError> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(|cause| endpoint.refused("starting tokio", cause.to_string()))
}

/// Whatever the crate must be told of a server besides its socket.
fn login(endpoint: &Endpoint) -> RedisConnectionInfo {
    let access = endpoint.access();
    let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
    let info = info.set_db(access.database().into());
    let known = match (access.tokens(), access.login()) {
        // It is the newest since the server was first asked; without one, it says what is missing.
        (Some(login), _) => {
            login.tokens.current().ok().map(|token| (login.user.as_ref(), token.value))
        }
        (None, login) => login.map(|login| (login.user.as_ref(), login.password.clone())),
    };
    let Some((user, password)) = known else { return info };
    let info = info.set_password(password.expose_secret());
    match user {
        Some(user) => info.set_username(user),
        None => info,
    }
}

/// A pipelined connection, logged in; driven by `runtime`.
fn connect(
    runtime: &Runtime,
    endpoint: &Endpoint,
) -> Result<(MultiplexedConnection, Unanswered), DriverError> {
    // An answer may take as long as on our own path; the crate's own 500 ms would end a blocking
    // command before the server does.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    set_up(runtime, endpoint, async |stream| {
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&login(endpoint), stream, config).await?;
        tokio::spawn(driver);
        Ok(connection)
    })
}

/// Connects and lets `make` greet the server, within [`SET_UP`].
fn set_up<T>(
    runtime: &Runtime,
    endpoint: &Endpoint,
    make: impl AsyncFnOnce(CountedStream) -> Result<T, RedisError>,
) -> Result<(T, Unanswered), DriverError> {
    let socket = endpoint.connect(SET_UP)?;
    let unanswered = Unanswered::default();
    let made = runtime.block_on(async {
        let stream = CountedStream::new(socket, unanswered.clone());
        let stream = stream.map_err(|cause| endpoint.broken(&cause))?;
        within(endpoint, SET_UP, "setting up redis-rs", make(stream)).await
    })?;
    Ok((made, unanswered))
}

/// The crate's answer to a command of ours, or an error when `limit` is over.
async fn within<T>(
    endpoint: &Endpoint,
    limit: Duration,
    action: &str,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, DriverError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| failed(endpoint, action, &error)),
        Err(_) => Err(endpoint.timed_out(action, limit)),
    }
}

/// An error of the crate in this driver's words.
fn failed(endpoint: &Endpoint, action: &str, error: &RedisError) -> DriverError {
    match error.kind() {
        ErrorKind::Io => endpoint.lost(describe(error)),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            endpoint.malformed(resp::Malformed(describe(error)))
        }
        _ => endpoint.refused(action, describe(error)),
    }
}

/// What a server or the crate said, fit for a report.
fn describe(error: &RedisError) -> String {
    resp::error_text(error.to_string().as_bytes())
}

#[cfg(test)]
mod tests;
