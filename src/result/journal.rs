//! What a cell leaves on disk while it runs, second by second, under the names that its raw files
//! keep: whoever is killed loses the last few seconds and no more, and no memory grows with time.
//!
//! `started.json` stands for `accounting.json`, which is written last: a cell that has only the
//! first was cut off, or still runs ([`super::cut_off`]). Nothing is synced before the end: what a
//! killed process has written is the kernel's to keep. Every write is of whole lines.

use super::error::ResultError;
use super::raw::{CellRecord, Event, Interval, WindowRow};
use super::windows::{csv_lines, read_rows, with_measured};
use super::{files, hlog};
use crate::regular_file;
use hdrhistogram::serialization::V2DeflateSerializer;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

/// The record of a cell as it was known when its load began.
pub const STARTED: &str = "started.json";

pub struct CellJournal {
    dir: PathBuf,
    epoch: jiff::Timestamp,
    files: Option<OpenFiles>,
}

struct OpenFiles {
    latency: Appended,
    windows: Appended,
    events: Appended,
    serializer: V2DeflateSerializer,
}

struct Appended {
    file: File,
    path: PathBuf,
}

impl Appended {
    /// Begins anew what a window that is measured again has left.
    fn create(dir: &Path, name: &str) -> Result<Self, ResultError> {
        let path = dir.join(name);
        let file = File::create(&path).map_err(ResultError::io(&path, "write"))?;
        Ok(Self { file, path })
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), ResultError> {
        self.file.write_all(lines).map_err(ResultError::io(&self.path, "write"))
    }

    fn sync(self) -> Result<(), ResultError> {
        self.file.sync_all().map_err(ResultError::io(&self.path, "write"))
    }
}

impl CellJournal {
    /// In the folder of a cell; nothing is written before it begins.
    pub(super) fn new(dir: PathBuf, epoch: jiff::Timestamp) -> Self {
        Self { dir, epoch, files: None }
    }

    /// The load begins; so much is known of its cell.
    pub fn begin(&mut self, record: &CellRecord) -> Result<(), ResultError> {
        let dir = &self.dir;
        fs::create_dir_all(dir).map_err(ResultError::io(dir, "create the folder"))?;
        let mut open = OpenFiles {
            latency: Appended::create(dir, "latency.hlog")?,
            windows: Appended::create(dir, "windows.csv")?,
            events: Appended::create(dir, "events.ndjson")?,
            serializer: V2DeflateSerializer::new(),
        };
        open.latency.append(hlog::head(self.epoch).as_bytes())?;
        files::write_json(&dir.join(STARTED), record)?;
        self.files = Some(open);
        Ok(())
    }

    /// A second is over; before the load began it has no row.
    pub fn second(
        &mut self,
        row: Option<&WindowRow>,
        intervals: &[Interval],
    ) -> Result<(), ResultError> {
        let Some(OpenFiles { latency, windows, serializer, .. }) = &mut self.files else {
            return Ok(());
        };
        if let Some(row) = row {
            // The head of the table comes with its first row.
            let lines = csv_lines([row], row.second == 0, &windows.path)?;
            windows.append(&lines)?;
        }
        let mut lines = Vec::new();
        for interval in intervals {
            hlog::line(interval, serializer, &mut lines, &latency.path)?;
        }
        latency.append(&lines)
    }

    pub fn event(&mut self, event: &Event) -> Result<(), ResultError> {
        let Some(OpenFiles { events, .. }) = &mut self.files else { return Ok(()) };
        events.append(&event_line(event, &events.path)?)
    }

    /// The load is over: `rows` are what was counted in each second, late comers included. What was
    /// timed stays as it was written.
    pub fn finish(self, rows: impl Iterator<Item = WindowRow>) -> Result<(), ResultError> {
        let Some(OpenFiles { latency, windows, .. }) = self.files else { return Ok(()) };
        latency.sync()?;
        let path = &windows.path;
        let written = regular_file::open(path).map_err(ResultError::io(path, "read"))?;
        let mut damage = None;
        let timed = read_rows(BufReader::new(written))
            .map_while(|row| row.map_err(|error| damage = Some(error)).ok());
        let mut rows = with_measured(rows, timed);
        files::write_atomic_by(path, |file| {
            let mut writer = csv::Writer::from_writer(file);
            rows.try_for_each(|row| writer.serialize(row))?;
            writer.flush()
        })?;
        drop(rows);
        damage.map_or(Ok(()), |error| Err(ResultError::corrupt(path, error)))
    }
}

/// A line of `events.ndjson`.
pub(super) fn event_line(event: &Event, path: &Path) -> Result<Vec<u8>, ResultError> {
    let mut line = serde_json::to_vec(event).map_err(|error| ResultError::corrupt(path, error))?;
    line.push(b'\n');
    Ok(line)
}
