//! Reads files with secrets, and warns if other users may read them.
//! Never here: a secret in a log or an error.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

/// The text of a file with a secret; `what` names it in messages.
///
/// # Errors
/// If it cannot be read; quotes nothing of it.
pub fn read(what: &str, path: &Path) -> anyhow::Result<String> {
    warn_if_open(what, path)?;
    std::fs::read_to_string(path).with_context(|| format!("{what} {}", path.display()))
}

/// Warns if other users may read a file with a secret.
///
/// # Errors
/// If there is no such file.
pub fn warn_if_open(what: &str, path: &Path) -> anyhow::Result<()> {
    let named = || format!("{what} {}", path.display());
    let mode = std::fs::metadata(path).with_context(named)?.mode();
    if mode & 0o007 != 0 {
        let name = path.display();
        tracing::warn!("all users of this machine can read the {what} {name}: chmod o-rwx {name}");
    }
    Ok(())
}
