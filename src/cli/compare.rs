//! `compare`: the scenarios behind the claims, then the table.
//!
//! One scenario that cannot run does not stop the others: its row says why. What has finished is
//! noted at once, so that `--resume` goes on where a stopped suite was.

use super::args::CompareArgs;
use super::ending::{one_line, results_flag};
use super::exit::{Code, Failure, worst};
use super::live::Watching;
use super::run::{Chosen, Session, all_there, environment, measure};
use super::services::{no_stand_in, read_managed};
use super::signals::Interrupt;
use super::suite::Suite;
use super::time_left::TimeLeft;
use super::{Loudness, Outcome, complain, github, loudness, out, raw, say, selfcheck, tag, width};
use crate::claims::{self, ClaimError, Material, Planned};
use crate::driver;
use crate::environment::Environment;
use crate::report;
use crate::result::{Build, Comparison, Manifest, RunInfo, Summary};
use crate::scenario::{self, Overrides, Scenario};
use crate::stats::compare::LEAST_BLOCKS;
use crate::study;
use itertools::Itertools;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub fn compare(args: &CompareArgs, interrupt: &Interrupt) -> Outcome {
    let managed = !args.systems.is_empty();
    let planned = if managed { claims::plan_managed } else { claims::plan };
    let plan = planned(&args.profile, &args.only).map_err(not_planned)?;
    let overrides =
        Overrides { profile: Some(args.profile.clone()), seed: args.seed, ..Overrides::default() };
    let tags = tag::all(&args.tags)?;
    let (scenarios, mut unread) = match managed {
        true => (read_managed(&plan, &overrides, &args.systems)?, Vec::new()),
        false => read(plan, &overrides)?,
    };
    let results = &args.results.results;
    let dir = results.join(&args.profile);
    let before = older_table(&dir, args)?;
    // A part of the table leaves the other parts' runs noted as they are.
    let resume = args.resume || !args.only.is_empty();
    let suite = Suite::open(results, &args.profile, resume, args.mixed_builds)?;
    let all = scenarios.iter().map(|(_, scenario)| scenario);
    let mut chosen = environment(&args.environment, &args.spend, all, args.fetch.fetch)?;
    no_stand_in(&chosen, &scenarios)?;
    let kept = |scenario: &Scenario, environment: &str| {
        args.resume && suite.finished(scenario, environment).is_some()
    };
    let (scenarios, unserved) = served(scenarios, chosen.environment.as_mut(), kept)?;
    unread.extend(unserved);
    if scenarios.is_empty() {
        return Err(nothing(unread, interrupt));
    }
    if scenarios.iter().all(|(_, scenario)| scenario.blocks < LEAST_BLOCKS as u32) {
        // Nothing here gives a verdict on speed, so one warm Kafka may serve all of it.
        chosen.environment.explore();
    }
    let selfcheck = selfcheck::remembered_or_run(interrupt)?;
    let time_left = TimeLeft::of(scenarios.iter().map(|(_, scenario)| scenario));
    let session = Session {
        results,
        selfcheck: Some(selfcheck.clone()),
        tags,
        time_left,
        // A table is measured beside nothing.
        watching: Watching::default(),
        interrupt,
        part: None,
    };
    let (runs, codes, elapsed, missed) = Default::default();
    let mut comparing =
        Comparing { args, suite, session, runs, failed: unread, codes, elapsed, missed };
    for (planned, scenario) in &scenarios {
        comparing.scenario(planned, scenario, &mut chosen)?;
        if interrupt.flag.load(Relaxed) {
            break;
        }
    }
    // Brokers go before the table is drawn: nothing of it needs them.
    drop(chosen);
    comparing.print_elapsed();
    let Comparing { runs, failed, mut codes, missed, .. } = comparing;
    if runs.is_empty() {
        return Err(nothing(failed, interrupt));
    }
    let failed: Vec<_> =
        failed.into_iter().map(|(planned, failure)| (planned, failure.message)).collect();
    // What could not run at a service is missing from no row of the claims.
    let missing: &[(Planned, String)] = if managed { &[] } else { &failed };
    let material =
        Material { profile: &args.profile, runs: &runs, failed: missing, before: before.as_ref() };
    let comparison =
        claims::build(&material).map_err(|error| Failure::new(Code::Internal, error))?;
    report::write_comparison(&dir, &comparison)?;
    raw::pack(results, &dir, &comparison)?;
    report::write_index(results)?;
    out(&(missed.concat() + &report::terminal(&comparison, width())));
    github::tell(&report::markdown_lines(&comparison));
    if loudness() > Loudness::Quiet {
        let whole = failed.is_empty() && !interrupt.flag.load(Relaxed);
        out(&files_and_next(args, &dir, whole));
    }
    // There is a table to read; what could not run is missing from it.
    codes.extend((!failed.is_empty() || selfcheck != "passed").then_some(Code::Invalid));
    codes.extend(interrupt.flag.load(Relaxed).then_some(Code::Interrupted));
    Ok(worst(codes))
}

/// Where the table lies, and what to type next.
fn files_and_next(args: &CompareArgs, dir: &Path, whole: bool) -> String {
    let profile = &args.profile;
    let results = results_flag(&args.results.results);
    let shortest = claims::profiles().first().is_some_and(|first| first.name == *profile);
    let longer = claims::profiles().get(1).filter(|_| shortest);
    let next = match longer {
        _ if !whole => format!(
            "brokerbench compare --profile {profile} --resume{results}   what is missing is tried \
             again"
        ),
        Some(longer) => {
            format!("brokerbench compare --profile {}{results}   {}", longer.name, longer.what)
        }
        None => format!(
            "brokerbench compare --profile {profile} --only CLAIM{results}   one row of it again"
        ),
    };
    let file = |name: &str| dir.join(name).display().to_string();
    [
        format!("page     {}", file("comparison.html")),
        format!("figures  {}", file("comparison.json")),
        format!("next     {next}"),
    ]
    .map(one_line)
    .concat()
}

fn not_planned(error: ClaimError) -> Failure {
    let code = match error {
        ClaimError::NoSuchClaim { .. } | ClaimError::NoSuchProfile { .. } => Code::Usage,
        ClaimError::NotCompared { .. } | ClaimError::Data(_) => Code::Internal,
    };
    Failure::new(code, error)
}

type Read = (Vec<(Planned, Scenario)>, Vec<(Planned, Failure)>);

/// All scenarios, before any of them runs; what is wrong with one is said at once.
fn read(plan: Vec<Planned>, overrides: &Overrides) -> Result<Read, Failure> {
    let profile = overrides.profile.as_deref().unwrap_or_default();
    let read = plan.into_iter().map(|planned| {
        match scenario::load_judged(&planned.scenario, overrides, &driver::judge) {
            Ok(scenario) => Ok((planned, scenario)),
            Err(error) => {
                complain(&format!("{}: {error}", planned.scenario));
                Err((planned, Failure::from(error)))
            }
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

/// Those for which brokers that run already have all that is needed, and what is wrong with each of
/// the others, which is said at once. What is kept of an earlier run needs none.
fn served(
    scenarios: Vec<(Planned, Scenario)>,
    environment: &mut dyn Environment,
    kept: impl Fn(&Scenario, &str) -> bool,
) -> Result<Read, Failure> {
    let all: Vec<&Scenario> = scenarios.iter().map(|(_, scenario)| scenario).collect();
    all_there(study::unanswered(environment, &all))?;
    let name = environment.name();
    let serve = |(planned, scenario): (Planned, Scenario)| {
        if kept(&scenario, name) {
            return Ok((planned, scenario));
        }
        match all_there(study::missing(environment, &[&scenario])) {
            Ok(()) => Ok((planned, scenario)),
            Err(failure) => {
                complain(&format!("{}: {}", scenario.name, failure.message));
                Err((planned, failure))
            }
        }
    };
    Ok(scenarios.into_iter().map(serve).partition_result())
}

/// The table that a part is merged into. One that is measured as a whole keeps what was measured of
/// services.
fn older_table(dir: &Path, args: &CompareArgs) -> Result<Option<Comparison>, Failure> {
    if !dir.join("comparison.json").is_file() {
        return Ok(None);
    }
    if args.only.is_empty() && args.systems.is_empty() {
        let kept = |mut before: Comparison| {
            (before.claims, before.uses) = Default::default();
            before.runs.retain(RunInfo::managed);
            before
        };
        return Ok(Comparison::read(dir).ok().map(kept));
    }
    let before = Comparison::read(dir)?;
    let others = claims::kept(&before, &args.only)
        .filter(|run| !Build::same(run.build.as_ref(), Some(Build::this())))
        .map(|run| format!("{} ({})", run.scenario, Build::words(run.build.as_ref())))
        .join(", ");
    if args.systems.is_empty() && !others.is_empty() && !args.mixed_builds {
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
    session: Session<'a>,
    runs: Vec<(Manifest, Summary)>,
    failed: Vec<(Planned, Failure)>,
    codes: Vec<Code>,
    elapsed: Vec<(String, Option<Duration>)>,
    /// Thresholds of scenarios that did not hold, a line each.
    missed: Vec<String>,
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
            self.session.time_left.skip(scenario);
            self.codes.push(Code::from_number(manifest.exit_code));
            self.runs.push((manifest, summary));
            self.elapsed.push((scenario.name.clone(), None));
            return Ok(());
        }
        let start = Instant::now();
        let measured = measure(scenario, None, chosen, &mut self.session);
        self.elapsed.push((scenario.name.clone(), Some(start.elapsed())));
        match measured {
            Ok(measured) => {
                // The suite is that of the claims.
                if self.args.systems.is_empty() {
                    self.suite.note(&measured.manifest)?;
                }
                match loudness() {
                    Loudness::Verbose => say(&measured.ending(self.session.results).text()),
                    _ => say(&format!(
                        "{}: {}",
                        scenario.name,
                        measured.folder.join("report.html").display()
                    )),
                }
                let rules = measured.summary.thresholds.iter();
                self.missed.extend(rules.filter(|rule| rule.held != Some(true)).map(|rule| {
                    let line = report::threshold_line(rule);
                    one_line(format!("{line} (scenario {})", scenario.name))
                }));
                self.codes.push(measured.code);
                self.runs.push((measured.manifest, measured.summary));
            }
            Err(failure) if failure.code == Code::Results => return Err(failure),
            Err(failure) => {
                complain(&format!("{}: {}", scenario.name, failure.message));
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
        let quick = Overrides { profile: Some("quick".into()), ..Overrides::default() };
        let (read_well, unread) = read(plan, &quick).unwrap();
        assert_eq!((read_well.len(), unread.len()), (1, 1));
        assert_eq!((unread[0].0.claim.as_str(), unread[0].1.code), ("throughput", Code::Usage));
        assert_eq!(
            read(vec![planned("throughput", "no-such-scenario")], &quick).unwrap_err().code,
            Code::Usage
        );
        assert!(read(Vec::new(), &quick).unwrap_err().message.contains("--only"));
    }

    #[test]
    fn a_table_that_is_measured_anew_keeps_what_was_measured_of_services() {
        use super::super::args::{Cli, Command};
        use clap::Parser;
        let dir = tempfile::tempdir().unwrap();
        let mut table = claims::build(&Material::default()).unwrap();
        let run = |run: &str| RunInfo { run: run.into(), ..RunInfo::default() };
        let services = [("msk".to_owned(), "eu-central-1".to_owned())].into();
        table.runs = vec![run("own"), RunInfo { services, ..run("at-aws") }];
        table.write(dir.path()).unwrap();
        let before = |typed: &str| {
            let cli = Cli::try_parse_from(typed.split(' ')).unwrap();
            let Command::Compare(args) = cli.command else { panic!("{typed}") };
            older_table(dir.path(), &args).unwrap().unwrap()
        };
        let whole = before("brokerbench compare");
        assert!(whole.claims.is_empty() && whole.managed == table.managed, "{whole:?}");
        assert_eq!(whole.runs.iter().map(|run| &run.run).collect::<Vec<_>>(), ["at-aws"]);
        let typed = "brokerbench compare --mixed-builds --targets aws.yaml --systems msk,sns";
        assert_eq!(before(typed), table);
        let alone = Cli::try_parse_from("brokerbench compare --systems msk".split(' '));
        assert!(alone.is_err(), "no address is given");
    }

    #[test]
    fn a_comparison_ends_with_its_files_and_what_to_type_next() {
        use super::super::args::{Cli, Command};
        use clap::Parser;
        let next = |typed: &str, whole| {
            let cli = Cli::try_parse_from(typed.split(' ')).unwrap();
            let Command::Compare(args) = cli.command else { panic!("{typed}") };
            let text = files_and_next(&args, Path::new("my/quick"), whole);
            assert!(text.starts_with("page     my/quick/comparison.html\n"), "{text}");
            text.lines().last().unwrap().to_owned()
        };
        let quick = next("brokerbench compare", true);
        assert!(quick.starts_with("next     brokerbench compare --profile standard   "), "{quick}");
        let row = next("brokerbench compare --profile standard", true);
        assert!(row.contains("--profile standard --only CLAIM"), "{row}");
        let again = next("brokerbench compare --results my", false);
        assert!(again.contains("--profile quick --resume --results my"), "{again}");
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
