//! Finds and reads events in files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::GzDecoder;
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use shared_events::stream::Unfinished;

use super::file::from_line;
use super::manifest::{Archived, Manifest, path_of};
use crate::chain::chain_hash;
use crate::event::ChainedEvent;

/// Blocks and manifests kept in memory: some 256 KiB a block.
const BLOCKS_MAX: usize = 128;
const MANIFESTS_MAX: usize = 128;
/// Bound of a block: its last event and the events before it.
const BLOCK_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a file of an archive cannot be read. `file` is its path in the directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is missing, or the disk does not answer.
    #[error("{file}: {detail}")]
    Unavailable {
        /// The file.
        file: String,
        /// The system's error.
        detail: String,
    },
    /// It is not as it was written.
    #[error("{file}: {detail}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        detail: String,
    },
}

impl ArchiveError {
    fn unavailable(file: &str, error: impl ToString) -> Self {
        Self::Unavailable { file: file.to_owned(), detail: error.to_string() }
    }

    pub(crate) fn damaged(file: &str, detail: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), detail: detail.to_string() }
    }
}

type Block = Arc<Vec<ChainedEvent>>;

/// A directory of files with archived events. Clones share their cache.
#[derive(Clone)]
pub struct Archive {
    directory: PathBuf,
    blocks: Arc<Mutex<LruCache<(String, u64), Block>>>,
    manifests: Arc<Mutex<LruCache<String, Arc<Manifest>>>>,
}

impl Archive {
    /// An archive in this directory, which need not exist yet.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        let most = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Self {
            directory: directory.to_owned(),
            blocks: Arc::new(Mutex::new(LruCache::new(most(BLOCKS_MAX)))),
            manifests: Arc::new(Mutex::new(LruCache::new(most(MANIFESTS_MAX)))),
        }
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The manifest of every file in the directory, by shard and position.
    ///
    /// # Errors
    /// [`ArchiveError`] where the directory or a manifest cannot be read.
    pub fn manifests(&self) -> Result<Vec<Manifest>, ArchiveError> {
        let listed = |path: &Path| -> std::io::Result<Vec<PathBuf>> {
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
        };
        let shown = |path: &Path| path.display().to_string();
        let unavailable =
            |path: &Path, error: std::io::Error| ArchiveError::unavailable(&shown(path), error);
        let mut found = BTreeMap::new();
        for folder in
            listed(&self.directory).map_err(|error| unavailable(&self.directory, error))?
        {
            if !folder.is_dir() {
                continue;
            }
            for path in listed(&folder).map_err(|error| unavailable(&folder, error))? {
                if path.extension().is_some_and(|extension| extension == "json") {
                    let inside = path.strip_prefix(&self.directory).unwrap_or(&path);
                    let manifest = self.parsed(inside)?;
                    found.insert((manifest.shard, manifest.first_position), manifest);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn parsed(&self, path: &Path) -> Result<Manifest, ArchiveError> {
        let name = path.display().to_string();
        let text = std::fs::read(self.directory.join(path))
            .map_err(|error| ArchiveError::unavailable(&name, error))?;
        serde_json::from_slice(&text)
            .ok()
            .filter(Manifest::is_readable)
            .ok_or_else(|| ArchiveError::damaged(&name, "is not a manifest"))
    }

    /// The manifest of a file, as it is in the directory.
    pub(crate) fn manifest(&self, file: &str) -> Result<Arc<Manifest>, ArchiveError> {
        let mut known = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manifest) = known.get(file) {
            return Ok(Arc::clone(manifest));
        }
        let manifest = Arc::new(self.parsed(&path_of(file))?);
        known.put(file.to_owned(), Arc::clone(&manifest));
        Ok(manifest)
    }

    /// The manifest of a file that the journal's database recorded.
    fn manifest_of(&self, known: &Archived) -> Result<Arc<Manifest>, ArchiveError> {
        let manifest = self.manifest(&known.file)?;
        if manifest.archived() == *known {
            Ok(manifest)
        } else {
            let name = path_of(&known.file).display().to_string();
            Err(ArchiveError::damaged(
                &name,
                "describes another file than the one that was archived",
            ))
        }
    }

    /// Reads the file from its first byte to its last: its checksum must be the recorded one.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub(crate) async fn unchanged(&self, known: &Archived) -> Result<(), ArchiveError> {
        let (archive, known) = (self.clone(), known.clone());
        self.blocking(&known.file.clone(), move || {
            let unavailable = |error: std::io::Error| ArchiveError::unavailable(&known.file, error);
            let mut file = File::open(archive.directory.join(&known.file)).map_err(unavailable)?;
            let mut sha = Sha256::new();
            let mut piece = vec![0; 1024 * 1024];
            loop {
                let read = file.read(&mut piece).map_err(unavailable)?;
                match piece.get(..read) {
                    Some(read) if !read.is_empty() => sha.update(read),
                    _ => break,
                }
            }
            let is: [u8; 32] = sha.finalize().into();
            if is != known.sha256 {
                let (is, was) = (hex::encode(is), hex::encode(known.sha256));
                let detail = format!("is not the file that was archived: SHA-256 {is}, not {was}");
                return Err(ArchiveError::damaged(&known.file, detail));
            }
            archive.manifest_of(&known).map(drop)
        })
        .await
    }

    /// The events after a position of a file's shard, up to another: about a block of them, at
    /// least one.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub(crate) async fn read(
        &self,
        known: &Archived,
        after: u64,
        through: u64,
    ) -> Result<Vec<ChainedEvent>, ArchiveError> {
        let (archive, known) = (self.clone(), known.clone());
        self.blocking(&known.file.clone(), move || {
            let block = archive.block_with(&known, after + 1)?;
            let wanted = |event: &&ChainedEvent| {
                event.event.position > after && event.event.position <= through
            };
            Ok(block.iter().filter(wanted).cloned().collect())
        })
        .await
    }

    /// Reads a file that may be in no database, by its own manifest, and follows its chain.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub async fn read_back(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let known = manifest.archived();
        self.unchanged(&known).await?;
        let (mut position, mut hash) = (manifest.first_position - 1, manifest.hash_before);
        while position < manifest.last_position {
            for chained in self.read(&known, position, manifest.last_position).await? {
                hash = chain_hash(&hash, &chained.event);
                if hash != chained.hash || chained.event.position != position + 1 {
                    let detail = format!("its chain breaks after position {position}");
                    return Err(ArchiveError::damaged(&known.file, detail));
                }
                position += 1;
            }
        }
        if hash == manifest.hash_after {
            Ok(())
        } else {
            Err(ArchiveError::damaged(&known.file, "its chain does not end in the recorded hash"))
        }
    }

    /// The events of a file after a position, by its own manifest: like [`Self::read`].
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub async fn events(
        &self,
        manifest: &Manifest,
        after: u64,
    ) -> Result<Vec<ChainedEvent>, ArchiveError> {
        self.read(&manifest.archived(), after, manifest.last_position).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        file: &str,
        work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(ArchiveError::unavailable(file, Unfinished::from(error))))
    }

    fn block_with(&self, known: &Archived, position: u64) -> Result<Block, ArchiveError> {
        let manifest = self.manifest_of(known)?;
        let index = manifest.blocks.partition_point(|(first, _)| *first <= position);
        let none = || ArchiveError::damaged(&known.file, format!("has no position {position}"));
        let (first, offset) =
            *index.checked_sub(1).and_then(|index| manifest.blocks.get(index)).ok_or_else(none)?;
        if position > known.last {
            return Err(none());
        }
        let key = (known.file.clone(), first);
        let cached = |blocks: &Mutex<LruCache<_, Block>>| {
            blocks.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
        };
        if let Some(block) = cached(&self.blocks) {
            return Ok(block);
        }
        let next = manifest.blocks.get(index);
        let end = next.map_or(manifest.bytes, |(_, offset)| *offset);
        let last = next.map_or(known.last, |(position, _)| position - 1);
        let block = Arc::new(self.decoded(known, (first, last), (offset, end))?);
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).put(key, Arc::clone(&block));
        Ok(block)
    }

    fn decoded(
        &self,
        known: &Archived,
        (first, last): (u64, u64),
        (offset, end): (u64, u64),
    ) -> Result<Vec<ChainedEvent>, ArchiveError> {
        let unavailable = |error: std::io::Error| ArchiveError::unavailable(&known.file, error);
        let damaged = || {
            let detail = format!("positions {first} to {last} are not as they were written");
            ArchiveError::damaged(&known.file, detail)
        };
        let mut file = File::open(self.directory.join(&known.file)).map_err(unavailable)?;
        file.seek(SeekFrom::Start(offset)).map_err(unavailable)?;
        let mut text = String::new();
        let mut lines = GzDecoder::new(file.take(end - offset)).take(BLOCK_BYTES_MAX);
        lines.read_to_string(&mut text).map_err(|_| damaged())?;
        let events: Option<Vec<ChainedEvent>> = text.lines().map(from_line).collect();
        let events = events.ok_or_else(damaged)?;
        let in_place = events
            .iter()
            .map(|chained| (chained.event.shard, chained.event.position))
            .eq((first..=last).map(|position| (known.shard, position)));
        let chained = events.windows(2).all(|pair| match pair {
            [one, next] => chain_hash(&one.hash, &next.event) == next.hash,
            _ => true,
        });
        if in_place && chained { Ok(events) } else { Err(damaged()) }
    }
}
