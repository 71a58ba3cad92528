//! `compare`: the scenarios behind the claims, then the table.
//!
//! One scenario that cannot run does not stop the others: its row says why. What has finished is
//! noted at once, so that `--resume` goes on where a stopped suite was.

use super::args::CompareArgs;
use super::exit::{Code, Failure, worst};
use super::run::{Chosen, environment, measure};
use super::signals::Interrupt;
use super::suite::Suite;
use super::{Outcome, out, raw, say, selfcheck, width};
use crate::claims::{self, ClaimError, Material, Planned};
use crate::report;
use crate::result::{Build, Comparison, Manifest, Summary};
use crate::scenario::{self, Overrides, Scenario};
use crate::stats::compare::LEAST_BLOCKS;
use itertools::Itertools;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub fn compare(args: &CompareArgs, interrupt: &Interrupt) -> Outcome {
    let plan = claims::plan(&args.profile, &args.only).map_err(not_planned)?;
    let (scenarios, unread) = read(plan, &args.profile)?;
    let results = &args.results.results;
    let dir = results.join(&args.profile);
    let before = older_table(&dir, args)?;
    // A part of the table leaves the other parts' runs noted as they are.
    let resume = args.resume || !args.only.is_empty();
    let suite = Suite::open(results, &args.profile, resume, args.mixed_builds)?;
    let all = scenarios.iter().map(|(_, scenario)| scenario);
    let mut chosen = environment(&args.environment, all, args.fetch.fetch)?;
    if scenarios.iter().all(|(_, scenario)| scenario.blocks < LEAST_BLOCKS as u32) {
        // Nothing here gives a verdict on speed, so one warm Kafka may serve all of it.
        chosen.environment.explore();
    }
    let selfcheck = selfcheck::remembered_or_run(interrupt)?;
    let (runs, codes, elapsed) = Default::default();
    let mut comparing =
        Comparing { args, suite, selfcheck, interrupt, runs, failed: unread, codes, elapsed };
    for (planned, scenario) in &scenarios {
        comparing.scenario(planned, scenario, &mut chosen)?;
        if interrupt.flag.load(Relaxed) {
            break;
        }
    }
    // Brokers go before the table is drawn: nothing of it needs them.
    drop(chosen);
    comparing.print_elapsed();
    let Comparing { selfcheck, runs, failed, mut codes, .. } = comparing;
    if runs.is_empty() {
        return Err(nothing(failed, interrupt));
    }
    let failed: Vec<_> =
        failed.into_iter().map(|(planned, failure)| (planned, failure.message)).collect();
    let material =
        Material { profile: &args.profile, runs: &runs, failed: &failed, before: before.as_ref() };
    let comparison =
        claims::build(&material).map_err(|error| Failure::new(Code::Internal, error))?;
    report::write_comparison(&dir, &comparison)?;
    raw::pack(results, &dir, &comparison)?;
    report::write_index(results)?;
    out(&report::terminal(&comparison, width()));
    out(&format!("table and charts: {}", dir.join("comparison.html").display()));
    // There is a table to read; what could not run is missing from it.
    codes.extend((!failed.is_empty() || selfcheck != "passed").then_some(Code::Invalid));
    codes.extend(interrupt.flag.load(Relaxed).then_some(Code::Interrupted));
    Ok(worst(codes))
}

fn not_planned(error: ClaimError) -> Failure {
    let code = match error {
        ClaimError::NoSuchClaim { .. } | ClaimError::NoSuchProfile { .. } => Code::Usage,
        ClaimError::Fake { .. } | ClaimError::Data(_) => Code::Internal,
    };
    Failure::new(code, error)
}

type Read = (Vec<(Planned, Scenario)>, Vec<(Planned, Failure)>);

/// All scenarios, before any of them runs; what is wrong with one is said at once.
fn read(plan: Vec<Planned>, profile: &str) -> Result<Read, Failure> {
    let overrides = Overrides { profile: Some(profile.to_owned()), ..Overrides::default() };
    let read =
        plan.into_iter().map(|planned| match scenario::load(&planned.scenario, &overrides) {
            Ok(scenario) => Ok((planned, scenario)),
            Err(error) => {
                say(&format!("{}: {error}", planned.scenario));
                Err((planned, Failure::from(error)))
            }
        });
    let (scenarios, mut unread): (Vec<_>, Vec<_>) = read.partition_result();
    match (scenarios.is_empty(), unread.pop()) {
        (true, Some((_, failure))) => Err(failure),
        (true, None) => Err(Failure::new(
            Code::Usage,
            format!("--only: none of these claims is measured in profile {profile}"),
        )),
        (false, last) => {
            unread.extend(last);
            Ok((scenarios, unread))
        }
    }
}

/// The table that a part is merged into.
fn older_table(dir: &Path, args: &CompareArgs) -> Result<Option<Comparison>, Failure> {
    if args.only.is_empty() || !dir.join("comparison.json").is_file() {
        return Ok(None);
    }
    let before = Comparison::read(dir)?;
    let others = claims::kept(&before, &args.only)
        .filter(|run| !Build::same(run.build.as_ref(), Some(Build::this())))
        .map(|run| format!("{} ({})", run.scenario, Build::words(run.build.as_ref())))
        .join(", ");
    if !others.is_empty() && !args.mixed_builds {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "--only: a table is of one binary, this one is {}, and the table in {} has runs \
                of others: {others}; measure all of it, or pass `--mixed-builds`, and the table \
                marks them",
                Build::this(),
                dir.display()
            ),
        ));
    }
    Ok(Some(before))
}

/// A comparison that runs, and what has come of its scenarios so far.
struct Comparing<'a> {
    args: &'a CompareArgs,
    suite: Suite,
    selfcheck: String,
    interrupt: &'a Interrupt,
    runs: Vec<(Manifest, Summary)>,
    failed: Vec<(Planned, Failure)>,
    codes: Vec<Code>,
    elapsed: Vec<(String, Option<Duration>)>,
}

impl Comparing<'_> {
    /// Measures one scenario, or takes its finished run. An error stops the suite: results cannot
    /// be written.
    fn scenario(
        &mut self,
        planned: &Planned,
        scenario: &Scenario,
        chosen: &mut Chosen,
    ) -> Result<(), Failure> {
        if let Some((folder, manifest, summary)) =
            self.suite.finished(scenario, chosen.environment.name()).filter(|_| self.args.resume)
        {
            say(&format!("{}: kept, {}", scenario.name, folder.join("report.html").display()));
            self.codes.push(Code::from_number(manifest.exit_code));
            self.runs.push((manifest, summary));
            self.elapsed.push((scenario.name.clone(), None));
            return Ok(());
        }
        let start = Instant::now();
        let results = &self.args.results.results;
        let measured =
            measure(scenario, chosen, results, Some(self.selfcheck.clone()), self.interrupt);
        self.elapsed.push((scenario.name.clone(), Some(start.elapsed())));
        match measured {
            Ok(measured) => {
                self.suite.note(&measured.manifest)?;
                say(&format!(
                    "{}: {}",
                    scenario.name,
                    measured.folder.join("report.html").display()
                ));
                self.codes.push(measured.code);
                self.runs.push((measured.manifest, measured.summary));
            }
            Err(failure) if failure.code == Code::Results => return Err(failure),
            Err(failure) => {
                say(&format!("{}: {}", scenario.name, failure.message));
                // Whom the user stopped could have run.
                if failure.code != Code::Interrupted {
                    self.failed.push((planned.clone(), failure));
                }
            }
        }
        Ok(())
    }

    /// How long each scenario took, on stderr.
    fn print_elapsed(&self) {
        for (name, elapsed) in &self.elapsed {
            let text = elapsed
                .map_or("kept".to_owned(), |elapsed| format!("{:.0} s", elapsed.as_secs_f64()));
            say(&format!("elapsed: {name} {text}"));
        }
        let total: Duration = self.elapsed.iter().filter_map(|(_, elapsed)| *elapsed).sum();
        say(&format!("elapsed: {:.0} s in all", total.as_secs_f64()));
    }
}

/// Why there is nothing to make a table of.
fn nothing(failed: Vec<(Planned, Failure)>, interrupt: &Interrupt) -> Failure {
    if interrupt.flag.load(Relaxed) {
        return Failure::new(Code::Interrupted, "interrupted before any scenario had finished");
    }
    let first = failed.into_iter().next().map(|(_, failure)| failure);
    first.unwrap_or_else(|| Failure::new(Code::Internal, "no scenario was run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(claim: &str, scenario: &str) -> Planned {
        Planned { claim: claim.into(), scenario: scenario.into() }
    }

    #[test]
    fn one_unreadable_scenario_does_not_stop_the_others() {
        let plan = vec![planned("latency", "latency"), planned("throughput", "no-such-scenario")];
        let (read_well, unread) = read(plan, "quick").unwrap();
        assert_eq!((read_well.len(), unread.len()), (1, 1));
        assert_eq!((unread[0].0.claim.as_str(), unread[0].1.code), ("throughput", Code::Usage));
        assert_eq!(
            read(vec![planned("throughput", "no-such-scenario")], "quick").unwrap_err().code,
            Code::Usage
        );
        assert!(read(Vec::new(), "quick").unwrap_err().message.contains("--only"));
    }

    #[test]
    fn nothing_at_all_ends_with_the_first_reason() {
        let failed = vec![(planned("a", "a"), Failure::new(Code::Environment, "no Java"))];
        let failure = nothing(failed, &Interrupt::default());
        assert_eq!((failure.code, failure.message.as_str()), (Code::Environment, "no Java"));
    }

    /// Losses of 10 and 1000 once read 100 on the page and 505 in the table.
    #[test]
    fn page_terminal_and_table_put_blocks_together_alike() {
        use crate::claims::{Material, build};
        use crate::model::metric;
        use crate::result::{Observation, RunFolder, testing};
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "error-handling").unwrap();
        let manifest = testing::manifest(&folder, "error-handling", 2);
        folder.write_manifest(&manifest).unwrap();
        let seen = [
            metric::CRASH_LOST,
            metric::LARGEST_INTACT,
            metric::CLIENT_PEAK,
            metric::STALLED_CUT_OFF,
        ];
        for (block, value) in [(1, 10.0), (2, 1000.0)] {
            let mut output = testing::capacity_cell("kafka", "base", block, 1000);
            output.record.experiment = Some("poison".into());
            output.record.observations =
                seen.map(|metric| Observation::measured(metric, "", value, 1)).into();
            folder.write_cell(&output).unwrap();
        }
        let summary = crate::report::report(&folder).unwrap();
        let terminal = crate::report::observations(&summary, 200);
        let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
        let runs = [(manifest, summary)];
        let table =
            build(&Material { profile: "quick", runs: &runs, ..Material::default() }).unwrap();
        let row = table.claims.iter().find(|claim| claim.id == "error-handling").unwrap();
        let expected = [(505.0, "505 msg"), (10.0, "10 B"), (1000.0, "1 kB"), (10.0, "yes")];
        for (metric, (value, shown)) in seen.into_iter().zip(expected) {
            let cell = row
                .cells
                .iter()
                .find(|cell| cell.metric == metric.name && cell.value.is_some())
                .unwrap();
            assert_eq!(cell.value, Some(value), "{metric}");
            let line = terminal.lines().find(|line| line.contains(metric.name)).unwrap();
            assert!(line.contains(shown) && page.contains(shown), "{metric} {shown}: {line}");
        }
    }
}
