//! An authority of one's own in files: made where there is none, and read.
//! Never here: whom it signs for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use shared_events::contract::Timestamp;

use super::write_private;
use crate::edge::tls::{Authority, Counts, Pair};

/// How long one counts that is made here.
const COUNTS_FOR: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// The authority whose certificate is in this file, with its key beside it, and the certificate
/// itself. It is made under this name where there is none.
///
/// # Errors
/// If only the key is missing: callers would have to trust a new authority.
pub(crate) fn authority_in(
    cert: &Path,
    name: &str,
    now: Timestamp,
) -> anyhow::Result<(Authority, String)> {
    let key = key_of(cert);
    anyhow::ensure!(
        key.exists() || !cert.exists(),
        "{} is there without its key {}: bring the key back, or remove the certificate for a new \
         authority, which callers must then trust",
        cert.display(),
        key.display()
    );
    if !cert.exists() {
        let made = Authority::generate(name, Counts { from: now, length: COUNTS_FOR })?;
        // Unfinished it is no authority, and is made again: the certificate is written last.
        keep(&key, &made.key)?;
        keep(cert, &made.cert)?;
    }
    let known = Pair { cert: read(cert)?, key: read(&key)? };
    Ok((Authority::from_pem(&known)?, known.cert))
}

/// The file of the key that belongs to the certificate of an authority.
pub(crate) fn key_of(cert: &Path) -> PathBuf {
    PathBuf::from(format!("{}.key", cert.display()))
}

/// Reads a certificate or a key.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Writes a certificate or a key, and makes its folder.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn keep(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = folder.and_then(|()| write_private(path, text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
