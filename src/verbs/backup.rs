//! `ordinal backup`: copies the SQLite files of an engine one after the other, also while it works,
//! into a consistent set.
//!
//! Followers are copied before what they follow: a follower's copy that is older than that of its
//! log catches up; a newer one would be ahead of its log.
//! Never here: Postgres, which has its own tools (docs/operations.md).

use std::fs::{DirBuilder, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared_events::stream::Unfinished;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::Instant;

use crate::client::{Failure, Output};
use crate::engine::{JOURNAL_FILE as JOURNAL, Service, services, write_private};
use crate::verify::{self, Head};

/// The files in the order in which they are copied.
fn files() -> Vec<String> {
    let own = services::followers_first(services::ALL);
    own.into_iter().map(Service::file).chain([JOURNAL.to_owned()]).collect()
}

/// Written last: a directory without it is not a backup.
const MANIFEST: &str = "manifest.json";
const FORMAT: u32 = 1;

/// Flags of `ordinal backup`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BackupArgs {
    #[command(subcommand)]
    verb: Option<BackupVerb>,
    /// Copy the SQLite files in this directory; an engine may be using them.
    #[arg(long, value_name = "DIR", env = "ORDINAL_DATA", default_value = "ordinal-data")]
    data: PathBuf,
    /// Copy to this directory; it is created, or must be empty.
    #[arg(long, value_name = "DIR", required = true)]
    to: Option<PathBuf>,
}

/// `ordinal backup …`
#[derive(Debug, clap::Subcommand)]
pub enum BackupVerb {
    /// Check that a backup is complete and every law holds in it; nothing is written.
    Check {
        /// The backup's directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// The contents of a backup, as in its `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The program that made it.
    ordinal: String,
    /// When the backup began, RFC 3339.
    noted_at: String,
    /// The heads of the journal's shards in it, each with its hash.
    heads: Vec<Head>,
    files: Vec<Copied>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Copied {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Makes a backup, or checks one.
///
/// # Errors
/// If a file cannot be read or written, or the backup is incomplete.
pub async fn run(args: BackupArgs, out: &Output) -> Result<ExitCode, Failure> {
    match (args.verb, args.to) {
        (Some(BackupVerb::Check { directory }), _) => check(&directory, out).await,
        (None, Some(to)) => {
            let begun = Instant::now();
            let manifest = make(&args.data, &to).await?;
            show(&manifest, &to, begun.elapsed(), out);
            Ok(ExitCode::SUCCESS)
        }
        (None, None) => Err(Failure::Usage("--to must name the backup's directory".to_owned())),
    }
}

fn show(manifest: &Manifest, to: &Path, took: Duration, out: &Output) {
    if out.json {
        return out.value(manifest);
    }
    let rows = manifest
        .files
        .iter()
        .map(|file| vec![file.name.clone(), file.bytes.to_string(), file.sha256.clone()]);
    out.table(&["file", "bytes", "sha256"], rows);
    let events: u64 = manifest.heads.iter().map(|head| head.position).sum();
    let took = format!("{}.{:01}", took.as_secs(), took.subsec_millis() / 100);
    out.line(format!("backup of {events} events in {}, after {took} s", to.display()));
}

async fn make(data: &Path, to: &Path) -> anyhow::Result<Manifest> {
    let files = files();
    let files = files.iter().map(String::as_str);
    let there: Vec<&str> = files.filter(|name| data.join(name).exists()).collect();
    anyhow::ensure!(!there.is_empty(), "{} holds no engine's data", data.display());
    let made = directory(to)?;
    let copied = copy(data, to, &there).await;
    if copied.is_err() {
        // Leave no partial backup. The directory was created or empty: everything in it is ours.
        let _ = if made { std::fs::remove_dir_all(to) } else { empty(to) };
    }
    copied
}

/// Removes the files in a directory, including temporary ones of SQLite and [`write_private`].
fn empty(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Prepares a directory for the owner only; returns whether it was created.
fn directory(to: &Path) -> anyhow::Result<bool> {
    let cannot = || format!("cannot create {}", to.display());
    if to.exists() {
        let mut inside = std::fs::read_dir(to).with_context(cannot)?;
        anyhow::ensure!(inside.next().is_none(), "{} is not empty", to.display());
        std::fs::set_permissions(to, Permissions::from_mode(0o700)).with_context(cannot)?;
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(to).with_context(cannot)?;
    Ok(true)
}

async fn copy(data: &Path, to: &Path, names: &[&str]) -> anyhow::Result<Manifest> {
    let noted_at = SystemClock.now().to_string();
    let mut files = Vec::new();
    for name in names {
        let target = to.join(name);
        copy_database(&data.join(name), &target).await.with_context(|| (*name).to_owned())?;
        let copied = tokio::task::spawn_blocking(move || on_disk(&target)).await;
        let copied = copied.map_err(Unfinished::from)?;
        let (bytes, sha256) = copied.with_context(|| (*name).to_owned())?;
        files.push(Copied { name: (*name).to_owned(), bytes, sha256 });
    }
    let heads = match names.contains(&JOURNAL) {
        true => heads(&to.join(JOURNAL)).await.context(JOURNAL)?,
        false => Vec::new(),
    };
    let ordinal = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, ordinal, noted_at, heads, files };
    write_private(&to.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?).context(MANIFEST)?;
    // Sync the directory entries, too.
    File::open(to).and_then(|directory| directory.sync_all()).context("directory")?;
    Ok(manifest)
}

/// Writes a copy of a database's current state, including its `-wal` file.
async fn copy_database(from: &Path, to: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(from)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let mut db = options.connect().await?;
    let to = to.to_string_lossy().into_owned();
    sqlx::query("VACUUM INTO $1").bind(to).execute(&mut db).await?;
    db.close().await
}

/// Syncs a file and restricts it to its owner; returns its size and hash, as read back.
fn on_disk(path: &Path) -> std::io::Result<(u64, String)> {
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    File::open(path)?.sync_all()?;
    hashed(path)
}

fn hashed(path: &Path) -> std::io::Result<(u64, String)> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut part = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut part)?;
        let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else {
            return Ok((bytes, verify::hex(&hash.finalize())));
        };
        hash.update(read);
        bytes += u64::try_from(count).unwrap_or_default();
    }
}

/// The heads of the shards in a copy of the journal.
async fn heads(journal: &Path) -> anyhow::Result<Vec<Head>> {
    let options = SqliteConnectOptions::new().filename(journal).read_only(true);
    let mut db = options.disable_statement_logging().connect().await?;
    let sql = "SELECT shard, head_position, head_hash FROM shards WHERE head_position > 0
               ORDER BY shard";
    let rows: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut db).await?;
    db.close().await?;
    rows.into_iter()
        .map(|(shard, position, hash)| {
            let (shard, position) = (u16::try_from(shard)?, u64::try_from(position)?);
            Ok(Head { shard, position, hash: verify::hex(&hash) })
        })
        .collect()
}

async fn check(directory: &Path, out: &Output) -> Result<ExitCode, Failure> {
    let manifest = read(directory)?;
    let folder = directory.to_owned();
    let damages = tokio::task::spawn_blocking(move || damages(&folder, &manifest));
    let damages = damages.await.map_err(|error| anyhow::Error::from(Unfinished::from(error)))?;
    if let Some((first, more)) = damages.split_first() {
        let more =
            if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
        return Err(refused(format!("{}: {first}{more}", directory.display())));
    }
    if files().iter().any(|name| !directory.join(name).exists()) {
        out.line(
            "complete; the laws are not checked in a directory with only some of the services",
        );
        return Ok(ExitCode::SUCCESS);
    }
    verify::backup(directory, &directory.join(MANIFEST), out).await
}

fn read(directory: &Path) -> Result<Manifest, Failure> {
    let path = directory.join(MANIFEST);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = "has no manifest.json: it is not a backup, or an unfinished one";
            return Err(refused(format!("{} {text}", directory.display())));
        }
        Err(error) => return Err(anyhow::Error::from(error).context(MANIFEST).into()),
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| refused(format!("{}: {error}", path.display())))?;
    if manifest.format != FORMAT {
        let text = format!("{} has format {}", path.display(), manifest.format);
        return Err(refused(format!("{text}; this program supports {FORMAT}")));
    }
    Ok(manifest)
}

/// Differences from the manifest.
fn damages(directory: &Path, manifest: &Manifest) -> Vec<String> {
    let mut damages = Vec::new();
    for file in &manifest.files {
        let name = &file.name;
        if !files().contains(name) {
            damages.push(format!("{name} is not a file of an engine"));
            continue;
        }
        match hashed(&directory.join(name)) {
            Ok((bytes, _)) if bytes != file.bytes => {
                damages.push(format!("{name} has {bytes} bytes instead of {}", file.bytes));
            }
            Ok((_, sha256)) if sha256 != file.sha256 => {
                damages.push(format!("{name} was changed after it was copied"));
            }
            Ok(_) => {}
            Err(error) => damages.push(format!("{name}: {error}")),
        }
        for beside in ["-wal", "-journal"].map(|end| format!("{name}{end}")) {
            if directory.join(&beside).metadata().is_ok_and(|found| found.len() > 0) {
                damages.push(format!("{beside} was not copied: {name} was opened since"));
            }
        }
    }
    damages
}

fn refused(message: String) -> Failure {
    Failure::Refused { reason: "BACKUP_INCOMPLETE".to_owned(), message }
}
