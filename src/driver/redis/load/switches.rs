//! Hears of a new primary at once, as most clients of Redis behind Sentinels do: connections to a
//! deposed one go on working while it is cut off, and what is written over them is gone later.
//!
//! A thread for each Sentinel subscribes to `+switch-master`, and comes back where one is lost;
//! they end when nobody asks any more. What is announced several times counts once. Whom it names
//! is not taken from here: whoever hears of it asks [`Primary::find`] again.
//!
//! [`Primary::find`]: crate::driver::redis::primary::Primary::find

use super::connection::Connection;
use super::pubsub::{push, subscribe};
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::primary::SENTINEL;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The longest that a thread goes on after nobody asks any more; and how long it lets a Sentinel
/// be that is gone: there are others.
const PAUSE: Duration = Duration::from_millis(200);

/// How many announcements there were, and whom the last one named.
type Announced = Mutex<(u64, String)>;

/// What the Sentinels of one primary announce, as one of its clients has heard it.
#[derive(Clone, Default)]
pub struct Switches {
    announced: Option<Arc<Announced>>,
    heard: u64,
}

impl Switches {
    /// Of nobody where there are no Sentinels.
    pub fn listen(sentinels: &[Endpoint], primary: &str) -> Self {
        if sentinels.is_empty() {
            return Self::default();
        }
        let announced = Arc::new(Announced::default());
        for sentinel in sentinels {
            let (sentinel, announced) = (sentinel.clone(), Arc::downgrade(&announced));
            let primary = primary.to_owned();
            // Without a thread a deposed primary is followed until it closes, as it is without us.
            let named = std::thread::Builder::new().name("redis-switches".into());
            drop(named.spawn(move || listen(&sentinel, &primary, &announced)));
        }
        Self { announced: Some(announced), heard: 0 }
    }

    /// For a client that is about to look for the primary: what was announced before is no news.
    #[must_use]
    pub fn for_new_client(&self) -> Self {
        let mut heard = self.clone();
        heard.news();
        heard
    }

    /// Whether another primary was announced since this was asked last.
    pub fn news(&mut self) -> bool {
        let Some(announced) = &self.announced else { return false };
        let count = announced.lock().unwrap_or_else(PoisonError::into_inner).0;
        std::mem::replace(&mut self.heard, count) != count
    }
}

fn listen(sentinel: &Endpoint, primary: &str, announced: &Weak<Announced>) {
    let clock = Clock::start();
    while announced.strong_count() > 0 {
        // That one is gone is no trouble, and it may come back.
        if attend(sentinel, primary, announced, &clock).is_err() {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Until the connection ends, or nobody asks any more.
fn attend(
    sentinel: &Endpoint,
    primary: &str,
    announced: &Weak<Announced>,
    clock: &Clock,
) -> Result<(), DriverError> {
    let mut connection = Connection::open_within(sentinel, SENTINEL)?;
    subscribe(&mut connection, &["+switch-master".to_owned()], false)?;
    while let Some(announced) = announced.upgrade() {
        let until_ns = clock.now_ns() + PAUSE.as_nanos() as u64;
        let text = connection.next(clock, until_ns, |reply| {
            let payload = push(reply)?.and_then(|(payload, _)| payload);
            Ok(payload.map(|payload| String::from_utf8_lossy(payload).into_owned()))
        })?;
        if let Some(named) = text.flatten().and_then(|text| new_primary(&text, primary)) {
            let mut last = announced.lock().unwrap_or_else(PoisonError::into_inner);
            if last.1 != named {
                *last = (last.0 + 1, named);
            }
        }
    }
    Ok(())
}

/// Of `<name> <old host> <old port> <new host> <new port>`, where the name is `primary`.
fn new_primary(text: &str, primary: &str) -> Option<String> {
    match text.split(' ').collect::<Vec<_>>()[..] {
        [name, _, _, host, port] if name == primary => Some(format!("{host}:{port}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Routes;
    use crate::driver::redis::load::resilient::testing::{Asked, Scripted, reply};
    use crate::model::System;
    use std::time::Instant;

    #[test]
    fn the_new_primary_of_ours_alone_counts() {
        assert_eq!(
            new_primary("brokerbench 10.0.0.1 1 ::1 2", Routes::PRIMARY).as_deref(),
            Some("::1:2")
        );
        for other in ["another 10.0.0.1 1 10.0.0.2 2", "brokerbench 10.0.0.1 1", ""] {
            assert_eq!(new_primary(other, Routes::PRIMARY), None, "{other}");
        }
    }

    #[test]
    fn an_announcement_of_several_sentinels_is_heard_once() {
        let channel = "$14\r\n+switch-master\r\n";
        let text = "brokerbench 127.0.0.1 1 127.0.0.1 2";
        let said = format!(
            "*3\r\n$9\r\nsubscribe\r\n{channel}:1\r\n*3\r\n$7\r\nmessage\r\n{channel}${}\r\n\
             {text}\r\n",
            text.len()
        );
        let sentinel = || {
            let said = said.clone();
            Scripted::start(move |question: &Asked| {
                assert_eq!(question.text(), "SUBSCRIBE +switch-master");
                reply(&said)
            })
        };
        let sentinels = [sentinel(), sentinel()];
        let endpoints: Vec<Endpoint> = sentinels
            .iter()
            .map(|one| Endpoint::parse(System::RedisStreams, &one.address).unwrap())
            .collect();
        let mut switches = Switches::listen(&endpoints, Routes::PRIMARY);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !switches.news() {
            assert!(Instant::now() < deadline, "not heard");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(!switches.news(), "the same again");
        let begun = Switches { heard: 0, ..switches.clone() }.for_new_client().news();
        assert!(!begun, "known to whoever begins now");
        assert!(!Switches::listen(&[], Routes::PRIMARY).news());
    }
}
