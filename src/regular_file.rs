//! Opening a file that somebody names: whatever else has that name is refused, and not waited for.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file to be read. To open a named pipe, or a device, may take forever otherwise.
pub fn open(path: &Path) -> io::Result<File> {
    let at_once = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(at_once).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_pipe_and_a_folder_are_no_files_and_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [folder.path(), &pipe, Path::new("/dev/zero")] {
            assert_eq!(open(path).unwrap_err().to_string(), "not a file", "{}", path.display());
        }
        let text = folder.path().join("text");
        std::fs::write(&text, "x").unwrap();
        let mut found = String::new();
        open(&text).unwrap().read_to_string(&mut found).unwrap();
        assert_eq!(found, "x");
    }
}
