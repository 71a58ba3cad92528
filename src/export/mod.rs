//! Other formats of a run: for HdrHistogram's tools, Prometheus, spreadsheets, test reports and
//! trackers of benchmarks. Reads results only; needs no broker.

mod benchmark;
pub mod hgrm;
mod junit;
pub mod open_metrics;
mod rows;

pub use benchmark::{bencher, github_benchmark};
pub use junit::junit;
pub use rows::csv;

use crate::result::{ResultError, RunFolder, files};

/// Writes `export/<label>/<cell>/block-N/<metric>.hgrm` for every cell of a run, in milliseconds;
/// returns the paths, relative to the run folder.
pub fn write_hgrm(folder: &RunFolder) -> Result<Vec<String>, ResultError> {
    let manifest = folder.read_manifest()?;
    let mut written = Vec::new();
    for cell in folder.read_cells(&manifest)? {
        for (metric, histogram) in cell.whole_histograms()? {
            let path = format!("export/{}/{}.hgrm", cell.place(), metric.name());
            let censored = cell.record.censored(metric);
            let mut text = hgrm::encode(&histogram, 1e6);
            if censored.count > 0 {
                let ms = censored.at_least_ns as f64 / 1e6;
                text += &format!("#[Censored = {}, at least {ms:.3} each]\n", censored.count);
            }
            folder.write(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Writes `export/<label>/<cell>/block-N/seconds.om` for every cell that has a time series; returns
/// the paths, relative to the run folder.
pub fn write_open_metrics(folder: &RunFolder) -> Result<Vec<String>, ResultError> {
    let manifest = folder.read_manifest()?;
    let mut written = Vec::new();
    for cell in folder.read_cells(&manifest)? {
        let rows = cell.windows()?;
        if rows.is_empty() {
            continue;
        }
        let path = format!("export/{}/seconds.om", cell.place());
        let labels = open_metrics::labels(&manifest.scenario.name, &cell.record.id);
        files::write_atomic_by(&folder.path().join(&path), |file| {
            open_metrics::encode(&rows, &labels, folder.epoch(), file)
        })?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::{bencher, csv, github_benchmark, junit};
    use crate::gate::{baseline_of, judged};
    use crate::model::{Direction, Latency, metric};
    use crate::result::testing::{capacity_cell, cell, latency_run, manifest};
    use crate::result::{
        CellOutcome, Censored, ComparisonTerms, HeldAgainst, Observation, RunFolder, SCHEMA,
    };
    use serde_json::Value;

    #[test]
    fn every_distribution_of_a_run_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = latency_run(dir.path());
        let written = super::write_hgrm(&folder).unwrap();
        assert_eq!(written.len(), 24 * 4);
        assert!(
            written.contains(&"export/kafka/load.rate=1k_2Fs/block-1/end_to_end.hgrm".to_owned()),
            "{written:?}"
        );
        assert!(written.iter().all(|path| folder.path().join(path).is_file()));
        let seconds = super::write_open_metrics(&folder).unwrap();
        assert_eq!(seconds.len(), 24);
        let text = std::fs::read_to_string(folder.path().join(&seconds[0])).unwrap();
        assert!(text.contains("label=\"kafka\"") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn what_has_no_time_of_its_own_stands_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = crate::result::RunFolder::create(dir.path(), "latency").unwrap();
        folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
        let mut output = cell("kafka", "base", 1);
        let recorded = output.merged(Latency::Publish).len();
        let censored = Censored { count: 5 * recorded, at_least_ns: 9_000_000_000 };
        output.record.censored.insert(Latency::Publish, censored);
        folder.write_cell(&output).unwrap();
        super::write_hgrm(&folder).unwrap();
        let path = folder.path().join("export/kafka/base/block-1/publish.hgrm");
        let text = std::fs::read_to_string(path).unwrap();
        let share = |line: &&str| line.split_whitespace().nth(1)?.parse::<f64>().ok();
        let beyond = |line: &&str| !line.starts_with('#') && share(line).is_some_and(|at| at > 0.5);
        let median = text.lines().find(beyond).unwrap();
        assert!(median.trim_start().starts_with("900"), "of all that were due: {median}");
        assert!(text.contains(&format!("Total count    = {:>12}]", 6 * recorded)), "{text}");
        assert!(text.contains(&format!("#[Censored = {}, at least 9000.000 each]", 5 * recorded)));
    }

    /// Three blocks, with rules, held against a run that was twice as fast at the median.
    fn held(dir: &std::path::Path) -> RunFolder {
        let folder = latency_run(dir);
        let mut manifest = folder.read_manifest().unwrap();
        let rules = ["counts.lost == 0", "kafka: end_to_end.p99 < 1us", "counts.acked > 0"];
        manifest.scenario.thresholds = rules.map(str::to_owned).into();
        folder.write_manifest(&manifest).unwrap();
        let mut baseline = baseline_of(&manifest, &judged(&folder).unwrap(), &[]);
        for figure in baseline.figures.iter_mut().filter(|one| one.metric == "end_to_end.p50") {
            figure.values.values_mut().for_each(|value| *value /= 2.0);
        }
        let (schema, name, terms) = (SCHEMA, "main".to_owned(), ComparisonTerms::default());
        let against = HeldAgainst { schema, name, terms, baseline };
        folder.write(HeldAgainst::FILE, &serde_json::to_vec(&against).unwrap()).unwrap();
        folder
    }

    #[test]
    fn a_table_has_a_row_for_each_cell_and_figure() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "latency").unwrap();
        folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
        let mut output = cell("kafka", "load.rate=1k/s", 1);
        let censored = Censored { count: 9_000, at_least_ns: 7_000_000_000 };
        output.record.censored.insert(Latency::EndToEnd, censored);
        folder.write_cell(&output).unwrap();
        let mut seen = capacity_cell("redis-lists", "base", 1, 1000);
        seen.record.experiment = Some("retention".into());
        seen.record.observations = vec![
            Observation::measured(metric::LIVE_RATE, "size=1KiB", 900.0, 10).with_text("=cmd"),
            Observation::cannot(metric::SHARE_SEEK, "", "no positions"),
        ];
        folder.write_cell(&seen).unwrap();
        let text = csv(&folder).unwrap();
        let rows: Vec<Vec<String>> = ::csv::ReaderBuilder::new()
            .from_reader(text.as_bytes())
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect();
        let find = |metric: &str| rows.iter().find(|row| row[8] == metric).unwrap();
        let goodput = find("goodput");
        assert_eq!(goodput[2..8], ["kafka", "kafka", "load.rate=1k/s", "1", "yes", "ok"]);
        assert_eq!((goodput[10].as_str(), goodput[11].as_str()), ("msg/s", "1000"));
        let p99 = find("end_to_end.p99");
        assert_eq!((p99[11].as_str(), p99[12].as_str()), ("", "7000000000"), "a bound is no value");
        let live = find("live.rate");
        assert_eq!((live[9].as_str(), live[11].as_str()), ("size=1KiB", "900"));
        assert_eq!(live[14], "'=cmd", "no cell is a formula");
        assert_eq!(
            (find("share.seek")[11].as_str(), &*find("share.seek")[14]),
            ("", "no positions")
        );
        let plain = rows.iter().filter(|row| row[2] == "redis-lists" && row[8] == "goodput");
        assert_eq!(plain.count(), 0, "an experiment has its own figures");
    }

    #[test]
    fn test_reports_have_what_failed_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let folder = held(dir.path());
        let mut output = cell("kafka", "load.rate=1k/s", 1);
        output.record.outcome = CellOutcome::Stalled;
        output.record.outcome_because = vec!["nothing <came>".into()];
        folder.write_cell(&output).unwrap();
        let text = junit(&folder).unwrap();
        assert!(text.starts_with("<?xml"), "{text}");
        for words in [
            "name=\"latency cells\" tests=\"24\"",
            "name=\"latency thresholds\" tests=\"3\"",
            "name=\"latency baseline\"",
            "name=\"kafka load.rate=1k/s block 1\" classname=\"latency\"",
            "message=\"stalled: nothing &lt;came&gt;\"",
            "name=\"kafka: end_to_end.p99 &lt; 1us\"",
            "name=\"redis-lists load.rate=10k/s end_to_end.p50 not worse\"",
        ] {
            assert!(text.contains(words), "`{words}` is missing in: {text}");
        }
        assert!(text.contains("<failure message=\"") && text.contains("<error message=\""));
    }

    #[test]
    fn trackers_get_each_direction_with_its_interval() {
        let dir = tempfile::tempdir().unwrap();
        let folder = held(dir.path());
        let entries = |better| -> Vec<Value> {
            serde_json::from_str(&github_benchmark(&folder, better).unwrap()).unwrap()
        };
        let (lower, higher) = (entries(Direction::Lower), entries(Direction::Higher));
        let named = |all: &[Value], name: &str| -> Value {
            all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
        };
        let p50 = named(&lower, "latency kafka load.rate=1k/s: end_to_end.p50 ns");
        assert_eq!(p50["unit"], "ns");
        let extra = "3 blocks; Apache Kafka 4.4.0; librdkafka 2.12.1";
        assert_eq!(p50["extra"], extra);
        assert!(
            p50["value"].as_f64().unwrap() > 1e6 && p50["range"].as_str().unwrap().contains("to")
        );
        named(&higher, "latency kafka load.rate=1k/s: goodput msg/s");
        assert!(lower.iter().all(|one| one["unit"] == "ns"), "counts are for thresholds");
        let bmf: Value = serde_json::from_str(&bencher(&folder).unwrap()).unwrap();
        let kafka = &bmf["latency kafka load.rate=1k/s"]["end-to-end-p50"];
        assert_eq!(kafka["value"], p50["value"]);
        assert!(kafka["lower_value"].as_f64() < kafka["value"].as_f64());
        assert!(kafka["value"].as_f64() < kafka["upper_value"].as_f64());
    }
}
