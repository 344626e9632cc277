//! The real binary, and an engine of it in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use crate::ports::free_port;

pub const CUSTOMER: &str = "018f6f3e-0000-7000-8000-000000000001";
/// How long a test waits for what must happen. It says nothing of how long that may take: a busy
/// machine takes many times as long as an idle one.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so.
pub fn until(what: &str, so: impl FnMut() -> bool) {
    until_within(PATIENCE, what, so);
}

/// The same for as long as this.
pub fn until_within(patience: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !so() {
        assert!(Instant::now() < end, "not so: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Runs the binary to its end.
pub fn ordinal(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ordinal"));
    for variable in ["ORDINAL_ADDRESS", "ORDINAL_AS", "ORDINAL_CA", "ORDINAL_TOKEN", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// An engine in a process of its own, killed when dropped.
pub struct Engine {
    pub process: Child,
    pub address: String,
    /// Where its metrics are.
    pub metrics: Option<String>,
}

impl Engine {
    /// On SQLite files in this directory.
    pub fn start(data: &Path) -> Self {
        Self::start_with(&["--data", data.to_str().unwrap()])
    }

    /// With these flags of `serve`.
    pub fn start_with(flags: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_ordinal")), flags)
    }

    /// With these flags, and these variables in its environment.
    pub fn start_in(environment: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ordinal"));
        command.envs(environment.iter().copied());
        Self::spawn(command, flags)
    }

    /// With this many file descriptors at most.
    pub fn start_with_files(files: u32, flags: &[&str]) -> Self {
        let mut limited = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_ordinal");
        limited.args(["-c", "ulimit -n $0; exec \"$@\"", &files.to_string(), program]);
        Self::spawn(limited, flags)
    }

    fn spawn(mut command: Command, flags: &[&str]) -> Self {
        let mut process = command
            .args(["--json", "serve"])
            .args(if flags.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] })
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).expect("the engine did not start");
        let scheme = if started["tls"] == json!(true) { "https" } else { "http" };
        let address = format!("{scheme}://{}", started["listening"].as_str().unwrap());
        let metrics = started["metrics"].as_str().map(str::to_owned);
        Self { process, address, metrics }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["--json", "--address", &self.address];
        all.extend(arguments);
        ordinal(&all)
    }

    /// Runs a verb that waits for its answer as long as it may.
    fn patiently(&self, arguments: &[&str]) -> Output {
        let own = arguments.contains(&"--timeout");
        let patient: &[&str] = if own { &[] } else { &["--timeout", "30s"] };
        self.run(&[patient, arguments].concat())
    }

    /// Runs a verb that must succeed and returns its answer, however long that takes. What was not
    /// forwarded is asked again: nobody has begun it, and no call is sent for a second to a process
    /// that was away a moment ago, as one that has just started was.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let patience = Instant::now() + PATIENCE;
        loop {
            let output = self.patiently(arguments);
            if output.status.success() {
                return serde_json::from_slice(&output.stdout).unwrap();
            }
            let error = String::from_utf8_lossy(&output.stderr);
            let printed = String::from_utf8_lossy(&output.stdout);
            let again = error.contains("NOT_FORWARDED") && Instant::now() < patience;
            assert!(again, "{arguments:?}: {error}{printed}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a verb that must fail with this exit code and returns its error.
    pub fn refused(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        let error: Value = serde_json::from_str(error.trim()).unwrap();
        error["error"].clone()
    }

    /// Its resident memory, in MB.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
    }

    /// Kills it like a power cut, at any instruction.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends it a signal, such as `-STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Stops it (SIGTERM) and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.process.wait().unwrap()
    }

    /// Places an order of these lines (`MUG=2@4.50GBP`).
    pub fn place(&self, lines: &[&str]) -> Value {
        self.ask(&placing(lines))
    }

    pub fn until(&self, order: &str, status: &str) -> Value {
        let patience = Instant::now() + PATIENCE;
        loop {
            let output = self.patiently(&["order", "get", order]);
            let error = String::from_utf8_lossy(&output.stderr);
            // While its shard moves to another node, callers are told to ask again.
            let moves = output.status.code() == Some(3);
            assert!(output.status.success() || moves, "{order}: {error}");
            let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let order = &found["order"];
            if order["status"] == json!(format!("ORDER_STATUS_{status}")) {
                return order.clone();
            }
            assert!(Instant::now() < patience, "{order} is not {status}: {error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The arguments that place an order of these lines.
pub fn placing<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "order",
        "place",
        "--customer",
        CUSTOMER,
        "--street",
        "1 High Street",
        "--city",
        "London",
        "--postal-code",
        "EC1A 1BB",
        "--country",
        "GB",
        "--email",
        "customer@example.com",
    ];
    arguments.extend(lines.iter().flat_map(|line| ["--line", line]));
    arguments
}

/// A Redis server of one test, killed when dropped.
pub struct RedisServer {
    port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

impl RedisServer {
    pub fn start() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let port = free_port();
        let process = Self::spawn(port, &folder);
        Self { port, folder, process }
    }

    fn spawn(port: u16, folder: &tempfile::TempDir) -> Child {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
            .args(["--dir", folder.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed; scripts/test installs it");
        let patience = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Killed with everything in memory, and started empty.
    pub fn restart(&mut self) {
        self.kill();
        self.again();
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn again(&mut self) {
        self.process = Self::spawn(self.port, &self.folder);
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Postgres server of one test, stopped when dropped.
pub struct PostgresServer {
    port: u16,
    folder: tempfile::TempDir,
}

impl PostgresServer {
    pub fn start() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::TempDir::new().unwrap();
        // Postgres refuses to run as root: the server's own user needs access.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let server = Self { port: free_port(), folder };
        server.run("initdb", &["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]);
        server.again();
        server
    }

    /// Started with its data.
    pub fn again(&self) {
        let flags = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log").display().to_string();
        self.run("pg_ctl", &["start", "-s", "-w", "-l", &log, "-o", &flags]);
    }

    /// Restarted as a standby of a primary that never sends.
    pub fn becomes_a_standby(&self) {
        self.run("pg_ctl", &["stop", "-s", "-w", "-m", "fast"]);
        let signal = self.folder.path().join("data/standby.signal");
        std::fs::write(&signal, "").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&signal, open).unwrap();
        self.again();
    }

    /// Stopped as a crash would.
    pub fn crash(&self) {
        self.run("pg_ctl", &["stop", "-s", "-w", "-m", "immediate"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let path = installed.map(|version| version.path().join("bin").join(program)).max();
        let program = path.filter(|path| path.exists()).unwrap_or_else(|| program.into());
        let root = rustix::process::geteuid().is_root();
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let data = self.folder.path().join("data");
        let done = command.arg("-D").arg(data).args(arguments).current_dir("/");
        let done = done.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(done.success(), "{arguments:?}");
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
        if let Some(pid) = pid.ok().as_deref().and_then(|text| text.lines().next()) {
            let _ = Command::new("kill").args(["-QUIT", pid]).status();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
