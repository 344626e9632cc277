//! The description of a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shared_events::contract::Timestamp;

use crate::event::ChainedEvent;

/// The layout of files and manifests. A changed layout gets another name.
const FORMAT: &str = "ordinal-archive/1";

/// A file of archived events, as the journal's database records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The shard.
    pub shard: u16,
    /// Its first position.
    pub first: u64,
    /// Its last position; the file holds every position from the first to this one.
    pub last: u64,
    /// The hash of the last event, from which the chain continues.
    pub last_hash: [u8; 32],
    /// Its path in the archive's directory.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

impl Archived {
    /// Whether this position is in it.
    pub(crate) const fn has(&self, shard: u16, position: u64) -> bool {
        self.shard == shard && self.first <= position && position <= self.last
    }
}

/// The description of a file, in a file of its own beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the file.
    pub format: String,
    /// Its path in the archive's directory.
    pub file: String,
    /// The month (UTC) in which its events were recorded, such as `2026-07`.
    pub month: String,
    /// The shard.
    pub shard: u16,
    /// Its first position.
    pub first_position: u64,
    /// Its last position.
    pub last_position: u64,
    /// How many events it has: all positions from the first to the last.
    pub events: u64,
    /// When the first one was recorded.
    pub first_recorded_at: Timestamp,
    /// When the last one was recorded.
    pub last_recorded_at: Timestamp,
    /// The hash before its first event; zeros where nothing came before.
    #[serde(with = "hex")]
    pub hash_before: [u8; 32],
    /// The hash of its last event.
    #[serde(with = "hex")]
    pub hash_after: [u8; 32],
    /// The size of the file.
    pub bytes: u64,
    /// SHA-256 of its bytes, as `sha256sum` prints it.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
    /// The first position of each block and the byte at which it begins. Each block is a gzip
    /// stream of its own.
    pub blocks: Vec<(u64, u64)>,
}

impl Manifest {
    /// The manifest of a file that begins with this event.
    pub(crate) fn beginning(first: &ChainedEvent, month: &str, hash_before: [u8; 32]) -> Self {
        let (shard, position) = (first.event.shard, first.event.position);
        Self {
            format: FORMAT.to_owned(),
            file: format!("{month}/shard-{shard:04}-{position:012}.jsonl.gz"),
            month: month.to_owned(),
            shard,
            first_position: position,
            last_position: position,
            events: 0,
            first_recorded_at: first.event.recorded_at,
            last_recorded_at: first.event.recorded_at,
            hash_before,
            hash_after: hash_before,
            bytes: 0,
            sha256: [0; 32],
            blocks: Vec::new(),
        }
    }

    /// The file as the journal's database records it.
    #[must_use]
    pub fn archived(&self) -> Archived {
        Archived {
            shard: self.shard,
            first: self.first_position,
            last: self.last_position,
            last_hash: self.hash_after,
            file: self.file.clone(),
            sha256: self.sha256,
        }
    }

    pub(crate) fn is_readable(&self) -> bool {
        let blocks = &self.blocks;
        self.format == FORMAT
            && blocks.first().is_some_and(|(position, _)| *position == self.first_position)
            && blocks.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1)
            && blocks.last().is_some_and(|last| last.0 <= self.last_position && last.1 < self.bytes)
    }
}

/// The path of a file's manifest.
pub(crate) fn path_of(file: &str) -> PathBuf {
    PathBuf::from(format!("{}.json", file.trim_end_matches(".jsonl.gz")))
}
