//! Addresses on the command line. Messages show nothing that may be a password.

use super::address::{SERVER, SOCKET, host_and_port, socket_or_server};
use super::keys::{NO_REFERENCE, REFERENCE, Reference};
use super::{Around, Reach, SET_IT, Targets};
use crate::access::{Login, Mechanism, Terms, Tls};
use crate::yaml::ScenarioError;

/// From the command line: `kafka` as `HOST:PORT[,HOST:PORT…]`, `redis` as
/// `redis[s]://[user[:${env:NAME}]@]host[:port][/db]` or `unix:///path`.
pub fn targets_from_flags(
    kafka: Option<&str>,
    redis: Option<&str>,
    around: &Around<'_>,
) -> Result<Targets, ScenarioError> {
    let kafka = kafka.map(|list| kafka_list(list, around)).transpose()?;
    let redis = redis.map(|url| redis_url(url, around)).transpose()?;
    Ok(Targets { kafka, redis, ..Targets::default() })
}

pub(super) fn kafka_list(list: &str, around: &Around<'_>) -> Result<Reach, ScenarioError> {
    let refuse = |part: &str| {
        let what = if part.contains('@') {
            "not an address".into()
        } else {
            format!("`{part}` is not an address")
        };
        ScenarioError::of_source(
            "--kafka",
            what,
            "write HOST:PORT, several with commas; TLS and login need --targets",
        )
    };
    let parts = list.split(',').map(str::trim);
    let addresses: Result<_, _> =
        parts.map(|part| host_and_port(part, None).ok_or_else(|| refuse(part))).collect();
    Ok(Reach {
        addresses: addresses?,
        access: Terms { remote: around.remote, ..Terms::default() }.into(),
        primary: None,
    })
}

/// Messages about this text show nothing before its `@`: a password may stand there.
pub(super) fn redis_url(url: &str, around: &Around<'_>) -> Result<Reach, ScenarioError> {
    let shown =
        url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("***@{rest}"));
    let refuse = |why: &str| {
        let remedy = "write redis://[user:${env:NAME}@]host:port[/db], or rediss:// for TLS";
        ScenarioError::of_source("--redis", format!("`{shown}`: {why}"), remedy)
    };
    if url.starts_with(SOCKET) {
        let address = socket_or_server(url).ok_or_else(|| refuse("it is no path of a socket"))?;
        let access = Terms { remote: around.remote, ..Terms::default() }.into();
        return Ok(Reach { addresses: vec![address], access, primary: None });
    }
    let (tls, rest) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => {
            let known = "redis://, rediss:// and unix:/// (three slashes)";
            return Err(refuse(&format!("it begins with none of {known}")));
        }
    };
    let (userinfo, rest) =
        rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = if database.is_empty() { Ok(0) } else { database.parse() };
    let database =
        database.map_err(|_| refuse("what follows the `/` is not the number of a database"))?;
    let address = host_and_port(host, Some(SERVER))
        .ok_or_else(|| refuse("host or port is missing or wrong"))?;
    let login = match userinfo {
        None => None,
        Some(userinfo) => {
            let (user, reference) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            let reference = Reference::of(reference).ok_or_else(|| {
                refuse(&format!(
                    "the password is missing or no reference: {NO_REFERENCE}; {REFERENCE}"
                ))
            })?;
            let password = reference
                .resolve(around)
                .map_err(|what| ScenarioError::of_source("--redis", what, SET_IT))?;
            let user = (!user.is_empty()).then(|| user.to_owned());
            Some(Login { user, password, mechanism: Mechanism::Plain })
        }
    };
    let tls = tls
        .then(|| Tls::new(None, None))
        .transpose()
        .map_err(|error| refuse(&error.to_string()))?;
    let terms = Terms { remote: around.remote, tls, login, database, ..Terms::default() };
    Ok(Reach { addresses: vec![address], access: terms.into(), primary: None })
}
