//! Other formats of a run: `.hgrm`. Reads results only; needs no broker.

pub mod hgrm;

use crate::result::{ResultError, RunFolder};

/// Writes `export/<label>/<cell>/block-N/<metric>.hgrm` for every cell of a run, in milliseconds;
/// returns the paths, relative to the run folder.
pub fn write_hgrm(folder: &RunFolder) -> Result<Vec<String>, ResultError> {
    let manifest = folder.read_manifest()?;
    let mut written = Vec::new();
    for cell in folder.read_cells(&manifest)? {
        for (metric, histogram) in cell.histograms()? {
            let path = format!("export/{}/{}.hgrm", cell.place(), metric.name());
            folder.write(&path, hgrm::encode(&histogram, 1e6).as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use crate::result::testing::latency_run;

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
    }
}
