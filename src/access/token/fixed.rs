//! A token that somebody else made: it is what it is until it ends.

use super::{Token, TokenSource, Tokens};
use crate::access::{ExposeSecret, SecretString};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// How long one counts that does not tell its end.
const UNTOLD: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct FixedToken {
    token: SecretString,
    claims: TokenClaims,
}

/// `sasl.token` of a targets file; an error where no broker could be sent it.
pub fn fixed(token: SecretString) -> Result<Tokens, String> {
    let plain = token.expose_secret().chars().all(|c| c.is_ascii_graphic());
    if !plain || token.expose_secret().is_empty() {
        return Err("a token is one word of printable characters".into());
    }
    let claims = TokenClaims::of(token.expose_secret());
    Ok(Tokens::of(FixedToken { token, claims }))
}

impl TokenSource for FixedToken {
    fn fetch(&self) -> Result<Token, String> {
        Ok(Token {
            value: self.token.clone(),
            until: self.claims.until.unwrap_or_else(|| SystemTime::now() + UNTOLD),
            principal: self.claims.principal.clone(),
        })
    }

    fn reasons(&self) -> String {
        "give a new token, made out for this cluster (its issuer, audience and scope)".into()
    }
}

/// What a JSON Web Token tells of itself. It is not verified: that is the broker's part.
#[derive(Debug, Default)]
pub struct TokenClaims {
    pub until: Option<SystemTime>,
    pub principal: String,
}

impl TokenClaims {
    /// Nothing of a token that is none.
    pub fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value =
            payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default();
        // Beyond this no calendar goes.
        let end = claims["exp"].as_f64().filter(|seconds| (0.0..1e12).contains(seconds));
        Self {
            until: end.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)),
            principal: claims["sub"].as_str().unwrap_or("brokerbench").replace('\0', ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims))
    }

    #[test]
    fn a_token_that_tells_its_end_counts_until_then() {
        let far = r#"{"exp": 33333333333, "sub": "me"}"#;
        let token = fixed(SecretString::from(jwt(far))).unwrap().current().unwrap();
        assert_eq!((token.until_ms(), token.principal.as_str()), (33_333_333_333_000, "me"));
        let over = fixed(SecretString::from(jwt(r#"{"exp": 1}"#))).unwrap();
        assert!(over.current().unwrap_err().contains("over already"));
        let opaque = fixed("s3cret".into()).unwrap().current().unwrap();
        assert_eq!(opaque.principal, "brokerbench");
        for bad in ["", "two words", "line\nbreak", "n\u{e4}h"] {
            assert!(fixed(bad.into()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn claims_are_read_from_anything() {
        for token in ["", ".", "a.b.c", &jwt("[]"), &jwt(r#"{"exp": 1e300, "sub": 3}"#)] {
            let claims = TokenClaims::of(token);
            assert!(claims.until.is_none() && claims.principal == "brokerbench", "{token}");
        }
    }
}
