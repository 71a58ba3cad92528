//! Commands that only look: the metrics, explain, validate, schema, completions, man.

use super::args::{Cli, OverrideArgs, SchemaOf};
use super::exit::{Code, Failure};
use super::spend::explained;
use super::{Outcome, out, say};
use crate::claims::{self, Material};
use crate::driver;
use crate::model::metric;
use crate::result::{Comparison, RunFolder, Summary, files};
use crate::scenario::{self, Overrides, Prices};
use clap::CommandFactory;
use std::path::Path;

impl From<&OverrideArgs> for Overrides {
    fn from(args: &OverrideArgs) -> Self {
        Self {
            profile: args.profile.clone(),
            sets: args.sets.clone(),
            sweeps: args.sweeps.clone(),
            systems: args.systems.clone(),
            seed: args.seed,
            payload_file: args.payload_file.clone(),
            ..Self::default()
        }
    }
}

pub fn metrics() -> Outcome {
    out(&metric::table());
    Ok(Code::Fine)
}

pub fn explain(
    name: &str,
    spreads: &Path,
    prices: Option<&Path>,
    overrides: &OverrideArgs,
) -> Outcome {
    let scenario = scenario::load_judged(name, &overrides.into(), &driver::judge)?;
    let mut text = scenario.explain();
    text += &explained(&scenario, &Prices::load(prices)?);
    if spreads.exists() {
        let shown = claims::can_show(&scenario, &measured_before(spreads)?);
        text.extend(shown.iter().map(|line| format!("power: {line}\n")));
    }
    out(&text);
    Ok(Code::Fine)
}

/// A table, or that of one run.
fn measured_before(path: &Path) -> Result<Comparison, Failure> {
    if path.is_file() {
        return Ok(files::read_json(path)?);
    }
    if path.join("comparison.json").is_file() {
        return Ok(Comparison::read(path)?);
    }
    let folder = RunFolder::open(path)?;
    let runs = [(folder.read_manifest()?, folder.read_summary()?)];
    let material = Material { profile: "run", runs: &runs, ..Material::default() };
    claims::build(&material).map_err(|error| Failure::new(Code::Usage, error))
}

pub fn validate(scenarios: &[String]) -> Outcome {
    let mut failures = Vec::new();
    for name in scenarios {
        match scenario::validate(name, &driver::judge) {
            Ok(found) => {
                out(&format!("{name}: valid ({} cells)", found.cells().len()));
                for warning in found.warnings() {
                    say(&format!("warning: {name}: {warning}"));
                }
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    if failures.is_empty() {
        Ok(Code::Fine)
    } else {
        Err(Failure::new(Code::Usage, failures.join("\nerror: ")))
    }
}

pub fn schema(of: SchemaOf) -> Outcome {
    let print = |schema: schemars::Schema| {
        serde_json::to_string_pretty(&schema).map_err(|error| Failure::new(Code::Internal, error))
    };
    out(&match of {
        SchemaOf::Scenario => scenario::schema(),
        SchemaOf::Summary => print(schemars::schema_for!(Summary))?,
        SchemaOf::Comparison => print(schemars::schema_for!(Comparison))?,
    });
    Ok(Code::Fine)
}

pub fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "brokerbench", &mut text);
    out(&String::from_utf8_lossy(&text));
    Ok(Code::Fine)
}

/// In roff: `brokerbench man | man -l -`.
pub fn man(command: Option<&str>) -> Outcome {
    let mut root = Cli::command();
    root.build();
    let known: Vec<String> =
        root.get_subcommands().map(|known| known.get_name().to_owned()).collect();
    let page = match command {
        None => Some(root),
        Some(name) => root.find_subcommand(name).cloned(),
    };
    let unknown = || {
        let known = known.join(", ");
        Failure::new(
            Code::Usage,
            format!("there is no command `{}`; known: {known}", command.unwrap_or_default()),
        )
    };
    let page = clap_mangen::Man::new(page.ok_or_else(unknown)?);
    let mut text = Vec::new();
    page.render(&mut text).map_err(|error| Failure::new(Code::Internal, error))?;
    out(&String::from_utf8_lossy(&text));
    Ok(Code::Fine)
}
