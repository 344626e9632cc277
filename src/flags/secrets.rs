//! Files that hold secrets: read, and complained about where others may read them too.
//! Never here: a secret in a log or an error.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

/// The text of a file with a secret, called `what`.
///
/// # Errors
/// Where it cannot be read; shows nothing of it.
pub fn read(what: &str, path: &Path) -> anyhow::Result<String> {
    let named = || format!("{what} {}", path.display());
    let mode = std::fs::metadata(path).with_context(named)?.mode();
    if mode & 0o007 != 0 {
        let name = path.display();
        tracing::warn!("everybody on this machine may use the {what} {name}: chmod o-rwx {name}");
    }
    std::fs::read_to_string(path).with_context(named)
}
