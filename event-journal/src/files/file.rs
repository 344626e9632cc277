//! Events as lines in compressed blocks, written once.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use shared_events::contract::Timestamp;

use super::manifest::{Manifest, path_of};
use crate::event::{ChainedEvent, StoredEvent};
use crate::id::StreamId;

/// A block ends after so many events, or so many bytes before compression: it is what has to be
/// read for one event.
const BLOCK_EVENTS_MAX: u64 = 256;
const BLOCK_BYTES: usize = 256 * 1024;

/// An event as a line. Payload and metadata are embedded as the JSON they are, byte for byte; JSON
/// that would not keep its bytes there (a line break, surrounding blanks, `null`) is embedded as a
/// string.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    shard: u16,
    position: u64,
    #[serde(rename = "order_id")]
    stream_id: StreamId,
    sequence: u64,
    recorded_at: Timestamp,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    event_version: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload_text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    metadata_text: Option<Cow<'a, str>>,
    #[serde(with = "hex")]
    hash: [u8; 32],
}

fn as_embedded(json: &str) -> Option<&RawValue> {
    let raw: &RawValue = serde_json::from_str(json).ok()?;
    let embeddable = raw.get() == json && json != "null" && !json.contains(['\n', '\r']);
    embeddable.then_some(raw)
}

pub(crate) fn to_line(chained: &ChainedEvent) -> serde_json::Result<String> {
    let event = &chained.event;
    let (payload, metadata) = (as_embedded(&event.payload), as_embedded(&event.metadata));
    serde_json::to_string(&Line {
        shard: event.shard,
        position: event.position,
        stream_id: event.stream_id,
        sequence: event.sequence,
        recorded_at: event.recorded_at,
        event_type: Cow::from(&event.event_type),
        event_version: Cow::from(&event.event_version),
        payload,
        payload_text: payload.is_none().then(|| Cow::from(&event.payload)),
        metadata,
        metadata_text: metadata.is_none().then(|| Cow::from(&event.metadata)),
        hash: chained.hash,
    })
}

/// None where it is not such a line.
pub(crate) fn from_line(line: &str) -> Option<ChainedEvent> {
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    let text = |raw: Option<&RawValue>, text: Option<Cow<'_, str>>| {
        raw.map(|raw| raw.get().to_owned()).or_else(|| text.map(Cow::into_owned))
    };
    Some(ChainedEvent {
        event: StoredEvent {
            stream_id: line.stream_id,
            sequence: line.sequence,
            shard: line.shard,
            position: line.position,
            recorded_at: line.recorded_at,
            event_type: line.event_type.into_owned(),
            event_version: line.event_version.into_owned(),
            payload: text(line.payload, line.payload_text)?,
            metadata: text(line.metadata, line.metadata_text)?,
        },
        hash: line.hash,
    })
}

/// Writes one file and its manifest. Neither has its final name before both are on disk.
pub(crate) struct FileWriter {
    directory: PathBuf,
    out: File,
    sha: Sha256,
    block: Vec<u8>,
    block_first: u64,
    manifest: Manifest,
}

impl FileWriter {
    /// Begins the file of this manifest; the remains of an unfinished run are overwritten.
    pub(crate) fn create(directory: &Path, manifest: Manifest) -> io::Result<Self> {
        let path = directory.join(&manifest.file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            out: File::create(partial(&path))?,
            sha: Sha256::new(),
            block: Vec::new(),
            block_first: manifest.first_position,
            manifest,
        })
    }

    /// The month of its events.
    pub(crate) fn month(&self) -> &str {
        &self.manifest.month
    }

    /// Appends the event that follows in its shard.
    pub(crate) fn push(&mut self, chained: &ChainedEvent) -> io::Result<()> {
        let position = chained.event.position;
        if self.block.len() >= BLOCK_BYTES || position - self.block_first >= BLOCK_EVENTS_MAX {
            self.end_block()?;
            self.block_first = position;
        }
        self.block.extend_from_slice(to_line(chained)?.as_bytes());
        self.block.push(b'\n');
        self.manifest.events += 1;
        self.manifest.last_position = position;
        self.manifest.last_recorded_at = chained.event.recorded_at;
        self.manifest.hash_after = chained.hash;
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&self.block)?;
        let bytes = gzip.finish()?;
        self.out.write_all(&bytes)?;
        self.sha.update(&bytes);
        self.manifest.blocks.push((self.block_first, self.manifest.bytes));
        self.manifest.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.block.clear();
        Ok(())
    }

    /// Syncs and names the file, then its manifest.
    pub(crate) fn finish(mut self) -> io::Result<Manifest> {
        self.end_block()?;
        self.manifest.sha256 = self.sha.finalize().into();
        let file = self.manifest.file.clone();
        named(&self.out, &self.directory.join(&file))?;
        // A manifest exists only where its file does.
        sync_folders(&self.directory, &file)?;
        let path = self.directory.join(path_of(&file));
        let mut out = File::create(partial(&path))?;
        serde_json::to_writer(&mut out, &self.manifest)?;
        out.write_all(b"\n")?;
        named(&out, &path)?;
        sync_folders(&self.directory, &file)?;
        Ok(self.manifest)
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn named(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    std::fs::rename(partial(path), path)
}

/// Syncs the names of a file, of its folder and of the directory to disk.
pub(crate) fn sync_folders(directory: &Path, file: &str) -> io::Result<()> {
    let directory = std::fs::canonicalize(directory)?;
    let folder = directory.join(file);
    for folder in [folder.parent(), Some(&*directory), directory.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_every_byte() {
        for payload in [
            r#"{"b" : 1,  "a":"é\u0000"}"#,
            " {}",
            "{}\n",
            "{\"a\":\r\n1}",
            "null",
            "1e400",
            "\"x\"",
        ] {
            let chained = ChainedEvent {
                event: StoredEvent {
                    stream_id: shared_events::chance::Chance::system().uuid().into(),
                    sequence: 1,
                    shard: 3,
                    position: u64::MAX,
                    recorded_at: Timestamp::from_micros(1_800_000_000_123_456),
                    event_type: "Type\"\n".to_owned(),
                    event_version: "1".to_owned(),
                    payload: payload.to_owned(),
                    metadata: "{}".to_owned(),
                },
                hash: [7; 32],
            };
            let line = to_line(&chained).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(from_line(&line), Some(chained), "{line}");
        }
    }
}
