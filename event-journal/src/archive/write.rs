//! Writes the selected events into files.

use std::path::Path;

use shared_events::contract::Timestamp;
use shared_events::stream::Cursors;

use super::error::{ArchivingError, unwritable};
use super::run::Archiving;
use crate::chain::chain_hash;
use crate::files::{Archive, FileWriter, Manifest, sync_folders};

impl Archiving {
    /// Writes everything up to these positions into files, a file per shard and month, following
    /// the chain, and reads each file back. Files of an earlier run are read and used.
    ///
    /// # Errors
    /// [`ArchivingError`]
    pub async fn write(
        &mut self,
        reach: &Cursors,
        directory: &Path,
    ) -> Result<Vec<Manifest>, ArchivingError> {
        let archive = Archive::new(directory);
        let mut written = Vec::new();
        for (shard, end) in reach.iter() {
            let (mut after, mut hash) = self.end(shard);
            while after < end {
                let found = self.found(&archive, shard, (after, hash), end).await?;
                let manifest = match found {
                    Some(manifest) => manifest,
                    None => {
                        let manifest =
                            self.write_file(archive.directory(), shard, (after, hash), end).await?;
                        archive.read_back(&manifest).await?;
                        manifest
                    }
                };
                (after, hash) = (manifest.last_position, manifest.hash_after);
                written.push(manifest);
            }
        }
        Ok(written)
    }

    /// A file that an earlier run wrote with the same content as this one would.
    async fn found(
        &mut self,
        archive: &Archive,
        shard: u16,
        (after, hash): (u64, [u8; 32]),
        end: u64,
    ) -> Result<Option<Manifest>, ArchivingError> {
        let Some(first) = self.page(shard, after, after + 1).await?.pop() else { return Ok(None) };
        let file = Manifest::beginning(&first, &month(first.event.recorded_at), hash).file;
        // Without a readable manifest the file was not finished.
        let Ok(manifest) = archive.manifest(&file) else { return Ok(None) };
        let last = manifest.last_position;
        let here = match last {
            1.. if last <= end => self.page(shard, last - 1, last).await?.pop(),
            _ => None,
        };
        let same = manifest.archived().file == file
            && (manifest.shard, manifest.first_position) == (shard, after + 1)
            && manifest.hash_before == hash
            && here.is_some_and(|here| here.hash == manifest.hash_after);
        if !same {
            let detail = "holds events of another journal; choose another directory".to_owned();
            return Err(ArchivingError::Foreign { file, detail });
        }
        archive.read_back(&manifest).await.map_err(|error| ArchivingError::Foreign {
            detail: format!("{error}; remove it, and it is written again"),
            file: file.clone(),
        })?;
        // The earlier run may have been killed before its folders were on disk.
        sync_folders(archive.directory(), &file).map_err(unwritable)?;
        Ok(Some(Manifest::clone(&manifest)))
    }

    async fn write_file(
        &mut self,
        directory: &Path,
        shard: u16,
        (mut after, mut hash): (u64, [u8; 32]),
        end: u64,
    ) -> Result<Manifest, ArchivingError> {
        let mut writer: Option<FileWriter> = None;
        'file: while after < end {
            for chained in self.page(shard, after, end).await? {
                let event = &chained.event;
                if event.position != after + 1 || chain_hash(&hash, event) != chained.hash {
                    let detail = format!("shard {shard} after position {after}");
                    return Err(ArchivingError::Damaged(detail));
                }
                let month = month(event.recorded_at);
                let to = match &mut writer {
                    // A clock that was set back does not reopen an earlier month.
                    Some(writer) if month.as_str() > writer.month() => break 'file,
                    Some(writer) => writer,
                    None => {
                        let manifest = Manifest::beginning(&chained, &month, hash);
                        let begun = FileWriter::create(directory, manifest).map_err(unwritable)?;
                        writer.insert(begun)
                    }
                };
                to.push(&chained).map_err(unwritable)?;
                (after, hash) = (event.position, chained.hash);
            }
        }
        let writer = writer.ok_or_else(|| ArchivingError::Damaged(format!("shard {shard}")))?;
        writer.finish().map_err(unwritable)
    }
}

/// The month (UTC) of an instant, such as `2026-07`.
fn month(instant: Timestamp) -> String {
    instant.to_string().chars().take(7).collect()
}
