//! Tokens of an OpenID Connect provider, by client credentials (RFC 6749, section 4.4): what
//! librdkafka calls `sasl.oauthbearer.method=oidc`. Done here, so that our own first login and
//! librdkafka's have the same token, and no second HTTP library is needed.

use super::fixed::TokenClaims;
use super::{HttpUrl, Token, TokenSource, encoded};
use crate::access::{Access, ExposeSecret, SecretString};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// How long a token counts whose end nobody tells.
const UNTOLD: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct OidcClient {
    pub url: HttpUrl,
    /// To the provider.
    pub access: Access,
    pub id: String,
    pub secret: SecretString,
    pub scope: Option<String>,
}

impl TokenSource for OidcClient {
    fn fetch(&self) -> Result<Token, String> {
        let at = &self.url.address;
        let said = |why: String| format!("the token endpoint at {at}: {why}");
        // As Kafka's own client does it, the two are not encoded before.
        let both = format!("{}:{}", self.id, self.secret.expose_secret());
        let authorization = format!("Basic {}", BASE64.encode(both));
        let scope = self.scope.as_ref().map(|scope| format!("&scope={}", encoded(scope)));
        let form = format!("grant_type=client_credentials{}", scope.unwrap_or_default());
        let (status, body) = self.url.post(&self.access, &authorization, &form).map_err(said)?;
        read(status, &body, SystemTime::now()).map_err(said)
    }

    fn reasons(&self) -> String {
        format!(
            "the token is one of {}: the cluster may trust another issuer, or demand another \
             audience or `scope`",
            self.url.address
        )
    }
}

/// What the provider answered. Its words are quoted, its token never.
fn read(status: u16, body: &[u8], now: SystemTime) -> Result<Token, String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |key: &str| answer[key].as_str().unwrap_or_default();
    if status != 200 {
        let shown =
            |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(200).collect() };
        let words = [shown(word("error")), shown(word("error_description"))];
        let words = words.join(" ").trim().to_owned();
        return Err(format!(
            "refused with {status} {words}; correct `client-id`, `client-secret` or `scope`"
        ));
    }
    let value = word("access_token");
    if value.is_empty() || !value.chars().all(|c| c.is_ascii_graphic()) {
        return Err("its answer holds no `access_token`; is it the token endpoint?".into());
    }
    let claims = TokenClaims::of(value);
    // An answer that tells a longer life than the token itself is not believed.
    let told = answer["expires_in"].as_u64().map(|seconds| seconds.min(1 << 31));
    let told = told.map(|seconds| now + Duration::from_secs(seconds));
    let until = [told, claims.until].into_iter().flatten().min().unwrap_or(now + UNTOLD);
    Ok(Token { value: SecretString::from(value), until, principal: claims.principal })
}

/// A whole answer of a provider; whether it brings a token.
#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    let read_whole = super::http::read_answer(answer);
    read_whole.is_some_and(|(status, body)| read(status, &body, SystemTime::now()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Terms;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn answers_become_tokens_or_words() {
        let now = SystemTime::now();
        let body = br#"{"access_token": "s3cret", "expires_in": 60}"#;
        let token = read(200, body, now).unwrap();
        assert_eq!(token.value.expose_secret(), "s3cret");
        assert_eq!(token.until, now + Duration::from_secs(60));
        let untold = read(200, br#"{"access_token": "s3cret"}"#, now).unwrap();
        assert_eq!(untold.until, now + UNTOLD);
        let refused = br#"{"error": "invalid_client", "error_description": "no\nsuch"}"#;
        let words = read(401, refused, now).unwrap_err();
        assert!(words.contains("401 invalid_client nosuch") && words.contains("client-secret"));
        for bad in [&b""[..], b"<html>", b"{}", br#"{"access_token": "a b"}"#] {
            assert!(read(200, bad, now).unwrap_err().contains("access_token"));
        }
    }

    /// The whole way, to a provider on loopback.
    #[test]
    fn a_provider_is_asked_as_the_standard_says() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let provider = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (String::new(), [0; 1024]);
            while !request.ends_with("&scope=kafka%20write") {
                let read = stream.read(&mut piece).unwrap();
                request += std::str::from_utf8(&piece[..read]).unwrap();
            }
            let answer = "HTTP/1.1 200 OK\r\n\r\n{\"access_token\": \"t0ken\"}";
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let source = OidcClient {
            url: HttpUrl::parse(&url).unwrap(),
            access: Terms::default().into(),
            id: "me".into(),
            secret: "s3cret".into(),
            scope: Some("kafka write".into()),
        };
        assert_eq!(source.fetch().unwrap().value.expose_secret(), "t0ken");
        let request = provider.join().unwrap();
        assert!(request.starts_with("POST /token HTTP/1.0\r\n"), "{request}");
        assert!(request.contains("Authorization: Basic bWU6czNjcmV0\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=kafka%20write"));
        assert!(!format!("{source:?}").contains("s3cret"));
        assert!(source.fetch().unwrap_err().contains("the token endpoint at 127.0.0.1"));
    }
}
