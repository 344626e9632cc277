use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use order_actor::clock::{Clock, SystemClock};
use shared_events::contract::Timestamp;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The machine's clock, off by so many seconds as a file says: a clock that somebody sets wrong
/// and right again.
pub struct SteppedClock {
    micros_off: Arc<AtomicI64>,
}

impl SteppedClock {
    /// Off by what this file says, from now on; by nothing while there is none. Must be called
    /// within a tokio runtime.
    #[must_use]
    pub fn by(file: PathBuf) -> Self {
        let read = |text: std::io::Result<String>| -> i64 {
            let seconds: i64 = text.unwrap_or_default().trim().parse().unwrap_or(0);
            seconds.saturating_mul(1_000_000)
        };
        // The first look is here: nobody is told another time before it.
        let micros_off = Arc::new(AtomicI64::new(read(std::fs::read_to_string(&file))));
        let told = Arc::downgrade(&micros_off);
        tokio::spawn(async move {
            while let Some(told) = told.upgrade() {
                told.store(read(tokio::fs::read_to_string(&file).await), Ordering::Relaxed);
                drop(told);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { micros_off }
    }
}

#[async_trait]
impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        let off = self.micros_off.load(Ordering::Relaxed);
        Timestamp::from_micros(SystemClock.now().micros().saturating_add(off))
    }

    async fn wait_until(&self, time: Timestamp) {
        while self.now() < time {
            tokio::time::sleep(time.since(self.now()).min(LOOK_EVERY)).await;
        }
    }
}

/// The clock of database servers that we start, where libfaketime is installed: their own, as they
/// see it, and no other program's.
pub(crate) struct ServersClock {
    file: PathBuf,
    seconds_off: i64,
}

impl ServersClock {
    /// Right at first. None where the library is not installed.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Option<(Self, Environment)>> {
        let Some(library) = libfaketime() else { return Ok(None) };
        let clock = Self { file: file(folder, "postgres"), seconds_off: 0 };
        clock.write()?;
        let environment = vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.file.display().to_string()),
            // It is looked at again after a second.
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            // What runs out after a while does, whatever the time is said to be.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Ok(Some((clock, environment)))
    }

    /// Sets it forward, or back.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub(crate) fn step(&mut self, seconds: i64) -> anyhow::Result<()> {
        self.seconds_off += seconds;
        self.write()
    }

    /// Written beside and renamed, so that nobody reads half of it.
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

/// As Debian installs it, on whatever kind of machine.
fn libfaketime() -> Option<PathBuf> {
    let kinds = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = kinds.map(|kind| kind.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists())
}

/// The file of a service's clock.
pub(crate) fn file(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("clock-{service}"))
}
