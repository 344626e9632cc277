//! Tokens for an engine that was given none and listens for other machines: drawn at its first start
//! and kept beside its data.
//! Never here: a token in a log, an error or on a screen.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::Rng as _;

use crate::edge::access::hash_of;

/// Who gets one: the file it is written to, the role, the subject.
const CALLERS: [(&str, &str, &str); 2] =
    [("ops.token", "OPS", "ops"), ("service.token", "SERVICE", "shop")];
/// Hashes of all of them, as `--tokens` takes it.
const FILE: &str = "tokens.toml";
/// Who locks it is drawing.
const LOCK: &str = "tokens.lock";

/// The token file in this directory; where there is none, tokens are drawn and written beside it, each to
/// a file that only its owner can read.
///
/// # Errors
/// Where a file cannot be written.
pub fn kept_in(data: &Path) -> anyhow::Result<PathBuf> {
    let path = data.join(FILE);
    if path.exists() {
        return Ok(path);
    }
    let cannot = || format!("cannot write tokens to {}", data.display());
    crate::engine::make_private(data)?;
    // Two first starts at once would each draw: one waits, and finds what the other has drawn.
    let drawing = File::options().create(true).truncate(false).write(true).open(data.join(LOCK));
    let drawing = drawing.with_context(cannot)?;
    drawing.lock().with_context(cannot)?;
    if path.exists() {
        return Ok(path);
    }
    let mut hashes = String::from(
        "# Drawn at the first start. The tokens themselves are in the files *.token.\n",
    );
    for (file, role, subject) in CALLERS {
        let token = draw();
        let hash = hex::encode(hash_of(&token));
        hashes.push_str(&format!(
            "\n[[hashes]]\nsha256 = \"{hash}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n"
        ));
        write(&data.join(file), &format!("{token}\n")).with_context(cannot)?;
    }
    // Last and whole: where it is, the tokens are. One that was cut short is drawn again.
    let beside = data.join(".tokens.toml");
    write(&beside, &hashes).with_context(cannot)?;
    std::fs::rename(&beside, &path).with_context(cannot)?;
    Ok(path)
}

/// 256 bits.
fn draw() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
