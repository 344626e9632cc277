//! Files and directories that only their owner reads.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// Creates a directory for its owner only. An existing one is not changed; warns if others can read
/// it.
///
/// # Errors
/// If it cannot be created.
pub(crate) fn make_private(directory: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot create {}", directory.display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(cannot)?;
    let mode = std::fs::metadata(directory).with_context(cannot)?.mode() & 0o777;
    if mode & 0o007 != 0 {
        let name = directory.display();
        tracing::warn!("all users of this machine can read {name}: chmod o-rwx {name}");
    }
    Ok(())
}

/// Writes a file that its owner only reads, whole or not at all. Its last line ends as the others
/// do, also where the text does not.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    if !bytes.ends_with(b"\n") {
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_has_one_line_end_and_one_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for text in ["a key", "a key\n"] {
            write_private(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"a key\n");
        }
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
