use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::StoreError;

const LOCK_FILE: &str = "server.lock";

/// Makes the folder (0700) and an empty database file (0600) where they are missing. SQLite gives
/// its side files the mode of the main one.
pub(super) fn prepare(folder: &Path, file: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::folder(folder, source);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    private(folder, file).map(drop).map_err(failed)
}

fn private(folder: &Path, file: &str) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join(file))
}

/// Held by the one server of a data folder; the system lets go of it when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct ServerLock {
    _file: File,
}

impl ServerLock {
    pub(super) fn claim(folder: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::folder(folder, source);
        let mut file = private(folder, LOCK_FILE).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = fs::read_to_string(folder.join(LOCK_FILE)).unwrap_or_default();
                let process = process.trim().to_owned();
                return Err(StoreError::Locked { path: folder.to_owned(), process });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Only for the message of the next one who comes: a full disk changes nothing.
        let _ = write_process(&mut file);
        Ok(Self { _file: file })
    }
}

fn write_process(file: &mut File) -> std::io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_and_the_file_are_private() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        prepare(&folder, "x.db").unwrap();
        assert_eq!((mode(&folder), mode(&folder.join("x.db"))), (0o700, 0o600));
        prepare(&folder, "x.db").unwrap();
    }

    #[test]
    fn a_second_server_is_told_who_has_the_folder() {
        let place = tempfile::tempdir().unwrap();
        prepare(place.path(), "x.db").unwrap();
        let first = ServerLock::claim(place.path()).unwrap();
        let error = ServerLock::claim(place.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        assert!(!error.contains('\n'));
        drop(first);
        ServerLock::claim(place.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_a_file_is_one_sentence() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, b"").unwrap();
        let error = prepare(&path, "x.db").unwrap_err().to_string();
        assert!(error.contains("cannot be used") && !error.contains('\n'), "{error}");
    }
}
