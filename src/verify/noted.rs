use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::journal::{End, JournalError};
use serde::{Deserialize, Serialize};

use super::report::{Head, Law, Report};
use crate::engine::{Stores, write_private};

impl From<End> for Head {
    fn from(end: End) -> Self {
        Self { shard: end.shard, position: end.position, hash: hex(&end.hash) }
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The heads of a journal at some time, as `--heads-to` writes them. A backup's manifest has them
/// too.
#[derive(Debug, Serialize, Deserialize)]
pub struct Noted {
    /// When they were recorded, RFC 3339.
    #[serde(default)]
    noted_at: String,
    /// The heads of the shards.
    heads: Vec<Head>,
}

/// Records the heads of a journal in a file.
///
/// # Errors
/// If the file cannot be written.
pub fn note(path: &Path, heads: &[Head]) -> anyhow::Result<()> {
    let noted = Noted { noted_at: SystemClock.now().to_string(), heads: heads.to_vec() };
    write_private(path, &serde_json::to_vec_pretty(&noted)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads recorded heads.
///
/// # Errors
/// If it cannot be read, or has no shards or a shard twice.
pub fn read(path: &Path) -> anyhow::Result<Noted> {
    let noted = read_any(path)?;
    anyhow::ensure!(!noted.heads.is_empty(), "{} has no shards", path.display());
    Ok(noted)
}

/// Reads recorded heads of a journal that may have been empty.
///
/// # Errors
/// If it cannot be read, or has a shard twice.
pub fn read_any(path: &Path) -> anyhow::Result<Noted> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let noted: Noted = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a file with the heads of a journal", path.display()))?;
    let shards: BTreeMap<u16, u64> =
        noted.heads.iter().map(|head| (head.shard, head.position)).collect();
    anyhow::ensure!(shards.len() == noted.heads.len(), "{} has a shard twice", path.display());
    anyhow::ensure!(
        noted.heads.iter().all(|head| head.position > 0 && is_hash(&head.hash)),
        "{} has a head without a position and a hash of 64 hexadecimal digits",
        path.display()
    );
    Ok(noted)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Checks that the journal continues from the recorded heads: it must have the recorded hash at
/// each. As the chain up to it is unbroken, which is checked before by another law, nothing before
/// it has changed. A position that cannot be read proves nothing and is a finding.
///
/// # Errors
/// If a database cannot be read; a difference is a finding, not an error.
pub async fn check(report: &mut Report, stores: &Stores, noted: &Noted) -> anyhow::Result<()> {
    let since = match noted.noted_at.as_str() {
        "" => String::new(),
        at => format!(" on {at}"),
    };
    for Head { shard, position, hash } in &noted.heads {
        let end = report.heads.iter().find(|head| head.shard == *shard);
        let ends_at = end.map_or(0, |end| end.position);
        report.check(Law::AsNoted);
        let detail = if *position > ends_at {
            Some(format!("ended at position {position}{since} and ends at {ends_at} now"))
        } else {
            match here(report, stores, *shard, *position).await? {
                Some(here) if here.eq_ignore_ascii_case(hash) => None,
                Some(here) => Some(format!(
                    "position {position} has the hash {here}; recorded{since} was {hash}"
                )),
                None => Some(format!(
                    "position {position} cannot be read and compared with the hash recorded{since}; if it \
                     is archived, use --archive"
                )),
            }
        };
        if let Some(detail) = detail {
            report.find(Law::AsNoted, format!("shard/{shard}"), detail);
        }
    }
    Ok(())
}

/// The hash at a position up to the head; none if it cannot be read. At the head it is that of the
/// shard's row, which was compared with the chain: the last event may be archived.
async fn here(
    report: &Report,
    stores: &Stores,
    shard: u16,
    position: u64,
) -> anyhow::Result<Option<String>> {
    let end = report.heads.iter().find(|head| (head.shard, head.position) == (shard, position));
    if let Some(end) = end {
        return Ok(Some(end.hash.clone()));
    }
    match stores.journal.hash_at(shard, position).await {
        Ok(hash) => Ok(hash.map(|hash| hex(&hash))),
        // Its file is missing or damaged, which its own law reports.
        Err(JournalError::Unavailable(_)) if report.breaks(Law::ArchiveFiles) => Ok(None),
        Err(error) => Err(error).context("journal"),
    }
}
