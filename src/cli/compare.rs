//! `compare`: the scenarios behind the claims, then the table.

use super::args::CompareArgs;
use super::exit::{Code, Failure, worst};
use super::run::{environment, measure};
use super::signals::Interrupt;
use super::{Outcome, out, selfcheck, width};
use crate::scenario::{self, Overrides};
use crate::{claims, report};
use std::sync::atomic::Ordering::Relaxed;

/// The scenarios that measure claims, in the order of the table.
const SCENARIOS: [&str; 2] = ["throughput", "latency"];

pub fn compare(args: &CompareArgs, interrupt: &Interrupt) -> Outcome {
    let overrides = Overrides { profile: Some(args.profile.clone()), ..Overrides::default() };
    let scenarios = SCENARIOS.iter().map(|name| scenario::load(name, &overrides)).collect::<Result<Vec<_>, _>>()?;
    let mut environment = environment(&args.environment)?;
    let selfcheck = selfcheck::remembered_or_run(interrupt)?;
    let results = &args.results.results;
    let (mut runs, mut codes) = (Vec::new(), Vec::new());
    for scenario in &scenarios {
        let done = measure(scenario, environment.as_mut(), results, Some(selfcheck.clone()), interrupt)?;
        eprintln!("{}: {}", scenario.name, done.folder.join("report.html").display());
        codes.push(done.code);
        runs.push((done.manifest, done.summary));
        if interrupt.flag.load(Relaxed) {
            break;
        }
    }
    // Brokers go before the table is drawn: nothing of it needs them.
    drop(environment);
    let comparison = claims::build(&args.profile, &runs).map_err(|error| Failure::new(Code::Internal, error))?;
    let dir = results.join(&args.profile);
    report::write_comparison(&dir, &comparison)?;
    report::write_index(results)?;
    out(&report::terminal(&comparison, width()));
    out(&format!("table and charts: {}", dir.join("comparison.html").display()));
    Ok(if selfcheck == "passed" { worst(codes) } else { worst(codes.into_iter().chain([Code::Invalid])) })
}
