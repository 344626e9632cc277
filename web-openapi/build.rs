//! Takes the files of Swagger UI that the page needs out of the archive in its crate. Nothing is
//! fetched.

use std::error::Error;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::DeflateDecoder;

const FILES: [&str; 3] = ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let archive = utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
    for name in FILES {
        let file = find(archive, name).ok_or_else(|| format!("{name} is not in the archive"))??;
        std::fs::write(out.join(name), file)?;
    }
    Ok(())
}

/// The content of the file with this name, in whatever folder, by the archive's central directory
/// (APPNOTE 4.3.12).
fn find(archive: &[u8], name: &str) -> Option<std::io::Result<Vec<u8>>> {
    const END: &[u8] = b"PK\x05\x06";
    let end = archive.windows(4).rposition(|four| four == END)?;
    let mut at = number(archive, end + 16, 4)?;
    for _ in 0..number(archive, end + 10, 2)? {
        let lengths = [28, 30, 32].map(|field| number(archive, at + field, 2));
        let [named, extra, comment] = lengths;
        let path = std::str::from_utf8(archive.get(at + 46..at + 46 + named?)?).ok()?;
        if path.rsplit('/').next() == Some(name) {
            return content(archive, at);
        }
        at += 46 + named? + extra? + comment?;
    }
    None
}

/// The content of the file with this entry of the central directory.
fn content(archive: &[u8], entry: usize) -> Option<std::io::Result<Vec<u8>>> {
    let method = number(archive, entry + 10, 2)?;
    let packed = number(archive, entry + 20, 4)?;
    let local = number(archive, entry + 42, 4)?;
    let start = local + 30 + number(archive, local + 26, 2)? + number(archive, local + 28, 2)?;
    let packed = archive.get(start..start + packed)?;
    let mut file = Vec::new();
    match method {
        0 => file.extend_from_slice(packed),
        8 => {
            if let Err(error) = DeflateDecoder::new(packed).read_to_end(&mut file) {
                return Some(Err(error));
            }
        }
        _ => return None,
    }
    Some(Ok(file))
}

/// A number of so many bytes, little end first.
fn number(archive: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let bytes = archive.get(at..at + bytes)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
}
