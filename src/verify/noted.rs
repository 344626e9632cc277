use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::journal::{End, JournalError};
use serde::{Deserialize, Serialize};

use super::report::{Law, Report};
use crate::engine::Stores;

/// A shard's last place with its hash, as people note it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The shard.
    pub shard: u16,
    /// Its last position.
    pub position: u64,
    /// The hash there, 64 hexadecimal digits. It stands for every event up to it.
    pub hash: String,
}

impl From<End> for Head {
    fn from(end: End) -> Self {
        Self { shard: end.shard, position: end.position, hash: hex(&end.hash) }
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a journal was at some time: a file that `--heads-to` writes. A backup's manifest may stand for one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Noted {
    /// When it was written down, RFC 3339.
    #[serde(default)]
    noted_at: String,
    /// Where the shards ended.
    heads: Vec<Head>,
}

/// Writes down where a journal ends. Beside the file first, so that nobody finds half of one.
///
/// # Errors
/// Where the file cannot be written.
pub fn note(path: &Path, heads: &[Head]) -> anyhow::Result<()> {
    let noted = Noted { noted_at: SystemClock.now().to_string(), heads: heads.to_vec() };
    write_new(path, &serde_json::to_vec_pretty(&noted)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a file in its place whole, readable by its owner only.
///
/// # Errors
/// Where it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

/// Reads what was noted.
///
/// # Errors
/// Where it cannot be read, or names nothing or one shard twice.
pub fn read(path: &Path) -> anyhow::Result<Noted> {
    let noted = read_any(path)?;
    anyhow::ensure!(!noted.heads.is_empty(), "{} names no shard", path.display());
    Ok(noted)
}

/// Reads what was noted, of a journal that may have held nothing then.
///
/// # Errors
/// Where it cannot be read, or names one shard twice.
pub fn read_any(path: &Path) -> anyhow::Result<Noted> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let noted: Noted = serde_json::from_slice(&text)
        .with_context(|| format!("{} holds no heads of a journal", path.display()))?;
    let shards: BTreeMap<u16, u64> =
        noted.heads.iter().map(|head| (head.shard, head.position)).collect();
    anyhow::ensure!(shards.len() == noted.heads.len(), "{} names a shard twice", path.display());
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

/// Whether the journal goes on from what was noted: at each place there stands the hash that stood there
/// then. With the chain unbroken up to it, which is a law of its own, nothing before it has changed. A
/// place that cannot be read is no proof, and said to be none. The chain was followed before.
///
/// # Errors
/// Where a database cannot be read; what differs is no error.
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
                    "position {position} has the hash {here}; noted{since} was {hash}"
                )),
                None => Some(format!(
                    "position {position} cannot be compared with what was noted{since}: it cannot be \
                     read; if it is archived, --archive reads it"
                )),
            }
        };
        if let Some(detail) = detail {
            report.find(Law::AsNoted, format!("shard/{shard}"), detail);
        }
    }
    Ok(())
}

/// The hash at a place at or before the end; none where it cannot be read. At the end it is what the shard's
/// own row says, which the chain was compared with: the last event may have left for an archive.
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
        // Its file is away or damaged; that is told by its own law.
        Err(JournalError::Unavailable(_)) if report.breaks(Law::ArchiveFiles) => Ok(None),
        Err(error) => Err(error).context("journal"),
    }
}
