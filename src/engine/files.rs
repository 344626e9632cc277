//! The files of an SQLite directory, which belong together: each is locked for one process, all are
//! checked before any is opened for writing, and watched while they are in use.
//! Never here: their contents.

use std::collections::BTreeSet;
use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use shared_events::chance::Chance;
use shared_events::stream::{Contents, Installation};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::private::make_private;
use super::service::{Role, Service, Store};
use super::services::Services;

/// A process that is being stopped releases its files within this.
const LOCKED_WITHIN: Duration = Duration::from_secs(10);
/// How long a start waits for a lock before it logs the holder.
const LOGGED_AFTER: Duration = Duration::from_millis(500);
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// Locked while a process checks or creates the files of the directory.
const DIRECTORY_LOCK: &str = "ordinal.lock";
/// Less free space than this, in bytes, counts as a full disk: a batch may be several MiB.
const ROOM_MIN: u64 = 1 << 20;

/// The file of the journal.
pub(crate) const JOURNAL_FILE: &str = "journal.db";

/// A file of the directory.
#[derive(Clone)]
struct Kind {
    name: String,
    /// Its service.
    service: &'static Service,
    /// Tables that have rows as soon as it is used.
    kept_in: &'static [&'static str],
    /// The consequence of replacing it by a new file; none if that is not allowed.
    anew: Option<&'static str>,
}

/// The files of these services.
fn kinds(services: Services) -> Vec<Kind> {
    let journal = services.iter().copied().filter(|service| service.has_journal);
    let journal = journal.map(|service| Kind {
        name: JOURNAL_FILE.to_owned(),
        service,
        kept_in: &["events"],
        anew: None,
    });
    let own = services.iter().copied().map(|service| {
        let Store { kept_in, anew, .. } = service.store;
        Kind { name: service.file(), service, kept_in, anew }
    });
    journal.chain(own).collect()
}

/// The files of a process.
pub(crate) struct Files {
    directory: PathBuf,
    role: Role,
    kinds: Vec<Kind>,
    id: Uuid,
    /// Held for as long as the process uses them.
    _locks: Vec<File>,
    /// Held until the files are marked.
    making: Option<File>,
    /// Each path with its device and inode when it was opened.
    watched: Vec<(PathBuf, Option<(u64, u64)>)>,
}

impl Files {
    /// Locks and checks the files of a role in this directory, which is created if missing. Those
    /// named in `anew`, or whose services are, may be missing.
    ///
    /// # Errors
    /// If another process holds a file or the files do not belong together; says what to do.
    pub(crate) async fn take(
        directory: &Path,
        services: Services,
        role: Role,
        anew: &[String],
    ) -> anyhow::Result<Self> {
        make_private(directory)?;
        let kinds = kinds(services);
        let mut locks = Vec::new();
        for kind in kinds.iter().filter(|kind| role.runs(kind.service)) {
            let path = directory.join(&kind.name);
            let held = || format!("{} is open in another process of this program", path.display());
            let lock = lock(&beside(&path, ".lock")).await?.with_context(held)?;
            // The journal locks its own file when it is opened.
            if kind.name != JOURNAL_FILE {
                locks.push(lock);
            }
        }
        let making = lock(&directory.join(DIRECTORY_LOCK)).await?;
        let held = || format!("another process is creating files in {}", directory.display());
        let making = making.with_context(held)?;
        tighten(directory, &kinds);
        let found = inspect(directory, &kinds).await?;
        let id = belong_together(directory, role, &found, anew)?
            .unwrap_or_else(|| Chance::system().uuid());
        let directory = directory.to_owned();
        let making = Some(making);
        Ok(Self { directory, role, kinds, id, _locks: locks, making, watched: Vec::new() })
    }

    /// Records in every file its installation and the files beside it, once all are open and before
    /// anything is stored in new ones.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) async fn mark(&mut self) -> anyhow::Result<()> {
        let found = inspect(&self.directory, &self.kinds).await?;
        // A file of another role that was never created is not a sibling.
        let there = found.iter().filter(|(kind, contents)| {
            self.role.runs(kind.service) || contents.installation().is_some()
        });
        let siblings: BTreeSet<String> = there.map(|(kind, _)| kind.name.clone()).collect();
        // New files first: no file may refer to one that is not marked itself.
        let (new, old): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(_, contents)| !contents.is_used());
        for (kind, contents) in new.into_iter().chain(old) {
            let ours = self.role.runs(kind.service);
            let known = contents.installation();
            if known.is_some_and(|known| known.siblings.is_superset(&siblings))
                || !(ours || known.is_some())
            {
                continue;
            }
            let belongs =
                Installation { id: self.id, file: kind.name.clone(), siblings: siblings.clone() };
            belongs.mark(&self.directory.join(&kind.name)).await.context(kind.name)?;
        }
        tighten(&self.directory, &self.kinds);
        let ours = self.kinds.iter().filter(|kind| self.role.runs(kind.service));
        let paths = ours.map(|kind| self.directory.join(&kind.name));
        self.watched = paths.map(|path| (path.clone(), identity(&path))).collect();
        self.making = None;
        Ok(())
    }

    /// The check to run while the process works.
    pub(crate) fn watch(&self) -> Watch {
        Watch { directory: self.directory.clone(), files: self.watched.clone() }
    }
}

/// Checks periodically that the files are in place and the disk has space.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    directory: PathBuf,
    files: Vec<(PathBuf, Option<(u64, u64)>)>,
}

impl Watch {
    /// Why the files are unusable, if they are.
    pub(crate) fn failure(&self) -> Option<String> {
        for (path, opened) in &self.files {
            let name = path.display();
            match identity(path) {
                None => return Some(format!("{name} is gone: it was deleted or moved")),
                found if found != *opened => {
                    return Some(format!("{name} was replaced while it was open: restart"));
                }
                Some(_) => {}
            }
        }
        let room = rustix::fs::statvfs(&self.directory).ok()?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let full = free < ROOM_MIN;
        full.then(|| format!("the disk of {} is full", self.directory.display()))
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

async fn inspect(directory: &Path, kinds: &[Kind]) -> anyhow::Result<Vec<(Kind, Contents)>> {
    let mut found = Vec::new();
    for kind in kinds {
        let path = directory.join(&kind.name);
        let contents = Contents::of(&path, kind.kept_in).await;
        let contents = contents.map_err(|error| {
            let why = match error.is_damage() {
                true => "is damaged: restore it from a backup",
                // For example a full disk: the file itself is intact.
                false => "cannot be opened now; restart when that is fixed",
            };
            anyhow::Error::new(error).context(format!("{} {why}", path.display()))
        })?;
        found.push((kind.clone(), contents));
    }
    Ok(found)
}

/// The installation id of a directory's files, if any has one. A file may be missing or empty if it
/// never existed or the files beside it were never used.
fn belong_together(
    directory: &Path,
    role: Role,
    found: &[(Kind, Contents)],
    anew: &[String],
) -> anyhow::Result<Option<Uuid>> {
    let path = |kind: &Kind| directory.join(&kind.name).display().to_string();
    // The id of the majority: a file with another id does not belong here.
    let marked = || {
        let each = |(kind, contents): &(Kind, Contents)| {
            contents.installation().map(|known| (kind.clone(), known.clone()))
        };
        found.iter().filter_map(each)
    };
    let shared = |id: Uuid| marked().filter(|(_, known)| known.id == id).count();
    let id = marked().map(|(_, known)| known.id).max_by_key(|id| (shared(*id), *id));
    for (kind, known) in marked() {
        anyhow::ensure!(
            known.file == kind.name,
            "{} is a copy of {}: restore the right file",
            path(&kind),
            known.file
        );
        anyhow::ensure!(
            Some(known.id) == id,
            "{} belongs to another installation than the files beside it: restore its own file from \
             the backup that the others are from",
            path(&kind)
        );
    }
    none_is_missing(directory, role, found, anew)?;
    Ok(id)
}

/// Checks that no file is missing that existed before, except those in `anew`.
fn none_is_missing(
    directory: &Path,
    role: Role,
    found: &[(Kind, Contents)],
    anew: &[String],
) -> anyhow::Result<()> {
    for (kind, contents) in found {
        let missing = match contents {
            Contents::Absent => "is missing",
            Contents::Empty => "is empty",
            Contents::Unmarked { .. } | Contents::Marked { .. } => continue,
        };
        let named = |name: &String| *name == kind.name || name == kind.service.name;
        if !role.runs(kind.service) || (kind.anew.is_some() && anew.iter().any(named)) {
            continue;
        }
        let misses = |(other, contents): &&(Kind, Contents)| {
            contents.is_used()
                && match contents.installation() {
                    Some(known) => known.siblings.contains(&kind.name),
                    // Not marked yet (an earlier version): files of one role were created together.
                    None => {
                        let was_there = !kind.service.store.added_later;
                        was_there && (role == Role::All || role.runs(other.service))
                    }
                }
        };
        let Some((other, _)) = found.iter().find(misses) else { continue };
        let advice = match kind.anew {
            Some(then) => format!(
                ", or start once with --make-anew {} to continue without its contents: {then}",
                kind.name
            ),
            None => ", or start in an empty directory".to_owned(),
        };
        anyhow::bail!(
            "{} {missing}, but {} beside it is in use: restore it from the backup that the others \
             are from{advice}",
            directory.join(&kind.name).display(),
            other.name
        );
    }
    Ok(())
}

/// Locks a file, waiting for its holder; none if the holder keeps it.
async fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let cannot = || format!("cannot lock {}", path.display());
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(cannot)?;
    let until = Instant::now() + LOCKED_WITHIN;
    let mut log_at = Instant::now() + LOGGED_AFTER;
    loop {
        if Instant::now() > log_at {
            log_at = until;
            let (name, wait) = (path.display(), LOCKED_WITHIN.as_secs());
            tracing::warn!("{name} is locked by {}; waiting up to {wait} s", holder(&file));
        }
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(RETRY_EVERY).await,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
    }
}

/// The process that holds the lock of a file, if the system shows it.
fn holder(file: &File) -> String {
    let inode = file.metadata().map(|found| found.ino()).unwrap_or_default();
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    // 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF
    let process = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, place, ..] = words[..] else { return None };
        let held: u64 = place.rsplit(':').next()?.parse().ok()?;
        (held == inode).then(|| process.to_owned())
    });
    process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Restricts the files to their owner; they hold personal data.
fn tighten(directory: &Path, kinds: &[Kind]) {
    for kind in kinds {
        for ending in ["", "-wal", "-shm", ".lock"] {
            let path = beside(&directory.join(&kind.name), ending);
            let Ok(found) = std::fs::metadata(&path) else { continue };
            if found.mode() & 0o077 != 0
                && let Err(error) = std::fs::set_permissions(&path, Permissions::from_mode(0o600))
            {
                let name = path.display();
                tracing::warn!(%error, "other users can read {name}: chmod 600 {name}");
            }
        }
    }
}
