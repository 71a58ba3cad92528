//! `load.stages`: the measured window as steps and ramps of the rate, on one set of connections.
//!
//! The stages of a file follow each other; a ramp is cut into parts that are measured each for
//! itself, as a rate that changes has no latency of its own. Until the window begins the load goes
//! at the first rate.

use super::check::{Check, FASTEST, LONGEST, check, refuse};
use super::experiment::Experiment;
use super::load::{FixedRate, Load, LoadKeys, Model};
use crate::schedule::Stage;
use crate::units::{Rate, Span};
use crate::yaml::Problem;
use schemars::JsonSchema;
use serde::Deserialize;

/// One stage as it is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StageKeys {
    /// A step: messages or bytes a second, all the time.
    #[serde(default)]
    pub rate: Option<FixedRate>,
    /// A ramp: where it begins; without it, where the load is by then.
    #[serde(default)]
    pub from: Option<FixedRate>,
    /// A ramp: where it ends.
    #[serde(default)]
    pub to: Option<FixedRate>,
    /// How long it lasts, in whole seconds.
    #[serde(rename = "for")]
    pub length: Span,
}

/// Parts of a ramp, and the least that each lasts: enough for a 99th percentile at 200/s.
const MOST_PARTS: u64 = 10;
const LEAST_PART_S: u64 = 5;
/// Each has histograms of its own.
const MOST_STAGES: usize = 100;
const SECOND: Span = Span::from_secs(1);

impl StageKeys {
    /// From which rate to which, for a load that is at `now`; `None` of a ramp from nowhere.
    fn ends(&self, now: Option<Rate>, mean_bytes: f64) -> Option<(Rate, Rate)> {
        let number = |rate: FixedRate| rate.in_messages(mean_bytes);
        match (self.rate.map(number), self.to.map(number)) {
            (Some(rate), _) => Some((rate, rate)),
            (None, Some(to)) => Some((self.from.map(number).or(now)?, to)),
            (None, None) => None,
        }
    }
}

/// The stages that are measured, in order, of messages of so many bytes on the average.
pub(super) fn unfold(load: &LoadKeys, mean_bytes: f64) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut now = load.fixed_rate(mean_bytes);
    for key in load.stages.iter().flatten() {
        // What has no ends is refused.
        let Some((from, to)) = key.ends(now, mean_bytes) else { continue };
        now = Some(to);
        let seconds = key.length.nanos() / SECOND.nanos();
        let parts = if from == to { 1 } else { (seconds / LEAST_PART_S).clamp(1, MOST_PARTS) };
        let whole = i128::from(seconds.max(1));
        let at = |second: u64| {
            let [from, to] = [from, to].map(|rate| i128::from(rate.micro_per_s()));
            let micro = from + (to - from) * i128::from(second) / whole;
            Rate::from_micro(u64::try_from(micro).unwrap_or(0))
        };
        let ends = (0..=parts).map(|part| seconds * part / parts).collect::<Vec<u64>>();
        stages.extend(ends.windows(2).map(|two| Stage {
            from: at(two[0]),
            to: at(two[1]),
            length: Span::from_secs(two[1] - two[0]),
        }));
    }
    stages
}

/// What only the file shows, of which keys `swept` are varied.
pub(super) fn keys<'a>(
    load: &LoadKeys,
    mean_bytes: f64,
    mut swept: impl Iterator<Item = &'a str>,
) -> Check {
    let Some(stages) = &load.stages else { return Ok(()) };
    let example = "write `stages: [{rate: 1k/s, for: 30s}, {to: 10k/s, for: 1m}]`";
    check(!stages.is_empty(), "load.stages", "there is no stage", example)?;
    let what = "`load.stages` say how long the window is";
    check(load.duration.is_none(), "load.duration", what, "remove one of both")?;
    let goes_on = stages.first().is_some_and(|first| first.ends(None, mean_bytes).is_none());
    let what = "`load.stages` say the rates, and `load.rate` is that of the warm-up alone";
    let varied = swept.any(|key| key == "load.rate") && !goes_on;
    check(!varied, "matrix.load.rate", what, "remove it from the matrix, or `load.stages`")?;
    let mut now = load.fixed_rate(mean_bytes);
    for (index, keys) in stages.iter().enumerate() {
        now = stage(index, keys, now, mean_bytes)?;
    }
    let many = unfold(load, mean_bytes).len();
    let what = format_args!("{many} stages with the parts of ramps, more than {MOST_STAGES}");
    check(many <= MOST_STAGES, "load.stages", what, "leave some out")
}

/// One of them, of a load that is at `now`; returns where it is after it.
fn stage(
    index: usize,
    keys: &StageKeys,
    now: Option<Rate>,
    mean_bytes: f64,
) -> Result<Option<Rate>, Problem> {
    let key = |tail: &str| format!("load.stages.{index}.{tail}");
    let StageKeys { rate, from, to, length } = *keys;
    let step = rate.is_some();
    let (what, remedy) = ("a stage is a step or a ramp", "write `rate`, or `from` and `to`");
    check(step != (from.is_some() || to.is_some()), &key("rate"), what, remedy)?;
    check(step || to.is_some(), &key("to"), "the ramp has no end", "add `to: 10k/s`")?;
    let (ends, what) = (keys.ends(now, mean_bytes), "the ramp begins nowhere");
    check(ends.is_some(), &key("from"), what, "add `from: 1k/s`, or `load.rate`")?;
    for (name, rate) in [("rate", rate), ("from", from), ("to", to)] {
        let Some(rate) = rate.map(|rate| rate.in_messages(mean_bytes)) else { continue };
        let what = "a rate of zero sends nothing";
        let some = rate.micro_per_s() > 0;
        check(some, &key(name), what, "write a rate above zero, such as `10k/s`")?;
        let what = format_args!("no generator on one machine offers more than {FASTEST}");
        check(rate <= FASTEST, &key(name), what, "lower it")?;
    }
    let whole = length >= SECOND && length.nanos().is_multiple_of(SECOND.nanos());
    let what = "a stage lasts whole seconds, one at least";
    check(whole, &key("for"), what, "write a duration such as `30s`")?;
    check(length <= LONGEST, &key("for"), format_args!("longer than {LONGEST}"), "shorten it")?;
    Ok(ends.map(|(_, end)| end))
}

/// Where a load with stages cannot be asked for.
pub(super) fn plain(load: &Load, experiment: Option<&Experiment>, faults: bool) -> Check {
    if load.stages.is_empty() {
        return Ok(());
    }
    let because = match () {
        () if load.model == Model::Closed => "the closed model goes as fast as `in-flight` allows",
        () if load.half_of.is_some() => "the rate is yet to be found",
        () if load.messages.is_some() => "`load.messages` counts and has no window",
        () if experiment.is_some() => "an experiment makes a load of its own",
        () if faults => "recovery from faults is told at one rate",
        () => return Ok(()),
    };
    let what = format_args!("stages are for plain load of the open model: {because}");
    refuse("load.stages", what, "remove `stages`, or the other")
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};
    use crate::units::{Rate, Span};

    fn scenario(load: &str, rest: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-lists]\nload: {{model: open, \
             {load}}}\n{rest}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn stages_of_bytes_are_so_many_messages() {
        let written = "stages: [{rate: 1MB/s, for: 5s}, {to: 4MB/s, for: 4s}]";
        let load = scenario(written, "message: {size: 500B}").unwrap().cells().remove(0).load;
        let found: Vec<String> = load.stages.iter().map(ToString::to_string).collect();
        assert_eq!(load.rate, Some(Rate::per_second(2000)));
        assert_eq!(found, ["2k/s for 5s", "2k/s to 8k/s for 4s"]);
    }

    fn stages(load: &str) -> (Option<Rate>, Span, Vec<String>) {
        let load = scenario(load, "").unwrap().cells().remove(0).load;
        (load.rate, load.duration, load.stages.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn steps_follow_each_other_and_make_the_window() {
        let steps = "stages: [{rate: 1k/s, for: 30s}, {rate: 10k/s, for: 1m}]";
        let (rate, window, found) = stages(steps);
        assert_eq!((rate, window), (Some(Rate::per_second(1000)), Span::from_secs(90)));
        assert_eq!(found, ["1k/s for 30s", "10k/s for 1m"]);
        let row = scenario(steps, "").unwrap();
        let row = row.resolved().iter().find(|row| row.key == "load.stages").unwrap();
        assert_eq!(
            (row.value.as_str(), row.origin.as_str()),
            ("[1k/s for 30s, 10k/s for 1m]", "file")
        );
        assert_eq!(stages(&format!("rate: 500/s, {steps}")).0, Some(Rate::per_second(500)));
    }

    #[test]
    fn a_ramp_goes_on_from_where_the_load_is_and_is_measured_in_parts() {
        let (rate, window, found) =
            stages("rate: 1k/s, stages: [{to: 3k/s, for: 20s}, {to: 1k/s, for: 4s}]");
        assert_eq!((rate, window), (Some(Rate::per_second(1000)), Span::from_secs(24)));
        let up = ["1k/s to 1500/s for 5s", "1500/s to 2k/s for 5s", "2k/s to 2500/s for 5s"];
        assert_eq!(found[..3], up);
        assert_eq!(found[3..], ["2500/s to 3k/s for 5s", "3k/s to 1k/s for 4s"]);
        let long = stages("stages: [{from: 1k/s, to: 50k/s, for: 10m}]").2;
        assert_eq!((long.len(), long[9].as_str()), (10, "45100/s to 50k/s for 1m"));
    }

    #[test]
    fn what_stages_cannot_be_is_refused_at_its_key() {
        let step = "stages: [{rate: 1k/s, for: 30s}]";
        for (load, key, words) in [
            ("stages: [{rate: 1k/s, for: 0s}]", "load.stages[0].for", "whole seconds"),
            ("stages: [{rate: 1k/s, for: 1500ms}]", "load.stages[0].for", "whole seconds"),
            ("stages: [{rate: 0/s, for: 5s}]", "load.stages[0].rate", "sends nothing"),
            ("stages: [{for: 5s}]", "load.stages[0].rate", "a step or a ramp"),
            ("stages: [{rate: 1k/s, to: 2k/s, for: 5s}]", "load.stages[0].rate", "step or a ramp"),
            ("stages: [{to: 2k/s, for: 5s}]", "load.stages[0].from", "begins nowhere"),
            ("stages: [{from: 2k/s, for: 5s}]", "load.stages[0].to", "has no end"),
            ("stages: [{rate: 1k/s}]", "load.stages[0].for", "missing"),
            ("stages: [{rate: 1k/s, for: 8d}]", "load.stages[0].for", "longer than 7d"),
            ("stages: [{rate: 5Mbit/s, for: 8s}]", "load.stages[0].rate", "like `50MB/s`"),
            ("rate: 50MBps", "load.rate", "like `50MB/s`"),
            ("stages: []", "load.stages", "there is no stage"),
            ("rate: 1k/s, stages: []", "load.stages", "there is no stage"),
            ("stages: [{rate: 90M/s, for: 5s}]", "load.stages[0].rate", "no generator"),
            (&format!("duration: 5s, {step}"), "load.duration", "remove one of both"),
            (&format!("messages: 5, {step}"), "load.stages", "has no window"),
            (&format!("rate: half-capacity, {step}"), "load.stages", "yet to be found"),
        ] {
            let error = scenario(load, "").unwrap_err();
            assert!(error.contains(key) && error.contains(words), "{load}: {error}");
        }
        for rest in [
            "experiment: {kind: retention}\n",
            "faults: [{kind: pause, target: leader, at: 2s, for: 1s}]\n",
        ] {
            let error = scenario(step, rest).unwrap_err();
            assert!(error.contains("stages are for plain load"), "{error}");
        }
        let error = scenario(step, "matrix: {load.rate: [1k/s, 2k/s]}\n").unwrap_err();
        assert!(error.contains("that of the warm-up alone"), "{error}");
        let goes_on = "rate: 1k/s, stages: [{to: 9k/s, for: 5s}]";
        assert!(scenario(goes_on, "matrix: {load.rate: [1k/s, 2k/s]}\n").is_ok());
        let closed = "model: closed, stages: [{rate: 1k/s, for: 5s}]";
        let text =
            format!("schema: 1\nname: t\nquestion: Q?\nsystems: [kafka]\nload: {{{closed}}}\n");
        let error = from_text("t", &text, &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("the closed model"), "{error}");
    }

    #[test]
    fn what_stages_cost_is_estimated() {
        let found =
            scenario("warm-up: 10s, stages: [{rate: 1k/s, for: 30s}, {to: 3k/s, for: 10s}]", "");
        let found = found.unwrap();
        assert_eq!(found.estimate().messages, Some(10_000 + 30_000 + 20_000));
    }
}
