//! Logins by a token that ends: where it comes from, and the newest of it.
//!
//! A token is renewed on a thread of its own before half of its life is over, so that whoever needs
//! one in the middle of a load never waits for it. A token is a secret like a password: it leaves
//! its [`SecretString`] only on its way to a broker.

mod fixed;
mod http;
mod iam;
mod oidc;

pub use fixed::fixed;
pub use http::{HttpUrl, encoded};
#[cfg(not(feature = "aws"))]
pub use iam::WITHOUT;
pub use iam::{IamChain, SignedLogin, cluster_of, is_plain, memorydb, msk, region_of};
pub use oidc::OidcClient;
#[cfg(any(test, fuzzing))]
pub use oidc::fuzz;

use super::SecretString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

/// One that ends before this is not handed out any more.
const LEAST: Duration = Duration::from_secs(2);
/// How often it is looked whether it is time for a new one.
const LOOK: Duration = Duration::from_secs(1);
/// After a failure, until the next try.
const AGAIN: Duration = Duration::from_secs(5);

/// What proves for a while who we are.
#[derive(Clone, Debug)]
pub struct Token {
    pub value: SecretString,
    /// When it is over, whatever else ends later.
    pub until: SystemTime,
    /// Whom it speaks for, as far as that is known here.
    pub principal: String,
}

impl Token {
    fn left(&self) -> Duration {
        self.until.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Its end, in milliseconds of the Unix epoch.
    pub fn until_ms(&self) -> i64 {
        let since = self.until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Who gives tokens.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A new one; may take seconds. The error is a cause and a remedy in words, without secrets.
    fn fetch(&self) -> Result<Token, String>;

    /// What may be wrong where a broker refuses it, in words for the user.
    fn reasons(&self) -> String;
}

/// The newest token of one source. All clones share it.
#[derive(Clone)]
pub struct Tokens(Arc<Kept>);

struct Kept {
    source: Box<dyn TokenSource>,
    newest: Mutex<Option<Newest>>,
}

struct Newest {
    token: Token,
    renew_at: SystemTime,
}

impl Newest {
    fn of(token: Token) -> Self {
        let renew_at = SystemTime::now() + token.left() / 2;
        Self { token, renew_at }
    }
}

impl Tokens {
    pub fn of(source: impl TokenSource + 'static) -> Self {
        Self(Arc::new(Kept { source: Box::new(source), newest: Mutex::default() }))
    }

    /// The newest. Waits for it where there is none yet, or where no newer one could be had before
    /// it was over.
    pub fn current(&self) -> Result<Token, String> {
        let mut newest = self.0.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let first = newest.is_none();
        if let Some(known) = newest.as_ref().filter(|known| known.token.left() > LEAST) {
            return Ok(known.token.clone());
        }
        let token = self.0.fetch()?;
        *newest = Some(Newest::of(token.clone()));
        if first {
            let kept = Arc::downgrade(&self.0);
            // Without the thread, whoever comes too late fetches it.
            let _ = std::thread::Builder::new().name("tokens".into()).spawn(move || renew(&kept));
        }
        Ok(token)
    }

    /// See [`TokenSource::reasons`].
    pub fn reasons(&self) -> String {
        self.0.source.reasons()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Kept {
    fn fetch(&self) -> Result<Token, String> {
        let token = self.source.fetch()?;
        if token.left() <= LEAST {
            return Err(
                "the token is over already; renew it, or set this machine's clock right".to_owned()
            );
        }
        Ok(token)
    }

    fn is_due(&self) -> bool {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().is_some_and(|known| known.renew_at <= SystemTime::now())
    }

    /// Nobody is held up meanwhile.
    fn renew(&self) {
        let fetched = self.fetch();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match (fetched, newest.as_mut()) {
            (Ok(token), _) => *newest = Some(Newest::of(token)),
            (Err(_), Some(known)) => known.renew_at = SystemTime::now() + AGAIN,
            (Err(_), None) => {}
        }
    }
}

/// Until nobody has these tokens any more.
fn renew(kept: &Weak<Kept>) {
    while let Some(alive) = kept.upgrade() {
        if alive.is_due() {
            alive.renew();
        }
        drop(alive);
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::super::ExposeSecret;
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[derive(Debug)]
    struct Counting {
        life: Duration,
        given: Arc<AtomicU32>,
    }

    impl TokenSource for Counting {
        fn fetch(&self) -> Result<Token, String> {
            let number = self.given.fetch_add(1, Relaxed);
            Ok(Token {
                value: SecretString::from(format!("s3cret-{number}")),
                until: SystemTime::now() + self.life,
                principal: "me".into(),
            })
        }
        fn reasons(&self) -> String {
            String::new()
        }
    }

    fn counting(life: Duration) -> (Tokens, Arc<AtomicU32>) {
        let given = Arc::new(AtomicU32::new(0));
        (Tokens::of(Counting { life, given: Arc::clone(&given) }), given)
    }

    #[test]
    fn a_token_is_fetched_once_and_shared_and_shows_nowhere() {
        let (tokens, given) = counting(Duration::from_secs(3600));
        let clone = tokens.clone();
        for tokens in [&tokens, &clone, &tokens] {
            assert_eq!(tokens.current().unwrap().value.expose_secret(), "s3cret-0");
        }
        assert_eq!(given.load(Relaxed), 1);
        let shown = format!("{tokens:?} {:?}", tokens.current().unwrap());
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn it_is_renewed_before_half_of_its_life_is_over_while_nobody_asks() {
        let (tokens, given) = counting(Duration::from_secs(4));
        let first = tokens.current().unwrap();
        let begun = std::time::Instant::now();
        while given.load(Relaxed) < 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is never renewed");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(begun.elapsed() >= Duration::from_millis(1900), "half of it was not over");
        let begun = std::time::Instant::now();
        while tokens.current().unwrap().value.expose_secret() == first.value.expose_secret() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the new one is not handed out");
        }
    }

    #[test]
    fn one_that_is_over_is_told_at_once() {
        let error = counting(Duration::ZERO).0.current().unwrap_err();
        assert!(error.contains("clock"), "{error}");
    }
}
