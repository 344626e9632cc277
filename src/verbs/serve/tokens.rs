//! Tokens for an engine that listens for other machines without `--tokens`: generated at its first
//! start and stored in its data directory.
//! Never here: a token in a log, an error or on a screen.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use shared_events::chance::Chance;

use crate::edge::access::hash_of;
use crate::engine::{make_private, write_private};

/// The generated tokens: file, role, subject.
const CALLERS: [(&str, &str, &str); 2] =
    [("ops.token", "OPS", "ops"), ("service.token", "SERVICE", "shop")];
/// The file with the hashes of all tokens, in the format of `--tokens`.
const FILE: &str = "tokens.toml";
/// Locked while tokens are generated.
const LOCK: &str = "tokens.lock";

/// The token file in this directory. If it does not exist, generates tokens and writes each to a
/// file that only its owner can read.
///
/// # Errors
/// If a file cannot be written.
pub fn in_directory(data: &Path) -> anyhow::Result<PathBuf> {
    let path = data.join(FILE);
    if path.exists() {
        return Ok(path);
    }
    let cannot = || format!("cannot write tokens to {}", data.display());
    make_private(data)?;
    // Of two concurrent first starts one waits, and finds the other's tokens.
    let lock = File::options().create(true).truncate(false).write(true).open(data.join(LOCK));
    let lock = lock.with_context(cannot)?;
    lock.lock().with_context(cannot)?;
    if path.exists() {
        return Ok(path);
    }
    let mut hashes = String::from(
        "# Generated at the first start. The tokens themselves are in the files *.token.\n",
    );
    for (file, role, subject) in CALLERS {
        let token = generate();
        let hash = hex::encode(hash_of(&token));
        hashes.push_str(&format!(
            "\n[[hashes]]\nsha256 = \"{hash}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n"
        ));
        write_private(&data.join(file), token.as_bytes()).with_context(cannot)?;
    }
    // Written last: if it exists, so do the tokens. Otherwise they are generated again.
    write_private(&path, hashes.as_bytes()).with_context(cannot)?;
    Ok(path)
}

/// 256 bits.
fn generate() -> String {
    let chance = Chance::system();
    let bits = [(); 4].map(|()| chance.bits().to_be_bytes());
    hex::encode(bits.concat())
}
