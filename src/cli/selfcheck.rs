//! `selfcheck`, and its result remembered per binary so that every report can state it.

use super::exit::{Code, Failure};
use super::signals::Interrupt;
use super::{Outcome, complain, out, say};
use crate::result::Build;
use crate::study::selfcheck::{Oracle, run};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

pub fn selfcheck(interrupt: &Interrupt) -> Outcome {
    let verdict = check(interrupt, &mut |oracle| {
        let mark = if oracle.passed { "ok  " } else { "FAIL" };
        out(&format!(
            "{mark} {}\n       expected  {}\n       found     {}",
            oracle.name, oracle.expected, oracle.found
        ));
    })?;
    out(&format!("selfcheck {verdict}"));
    Ok(if verdict == "passed" { Code::Fine } else { Code::Invalid })
}

/// The remembered result of this binary, or a fresh one.
pub fn remembered_or_run(interrupt: &Interrupt) -> Result<String, Failure> {
    match remembered() {
        // A failure may have been the machine's at that time: it gets another chance.
        Some(verdict) if verdict == "passed" => Ok(verdict),
        _ => {
            say("selfcheck: proving the instrument once for this binary (about 18 s)");
            check(interrupt, &mut |oracle| {
                if !oracle.passed {
                    complain(&format!(
                        "selfcheck: {} failed: expected {}, found {}",
                        oracle.name, oracle.expected, oracle.found
                    ));
                }
            })
        }
    }
}

/// The result for this very binary, if it was ever checked.
pub fn remembered() -> Option<String> {
    std::fs::read_to_string(place()?)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

fn check(interrupt: &Interrupt, report: &mut dyn FnMut(&Oracle)) -> Result<String, Failure> {
    let oracles =
        run(&interrupt.flag, report).map_err(|error| Failure::new(Code::Internal, error))?;
    if interrupt.flag.load(Relaxed) {
        return Err(Failure::new(Code::Interrupted, "selfcheck interrupted"));
    }
    let failed: Vec<&str> =
        oracles.iter().filter(|oracle| !oracle.passed).map(|oracle| oracle.name).collect();
    let verdict = if failed.is_empty() {
        "passed".to_owned()
    } else {
        format!("failed: {}", failed.join(", "))
    };
    if let Some(place) = place() {
        // Not being able to remember costs 15 s next time, no more.
        let _ = place.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(place, &verdict);
    }
    Ok(verdict)
}

/// Where the result of this binary lies.
fn place() -> Option<PathBuf> {
    let name = format!("selfcheck-{}", Build::this().binary.as_ref()?);
    Some(crate::environment::cache_dir()?.join(name))
}
