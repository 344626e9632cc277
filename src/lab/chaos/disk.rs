//! A disk that can be full: a tmpfs in a mount namespace of our own, which ends with this process.
//! Remounting it with another size takes its free space away and gives it back.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// More than a round writes; unwritten space takes no memory.
const SIZE: u64 = 4 << 30;
/// Free space on a full disk: too little for a database to continue for long.
const FREE_WHEN_FULL: u64 = 256 << 10;
/// Tells the process started again that it has its own mount namespace.
const OWN_MOUNTS: &str = "ORDINAL_CHAOS_OWN_MOUNTS";

pub(super) struct Disk {
    at: PathBuf,
}

/// Starts this program again, by unshare(1), in a mount namespace of its own; returns in that
/// process.
///
/// # Errors
/// Where the machine does not permit it.
pub(super) fn with_own_mounts() -> anyhow::Result<()> {
    if std::env::var_os(OWN_MOUNTS).is_some() {
        return Ok(());
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    let mut permitted = Command::new("unshare");
    permitted.args(unshare.get_args()).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    done(&mut permitted).context("--full-disk mounts a tmpfs, which is not permitted here")?;
    let program = std::env::current_exe().context("cannot find this program's file")?;
    unshare.arg(program).args(std::env::args_os().skip(1)).env(OWN_MOUNTS, "1");
    Err(unshare.exec()).context("unshare")
}

impl Disk {
    /// Mounts a new one there.
    pub(super) fn mount(at: &Path) -> anyhow::Result<Self> {
        let disk = Self { at: at.to_owned() };
        let size = format!("size={SIZE}");
        done(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at))?;
        Ok(disk)
    }

    /// Leaves almost nothing free.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        let now = rustix::fs::statvfs(&self.at)?;
        let used = (now.f_blocks - now.f_bfree) * now.f_frsize;
        self.resize(used + FREE_WHEN_FULL)
    }

    /// Gives all space back.
    pub(super) fn free(&self) -> anyhow::Result<()> {
        self.resize(SIZE)
    }

    fn resize(&self, size: u64) -> anyhow::Result<()> {
        let size = format!("remount,size={size}");
        done(Command::new("mount").args(["-o", &size]).arg(&self.at))
    }

    /// Unmounts the disk and keeps its files in the folder, for inspection.
    pub(super) fn keep(&self) -> anyhow::Result<()> {
        let beside = self.at.with_extension("kept");
        done(Command::new("cp").arg("-a").arg(&self.at).arg(&beside))?;
        self.unmount()?;
        std::fs::remove_dir(&self.at)?;
        Ok(std::fs::rename(&beside, &self.at)?)
    }

    /// Unmounts it; an empty folder remains.
    pub(super) fn unmount(&self) -> anyhow::Result<()> {
        done(Command::new("umount").arg(&self.at))
    }
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    anyhow::ensure!(output.status.success(), "{program}: {error}");
    Ok(())
}
