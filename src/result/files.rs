//! Reading and writing single files: a reader sees the old content or the new one,
//! never half of it.
//!
//! Written to a temporary file in the same directory, synced, renamed, and the directory synced.

use super::error::ResultError;
use super::summary::SCHEMA;
use crate::regular_file;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), ResultError> {
    write_atomic_by(path, |file| file.write_all(content))
}

/// The same for what is made piece by piece, and may be larger than memory.
pub fn write_atomic_by(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), ResultError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(ResultError::io(dir, "create the folder"))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // narrowed by the umask, as for any other file
        builder.permissions(Permissions::from_mode(0o666));
    }
    let mut file =
        builder.tempfile_in(dir).map_err(ResultError::io(dir, "write into the folder"))?;
    write(file.as_file_mut()).map_err(ResultError::io(path, "write"))?;
    file.as_file().sync_all().map_err(ResultError::io(path, "write"))?;
    file.persist(path).map_err(|error| ResultError::io(path, "write")(error.error))?;
    // A file system that cannot sync directories still has the rename.
    File::open(dir).and_then(|dir| dir.sync_all()).or_else(|error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied => Ok(()),
        _ => Err(ResultError::io(dir, "sync the folder")(error)),
    })
}

/// Pretty JSON with a final newline: what every `.json` of ours looks like.
pub fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, ResultError> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| ResultError::corrupt(path, error))?;
    text.push(b'\n');
    Ok(text)
}

pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), ResultError> {
    write_atomic(path, &to_json(path, value)?)
}

/// A `.json`, `.csv` or `.ndjson`: the largest that brokerbench has written are below 2 MB, and a
/// parsed one takes several times its size.
pub const LARGEST: u64 = 64 << 20;
/// What is read at once of a shard: its `latency.hlog`, a few kB for each second and metric, and
/// its books.
pub const LARGEST_LOG: u64 = 1 << 30;
/// A `windows.csv`: 200 B a second, so eight days of load, and more.
pub const LARGEST_TABLE: u64 = 256 << 20;

pub fn read(path: &Path) -> Result<Vec<u8>, ResultError> {
    read_within(path, LARGEST)
}

/// Reads a whole file of at most `limit` bytes. Results may come from anywhere: neither a large
/// file, nor one that never ends, nor a pipe that nobody writes into,
/// may take all memory or all time.
pub fn read_within(path: &Path, limit: u64) -> Result<Vec<u8>, ResultError> {
    let mut content = Vec::new();
    let file = regular_file::open(path).map_err(ResultError::io(path, "read"))?;
    file.take(limit + 1).read_to_end(&mut content).map_err(ResultError::io(path, "read"))?;
    if content.len() as u64 > limit {
        return Err(ResultError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(content)
}

/// Folders inside `dir`, sorted; none when `dir` is not there.
pub fn folders(dir: &Path) -> Result<Vec<PathBuf>, ResultError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ResultError::io(dir, "read the folder")(error)),
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    Ok(found)
}

/// Reads a JSON file that carries `schema`, refusing one from a newer brokerbench before looking at
/// the rest.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ResultError> {
    parse_json(&read(path)?, path)
}

/// The text of such a file; `path` is for messages.
pub fn parse_json<T: DeserializeOwned>(text: &[u8], path: &Path) -> Result<T, ResultError> {
    /// Reads over everything else without keeping it.
    #[derive(serde::Deserialize)]
    struct Head {
        schema: Option<u64>,
    }
    let head: Head =
        serde_json::from_slice(text).map_err(|error| ResultError::corrupt(path, error))?;
    match head.schema {
        None => return Err(ResultError::corrupt(path, "the key `schema` is missing")),
        Some(found) if found > u64::from(SCHEMA) => {
            return Err(ResultError::NewerSchema { path: path.to_owned(), found });
        }
        Some(_) => {}
    }
    serde_json::from_slice(text).map_err(|error| ResultError::OtherForm {
        path: path.to_owned(),
        cause: error.to_string(),
        writer: "another version".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_no_temporary_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/file.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn something_in_the_way_is_named_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write_atomic(&file.join("inside/x"), b"").unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("--results"), "{error}");
    }

    #[test]
    fn schema_is_checked_before_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read_json::<super::super::Summary>(&path).unwrap_err().to_string()
        };
        assert!(read(r#"{"schema": 99, "something": "else"}"#).contains("schema 99"), "newer");
        assert!(read("{}").contains("`schema` is missing"));
        assert!(read(r#"{"schema": 1}"#).contains("missing field"));
        assert!(read("not json").contains("line 1"));
    }

    #[test]
    fn what_is_too_large_or_no_file_is_named_with_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        fs::write(&path, b"12345678").unwrap();
        assert_eq!(read_within(&path, 8).unwrap(), b"12345678");
        let error = read_within(&path, 7).unwrap_err().to_string();
        assert!(error.contains("x.json: larger than 7B"), "{error}");
        assert!(read(dir.path()).unwrap_err().to_string().contains("not a file"));
        // It never ends.
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a file"));
    }

    #[test]
    fn nested_brackets_end_in_an_error_and_not_the_stack() {
        let bomb = format!(r#"{{"schema": 1, "x": {}"#, "[".repeat(100_000));
        let error =
            parse_json::<super::super::Summary>(bomb.as_bytes(), Path::new("x.json")).unwrap_err();
        assert!(error.to_string().contains("EOF while parsing"), "{error}");
    }
}
