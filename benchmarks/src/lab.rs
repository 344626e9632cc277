//! Private servers for one run of the suite, on loopback and in a temporary directory, removed
//! afterwards.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ordinal::cluster::{Process, database_url, postgres, postgres_programs, redis};
use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::net::TcpStream;

const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// The name under which a copy of this program is `ordinal`.
pub const PROGRAM: &str = "ordinal";

/// A private Postgres and Redis.
pub struct Lab {
    directory: TempDir,
    mail: Option<TempDir>,
    postgres: Process,
    redis: Process,
    databases: std::sync::atomic::AtomicU32,
}

impl Lab {
    /// Starts them.
    ///
    /// # Errors
    /// Where they are not installed or do not start.
    pub async fn open() -> anyhow::Result<Self> {
        let directory = TempDir::with_prefix("ordinal-bench-").context("temporary directory")?;
        // The server's own user needs access.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(directory.path(), open)?;
        std::fs::create_dir(directory.path().join("logs"))?;
        let postgres = postgres(directory.path(), free_address()?).await?;
        let redis = redis(directory.path(), free_address()?).await?;
        let mail = TempDir::with_prefix_in("ordinal-bench-", "/dev/shm").ok();
        Ok(Self { directory, mail, postgres, redis, databases: 0.into() })
    }

    /// Starts them with the database server counting its statements, which costs some performance.
    ///
    /// # Errors
    /// As [`Lab::open`].
    pub async fn open_counting() -> anyhow::Result<Self> {
        let mut lab = Self::open().await?;
        let mut admin = lab.connect("postgres").await?;
        let preload = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";
        admin.execute(preload).await?;
        admin.close().await?;
        lab.postgres.stop(Signal::INT, STOPS_WITHIN).await;
        lab.postgres.start()?;
        // A server that starts up accepts connections and refuses them.
        let answers =
            async |address| PgConnection::connect(&database_url(address, "postgres")).await.is_ok();
        lab.postgres.until(STOPS_WITHIN, answers).await?;
        let mut admin = lab.connect("postgres").await?;
        for sql in [
            "CREATE EXTENSION pg_stat_statements",
            "ALTER SYSTEM SET pg_stat_statements.track_planning = on",
            "SELECT pg_reload_conf()",
        ] {
            admin.execute(sql).await?;
        }
        admin.close().await?;
        Ok(lab)
    }

    /// The servers, by name and process id.
    pub fn servers(&self) -> [(&'static str, Option<u32>); 2] {
        [("Postgres", self.postgres.id()), ("Redis", self.redis.id())]
    }

    /// A directory for files; the same disk as the servers'.
    pub fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A directory for mail, in memory where the machine has such a place: the cost of many small
    /// files on disk is no cost of a mail server.
    ///
    /// # Errors
    /// Where it cannot be created.
    pub fn mail(&self) -> anyhow::Result<PathBuf> {
        match &self.mail {
            Some(mail) => Ok(mail.path().to_owned()),
            None => self.directory("mail"),
        }
    }

    /// Creates a database; returns its URL.
    ///
    /// # Errors
    /// Where it cannot be created.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("{name}_{number}");
        let mut admin = self.connect("postgres").await?;
        admin.execute(format!("CREATE DATABASE {name}").as_str()).await?;
        admin.close().await?;
        Ok(database_url(self.postgres.address, &name))
    }

    /// Drops a database, so that the disk does not fill.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn drop_database(&self, url: &str) -> anyhow::Result<()> {
        let name = url.rsplit('/').next().unwrap_or_default();
        let mut admin = self.connect("postgres").await?;
        admin.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)").as_str()).await?;
        Ok(admin.close().await?)
    }

    /// Connects to a database of the server.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&database_url(self.postgres.address, database)).await?)
    }

    /// Version of the database server and the settings that matter.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn postgres_settings(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut admin = self.connect("postgres").await?;
        let names = "'server_version','fsync','synchronous_commit','full_page_writes',\
                     'shared_buffers','max_wal_size','wal_sync_method'";
        let sql =
            format!("SELECT name, setting FROM pg_settings WHERE name IN ({names}) ORDER BY 1");
        Ok(sqlx::query_as(&sql).fetch_all(&mut admin).await?)
    }

    /// Forces a checkpoint, so that no contender pays for one caused by another.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        let mut admin = self.connect("postgres").await?;
        admin.execute("CHECKPOINT").await?;
        Ok(admin.close().await?)
    }

    /// The Redis server.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.redis.address)
    }

    /// The log of a process that is started here.
    pub fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(format!("{name}.log"))
    }

    /// A program of the Postgres installation.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn program(name: &str) -> anyhow::Result<PathBuf> {
        let program = postgres_programs().map(|programs| programs.join(name));
        program.filter(|path| path.exists()).with_context(|| format!("{name} is not installed"))
    }

    /// A copy of this program that is `ordinal`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn ordinal(&self) -> anyhow::Result<PathBuf> {
        let copy = self.directory("bin")?.join(PROGRAM);
        if !copy.exists() {
            let program = std::env::current_exe().context("cannot find this program's file")?;
            std::fs::copy(program, &copy).context("cannot copy this program")?;
        }
        Ok(copy)
    }

    /// Ends the servers and removes everything.
    pub async fn close(mut self) {
        self.postgres.stop(Signal::INT, STOPS_WITHIN).await;
        self.redis.stop(Signal::TERM, STOPS_WITHIN).await;
    }
}

/// A free port on loopback.
///
/// # Errors
/// Where there is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// Starts this program again as a server process, and waits until it listens.
///
/// # Errors
/// Where it does not listen.
pub async fn server(lab: &Lab, name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    start(lab, name, &program, arguments).await
}

/// Starts a program with `--listen`, and waits until it listens.
///
/// # Errors
/// Where it does not listen.
pub async fn start(
    lab: &Lab,
    name: &str,
    program: &Path,
    arguments: &[&str],
) -> anyhow::Result<Process> {
    let address = free_address()?;
    let listen = address.to_string();
    let arguments = arguments
        .iter()
        .copied()
        .chain(["--listen", &listen])
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let mut process = Process::new(name, address, program, arguments, lab.log(name));
    process.start()?;
    process
        .until(Duration::from_secs(30), async |address| TcpStream::connect(address).await.is_ok())
        .await?;
    Ok(process)
}

/// Ends a process that was started here.
pub async fn end(mut process: Process) {
    process.stop(Signal::TERM, STOPS_WITHIN).await;
}
