use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How often a starting process is polled.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process that is started, watched and ended here; killed when dropped.
pub struct Process {
    /// Its display name.
    pub name: String,
    /// Its listening address.
    pub address: SocketAddr,
    program: PathBuf,
    arguments: Vec<String>,
    /// Additional environment variables.
    environment: Vec<(&'static str, String)>,
    /// The user and group it runs as, where these are not ours.
    user: Option<(u32, u32)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// A program with its arguments, not started yet; its output will go to `log`.
    pub fn new(
        name: &str,
        address: SocketAddr,
        program: &Path,
        arguments: impl IntoIterator<Item = String>,
        log: PathBuf,
    ) -> Self {
        Self {
            name: name.to_owned(),
            address,
            program: program.to_owned(),
            arguments: arguments.into_iter().collect(),
            environment: Vec::new(),
            user: None,
            log,
            child: None,
        }
    }

    /// With additional environment variables.
    #[must_use]
    pub(crate) fn knowing(mut self, environment: Vec<(&'static str, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Adds arguments, for the next start.
    pub(crate) fn add_arguments(&mut self, more: impl IntoIterator<Item = String>) {
        self.arguments.extend(more);
    }

    /// Run by this user and group.
    #[must_use]
    pub fn run_by(mut self, user: Option<(u32, u32)>) -> Self {
        self.user = user;
        self
    }

    /// Another process of the same program, arguments and user on another address; not started yet.
    #[must_use]
    pub(crate) fn twin(&self, address: SocketAddr) -> Self {
        let (mine, other) = (self.address.to_string(), address.to_string());
        let arguments = self.arguments.iter();
        let arguments = arguments.map(|argument| argument.replace(&mine, &other)).collect();
        let name = format!("{}-twin", self.name);
        let log = self.log.with_file_name(format!("{name}.log"));
        let (program, environment) = (self.program.clone(), self.environment.clone());
        Self { name, address, program, arguments, environment, user: self.user, log, child: None }
    }

    /// The user and group it runs as, where these are not ours.
    pub(crate) const fn user(&self) -> Option<(u32, u32)> {
        self.user
    }

    /// The folder that is this flag's value.
    pub(crate) fn folder_behind(&self, flag: &str) -> Option<PathBuf> {
        let mut arguments = self.arguments.iter().skip_while(|argument| *argument != flag);
        arguments.nth(1).map(PathBuf::from)
    }

    /// Starts it; its output goes to its log.
    ///
    /// # Errors
    /// Where the program or its log cannot be opened.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us: children are ended in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start", self.program.display()))?;
        tracing::info!(process = self.name, id = child.id(), "started");
        self.child = Some(child);
        Ok(())
    }

    /// Its id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Whether it was started and has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.is_some() && self.ended().is_none()
    }

    /// Its exit status, if it ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Starts it again if it died.
    pub(crate) fn revive(&mut self) -> anyhow::Result<()> {
        match self.ended() {
            Some(end) => {
                tracing::warn!(process = self.name, %end, "died; started again");
                self.start()
            }
            None => Ok(()),
        }
    }

    /// Sends it a signal, while it runs.
    pub fn signal(&self, signal: Signal) {
        let id = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process(id, signal)
        {
            tracing::debug!(process = self.name, %error, "signal");
        }
    }

    /// Kills it, at any instruction.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.gone(Duration::from_secs(10)).await;
    }

    /// Sends a signal and waits; kills it where it does not stop.
    pub async fn stop(&mut self, signal: Signal, patience: Duration) {
        self.signal(signal);
        if !self.gone(patience).await {
            tracing::warn!(process = self.name, "did not stop in time");
            self.kill().await;
        }
    }

    async fn gone(&mut self, patience: Duration) -> bool {
        let Some(child) = &mut self.child else { return true };
        let gone = timeout(patience, child.wait()).await.is_ok();
        if gone {
            self.child = None;
        }
        gone
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        lines.join("\n")
    }

    /// Waits until `answers` returns true.
    ///
    /// # Errors
    /// Where the process ends first or the time limit passes; with the end of its log.
    pub async fn until(
        &mut self,
        patience: Duration,
        answers: impl AsyncFn(SocketAddr) -> bool,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        loop {
            if answers(self.address).await {
                return Ok(());
            }
            let ended = self.ended();
            if ended.is_some() || Instant::now() > until {
                let what =
                    ended.map_or("does not answer".to_owned(), |end| format!("ended: {end}"));
                anyhow::bail!("{} {what}\n{}", self.name, self.log_end());
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
