//! `message.payload: file`: the messages that a user has, named on the command line alone, since a
//! scenario may come from a stranger.

use super::cell::{Cell, PayloadKind};
use super::layers::Overrides;
use super::resolve::Scenario;
use crate::model::MessageStore;
use crate::payload::{FULL, Lines};
use crate::yaml::{Problem, ScenarioError};
use std::sync::Arc;

/// The messages that the command line names.
pub(super) fn read(overrides: &Overrides) -> Result<Option<Arc<Lines>>, Problem> {
    let Some(path) = &overrides.payload_file else { return Ok(None) };
    let lines = Lines::read(path).map_err(|why| {
        let what = format!("`--payload-file {}` {why}", path.display());
        Problem::new(["message", "payload"], what, "give a text file with a message on each line")
    })?;
    Ok(Some(Arc::new(lines)))
}

/// The scenario, unless the messages of the command line are not what it sends.
pub(super) fn used(overrides: &Overrides, scenario: Scenario) -> Result<Scenario, Problem> {
    let Some(path) = &overrides.payload_file else { return Ok(scenario) };
    if scenario.cells.iter().any(|cell| cell.message.lines.is_some()) {
        return Ok(scenario);
    }
    let what = format!("`--payload-file {}` is named, and nothing here sends it", path.display());
    let remedy = "write `message: {payload: file}`, or leave the file out";
    Err(Problem::new(["message", "payload"], what, remedy))
}

impl Scenario {
    /// What can be checked without the messages that a user has and cannot be run without them.
    pub fn ready(&self) -> Result<(), ScenarioError> {
        let lacks =
            |cell: &Cell| cell.message.payload == PayloadKind::File && cell.message.lines.is_none();
        if !self.cells.iter().any(lacks) {
            return Ok(());
        }
        let what = "`message.payload` = `file`: no file is named";
        let remedy = "add `--payload-file orders.ndjson`: a text with a message on each line";
        Err(ScenarioError::of_source(&self.source, what, remedy))
    }
}

/// What a user may not expect of lines in a system that keeps one value for a message.
pub(super) fn told(cell: &Cell) -> Option<String> {
    let beside = match cell.config.system.store() {
        MessageStore::Nothing | MessageStore::Queue | MessageStore::QueueEach => true,
        MessageStore::Log | MessageStore::PendingLog => false,
    };
    (cell.message.payload == PayloadKind::File && beside).then(|| {
        format!(
            "{}: a message there is one value, so the {FULL} bytes that account for it stand \
             before its line",
            cell.label
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};
    use crate::units::Bytes;
    use crate::yaml::ScenarioError;
    use std::path::PathBuf;

    fn scenario(message: &str, file: Option<PathBuf>) -> Result<Scenario, ScenarioError> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: [kafka, redis-streams]\nload: {{model: \
             open, rate: 1MB/s}}\nmessage: {{{message}}}\n"
        );
        from_text("t.yaml", &text, &Overrides { payload_file: file, ..Overrides::default() })
    }

    #[test]
    fn the_lines_say_how_large_messages_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.ndjson");
        std::fs::write(&path, "0123456789\n01234567890123456789\n").unwrap();
        let found = scenario("payload: file", Some(path.clone())).unwrap();
        found.ready().unwrap();
        let cell = found.cells().remove(0);
        assert_eq!((cell.message.size, cell.message.mean_bytes()), (Bytes(64), 59.0));
        assert!((cell.load.rate.unwrap().per_s() - 1e6 / 59.0).abs() < 1e-3);
        let row = |key: &str| {
            let row = found.resolved().iter().find(|row| row.key == key).unwrap();
            format!("{} ({})", row.value, row.origin)
        };
        assert_eq!(row("message.size"), "54B to 64B (default)");
        let file = row("message.file");
        assert!(file.starts_with("orders.ndjson: 2 lines, crc32c "), "{file}");
        assert!(file.ends_with(" (--payload-file)"), "{file}");
        let text = "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-lists]\nload: {model: \
                    closed}\nmessage: {payload: file}\n";
        let told = from_text("t.yaml", text, &Overrides::default()).unwrap().warnings();
        assert!(told.iter().any(|text| text.contains("the 44 bytes")), "{told:?}");
        assert!(!found.warnings().iter().any(|text| text.contains("44 bytes")));
        let unused = scenario("payload: text", Some(path)).unwrap_err().to_string();
        assert!(unused.contains("nothing here sends it"), "{unused}");
    }

    #[test]
    fn a_file_is_asked_for_and_never_named_by_a_scenario() {
        let without = scenario("payload: file", None).unwrap();
        let error = without.ready().unwrap_err().to_string();
        assert!(error.contains("message.payload") && error.contains("--payload-file"), "{error}");
        for (message, key, words) in [
            ("payload: file, file: orders.ndjson", "message.file", "names no file"),
            ("payload: file, size: 1KiB", "message.size", "remove it"),
            ("payload: file, codec: lz4", "message.codec", "each line as it is"),
            ("payload: file, compressibility: 2", "message.compressibility", "made to a ratio"),
            ("headers: 101", "message.headers", "0 to 100"),
        ] {
            let error = scenario(message, None).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(words), "{message}: {error}");
        }
        let missing = PathBuf::from("/nowhere/orders.ndjson");
        let error = scenario("payload: file", Some(missing)).unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/orders.ndjson") && error.contains("cannot be read"),
            "{error}"
        );
        assert!(error.contains("a message on each line"), "{error}");
    }
}
