use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::files;

/// Whether something is made at the start, or of files that have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At the start.
    Start,
    /// Later, while an earlier one is in use.
    Later,
}

type Make<T> = dyn Fn(&[Vec<u8>], When) -> anyhow::Result<T> + Send + Sync;

/// What is made of files, and made anew when they change. What cannot be made of them (a pair of
/// which one half is written) changes nothing.
pub(super) struct Fresh<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: Box<Make<T>>,
    current: Mutex<Arc<T>>,
    seen: Mutex<Seen>,
}

/// Files by the hash of what is in them.
struct Seen {
    used: [u8; 32],
    /// Those that were of no use, and have been warned about.
    refused: Option<[u8; 32]>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_of(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for content in contents {
        hash.update(Sha256::digest(content));
    }
    hash.finalize().into()
}

fn contents(files: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    files.iter().map(|path| files::read(path)).collect()
}

impl<T> Fresh<T> {
    /// Made of these files, in their order.
    ///
    /// # Errors
    /// If they cannot be read, or nothing can be made of them.
    pub(super) fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>], When) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let contents = contents(&files)?;
        let made = make(&contents, When::Start)?;
        let seen = Seen { used: hash_of(&contents), refused: None };
        Ok(Self {
            what,
            files,
            make: Box::new(make),
            current: Mutex::new(Arc::new(made)),
            seen: Mutex::new(seen),
        })
    }

    /// What was made last.
    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&locked(&self.current))
    }

    /// Looks at the files; returns whether something new was made of them. Reads them without
    /// waiting for another thread.
    pub(super) fn look(&self) -> bool {
        let mut seen = locked(&self.seen);
        let (hash, made) = match contents(&self.files) {
            Ok(contents) => {
                let hash = hash_of(&contents);
                if hash == seen.used {
                    seen.refused = None;
                    return false;
                }
                (hash, (self.make)(&contents, When::Later))
            }
            Err(error) => (Sha256::digest(format!("{error:#}")).into(), Err(error)),
        };
        match made {
            Ok(made) => {
                *locked(&self.current) = Arc::new(made);
                *seen = Seen { used: hash, refused: None };
                tracing::info!("{} was read anew", self.what);
                true
            }
            Err(error) => {
                if seen.refused != Some(hash) {
                    let what = self.what;
                    tracing::warn!("{what} cannot be read anew, and the earlier stays: {error:#}");
                    seen.refused = Some(hash);
                }
                false
            }
        }
    }
}
