use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::lab::cluster::clock_file;

/// The clock of the database servers that chaos starts, where libfaketime is installed. Only these
/// servers see it.
pub(crate) struct ServersClock {
    file: PathBuf,
    seconds_off: i64,
}

impl ServersClock {
    /// Correct at first. None where the library is not installed.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Option<(Self, Environment)>> {
        let Some(library) = libfaketime() else { return Ok(None) };
        let clock = Self { file: clock_file(folder, "postgres"), seconds_off: 0 };
        clock.write()?;
        let environment = vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.file.display().to_string()),
            // The file is read again after a second.
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            // Timeouts keep running on real time, whatever the clock shows.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Ok(Some((clock, environment)))
    }

    /// Sets it forward or back by these seconds.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub(crate) fn step(&mut self, seconds: i64) -> anyhow::Result<()> {
        self.seconds_off += seconds;
        self.write()
    }

    /// Written to another file and renamed, so that nobody reads a partial one.
    fn write(&self) -> anyhow::Result<()> {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, format!("{:+}", self.seconds_off))?;
        // The servers run as another user.
        std::fs::set_permissions(&beside, Permissions::from_mode(0o644))?;
        Ok(std::fs::rename(&beside, &self.file)?)
    }
}

/// Variables of a process.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// Where Debian installs it, on any architecture.
fn libfaketime() -> Option<PathBuf> {
    let kinds = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = kinds.map(|kind| kind.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists())
}
