//! `run`: scenarios, one after the other, each into its own run folder.

use super::args::{EnvironmentArgs, EnvironmentKind, RunArgs, SpendArgs};
use super::baseline;
use super::ending::{Ending, one_line};
use super::exit::{Code, Failure, of_run, worst};
use super::fetch::provide;
use super::live::Watching;
use super::signals::Interrupt;
use super::spend::{Spending, agreed};
use super::time_left::TimeLeft;
use super::{
    Outcome, complain, github, loudness, merge, out, out_json, say, selfcheck, shard, tag, width,
};
use crate::access::{Around, load_targets, targets_from_flags};
use crate::driver;
use crate::environment::{BrokerCache, Choice, Docker, Environment, External, Native, choose};
use crate::result::shard::seal;
use crate::result::{HeldAgainst, Manifest, Status, Summary, files, words};
use crate::scenario::{self, Overrides, Scenario, Threshold};
use crate::study::{self, FinishedStudy, RunPart, Study};
use crate::units::Span;
use crate::{gate, report};
use itertools::Itertools;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

pub fn run(args: &RunArgs, interrupt: &Interrupt) -> Outcome {
    let part = shard::part(&args.shards)?;
    if part.is_some() && args.scenarios.len() > 1 {
        let why = "--shard: shards run one scenario together: name one";
        return Err(Failure::new(Code::Usage, why));
    }
    let shards = part.as_ref().map_or(1, |part| part.shard.count);
    let overrides = Overrides { shards, ..Overrides::from(&args.overrides) };
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
    let mut chosen = environment(&args.environment, &args.spend, &scenarios, args.fetch.fetch)?;
    let all: Vec<&Scenario> = scenarios.iter().collect();
    all_there(study::missing(chosen.environment.as_mut(), &all))?;
    let results = &args.results.results;
    let time_left = TimeLeft::of(&scenarios);
    let mut session =
        Session { results, selfcheck: None, tags, time_left, watching, interrupt, part };
    let mut codes = Vec::new();
    for (scenario, held) in scenarios.iter().zip(&held) {
        if let Some(part) = session.part.clone() {
            return run_part(scenario, &mut chosen, &mut session, &part, &args.shards.merge_into);
        }
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
        scenario.thresholds.push(rule(text, &labels)?);
    }
    Ok(())
}

/// A threshold as typed.
pub fn rule(text: &str, labels: &[String]) -> Result<Threshold, Failure> {
    Threshold::parse(text, labels).map_err(|error| {
        let why = format!("--threshold '{text}': {}; {}", error.what, error.remedy);
        Failure::new(Code::Usage, why)
    })
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
    /// Where several processes run the scenario together: which of them this is.
    pub part: Option<RunPart>,
}

/// Runs one scenario, holds it against an earlier run where there is one, and renders everything
/// that belongs to it.
pub fn measure(
    scenario: &Scenario,
    held: Option<&HeldAgainst>,
    chosen: &mut Chosen,
    session: &mut Session<'_>,
) -> Result<RenderedRun, Failure> {
    let finished = studied(scenario, chosen, session)?;
    if let Some(held) = held {
        let bytes = files::to_json(Path::new(HeldAgainst::FILE), held)?;
        finished.folder.write(HeldAgainst::FILE, &bytes)?;
    }
    rendered(finished, session.results)
}

/// This process's part of a run that several run together: nothing is judged, and nothing shown,
/// before it is merged.
fn run_part(
    scenario: &Scenario,
    chosen: &mut Chosen,
    session: &mut Session<'_>,
    part: &RunPart,
    merge_into: &Option<PathBuf>,
) -> Outcome {
    let mut finished = studied(scenario, chosen, session)?;
    let code = match finished.manifest.status {
        Status::Complete => Code::Fine,
        Status::Interrupted => Code::Interrupted,
        Status::Invalid | Status::Failed => Code::Invalid,
    };
    finished.manifest.exit_code = code as u8;
    finished.folder.write_manifest(&finished.manifest)?;
    seal(&finished.folder)?;
    let path = finished.folder.path();
    let together = path.parent().unwrap_or(path).to_owned();
    let status = words::name(&finished.manifest.status);
    out(&format!("shard {} of run {}: {status}, in {}", part.shard, part.run_id, path.display()));
    match merge_into.as_ref().filter(|_| part.shard.leads() && code == Code::Fine) {
        Some(into) => {
            let shards = [together];
            let limit = Span(part.wait.as_nanos() as u64);
            merge::wait(&shards, Some(limit), session.interrupt)?;
            let done = merge::merged(&shards, into, false, &[])?;
            out(&done.ending(into).text());
            Ok(done.code)
        }
        None => {
            if merge_into.is_none() {
                say(&format!("next     brokerbench merge {}", together.display()));
            }
            Ok(code)
        }
    }
}

fn studied(
    scenario: &Scenario,
    chosen: &mut Chosen,
    session: &mut Session<'_>,
) -> Result<FinishedStudy, Failure> {
    let (results_dir, interrupt) = (session.results, session.interrupt);
    let selfcheck = session.selfcheck.clone().or_else(selfcheck::remembered);
    session.time_left.begin(scenario);
    let cells = match scenario.estimate().cells {
        1 => "1 cell".to_owned(),
        cells => format!("{cells} cells"),
    };
    say(&format!("{}: {cells}, {}", scenario.name, session.time_left.in_words()));
    let mut spending = chosen.spending.as_mut();
    if let Some(spending) = &mut spending {
        spending.begin(scenario);
    }
    let time_left = &mut session.time_left;
    let mut watchers = session.watching.over(&scenario.name, time_left, interrupt, spending)?;
    let study = Study {
        scenario,
        environment: chosen.environment.as_mut(),
        environment_because: chosen.because.clone(),
        results_dir,
        command_line: command_line(),
        tags: session.tags.clone(),
        selfcheck: selfcheck.unwrap_or_else(|| "not run".into()),
        interrupted: &interrupt.flag,
        part: session.part.clone(),
    };
    let finished = study::run(study, &mut watchers);
    let costs = watchers.end();
    session.time_left.end();
    let mut finished = finished?;
    finished.manifest.warnings.extend(costs);
    Ok(finished)
}

/// As typed, but for where the binary lies on this machine, and secrets.
pub fn command_line() -> Vec<String> {
    std::iter::once("brokerbench".to_owned())
        .chain(std::env::args().skip(1).map(|arg| without_secrets(&arg)))
        .collect()
}

/// Judges a run that is on disk, and renders everything that belongs to it.
pub fn rendered(mut finished: FinishedStudy, results_dir: &Path) -> Result<RenderedRun, Failure> {
    finished.folder.write_manifest(&finished.manifest)?;
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
    /// Where it costs money.
    pub spending: Option<Spending>,
}

/// The environment that the flags ask for, with what these scenarios need there; `fetch` allows to
/// get it. What was chosen is printed.
pub fn environment<'a>(
    args: &EnvironmentArgs,
    spend: &SpendArgs,
    scenarios: impl IntoIterator<Item = &'a Scenario>,
    fetch: bool,
) -> Result<Chosen, Failure> {
    let scenarios: Vec<&Scenario> = scenarios.into_iter().collect();
    let external = external(args)?;
    let spending = agreed(spend, &scenarios, external.as_ref())?;
    let asked = || "asked for".to_owned();
    let (environment, because): (Box<dyn Environment>, String) = match (external, args.kind) {
        (Some(external), EnvironmentKind::Auto) => {
            (Box::new(external), "addresses are given".into())
        }
        (Some(external), _) => (Box::new(external), asked()),
        (None, EnvironmentKind::Docker) => (docker()?, asked()),
        (None, EnvironmentKind::Auto) => {
            let Choice { docker: containers, because } = choose();
            (if containers { docker()? } else { native()? }, because)
        }
        (None, _) => (native()?, asked()),
    };
    say(&format!("environment: {} ({because})", environment.name()));
    if environment.name() == "native" {
        let labels = || scenarios.iter().flat_map(|scenario| &scenario.systems);
        let systems: BTreeSet<_> = labels().map(|(_, config)| config.system).collect();
        let lacks = systems.into_iter().filter_map(|system| environment.lacks(system));
        all_there(lacks.collect())?;
        let needed = labels().map(|(_, config)| (config.system.software(), config.server));
        provide(needed.collect(), fetch)?;
    }
    Ok(Chosen { environment: Box::new(BrokerCache::over(environment)), because, spending })
}

/// What is missing is told before anything is started, all of it at once.
pub fn all_there<E: Into<Failure>>(missing: Vec<E>) -> Result<(), Failure> {
    let missing: Vec<Failure> = missing.into_iter().map(E::into).collect();
    let told = missing.iter().map(|failure| failure.message.as_str()).unique();
    match missing.first() {
        Some(first) => Err(Failure::new(first.code, told.collect::<Vec<_>>().join("\n"))),
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
