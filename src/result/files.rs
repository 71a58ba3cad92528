//! Reading and writing single files: a reader sees the old content or the new one, never half of it.
//!
//! Written to a temporary file in the same directory, synced, renamed, and the directory synced.

use super::error::ResultError;
use super::summary::SCHEMA;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Writes `content` as `path`, making its directory when needed.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), ResultError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(ResultError::io(dir, "create the folder"))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(Permissions::from_mode(0o666)); // narrowed by the umask, as for any other file
    }
    let mut file = builder.tempfile_in(dir).map_err(ResultError::io(dir, "write into the folder"))?;
    file.write_all(content).map_err(ResultError::io(path, "write"))?;
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
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| ResultError::corrupt(path, error))?;
    text.push(b'\n');
    Ok(text)
}

pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), ResultError> {
    write_atomic(path, &to_json(path, value)?)
}

pub fn read(path: &Path) -> Result<Vec<u8>, ResultError> {
    fs::read(path).map_err(ResultError::io(path, "read"))
}

/// Reads a JSON file that carries `schema`, refusing one from a newer brokerbench before looking at the rest.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ResultError> {
    let text = read(path)?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| ResultError::corrupt(path, error))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        None => return Err(ResultError::corrupt(path, "the key `schema` is missing")),
        Some(found) if found > u64::from(SCHEMA) => {
            return Err(ResultError::NewerSchema { path: path.to_owned(), found });
        }
        Some(_) => {}
    }
    // From the text again, not from the value: only then the error has line and column.
    serde_json::from_slice(&text).map_err(|error| ResultError::corrupt(path, error))
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
}
