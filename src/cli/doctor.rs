//! `doctor`: what this machine offers, what is missing and what to do about it.

use super::args::{EnvironmentArgs, EnvironmentKind};
use super::exit::Code;
use super::run::external;
use super::{Outcome, out, out_json};
use crate::environment::{Check, Level, Part, Wanted, can_run, checks};
use crate::result::words::name;
use serde::Serialize;

/// Public: `doctor --json`.
#[derive(Serialize)]
struct DoctorReport<'a> {
    schema: u32,
    exit_code: u8,
    /// What a run with the same flags would take; `null` where it would find nothing to run on.
    environment: Option<Part>,
    environments: Vec<EnvironmentChoice>,
    checks: &'a [Check],
}

#[derive(Serialize)]
struct EnvironmentChoice {
    name: Part,
    can_run: bool,
}

/// In the order in which they are printed, and in which an environment is taken.
const PARTS: [(Part, &str); 4] = [
    (Part::Docker, "docker: brokers in containers"),
    (Part::Native, "native: brokers as processes of this machine"),
    (Part::External, "external: brokers that run already"),
    (Part::Machine, "this machine"),
];

pub fn doctor(json: bool, args: &EnvironmentArgs) -> Outcome {
    let external = external(args)?;
    let auto = args.kind == EnvironmentKind::Auto && external.is_none();
    let wanted = Wanted {
        docker: auto || args.kind == EnvironmentKind::Docker,
        native: auto || args.kind == EnvironmentKind::Native,
        external,
    };
    let checks = checks(wanted);
    let asked =
        |part: &Part| *part != Part::Machine && checks.iter().any(|check| check.part == *part);
    let environments = PARTS.into_iter().map(|(part, _)| part).filter(asked);
    let choice = |name| EnvironmentChoice { name, can_run: can_run(&checks, name) };
    let environments: Vec<EnvironmentChoice> = environments.map(choice).collect();
    let environment =
        environments.iter().find(|verdict| verdict.can_run).map(|verdict| verdict.name);
    let code = if environment.is_some() { Code::Fine } else { Code::Environment };
    if json {
        let report = DoctorReport {
            schema: 1,
            exit_code: code as u8,
            environment,
            environments,
            checks: &checks,
        };
        out_json(&report)?;
    } else {
        out(&text(&checks, &environments, environment, auto));
    }
    Ok(code)
}

fn text(
    checks: &[Check],
    environments: &[EnvironmentChoice],
    taken: Option<Part>,
    auto: bool,
) -> String {
    let mut text = String::new();
    for (part, heading) in PARTS {
        let of_part = checks.iter().filter(|check| check.part == part);
        for (at, check) in of_part.enumerate() {
            if at == 0 {
                text += &format!("{heading}\n");
            }
            let mark = match check.level {
                Level::Ok => "ok  ",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            text += &format!("  {mark} {:<15} {}\n", check.name, check.found);
            if let Some(remedy) = &check.remedy {
                text += &format!("       {:<15} → {remedy}\n", "");
            }
        }
    }
    text.push('\n');
    for verdict in environments {
        let how = match (verdict.can_run, auto && taken == Some(verdict.name)) {
            (true, true) => "can run; `--env auto` takes it",
            (true, false) => "can run",
            (false, _) => "cannot run: see FAIL above",
        };
        text += &format!("{:<8} {how}\n", name(&verdict.name));
    }
    text
}
