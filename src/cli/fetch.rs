//! Fetching what brokers need to be started here: done where the user says so, by the command, by
//! `--fetch` or on a terminal; never unasked.

use super::args::Fetched;
use super::exit::{Code, Failure};
use super::run::{all_there, exe};
use super::{Outcome, ask, out, say};
use crate::environment::supply::{self, Found, Supply};
use crate::model::Software;
use crate::scenario::ServerKind;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

/// For a program to say its version, on a loaded machine.
const ANSWER: Duration = Duration::from_secs(20);

/// The command: what was typed is the user's word.
pub fn fetch(software: &[Fetched]) -> Outcome {
    let asked = |one: &Fetched| software.is_empty() || software.contains(one);
    for one in Fetched::value_variants().iter().filter(|one| asked(one)) {
        let software = match one {
            Fetched::Kafka => Software::Kafka,
            Fetched::Redis => Software::Redis,
        };
        let place = match supply::look(software, None, ANSWER)? {
            Supply::Here(found) if !is_stopgap(&found) => found.place,
            Supply::Here(_) => get(software, "a current Redis")?,
            Supply::Absent(offer) => get(software, offer)?,
        };
        out(&place.display().to_string());
    }
    Ok(Code::Fine)
}

/// Sees to it, before anything is started, that what these brokers run on is here:
/// fetches it if that is allowed, or on a yes, or else ends with how to get it.
pub fn provide(
    needed: BTreeSet<(Software, Option<ServerKind>)>,
    allowed: bool,
) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for (software, server) in needed {
        let found = match supply::look(software, server, ANSWER) {
            Ok(found) => found,
            Err(error) => {
                missing.push(error);
                continue;
            }
        };
        match found {
            Supply::Here(found) if allowed && is_stopgap(&found) => {
                if let Err(failure) = get(software, "a current Redis") {
                    say(&format!("{}\n{} is taken, which is here", failure.message, found.name));
                }
            }
            Supply::Here(_) => {}
            Supply::Absent(offer) if allowed || agreed(&offer) => {
                get(software, offer)?;
            }
            Supply::Absent(offer) => missing.push(offer.declined()),
        }
    }
    all_there(missing)
}

/// Good enough where nothing else may be had: nobody chose it, and it is not the current one.
fn is_stopgap(found: &Found) -> bool {
    found.by_chance && found.warning.is_some()
}

fn get(software: Software, what: impl Display) -> Result<PathBuf, Failure> {
    say(&format!("fetching {what}"));
    Ok(supply::fetch(software, &exe()?)?)
}

/// Asked of whoever sits at the terminal; nobody there is no yes.
fn agreed(offer: impl Display) -> bool {
    ask(&format!("Fetch {offer}? [y/N] ")).is_some_and(|answer| is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        assert!(is_yes("y\n") && is_yes("Yes\r\n"));
        assert!(!is_yes("\n") && !is_yes("no\n") && !is_yes("yeah\n") && !is_yes(""));
    }
}
