//! The end of a run: what it was held against first, then a line for each label, what to know about
//! them, the files, and what to type next.

use super::{Loudness, cells};
use crate::report;
use crate::result::{Manifest, Status, Summary, words};
use crate::sanitize;
use std::path::Path;

/// More warnings than this stand on the page only.
const MOST_WARNINGS: usize = 8;

/// A run that is on disk, and where its text is going.
pub struct Ending<'a> {
    pub manifest: &'a Manifest,
    pub summary: &'a Summary,
    pub folder: &'a Path,
    /// The folder of all results, and how a command calls this run.
    pub results: &'a Path,
    pub name: &'a str,
    pub width: u16,
    pub loudness: Loudness,
}

impl Ending<'_> {
    pub fn text(&self) -> String {
        let Self { manifest, summary, width, loudness, .. } = *self;
        let question = manifest.scenario.question.trim();
        let mut text = one_line(format!("{}: {question}", summary.scenario));
        text.extend(summary.thresholds.iter().map(report::threshold_line).map(one_line));
        let against = summary.baseline.iter().flat_map(report::baseline_lines);
        text.extend(against.map(one_line));
        text += &report::lines(summary, manifest.scenario.claim.as_deref(), width);
        let each = loudness >= Loudness::Verbose;
        text.extend(report::stage_lines(summary, each).into_iter().map(one_line));
        if loudness < Loudness::Verbose {
            text.extend(report::reasons(summary).into_iter().map(one_line));
        } else {
            text += &cells::text(manifest, summary, width);
        }
        if loudness > Loudness::Quiet {
            text += &self.warnings();
            text += &self.files();
        }
        text
    }

    fn warnings(&self) -> String {
        let warnings = &self.manifest.warnings;
        let shown = match self.loudness {
            Loudness::Verbose => warnings.len(),
            _ => MOST_WARNINGS,
        };
        let mut text: String = (warnings.iter().take(shown))
            .map(|warning| one_line(format!("warning: {warning}")))
            .collect();
        if let more @ 1.. = warnings.len().saturating_sub(shown) {
            text += &format!("warning: {more} more on the page\n");
        }
        text
    }

    fn files(&self) -> String {
        let Self { manifest, summary, .. } = *self;
        let tags = manifest.tags.iter().map(|(key, value)| format!(", {key}={value}"));
        let file = |name: &str| self.folder.join(name).display().to_string();
        [
            format!(
                "status   {}, selfcheck {}{}",
                words::name(&summary.status),
                manifest.selfcheck,
                tags.collect::<String>()
            ),
            format!("page     {}", file("report.html")),
            format!("figures  {}", file("summary.json")),
            format!("next     {}", self.next()),
        ]
        .map(one_line)
        .concat()
    }

    /// What to type next.
    fn next(&self) -> String {
        let results = results_flag(self.results);
        let run = quoted(self.name);
        if self.manifest.status == Status::Interrupted {
            let scenario = quoted(self.manifest.scenario.source.trim_start_matches("built-in "));
            return format!("brokerbench run {scenario}{results}   it was interrupted");
        }
        match self.loudness {
            Loudness::Verbose => {
                format!("brokerbench export {run}{results}   its histograms, for other tools")
            }
            _ => format!("brokerbench report {run} -v{results}   every cell, block and reason"),
        }
    }
}

/// ` --results DIR`, where it is not where results are looked for anyway.
pub fn results_flag(results: &Path) -> String {
    match results.display().to_string() {
        usual if usual == "results" => String::new(),
        other => format!(" --results {}", quoted(&other)),
    }
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A name or a reason that holds a line break must not look like a line of ours.
pub fn one_line(text: String) -> String {
    sanitize::line(&text) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::testing::{capacity_cell, latency_run};
    use crate::result::{CellOutcome, RunFolder};

    /// Three blocks of four systems at two rates; in one block Redis Lists could not follow.
    fn run(dir: &Path) -> (RunFolder, Manifest, Summary) {
        let folder = latency_run(dir);
        let mut output = capacity_cell("redis-lists", "load.rate=10k/s", 2, 9_000);
        output.record.outcome = CellOutcome::Overloaded;
        output.record.outcome_because = vec!["backlog: it grew to 12,345 messages".into()];
        (output.record.counts.duplicate, output.record.counts.failed) = (Some(67), Some(8_901));
        output.record.failures = [("no answer within 5 s".to_owned(), 8_901)].into();
        folder.write_cell(&output).unwrap();
        let mut manifest = folder.read_manifest().unwrap();
        manifest.scenario.thresholds = vec![
            "kafka: end_to_end.p99 < 50ms".into(),
            "counts.lost == 0".into(),
            "redis-streams: goodput > 20k/s".into(),
            "redis-lists: end_to_end.p99 < 1s".into(),
        ];
        manifest.tags = [("change".to_owned(), "batch 2".to_owned())].into();
        folder.write_manifest(&manifest).unwrap();
        let summary = report::report(&folder).unwrap();
        (folder, manifest, summary)
    }

    fn text(width: u16, loudness: Loudness) -> String {
        let dir = tempfile::tempdir().unwrap();
        let (_, manifest, summary) = run(dir.path());
        let results = Path::new("my results");
        let folder = Path::new("my results/runs/x");
        let name = "latest";
        Ending { manifest: &manifest, summary: &summary, folder, results, name, width, loudness }
            .text()
    }

    #[test]
    fn at_80_columns() {
        insta::assert_snapshot!(text(80, Loudness::Usual));
    }

    #[test]
    fn at_120_columns() {
        insta::assert_snapshot!(text(120, Loudness::Usual));
    }

    #[test]
    fn what_was_asked_for_comes_first_and_what_comes_next_last() {
        let text = text(120, Loudness::Usual);
        let at = |words: &str| {
            text.find(words).unwrap_or_else(|| panic!("`{words}` is missing in: {text}"))
        };
        let order = [
            "✓ pass       kafka: end_to_end.p99 < 50ms: at worst ",
            "✗ fail       redis-streams: goodput > 20k/s: ",
            "? unmeasured redis-lists: end_to_end.p99 < 1s: not measured in ",
            "overloaded in 1 of 3",
            "overloaded: redis-lists 10k/s: backlog: it grew",
            "warning: redis-server is older",
            "status   complete, selfcheck passed, change=batch 2",
            "page     my results/runs/x/report.html",
            "next     brokerbench report latest -v --results 'my results'",
        ];
        let places = order.map(at);
        assert!(places.is_sorted(), "{text}");
        assert!(!text.contains("block 2: backlog"), "cells and blocks are for -v: {text}");
    }

    #[test]
    fn quiet_is_the_result_alone_and_verbose_is_every_cell() {
        let quiet = text(120, Loudness::Quiet);
        assert!(quiet.contains("✗ fail") && quiet.contains("overloaded: redis-lists"), "{quiet}");
        for word in ["warning:", "page ", "next ", "status "] {
            assert!(!quiet.contains(word), "{quiet}");
        }
        let verbose = text(200, Loudness::Verbose);
        for word in
            ["redis-lists load.rate=10k/s block 2: ", "cold start: kafka", "brokerbench export"]
        {
            assert!(verbose.contains(word), "`{word}` is missing in: {verbose}");
        }
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        assert_eq!(
            quoted("2026-11-29T221000.123Z-latency-abc"),
            "2026-11-29T221000.123Z-latency-abc"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!((quoted(""), quoted("a;b")), ("''".into(), "'a;b'".into()));
        assert_eq!(results_flag(Path::new("results")), "");
    }
}
