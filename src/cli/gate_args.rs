//! What can be typed of comparisons with an earlier run. Types, and how their values are read.

use super::args::ResultsArgs;
use crate::model::{Measure, metric};
use crate::result::ComparisonTerms;
use crate::yaml::suggest;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Comparison with an earlier run")]
pub struct TermArgs {
    /// Up to this share a change is none; 5% unless told otherwise
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub tolerance: Option<f64>,
    /// What counts, in place of goodput, end_to_end.p50, end_to_end.p99 and the scenario's primary;
    /// repeatable
    // `run` has `--metrics` as well.
    #[arg(id = "metric", long = "metric", value_name = "METRIC", value_parser = figure)]
    pub metrics: Vec<String>,
    /// Divide each figure by that of this label in the same block: takes out what the machine did
    #[arg(long, value_name = "LABEL")]
    pub relative_to: Option<String>,
    /// Compare all the same what is another scenario, load or version of brokerbench
    #[arg(long)]
    pub allow_unlike: bool,
}

impl TermArgs {
    pub fn terms(&self) -> ComparisonTerms {
        ComparisonTerms {
            tolerance: self.tolerance.unwrap_or(ComparisonTerms::TOLERANCE),
            metrics: self.metrics.clone(),
            relative_to: self.relative_to.clone(),
        }
    }

    /// The first that was typed.
    pub fn first(&self) -> Option<&'static str> {
        let typed = [
            (self.tolerance.is_some(), "--tolerance"),
            (!self.metrics.is_empty(), "--metric"),
            (self.relative_to.is_some(), "--relative-to"),
            (self.allow_unlike, "--allow-unlike"),
        ];
        typed.into_iter().find(|(typed, _)| *typed).map(|(_, name)| name)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Comparison with an earlier run")]
pub struct StoreArgs {
    /// Folder of baselines: NAME/SCENARIO.json, to be committed
    #[arg(long, default_value = "baselines", value_name = "DIR")]
    pub baselines: PathBuf,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier: a run folder, its name, `latest`, or a baseline's file
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The later, likewise
    #[arg(value_name = "NOW")]
    pub now: String,
    /// Print one JSON object on stdout, as `baseline` of summary.json
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub terms: TermArgs,
    #[command(flatten)]
    pub results: ResultsArgs,
}

#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Keep a run as the baseline of its scenario, in place of the one that had this name
    Save {
        /// Such as `main`
        name: String,
        /// A run folder, its name, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        /// A metric beyond the usual ones, such as end_to_end.p95; repeatable
        #[arg(long = "metric", value_name = "METRIC", value_parser = figure)]
        metrics: Vec<String>,
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        results: ResultsArgs,
    },
    /// Hold a run against the baseline of its scenario; exit code 11 where it is worse
    Check {
        /// The baseline's name or file
        name: String,
        /// A run folder, its name, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        /// Print one JSON object on stdout, as `baseline` of summary.json
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        terms: TermArgs,
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        results: ResultsArgs,
    },
    /// List the baselines: of which scenario, run, host and versions
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// `5%`, `0.05`. A plain 5 is a slip, and would let everything pass.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').map(|number| (number, 100.0, 10.0));
    let (number, of, most) = percent.unwrap_or((text, 1.0, 1.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / of);
    share
        .filter(|share| (0.0..=most).contains(share))
        .ok_or_else(|| "write a share like `5%` or `0.05`; more than 1 as `150%`".to_owned())
}

/// A metric as results spell it.
fn figure(text: &str) -> Result<String, String> {
    let plain = text.parse::<Measure>().map(|measure| measure.to_string());
    let observed = || metric::find(text).filter(|metric| metric.latency().is_none());
    plain.ok().or_else(|| observed().map(|metric| metric.name.to_owned())).ok_or_else(|| {
        let usual: Vec<String> = Measure::usual().map(|measure| measure.to_string()).collect();
        let others = metric::all().filter(|metric| metric.latency().is_none());
        let known = usual.iter().map(String::as_str).chain(others.map(|metric| metric.name));
        format!("no such metric; {}", suggest(text, known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_metrics_are_read_or_refused_with_what_to_write() {
        assert_eq!((share("5%"), share("0.05"), share("0")), (Ok(0.05), Ok(0.05), Ok(0.0)));
        for bad in ["", "%", "five", "5", "-5%", "5 percent", "inf", "NaN", "2000%"] {
            assert!(share(bad).unwrap_err().contains("`5%`"), "{bad}");
        }
        assert_eq!(figure("end_to_end.p99.9").unwrap(), "end_to_end.p99_9");
        assert_eq!(figure("replay.rate").unwrap(), "replay.rate");
        assert!(figure("end_to_end").is_err(), "a latency is asked for by a statistic");
        assert!(figure("gooodput").unwrap_err().contains("did you mean `goodput`?"));
    }
}
