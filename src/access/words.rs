//! What went wrong with TLS, in words for whoever has to put it right: the cause, then the remedy.

use rustls::{AlertDescription, CertificateError, Error};

/// `host` is the name or address that was asked for.
pub fn of(error: &Error, host: &str) -> String {
    match error {
        Error::InvalidCertificate(cause) => {
            format!("its certificate is not trusted: {}", certificate(cause, host))
        }
        Error::AlertReceived(alert) => alerted(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => NO_TLS.into(),
        Error::PeerIncompatible(cause) => {
            format!(
                "no version or cipher of TLS in common ({cause:?}); it must offer TLS 1.2 or newer"
            )
        }
        other => format!("TLS failed: {other}"),
    }
}

/// What answers in another language, or hangs up at our first words.
pub const NO_TLS: &str =
    "what answers there does not speak TLS; name its TLS port, or leave TLS out";

fn certificate(cause: &CertificateError, host: &str) -> String {
    use CertificateError as C;
    match cause {
        C::UnknownIssuer => String::from(
            "it is signed by an authority that is not known here; name that authority's \
            certificate as `tls.ca` in the targets file, if you trust it",
        ),
        C::Expired => "it has expired; renew it, or set the clock of this machine right".into(),
        C::ExpiredContext { not_after, .. } => {
            format!(
                "it expired on {}; renew it, or set the clock of this machine right",
                day(not_after.as_secs())
            )
        }
        C::NotValidYet => "it is not valid yet; set the clock of this machine right".into(),
        C::NotValidYetContext { not_before, .. } => {
            format!(
                "it is valid from {} on only; set the clock of this machine right",
                day(not_before.as_secs())
            )
        }
        C::NotValidForName => format!("it is not made out for {host}; {OTHER_NAME}"),
        C::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!(
                "it names no host at all (no subjectAltName), \
                so not {host} either; {OTHER_NAME}"
            )
        }
        C::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
            format!("it is made out for {names}, not for {host}; {OTHER_NAME}")
        }
        C::Revoked => "it was revoked; renew it".into(),
        C::BadSignature => String::from(
            "its signature is not that of the authority in `tls.ca`; \
            name the right authority's certificate",
        ),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "it is not meant for servers (extended key usage); make one that is".into()
        }
        // webpki's own errors are told by their names only.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => String::from(
            "it is the certificate of an authority (CA:TRUE), not of a server; make one with \
            CA:FALSE, signed by it",
        ),
        other => format!("{other}; renew it"),
    }
}

const OTHER_NAME: &str = "connect by a name that is in it, or have one made out for this name";

fn alerted(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired
        | A::BadCertificate
        | A::UnknownCA
        | A::CertificateUnknown
        | A::CertificateExpired
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::AccessDenied => {
            format!(
                "it does not accept us without a certificate that it trusts ({alert:?}); set \
                `tls.certificate` and `tls.key` in the targets file"
            )
        }
        A::HandshakeFailure => String::from(
            "it broke off the TLS handshake: no cipher in common, or it demands a certificate of \
            ours (`tls.certificate`, `tls.key`)",
        ),
        other => format!("it broke off TLS ({other:?})"),
    }
}

fn day(seconds: u64) -> String {
    let stamp =
        i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    stamp.map_or_else(
        || "a day beyond the calendar".into(),
        |stamp| stamp.strftime("%Y-%m-%d").to_string(),
    )
}

/// `DnsName("a.b")` and the like, without what surrounds the name.
fn plain(presented: &str) -> &str {
    let inner =
        presented.split_once('(').map_or(presented, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::time::Duration;

    #[test]
    fn causes_come_with_remedies() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext {
            time: at(2_000_000_000),
            not_after: at(86_400 * 365),
        };
        let expected = ServerName::try_from("a.b").unwrap();
        let presented = vec!["DnsName(\"c.d\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()];
        let name = CertificateError::NotValidForNameContext { expected, presented };
        for (cause, words) in [
            (CertificateError::UnknownIssuer, "`tls.ca`"),
            (expired, "expired on 1971-01-01"),
            (name, "made out for c.d, 10.0.0.1, not for a.b"),
        ] {
            let text = of(&Error::InvalidCertificate(cause), "a.b");
            assert!(text.contains(words), "{text}");
        }
        let refused = of(&Error::AlertReceived(AlertDescription::CertificateRequired), "a.b");
        assert!(refused.contains("tls.certificate"), "{refused}");
    }
}
