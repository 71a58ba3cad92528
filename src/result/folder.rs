//! The run folder: `results/runs/<utc-time>-<scenario>-<id>/`,
//! the only place where a run lives on disk.
//!
//! ```text
//! manifest.json · summary.json · report.html · charts/*.svg
//! cells/<label>/<cell>/block-N/
//!     latency.hlog · windows.csv · events.ndjson · broker.log · accounting.json
//! ```
//! `accounting.json` is written last. A cell without it was cut off, or still runs: what its
//! journal has is all there is of it. Nothing here computes a number.

use super::cut_off::cut_off;
use super::error::ResultError;
use super::journal::{CellJournal, STARTED, event_line};
use super::manifest::Manifest;
use super::raw::{CellOutput, CellRecord, WindowRow};
use super::summary::Summary;
use super::windows::{csv_lines, parse_whole, parse_windows};
use super::{files, hlog, names, shard};
use crate::model::{Latency, Point};
use crate::random::SplitMix64;
use crate::record::new_histogram;
use crate::regular_file;
use crate::schedule::Shard;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// The files of a cell by kind, as `summary.json` lists them.
const FILES: [(&str, &str); 5] = [
    ("accounting", "accounting.json"),
    ("broker_log", "broker.log"),
    ("events", "events.ndjson"),
    ("latency", "latency.hlog"),
    ("windows", "windows.csv"),
];

#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    name: String,
    /// Wall-clock time of the run's epoch: base of the time stamps in `latency.hlog`.
    epoch: jiff::Timestamp,
}

#[derive(Clone, Debug)]
pub struct StoredCell {
    pub record: CellRecord,
    /// Paths relative to the run folder, by kind.
    pub files: BTreeMap<String, String>,
    dir: PathBuf,
    /// Its files end where its process did.
    cut_off: bool,
}

impl RunFolder {
    pub fn create(results_dir: &Path, scenario: &str) -> Result<Self, ResultError> {
        Self::create_at(results_dir, scenario, jiff::Timestamp::now())
    }

    /// Of a run whose epoch was before.
    pub fn create_at(
        results_dir: &Path,
        scenario: &str,
        epoch: jiff::Timestamp,
    ) -> Result<Self, ResultError> {
        // Milliseconds, so that names sort in the order of creation.
        let time = epoch.strftime("%Y-%m-%dT%H%M%S.%3fZ");
        let name = format!("{time}-{}-{}", names::slug(scenario), id());
        let path = results_dir.join("runs").join(&name);
        fs::create_dir_all(&path).map_err(ResultError::io(&path, "create the folder"))?;
        Ok(Self { path, name, epoch })
    }

    /// The folder of one shard of the run `run_id`; it is made once.
    pub fn create_shard(results_dir: &Path, run_id: &str, of: Shard) -> Result<Self, ResultError> {
        let path = shard::place(results_dir, run_id, of);
        let above = path.parent().unwrap_or(results_dir);
        fs::create_dir_all(above)
            .and_then(|()| fs::create_dir(&path))
            .map_err(ResultError::io(&path, "create the folder"))?;
        let name = format!("{run_id}-shard-{}-of-{}", of.index, of.count);
        Ok(Self { path, name, epoch: jiff::Timestamp::now() })
    }

    /// Opens the run folder at `path`; its manifest must be readable.
    pub fn open(path: &Path) -> Result<Self, ResultError> {
        let missing = || ResultError::NoRun { path: path.to_owned() };
        if !path.join("manifest.json").is_file() {
            return Err(missing());
        }
        let manifest: Manifest = files::read_json(&path.join("manifest.json"))?;
        let epoch = manifest.started_at.parse().map_err(|error| {
            ResultError::corrupt(&path.join("manifest.json"), format!("started_at: {error}"))
        })?;
        Ok(Self { path: path.to_owned(), name: manifest.run, epoch })
    }

    /// The newest run under `results_dir` that has a manifest.
    pub fn latest(results_dir: &Path) -> Result<Self, ResultError> {
        let runs = results_dir.join("runs");
        let newest =
            files::folders(&runs)?.into_iter().rfind(|path| path.join("manifest.json").is_file());
        Self::open(&newest.ok_or(ResultError::NoRun { path: runs })?)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes it, with all that is in it.
    pub fn discard(self) -> std::io::Result<()> {
        fs::remove_dir_all(&self.path)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The letters that tell it from other runs of its time.
    pub fn id(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or(&self.name)
    }

    pub fn epoch(&self) -> jiff::Timestamp {
        self.epoch
    }

    /// Writes a derived file, such as `charts/spectrum.svg`.
    pub fn write(&self, relative: &str, content: &[u8]) -> Result<(), ResultError> {
        files::write_atomic(&self.path.join(relative), content)
    }

    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), ResultError> {
        files::write_json(&self.path.join("manifest.json"), manifest)
    }

    pub fn read_manifest(&self) -> Result<Manifest, ResultError> {
        files::read_json(&self.path.join("manifest.json"))
    }

    pub fn write_summary(&self, summary: &Summary) -> Result<(), ResultError> {
        files::write_json(&self.path.join("summary.json"), summary)
    }

    pub fn read_summary(&self) -> Result<Summary, ResultError> {
        files::read_json(&self.path.join("summary.json"))
    }

    /// Where a cell writes while it runs.
    pub fn journal(&self, record: &CellRecord) -> Result<CellJournal, ResultError> {
        names::check_label(&record.label)?;
        Ok(CellJournal::new(self.path.join(format!("cells/{}", place(record))), self.epoch))
    }

    /// Writes the raw files of one cell, where its journal has not, and returns their paths,
    /// relative to the run folder, by kind.
    pub fn write_cell(&self, output: &CellOutput) -> Result<BTreeMap<String, String>, ResultError> {
        let record = &output.record;
        names::check_label(&record.label)?;
        let relative = format!("cells/{}", place(record));
        let dir = self.path.join(&relative);
        if !output.journaled {
            let (log, table) = (dir.join("latency.hlog"), dir.join("windows.csv"));
            files::write_atomic(&log, &hlog::encode(&output.intervals, self.epoch, &log)?)?;
            files::write_atomic(&table, &csv_lines(&output.windows, true, &table)?)?;
        }
        let mut events = Vec::new();
        for event in &output.events {
            events.extend(event_line(event, &dir)?);
        }
        files::write_atomic(&dir.join("events.ndjson"), &events)?;
        files::write_atomic(&dir.join("broker.log"), output.broker_log.as_bytes())?;
        if let Some(books) = &output.books {
            let path = dir.join(shard::BOOKS);
            files::write_atomic(&path, &shard::encode_books(books, &path)?)?;
        }
        files::write_json(&dir.join("accounting.json"), record)?;
        let started = dir.join(STARTED);
        match fs::remove_file(&started) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(ResultError::io(&started, "remove")(error))
            }
            _ => Ok(file_map(&relative)),
        }
    }

    /// Every cell that has finished, or was cut off in its window: in the order of the manifest's
    /// labels, then by matrix point, then by block.
    pub fn read_cells(&self, manifest: &Manifest) -> Result<Vec<StoredCell>, ResultError> {
        let mut cells = Vec::new();
        for label in files::folders(&self.path.join("cells"))? {
            for point in files::folders(&label)? {
                for dir in files::folders(&point)? {
                    cells.extend(self.read_cell(manifest, dir)?);
                }
            }
        }
        let position =
            |label: &str| manifest.scenario.systems.iter().position(|(name, _)| name == label);
        cells.sort_by(|a, b| {
            let (a, b) = (&a.record, &b.record);
            // A label that the manifest does not know (`None`) sorts behind those that it knows.
            let known = |label| position(label).unwrap_or(usize::MAX);
            (known(&a.label), &a.label)
                .cmp(&(known(&b.label), &b.label))
                .then_with(|| Point::read(&a.cell).cmp(&Point::read(&b.cell)))
                .then(a.block.cmp(&b.block))
        });
        Ok(cells)
    }

    /// `None` where nothing was measured.
    fn read_cell(
        &self,
        manifest: &Manifest,
        dir: PathBuf,
    ) -> Result<Option<StoredCell>, ResultError> {
        let finished = dir.join("accounting.json");
        let cut = !finished.is_file();
        let file = if cut { dir.join(STARTED) } else { finished };
        if !file.is_file() {
            return Ok(None);
        }
        let record: CellRecord = files::read_json(&file).map_err(|error| {
            let Manifest { brokerbench_version, build, .. } = manifest;
            error.written_by(brokerbench_version, build.as_ref())
        })?;
        let relative = dir.strip_prefix(&self.path).unwrap_or(&dir).to_string_lossy().into_owned();
        // Charts and exports are written where the record says that it belongs: a label with `..`
        // or slashes in it would lead them out of the run.
        if relative != format!("cells/{}", place(&record)) {
            let what = format!("it says that it is {}, and lies in {relative}", place(&record));
            return Err(ResultError::corrupt(&file, what));
        }
        let mut cell = StoredCell { record, files: file_map(&relative), dir, cut_off: cut };
        if cut {
            let Some(record) = cut_off(&cell.record, &cell.windows()?) else { return Ok(None) };
            cell.record = record;
            cell.files.retain(|_, path| self.path.join(path).is_file());
        }
        Ok(Some(cell))
    }
}

impl StoredCell {
    /// `<label>/<cell>/block-N`: where a cell's files lie, under `cells/` and wherever else there
    /// is one for each cell.
    pub fn place(&self) -> String {
        place(&self.record)
    }

    pub fn windows(&self) -> Result<Vec<WindowRow>, ResultError> {
        let path = self.dir.join("windows.csv");
        let text = files::read_within(&path, files::LARGEST_TABLE)?;
        if self.cut_off { parse_whole(&text, &path) } else { parse_windows(&text, &path) }
    }

    pub fn histograms(&self) -> Result<BTreeMap<Latency, Histogram<u64>>, ResultError> {
        let (log, path, tail) = self.log()?;
        hlog::merged_from(log, &path, tail)
    }

    /// Likewise of each stage of the window, counted from 1.
    pub fn stage_histograms(
        &self,
    ) -> Result<BTreeMap<(usize, Latency), Histogram<u64>>, ResultError> {
        let (log, path, tail) = self.log()?;
        hlog::merged_stages(log, &path, tail)
    }

    /// Its log of histograms, and whether that may be cut off.
    fn log(&self) -> Result<(BufReader<File>, PathBuf, hlog::Tail), ResultError> {
        let path = self.dir.join("latency.hlog");
        let log = regular_file::open(&path).map_err(ResultError::io(&path, "read"))?;
        let tail = if self.cut_off { hlog::Tail::MayBeCut } else { hlog::Tail::Whole };
        Ok((BufReader::new(log), path, tail))
    }

    /// The same with the censored, as if each had ended when nobody waited any longer: it did not
    /// before.
    pub fn whole_histograms(&self) -> Result<BTreeMap<Latency, Histogram<u64>>, ResultError> {
        let mut histograms = self.histograms()?;
        for (latency, censored) in &self.record.censored {
            let histogram = histograms.entry(*latency).or_insert_with(new_histogram);
            histogram.saturating_record_n(censored.at_least_ns, censored.count);
        }
        Ok(histograms)
    }
}

/// Six letters that tell two runs of the same millisecond apart.
fn id() -> String {
    let now_ns = jiff::Timestamp::now().as_nanosecond() as u64;
    let mut random = SplitMix64::new(now_ns ^ u64::from(std::process::id()) << 32);
    let letters = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..6).map(|_| char::from(letters[(random.next_u64() % 32) as usize])).collect()
}

fn place(record: &CellRecord) -> String {
    format!("{}/{}/block-{}", record.label, names::path_safe(&record.cell), record.block)
}

fn file_map(relative: &str) -> BTreeMap<String, String> {
    FILES.iter().map(|(kind, file)| ((*kind).to_owned(), format!("{relative}/{file}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// A record that came from a stranger: charts and exports are written
    /// to the place that it names.
    #[test]
    fn a_label_that_leads_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "latency").unwrap();
        let manifest = testing::manifest(&folder, "latency", 1);
        let output = testing::capacity_cell("kafka", "base", 1, 1000);
        let paths = folder.write_cell(&output).unwrap();
        assert_eq!(folder.read_cells(&manifest).unwrap().len(), 1);
        for label in ["../../../../elsewhere", "/etc", "..", "redis-lists", ""] {
            let mut record = output.record.clone();
            record.id.label = label.into();
            files::write_json(&folder.path().join(&paths["accounting"]), &record).unwrap();
            let error = folder.read_cells(&manifest).unwrap_err().to_string();
            assert!(
                error.contains("accounting.json")
                    && error.contains("lies in cells/kafka/base/block-1"),
                "{error}"
            );
        }
    }

    /// As the engine writes while it runs, until it is killed in the middle of a line.
    #[test]
    fn a_cell_whose_process_was_killed_is_read_up_to_its_last_whole_second() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "soak").unwrap();
        let manifest = testing::manifest(&folder, "soak", 1);
        let whole = testing::cell("kafka", "base", 1);
        let unknown = CellRecord { window_start_ns: None, ..whole.record.clone() };
        let begun = CellRecord { window_end_ns: None, ..unknown };
        let mut journal = folder.journal(&begun).unwrap();
        assert!(folder.read_cells(&manifest).unwrap().is_empty(), "nothing before it begins");
        journal.begin(&begun).unwrap();
        journal.second(None, &whole.intervals[..4]).unwrap();
        journal.second(Some(&whole.windows[0]), &[]).unwrap();
        assert!(folder.read_cells(&manifest).unwrap().is_empty(), "still warming up");
        for row in &whole.windows[1..9] {
            journal.second(Some(row), &[]).unwrap();
        }
        journal.second(Some(&whole.windows[9]), &whole.intervals[4..8]).unwrap();
        let place = folder.path().join("cells/kafka/base/block-1");
        for (file, cut) in [("latency.hlog", 10), ("windows.csv", 3)] {
            let text = fs::read(place.join(file)).unwrap();
            fs::write(place.join(file), &text[..text.len() - cut]).unwrap();
        }
        let cell = folder.read_cells(&manifest).unwrap().remove(0);
        assert_eq!(cell.windows().unwrap(), whole.windows[..9]);
        let record = &cell.record;
        assert!(record.interrupted && record.error.is_some());
        let window = (record.window_start_ns, record.window_end_ns);
        assert_eq!(window, (Some(4_000_000_000), Some(9_000_000_000)));
        assert!(!cell.files.contains_key("accounting") && cell.files.contains_key("latency"));
        // Of the four lines of the window all but the last are whole.
        assert_eq!(cell.histograms().unwrap().len(), 3);
    }

    #[test]
    fn what_was_journaled_is_what_is_written_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = testing::cell("kafka", "base", 1);
        let read = |journaled: bool, output: &CellOutput| {
            let folder = RunFolder::create(dir.path(), "soak").unwrap();
            if journaled {
                let mut journal = folder.journal(&output.record).unwrap();
                journal.begin(&output.record).unwrap();
                journal.second(None, &output.intervals[..4]).unwrap();
                // As it came: some was counted later.
                for row in &output.windows {
                    let early = WindowRow { sent_messages: 1, ..row.clone() };
                    journal.second(Some(&early), &[]).unwrap();
                }
                journal.second(None, &output.intervals[4..]).unwrap();
                journal.finish(output.windows.iter().cloned()).unwrap();
            }
            folder.write_cell(output).unwrap();
            assert!(!folder.path().join("cells/kafka/base/block-1").join(STARTED).exists());
            let manifest = testing::manifest(&folder, "soak", 1);
            let cell = folder.read_cells(&manifest).unwrap().remove(0);
            (cell.windows().unwrap(), cell.histograms().unwrap(), cell.record)
        };
        let at_once = read(false, &output);
        output.journaled = true;
        assert_eq!(read(true, &output), at_once);
    }
}
