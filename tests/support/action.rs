//! `action.yml` as a runner of GitHub plays it: the steps that run something, one after the other,
//! each with its environment. What other actions would do is left out.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    pub name: String,
    pub description: String,
    pub branding: BTreeMap<String, String>,
    pub inputs: BTreeMap<String, Input>,
    pub outputs: BTreeMap<String, Output>,
    pub runs: Runs,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub description: String,
    #[serde(default)]
    pub required: bool,
    pub default: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    pub description: String,
    pub value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    pub using: String,
    pub steps: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    pub name: String,
    pub id: String,
    pub shell: String,
    pub env: BTreeMap<String, String>,
    pub run: String,
    pub uses: String,
    pub with: BTreeMap<String, String>,
}

impl Action {
    pub fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
        serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }
}

pub struct Played {
    pub code: i32,
    pub outputs: BTreeMap<String, String>,
    pub stderr: String,
}

/// Plays it in `dir` until a step fails. `context` has what a runner knows: `github.server_url` …
pub fn play(dir: &Path, inputs: &[(&str, &str)], context: &[(&str, &str)]) -> Played {
    let action = Action::read();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (name, input) in &action.inputs {
        known.insert(format!("inputs.{name}"), input.default.clone().unwrap_or_default());
    }
    let given = inputs.iter().map(|(name, value)| (format!("inputs.{name}"), *value));
    let context = context.iter().map(|(name, value)| ((*name).to_owned(), *value));
    for (name, value) in given.chain(context) {
        known.insert(name, value.to_owned());
    }
    let temporary = dir.join("runner-temp");
    fs::create_dir_all(&temporary).unwrap();
    let (mut code, mut stderr) = (0, String::new());
    for step in action.runs.steps.iter().filter(|step| !step.run.is_empty()) {
        assert_eq!(step.shell, "bash");
        let output = temporary.join("output");
        fs::write(&output, "").unwrap();
        let ended = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &step.run])
            .current_dir(dir)
            .envs(step.env.iter().map(|(name, value)| (name, resolved(value, &known))))
            .env("GITHUB_ACTION_PATH", env!("CARGO_MANIFEST_DIR"))
            .env("GITHUB_OUTPUT", &output)
            .env("GITHUB_STEP_SUMMARY", dir.join("step-summary.md"))
            .env("RUNNER_TEMP", &temporary)
            .output()
            .unwrap();
        stderr += &String::from_utf8_lossy(&ended.stderr);
        for line in fs::read_to_string(&output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            known.insert(format!("steps.{}.outputs.{name}", step.id), value.to_owned());
        }
        code = ended.status.code().unwrap();
        if code != 0 {
            break;
        }
    }
    let outputs = action.outputs.iter();
    let outputs = outputs.map(|(name, output)| (name.clone(), resolved(&output.value, &known)));
    Played { code, outputs: outputs.collect(), stderr }
}

/// With every expression in place of its name; one that is not known yet is empty.
fn resolved(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut parts = text.split("${{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap();
        out += known.get(name.trim()).map_or("", String::as_str);
        out += rest;
    }
    out
}
