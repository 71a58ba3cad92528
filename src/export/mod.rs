//! Other formats of a run: `.hgrm`, OpenMetrics. Reads results only; needs no broker.

pub mod hgrm;
pub mod open_metrics;

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
    use crate::model::Latency;
    use crate::result::Censored;
    use crate::result::testing::{cell, latency_run, manifest};

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
}
