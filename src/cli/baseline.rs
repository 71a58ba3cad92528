//! `diff`, `baseline` and `run --baseline`: a run beside an earlier one.
//!
//! What makes two runs unlike is told before anything is measured.

use super::args::RunArgs;
use super::ending::one_line;
use super::exit::{Code, Failure};
use super::gate_args::{BaselineCommand, DiffArgs, TermArgs};
use super::results::{find, to_the_minute};
use super::{Outcome, github, out, out_json, say, width};
use crate::gate::{self, askable, baseline_of, settings_of, unlike};
use crate::report;
use crate::result::{
    Baseline, BaselineResult, HeldAgainst, RunFolder, SCHEMA, Status, check_label, files, slug,
    summarize, words,
};
use crate::sanitize;
use crate::scenario::Scenario;
use comfy_table::{ContentArrangement, Table, presets};
use itertools::Itertools;
use std::path::{Path, PathBuf};

pub fn diff(args: &DiffArgs) -> Outcome {
    let side = |asked: &str| -> Result<Baseline, Failure> {
        let path = Path::new(asked);
        if path.is_file() {
            return Ok(Baseline::read(path)?);
        }
        of_run(&find(asked, &args.results.results)?, &args.terms.metrics)
    };
    let (before, now) = (side(&args.before)?, side(&args.now)?);
    let result = beside(&args.before, &before, &now, &args.terms)?;
    tell(&result, &format!("{}: {} → {}", now.scenario, before.run, now.run), args.json)
}

pub fn command(command: &BaselineCommand) -> Outcome {
    match command {
        BaselineCommand::Save { name, run, metrics, store, results } => {
            save(name, &find(run, &results.results)?, metrics, &store.baselines)
        }
        BaselineCommand::Check { name, run, json, terms, store, results } => {
            let folder = find(run, &results.results)?;
            let now = of_run(&folder, &terms.metrics)?;
            let before = stored(name, &now.scenario, &store.baselines)?
                .ok_or_else(|| missing(name, &now.scenario, &store.baselines))?;
            let result = beside(name, &before, &now, terms)?;
            tell(&result, &format!("{}: {name} → {}", now.scenario, now.run), *json)
        }
        BaselineCommand::List { store } => list(&store.baselines),
    }
}

/// What a run of each scenario will be held against; refused before anything is started where it
/// tells nothing of it.
pub fn of_scenarios(
    args: &RunArgs,
    scenarios: &[Scenario],
) -> Result<Vec<Option<HeldAgainst>>, Failure> {
    let Some(name) = &args.baseline else {
        if let Some(typed) = args.terms.first() {
            let message = format!("{typed} is for --baseline: name what the run is held against");
            return Err(Failure::new(Code::Usage, message));
        }
        return Ok(scenarios.iter().map(|_| None).collect());
    };
    let held = |scenario: &Scenario| -> Result<Option<HeldAgainst>, Failure> {
        let baseline = earlier(name, scenario, args)?;
        let info = scenario.info();
        let planned = Baseline {
            scenario: info.name.clone(),
            brokerbench_version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: settings_of(&info),
            ..Baseline::default()
        };
        let labels: Vec<&str> = info.systems.iter().map(|(label, _)| label.as_str()).collect();
        permit(name, &baseline, &planned, &labels, &args.terms)?;
        let terms = args.terms.terms();
        Ok(Some(HeldAgainst { schema: SCHEMA, name: name.clone(), terms, baseline }))
    };
    scenarios.iter().map(held).collect()
}

/// A baseline of the scenario by its name or file, or a run.
fn earlier(name: &str, scenario: &Scenario, args: &RunArgs) -> Result<Baseline, Failure> {
    let (store, results) = (&args.store.baselines, &args.results.results);
    if let Some(found) = stored(name, &scenario.name, store)? {
        return Ok(found);
    }
    let of_run_folder = Path::new(name).join("manifest.json").is_file()
        || results.join("runs").join(name).join("manifest.json").is_file();
    match of_run_folder || name == "latest" {
        true => of_run(&find(name, results)?, &args.terms.metrics),
        false => Err(missing(name, &scenario.name, store)),
    }
}

/// A file, or a name in the folder of baselines; `None` where there is neither.
fn stored(name: &str, scenario: &str, store: &Path) -> Result<Option<Baseline>, Failure> {
    let file = Path::new(name);
    if file.is_file() {
        return Ok(Some(Baseline::read(file)?));
    }
    let named = check_label(name).map(|()| place(name, scenario, store));
    let named = named.ok().filter(|path| path.is_file());
    Ok(named.map(|path| Baseline::read(&path)).transpose()?)
}

fn place(name: &str, scenario: &str, store: &Path) -> PathBuf {
    store.join(name).join(format!("{}.json", slug(scenario)))
}

fn missing(name: &str, scenario: &str, store: &Path) -> Failure {
    let place = place(name, scenario, store);
    let message = format!(
        "no baseline {name} of {scenario}: neither a file, nor {}, nor a run; save one with \
         `brokerbench baseline save {name}` after a run of {scenario}",
        place.display()
    );
    Failure::new(Code::Results, sanitize::line(&message))
}

/// From raw data, so that any quantile can be asked for.
fn of_run(folder: &RunFolder, metrics: &[String]) -> Result<Baseline, Failure> {
    Ok(baseline_of(&folder.read_manifest()?, &summarize(folder)?, metrics))
}

/// Refuses a comparison that would say nothing, unless that is wanted all the same.
fn permit(
    name: &str,
    before: &Baseline,
    now: &Baseline,
    labels: &[&str],
    terms: &TermArgs,
) -> Result<(), Failure> {
    let unlike = unlike(before, now);
    if !unlike.is_empty() && !terms.allow_unlike {
        let message = format!(
            "{name}: {}; such figures say nothing of each other: take a run of this scenario, as \
             it is run here, or compare all the same with --allow-unlike",
            unlike.join("; ")
        );
        return Err(Failure::new(Code::Usage, sanitize::line(&message)));
    }
    askable(before, labels, &terms.terms())
        .map_err(|why| Failure::new(Code::Usage, sanitize::line(&format!("{name}: {why}"))))
}

fn beside(
    name: &str,
    before: &Baseline,
    now: &Baseline,
    terms: &TermArgs,
) -> Result<BaselineResult, Failure> {
    let labels: Vec<&str> = now.figures.iter().map(|one| one.label.as_str()).unique().collect();
    permit(name, before, now, &labels, terms)?;
    Ok(gate::compare(name, before, now, &terms.terms()))
}

fn tell(result: &BaselineResult, title: &str, json: bool) -> Outcome {
    if json {
        out_json(result)?;
        report::baseline_lines(result).into_iter().for_each(|line| say(&one_line(line)));
    } else {
        let title = sanitize::line(title);
        out(&format!("{title}\n{}", report::difference(result, width())));
    }
    github::tell(&report::markdown_difference(result));
    Ok(if result.worse { Code::Regression } else { Code::Fine })
}

fn save(name: &str, folder: &RunFolder, metrics: &[String], store: &Path) -> Outcome {
    check_label(name).map_err(|error| Failure::new(Code::Usage, error))?;
    let status = folder.read_manifest()?.status;
    if status != Status::Complete {
        let (run, status) = (sanitize::line(folder.name()), words::name(&status));
        let message =
            format!("{run} is {status}: a baseline is a run that came to its end; run it again");
        return Err(Failure::new(Code::Usage, message));
    }
    let baseline = of_run(folder, metrics)?;
    let path = place(name, &baseline.scenario, store);
    if let Ok(before) = Baseline::read(&path) {
        say(&one_line(format!("in place of the run {}", before.run)));
    }
    if (1..3).contains(&baseline.blocks) {
        say("warning: fewer than 3 blocks: nothing held against it will have a verdict on speed; \
             --set blocks=10 makes more");
    }
    baseline.write(&path)?;
    out(&path.display().to_string());
    Ok(Code::Fine)
}

fn list(store: &Path) -> Outcome {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width().max(60))
        .set_header(["baseline", "scenario", "begun", "blocks", "host", "versions"]);
    for dir in files::folders(store)? {
        for file in json_files(&dir) {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let row = match Baseline::read(&file) {
                Ok(baseline) => row(name, &baseline),
                Err(error) => {
                    say(&one_line(format!("warning: {error}")));
                    vec![name, "unreadable".to_owned()]
                }
            };
            table.add_row(row.into_iter().map(|text| sanitize::line(&text)).collect::<Vec<_>>());
        }
    }
    if table.row_count() == 0 {
        let folder = sanitize::line(&store.display().to_string());
        out(&format!("none in {folder} yet: brokerbench baseline save main"));
    } else {
        out(&table.to_string());
    }
    Ok(Code::Fine)
}

fn row(name: String, baseline: &Baseline) -> Vec<String> {
    let host = |key: &str| baseline.host.get(key).cloned().unwrap_or_default();
    let brokers = baseline.versions.values().filter_map(|both| both.split(';').next());
    vec![
        name,
        baseline.scenario.clone(),
        to_the_minute(&baseline.started_at),
        baseline.blocks.to_string(),
        format!("{}, {} cores", host("cpu"), host("cores")),
        brokers.unique().join(", "),
    ]
}

/// Sorted.
fn json_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.extension().is_some_and(|end| end == "json")).sorted().collect()
}
