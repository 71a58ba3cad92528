//! `run`: scenarios, one after the other, each into its own run folder.

use super::args::{EnvironmentArgs, EnvironmentKind, RunArgs};
use super::baseline;
use super::ending::{Ending, one_line};
use super::exit::{Code, Failure, of_run, worst};
use super::fetch::provide;
use super::live::Watching;
use super::signals::Interrupt;
use super::time_left::TimeLeft;
use super::{Outcome, complain, github, loudness, out, out_json, say, selfcheck, tag, width};
use crate::access::{Around, load_targets, targets_from_flags};
use crate::driver;
use crate::environment::{BrokerCache, Choice, Docker, Environment, External, Native, choose};
use crate::result::{HeldAgainst, Manifest, Status, Summary, files};
use crate::scenario::{self, Overrides, Scenario, Threshold};
use crate::study::{self, Study};
use crate::{gate, report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

pub fn run(args: &RunArgs, interrupt: &Interrupt) -> Outcome {
    let overrides = Overrides::from(&args.overrides);
    let tags = tag::all(&args.tags)?;
    // All of them, and all rules, are read before any of them runs.
    let mut scenarios = args
        .scenarios
        .iter()
        .map(|name| scenario::load_judged(name, &overrides, &driver::judge))
        .collect::<Result<Vec<_>, _>>()?;
    scenarios.iter().try_for_each(Scenario::ready)?;
    scenarios.iter_mut().try_for_each(|scenario| add_thresholds(scenario, &args.threshold))?;
    let held = baseline::of_scenarios(args, &scenarios)?;
    let watching = Watching::begin(&args.live)?;
    let mut chosen = environment(&args.environment, &scenarios, args.fetch.fetch)?;
    let all: Vec<&Scenario> = scenarios.iter().collect();
    all_there(study::missing(chosen.environment.as_mut(), &all))?;
    let results = &args.results.results;
    let time_left = TimeLeft::of(&scenarios);
    let mut session = Session { results, selfcheck: None, tags, time_left, watching, interrupt };
    let mut codes = Vec::new();
    for (scenario, held) in scenarios.iter().zip(&held) {
        let done = measure(scenario, held.as_ref(), &mut chosen, &mut session)?;
        codes.push(done.code);
        github::tell(&report::markdown_run(&done.manifest, &done.summary));
        if args.json {
            out_json(&done.summary)?;
            tell_verdicts(&done.summary);
        } else {
            out(&done.ending(results).text());
        }
        if interrupt.flag.load(Relaxed) {
            break;
        }
    }
    Ok(worst(codes))
}

/// On stderr, where stdout is JSON. What failed is told whatever is wanted.
fn tell_verdicts(summary: &Summary) {
    for rule in &summary.thresholds {
        let tell = if rule.held == Some(true) { say } else { complain };
        tell(&one_line(report::threshold_line(rule)));
    }
    if let Some(result) = &summary.baseline {
        let tell = if result.worse { complain } else { say };
        report::baseline_lines(result).into_iter().for_each(|line| tell(&one_line(line)));
    }
}

fn add_thresholds(scenario: &mut Scenario, texts: &[String]) -> Result<(), Failure> {
    let labels: Vec<String> = scenario.systems.iter().map(|(label, _)| label.clone()).collect();
    for text in texts {
        let rule = Threshold::parse(text, &labels).map_err(|error| {
            Failure::new(
                Code::Usage,
                format!("--threshold '{text}': {}; {}", error.what, error.remedy),
            )
        })?;
        scenario.thresholds.push(rule);
    }
    Ok(())
}

/// A scenario that was run, rendered and judged.
pub struct RenderedRun {
    pub folder: PathBuf,
    pub manifest: Manifest,
    pub summary: Summary,
    pub code: Code,
}

impl RenderedRun {
    /// As it stands right after it was measured, when it is the latest.
    pub fn ending<'a>(&'a self, results: &'a Path) -> Ending<'a> {
        Ending {
            manifest: &self.manifest,
            summary: &self.summary,
            folder: &self.folder,
            results,
            name: "latest",
            width: width(),
            loudness: loudness(),
        }
    }
}

/// What all scenarios of one call have in common.
pub struct Session<'a> {
    pub results: &'a Path,
    /// `None` where what is remembered is to be told.
    pub selfcheck: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub time_left: TimeLeft,
    pub watching: Watching,
    pub interrupt: &'a Interrupt,
}

/// Runs one scenario, holds it against an earlier run where there is one, and renders everything
/// that belongs to it.
pub fn measure(
    scenario: &Scenario,
    held: Option<&HeldAgainst>,
    chosen: &mut Chosen,
    session: &mut Session<'_>,
) -> Result<RenderedRun, Failure> {
    let (results_dir, interrupt) = (session.results, session.interrupt);
    let selfcheck = session.selfcheck.clone().or_else(selfcheck::remembered);
    session.time_left.begin(scenario);
    let cells = match scenario.estimate().cells {
        1 => "1 cell".to_owned(),
        cells => format!("{cells} cells"),
    };
    say(&format!("{}: {cells}, {}", scenario.name, session.time_left.in_words()));
    let mut watchers = session.watching.over(&scenario.name, &mut session.time_left, interrupt)?;
    let study = Study {
        scenario,
        environment: chosen.environment.as_mut(),
        environment_because: chosen.because.clone(),
        results_dir,
        // Not where the binary lies on this machine: what a reader would type.
        command_line: std::iter::once("brokerbench".to_owned())
            .chain(std::env::args().skip(1).map(|arg| without_secrets(&arg)))
            .collect(),
        tags: session.tags.clone(),
        selfcheck: selfcheck.unwrap_or_else(|| "not run".into()),
        interrupted: &interrupt.flag,
    };
    let finished = study::run(study, &mut watchers);
    let costs = watchers.end();
    session.time_left.end();
    let mut finished = finished?;
    finished.manifest.warnings.extend(costs);
    if let Some(held) = held {
        let bytes = files::to_json(Path::new(HeldAgainst::FILE), held)?;
        finished.folder.write(HeldAgainst::FILE, &bytes)?;
    }
    let code = of_run(finished.manifest.status, &gate::judged(&finished.folder)?);
    finished.manifest.exit_code = code as u8;
    if matches!(code, Code::Invalid | Code::Fault) {
        finished.manifest.status = Status::Invalid;
    }
    finished.folder.write_manifest(&finished.manifest)?;
    let summary = report::report(&finished.folder)?;
    report::write_index(results_dir)?;
    Ok(RenderedRun {
        folder: finished.folder.path().to_owned(),
        manifest: finished.manifest,
        summary,
        code,
    })
}

/// Where brokers come from, and why from there.
pub struct Chosen {
    pub environment: Box<dyn Environment>,
    pub because: String,
}

/// The environment that the flags ask for, with what these scenarios need there; `fetch` allows to
/// get it. What was chosen is printed.
pub fn environment<'a>(
    args: &EnvironmentArgs,
    scenarios: impl IntoIterator<Item = &'a Scenario>,
    fetch: bool,
) -> Result<Chosen, Failure> {
    let asked = |environment| Chosen { environment, because: "asked for".into() };
    let chosen = match (external(args)?, args.kind) {
        (Some(external), EnvironmentKind::Auto) => {
            Chosen { environment: Box::new(external), because: "addresses are given".into() }
        }
        (Some(external), _) => asked(Box::new(external)),
        (None, EnvironmentKind::Docker) => asked(docker()?),
        (None, EnvironmentKind::Auto) => {
            let Choice { docker: containers, because } = choose();
            Chosen { environment: if containers { docker()? } else { native()? }, because }
        }
        (None, _) => asked(native()?),
    };
    say(&format!("environment: {} ({})", chosen.environment.name(), chosen.because));
    let labels = scenarios.into_iter().flat_map(|scenario| &scenario.systems);
    let needed: BTreeSet<_> =
        labels.map(|(_, config)| (config.system.software(), config.server)).collect();
    if chosen.environment.name() == "native" {
        provide(needed, fetch)?;
    }
    let environment = Box::new(BrokerCache::over(chosen.environment));
    Ok(Chosen { environment, ..chosen })
}

/// What is missing is told before anything is started, all of it at once.
pub fn all_there<E: Into<Failure>>(missing: Vec<E>) -> Result<(), Failure> {
    let missing: Vec<Failure> = missing.into_iter().map(E::into).collect();
    let told = missing.iter().map(|failure| failure.message.as_str()).collect::<Vec<_>>();
    match missing.first() {
        Some(first) => Err(Failure::new(first.code, told.join("\n"))),
        None => Ok(()),
    }
}

/// Brokers that run already, where the flags name them.
pub fn external(args: &EnvironmentArgs) -> Result<Option<External>, Failure> {
    let addresses = args.kafka.is_some() || args.redis.is_some() || args.targets.is_some();
    let own = match args.kind {
        EnvironmentKind::Native => "native",
        EnvironmentKind::Docker => "docker",
        EnvironmentKind::Auto if !addresses => return Ok(None),
        EnvironmentKind::Auto | EnvironmentKind::External => {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let around = Around { remote: args.allow_remote, variable: &variable };
            let targets = match &args.targets {
                Some(file) => load_targets(file, &around)?,
                None => targets_from_flags(args.kafka.as_deref(), args.redis.as_deref(), &around)?,
            };
            return Ok(Some(External::new(targets)));
        }
    };
    if addresses {
        let message = format!(
            "--kafka, --redis and --targets name brokers that run already, --env {own} starts its \
            own: leave one out"
        );
        return Err(Failure::new(Code::Usage, message));
    }
    Ok(None)
}

fn native() -> Result<Box<dyn Environment>, Failure> {
    Ok(Box::new(Native::new(exe()?)))
}

fn docker() -> Result<Box<dyn Environment>, Failure> {
    Ok(Box::new(Docker::new(exe()?)?))
}

/// This program: the janitor is another process of it.
pub fn exe() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::new(Code::Environment, format!("own executable not found: {error}"))
    })
}

/// An argument with everything between `://` and `@` hidden:
/// a password does not belong into results.
fn without_secrets(arg: &str) -> String {
    match (arg.find("://"), arg.rfind('@')) {
        (Some(from), Some(to)) if from + 3 < to => format!("{}***{}", &arg[..from + 3], &arg[to..]),
        _ => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_reach_the_manifest() {
        assert_eq!(
            without_secrets("--redis=redis://me:pw@host:1/0"),
            "--redis=redis://***@host:1/0"
        );
        assert_eq!(without_secrets("redis://host:1"), "redis://host:1");
        assert_eq!(without_secrets("a@b"), "a@b");
    }
}
