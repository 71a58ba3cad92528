//! What this machine lacks for measuring, and what to do about it. Pure data: printing is the
//! command line's.
//!
//! Invariants: a check never installs, starts or changes anything; every check that is not well
//! comes with a remedy; and whatever a program, a disk or a broker does not answer, the whole is
//! over after [`DEADLINE`].

mod brokers;
mod machine;

use super::{EnvironmentError, External};
use serde::Serialize;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// For all checks together; each program gets less ([`ANSWER`]), and is killed then.
const DEADLINE: Duration = Duration::from_secs(60);
/// For a program to say its version: 0.1 s on an idle machine.
const ANSWER: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Ok,
    /// It works, at a price that the remedy names.
    Warn,
    /// What needs it cannot run.
    Fail,
}

/// Who needs what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Docker,
    Native,
    External,
    /// Whoever measures here.
    Machine,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub part: Part,
    pub name: &'static str,
    pub level: Level,
    pub found: String,
    pub remedy: Option<String>,
}

/// A finding on its way to a [`Check`].
struct Diagnosis {
    level: Level,
    found: String,
    remedy: Option<String>,
}

impl Diagnosis {
    fn ok(found: impl Into<String>) -> Self {
        Self::new(Level::Ok, found, "")
    }

    /// The remedy is left out where nothing is wrong.
    fn new(level: Level, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level, found: found.into(), remedy: (level != Level::Ok).then(|| remedy.into()) }
    }

    fn warn_unless(well: bool, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(if well { Level::Ok } else { Level::Warn }, found, remedy)
    }

    /// Of what only some scenarios need: all others run without it.
    fn for_some(self) -> Self {
        Self { level: self.level.min(Level::Warn), ..self }
    }

    /// `otherwise` is the remedy of errors that hold none apart.
    fn failed(error: &EnvironmentError, otherwise: &str) -> Self {
        let (found, remedy) = error.parts();
        let found = found.lines().next().unwrap_or_default();
        Self::new(Level::Fail, found, remedy.unwrap_or_else(|| otherwise.to_owned()))
    }
}

/// One thing to look at.
struct Question {
    part: Part,
    name: &'static str,
    /// It measures: nobody else is asked meanwhile.
    alone: bool,
    /// `None` where another check says it all.
    ask: Box<dyn FnOnce() -> Option<Diagnosis> + Send>,
}

fn question(
    part: Part,
    name: &'static str,
    ask: impl FnOnce() -> Diagnosis + Send + 'static,
) -> Question {
    Question { part, name, alone: false, ask: Box::new(|| Some(ask())) }
}

/// One that measures, and that the others would disturb.
fn measurement(
    part: Part,
    name: &'static str,
    ask: impl FnOnce() -> Diagnosis + Send + 'static,
) -> Question {
    Question { alone: true, ..question(part, name, ask) }
}

/// One whose errors hold a remedy, or else have this one.
fn fallible(
    part: Part,
    name: &'static str,
    otherwise: impl Into<String>,
    ask: impl FnOnce() -> Result<Diagnosis, EnvironmentError> + Send + 'static,
) -> Question {
    let otherwise = otherwise.into();
    question(part, name, move || {
        ask().unwrap_or_else(|error| Diagnosis::failed(&error, &otherwise))
    })
}

/// Whose needs are looked at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub docker: bool,
    pub native: bool,
    pub external: Option<External>,
}

/// Every check of what is wanted and of the machine, in the order in which a reader would fix them.
pub fn checks(wanted: Wanted) -> Vec<Check> {
    let mut questions = Vec::new();
    if wanted.docker {
        questions.extend(brokers::in_containers());
    }
    if wanted.native {
        questions.extend(brokers::as_processes());
    }
    questions.extend(wanted.external.into_iter().flat_map(brokers::elsewhere));
    questions.extend(machine::questions());
    all(questions, DEADLINE)
}

/// Asks those that measure one after the other, then all others at once, each in a thread of its
/// own, and leaves behind those that do not come back.
fn all(questions: Vec<Question>, limit: Duration) -> Vec<Check> {
    let deadline = Instant::now() + limit;
    let ask = |ask: Box<dyn FnOnce() -> Option<Diagnosis> + Send>| {
        let (sender, answer) = mpsc::channel();
        std::thread::spawn(move || sender.send(ask()));
        answer
    };
    let wait = |answer: mpsc::Receiver<Option<Diagnosis>>| {
        let left = deadline.saturating_duration_since(Instant::now());
        answer.recv_timeout(left).unwrap_or_else(|_| {
            Some(Diagnosis::new(
                Level::Fail,
                format!("no answer within {} s", limit.as_secs()),
                "look for a disk, a network file system or a name server that does not answer",
            ))
        })
    };
    let (alone, others): (Vec<_>, Vec<_>) =
        questions.into_iter().enumerate().partition(|(_, question)| question.alone);
    let alone = alone.into_iter().map(|(at, one)| (at, one.part, one.name, wait(ask(one.ask))));
    let mut answers: Vec<_> = alone.collect();
    let asked = others.into_iter().map(|(at, one)| (at, one.part, one.name, ask(one.ask)));
    let asked: Vec<_> = asked.collect();
    answers
        .extend(asked.into_iter().map(|(at, part, name, answer)| (at, part, name, wait(answer))));
    answers.sort_by_key(|(at, ..)| *at);
    let check = |(_, part, name, answered): (usize, Part, &'static str, Option<Diagnosis>)| {
        let Diagnosis { level, found, remedy } = answered?;
        Some(Check { part, name, level, found, remedy })
    };
    answers.into_iter().filter_map(check).collect()
}

/// Whether brokers can be had in this way: nothing that they need is missing. A machine that is too
/// small for brokers says nothing about those that run elsewhere.
pub fn can_run(checks: &[Check], part: Part) -> bool {
    let starts_brokers = part != Part::External;
    let needed =
        |check: &&Check| check.part == part || (check.part == Part::Machine && starts_brokers);
    checks.iter().any(|check| check.part == part)
        && checks.iter().filter(needed).all(|check| check.level != Level::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Around, targets_from_flags};
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn what_is_wrong_comes_with_a_remedy_and_what_is_right_without() {
        let around = Around { remote: false, variable: &|_| None };
        let targets =
            targets_from_flags(Some("127.0.0.1:1"), Some("redis://127.0.0.1:1"), &around).unwrap();
        let external = External::new(targets);
        let checks = checks(Wanted { docker: true, native: true, external: Some(external) });
        assert!(
            checks.iter().any(|check| check.part == Part::External && check.level == Level::Fail)
        );
        for check in checks {
            assert!(!check.found.is_empty() && !check.found.contains('\n'), "{check:?}");
            assert_eq!(check.level == Level::Ok, check.remedy.is_none(), "{check:?}");
        }
    }

    #[test]
    fn what_never_answers_is_left_behind() {
        let began = Instant::now();
        let questions = vec![
            question(Part::Machine, "stuck", || {
                std::thread::sleep(Duration::from_secs(60));
                Diagnosis::ok("late")
            }),
            question(Part::Machine, "quick", || Diagnosis::ok("here")),
        ];
        let checks = all(questions, Duration::from_secs(1));
        assert!(began.elapsed() < Duration::from_secs(30));
        assert_eq!((checks[0].level, checks[1].level), (Level::Fail, Level::Ok));
        assert!(checks[0].found.contains("no answer within 1 s"), "{checks:?}");
    }

    #[test]
    fn whoever_measures_is_alone_and_all_stand_in_the_order_of_asking() {
        static BUSY: AtomicU32 = AtomicU32::new(0);
        let busy = || {
            let others = BUSY.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_millis(50));
            BUSY.fetch_sub(1, Relaxed);
            Diagnosis::ok(others.to_string())
        };
        let questions = vec![
            question(Part::Machine, "first", busy),
            measurement(Part::Machine, "second", busy),
            measurement(Part::Machine, "third", busy),
        ];
        let checks = all(questions, Duration::from_secs(30));
        assert_eq!(
            checks.iter().map(|one| one.name).collect::<Vec<_>>(),
            ["first", "second", "third"]
        );
        assert_eq!((checks[1].found.as_str(), checks[2].found.as_str()), ("0", "0"));
    }

    #[test]
    fn brokers_elsewhere_need_no_room_here() {
        let check =
            |part, level| Check { part, name: "x", level, found: String::new(), remedy: None };
        let small = [
            check(Part::Native, Level::Warn),
            check(Part::External, Level::Ok),
            check(Part::Machine, Level::Fail),
        ];
        assert!(!can_run(&small, Part::Native) && can_run(&small, Part::External));
        assert!(can_run(&small[..2], Part::Native) && !can_run(&small[..1], Part::External));
        assert!(!can_run(&[check(Part::External, Level::Fail)], Part::External));
    }
}
