//! The client's side of SASL PLAIN, SCRAM and OAUTHBEARER: bytes in, bytes out, no socket.
//!
//! SCRAM by RFC 5802 and 7677 without channel binding. Kafka takes user and password as they are
//! (no SASLprep), and so does librdkafka, so nothing is prepared here either. The server proves
//! that it knows the password, too: one that does not is refused.

use crate::access::{ExposeSecret, Login, Mechanism, Token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Fewer would make the password cheap to guess for whoever asks in the broker's place (RFC 7677,
/// section 4). Kafka itself gives nobody fewer.
const LEAST_ROUNDS: u32 = 4096;
/// More rounds than this would be an attack on us; Kafka allows 16384 itself.
const MOST_ROUNDS: u32 = 1_000_000;
/// "No channel binding", encoded.
const UNBOUND: &str = "n,,";

/// One message of PLAIN is all there is.
pub fn plain(login: &Login) -> Vec<u8> {
    format!("\0{}\0{}", login.user.as_deref().unwrap_or_default(), login.password.expose_secret())
        .into_bytes()
}

/// The one message of OAUTHBEARER (RFC 7628, section 3.1).
pub fn bearer(token: &Token) -> Vec<u8> {
    format!("{UNBOUND}\x01auth=Bearer {}\x01\x01", token.value.expose_secret()).into_bytes()
}

/// What is answered to a server that has told why it refuses a token: it then ends the login.
pub const HEARD: &[u8] = b"\x01";

/// A SCRAM exchange: [`Scram::first`], the server's answer into [`Scram::proof`], its last word
/// into [`Scram::verify`].
pub struct Scram<'a> {
    login: &'a Login,
    nonce: String,
    /// What the server must sign in the end.
    expected: Vec<u8>,
}

impl<'a> Scram<'a> {
    pub fn new(login: &'a Login) -> Result<Self, String> {
        let mut noise = [0; 24];
        let failed = |_| "this machine gives no random numbers".to_owned();
        ring::rand::SystemRandom::new().fill(&mut noise).map_err(failed)?;
        Ok(Self { login, nonce: BASE64.encode(noise), expected: Vec::new() })
    }

    fn bare(&self) -> String {
        let user =
            self.login.user.as_deref().unwrap_or_default().replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r={}", self.nonce)
    }

    pub fn first(&self) -> Vec<u8> {
        format!("{UNBOUND}{}", self.bare()).into_bytes()
    }

    /// Proves that we know the password.
    pub fn proof(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        let Challenge { challenge, nonce, salt, rounds } = Challenge::read(challenge, &self.nonce)?;
        let (hash, mac, kdf) = match self.login.mechanism {
            Mechanism::ScramSha512 => {
                (&digest::SHA512, hmac::HMAC_SHA512, pbkdf2::PBKDF2_HMAC_SHA512)
            }
            _ => (&digest::SHA256, hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
        };
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(
            kdf,
            rounds,
            &salt,
            self.login.password.expose_secret().as_bytes(),
            &mut salted,
        );
        let salted = hmac::Key::new(mac, &salted);
        let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(mac, key), text.as_bytes());

        let last = format!("c={},r={nonce}", BASE64.encode(UNBOUND));
        let all = format!("{},{challenge},{last}", self.bare());
        let client_key = hmac::sign(&salted, b"Client Key");
        let signature = sign(digest::digest(hash, client_key.as_ref()).as_ref(), &all);
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, sign)| key ^ sign)
            .collect();
        self.expected = sign(hmac::sign(&salted, b"Server Key").as_ref(), &all).as_ref().to_vec();
        Ok(format!("{last},p={}", BASE64.encode(proof)).into_bytes())
    }

    /// Whether the server knows the password as well.
    pub fn verify(&self, last: &[u8]) -> Result<(), String> {
        let last = String::from_utf8_lossy(last);
        match last.split(',').find_map(|field| field.strip_prefix("v=")) {
            Some(signed) if BASE64.decode(signed).ok().as_deref() == Some(&self.expected) => Ok(()),
            _ => Err(
                "it does not know the password itself: it is not the broker that it claims to be"
                    .into(),
            ),
        }
    }
}

const UNREADABLE: &str = "its SCRAM challenge is unreadable";

/// What the server answers to our first message.
struct Challenge<'a> {
    challenge: &'a str,
    nonce: &'a str,
    salt: Vec<u8>,
    rounds: NonZeroU32,
}

impl<'a> Challenge<'a> {
    /// `ours` is what its nonce must begin with.
    fn read(challenge: &'a [u8], ours: &str) -> Result<Self, String> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| UNREADABLE)?;
        let field = |name: &str| {
            challenge.split(',').find_map(|field| field.strip_prefix(name)).ok_or(UNREADABLE)
        };
        let nonce = field("r=")?;
        if !nonce.starts_with(ours) || nonce.len() == ours.len() {
            return Err("its SCRAM challenge is not an answer to ours".into());
        }
        let salt = BASE64.decode(field("s=")?).map_err(|_| UNREADABLE)?;
        let rounds: u32 = field("i=")?.parse().map_err(|_| UNREADABLE)?;
        let rounds = NonZeroU32::new(rounds)
            .filter(|rounds| (LEAST_ROUNDS..=MOST_ROUNDS).contains(&rounds.get()));
        let rounds = rounds.ok_or("it wants the password proven in too few rounds or too many")?;
        Ok(Self { challenge, nonce, salt, rounds })
    }
}

/// Without the rounds themselves: they are work, and not ours to find faults in.
#[cfg(any(test, fuzzing))]
pub fn fuzz(challenge: &[u8]) {
    let _ = Challenge::read(challenge, "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::SecretString;

    fn login(mechanism: Mechanism) -> Login {
        Login { user: Some("user".into()), password: SecretString::from("pencil"), mechanism }
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard() {
        let login = login(Mechanism::ScramSha256);
        let mut scram =
            Scram { login: &login, nonce: "rOprNGfwEbeRWgbNEkqO".into(), expected: Vec::new() };
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let challenge = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let proof = scram.proof(challenge.as_bytes()).unwrap();
        let expected = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(String::from_utf8(proof).unwrap(), expected);
        scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        assert!(scram.verify(b"e=invalid-proof").is_err());
    }

    #[test]
    fn challenges_that_are_none_are_refused() {
        let login = login(Mechanism::ScramSha512);
        let mut scram = Scram { login: &login, nonce: "abc".into(), expected: Vec::new() };
        for bad in [
            "",
            "r=abc,s=AAAA,i=4096",
            "r=xyz1,s=AAAA,i=4096",
            "r=abc1,s=?,i=4096",
            "r=abc1,s=AAAA,i=0",
        ] {
            assert!(scram.proof(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(scram.proof(b"r=abc1,s=AAAA,i=4294967295").is_err(), "a day of work");
        assert!(scram.proof(b"r=abc1,s=AAAA,i=4095").is_err(), "cheap to guess");
        assert!(scram.proof(b"r=abc1,s=AAAA,i=4096").unwrap().starts_with(b"c=biws,r=abc1,p="));
        assert_ne!(Scram::new(&login).unwrap().nonce, Scram::new(&login).unwrap().nonce);
        let plain = plain(&login);
        assert_eq!(plain, b"\0user\0pencil");
        let (value, until) = (SecretString::from("t0ken"), std::time::SystemTime::now());
        let token = Token { value, until, principal: "me".into() };
        assert_eq!(bearer(&token), b"n,,\x01auth=Bearer t0ken\x01\x01");
    }
}
