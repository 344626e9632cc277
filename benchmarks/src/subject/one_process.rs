use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use ordinal::cluster::Process;
use rustix::process::Signal;
use shared_events::contract::OrderId;

use crate::lab::{self, Lab, free_address};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// The database of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// Files.
    Sqlite,
    /// A database of the suite's server.
    Postgres,
}

impl On {
    /// How the report calls an engine on it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "Ordinal, SQLite",
            Self::Postgres => "Ordinal, Postgres",
        }
    }
}

/// `ordinal serve` without stock, with these flags, on a database of its own whose address is
/// returned.
pub async fn without_stock(
    lab: &Lab,
    name: &str,
    flags: &[&str],
) -> anyhow::Result<(Process, String)> {
    let url = lab.database("serving").await?;
    Ok((without_stock_on(lab, name, &url, flags).await?, url))
}

/// The same on this database, which may have orders.
pub async fn without_stock_on(
    lab: &Lab,
    name: &str,
    url: &str,
    flags: &[&str],
) -> anyhow::Result<Process> {
    let mail = lab.mail()?.display().to_string();
    let fixed = ["ordinal", "serve", "--database-url", url, "--without-stock", "--mail-dir", &mail];
    lab::server(lab, name, &[&fixed[..], flags].concat()).await
}

/// `ordinal serve` with all services.
pub struct OneProcess {
    process: Process,
    /// Its Postgres database, if it has one.
    pub database: Option<String>,
    /// Its directory, which holds its files or nothing.
    pub directory: PathBuf,
}

impl OneProcess {
    /// Starts it on an empty database, and waits until it listens.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn start(lab: &Lab, on: On, flags: &[String]) -> anyhow::Result<Self> {
        let mut one = Self::prepare(lab, on, flags).await?;
        one.run()?;
        let listens =
            async |address: SocketAddr| tokio::net::TcpStream::connect(address).await.is_ok();
        one.process.until(STARTS_WITHIN, listens).await?;
        Ok(one)
    }

    /// With an empty database; it is not started yet.
    ///
    /// # Errors
    /// Where there is no database for it.
    pub async fn prepare(lab: &Lab, on: On, flags: &[String]) -> anyhow::Result<Self> {
        let mail = lab.mail()?.display().to_string();
        let directory = lab.directory(&format!("one-{}", OrderId::mint()))?;
        let database = match on {
            On::Sqlite => None,
            On::Postgres => Some(lab.database("one").await?),
        };
        let address = free_address()?;
        let listen = address.to_string();
        let files = directory.display().to_string();
        let stores = match &database {
            Some(url) => ["--database-url", url],
            None => ["--data", &files],
        };
        let fixed = ["ordinal", "serve", "--listen", &listen, "--mail-dir", &mail];
        let all = fixed.into_iter().chain(stores).chain(flags.iter().map(String::as_str));
        let all: Vec<String> = all.map(str::to_owned).collect();
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let process = Process::new("one", address, &program, all, lab.log("one"));
        Ok(Self { process, database, directory })
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Errors
    /// Where the program cannot be run.
    pub fn run(&mut self) -> anyhow::Result<()> {
        self.process.start()
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Stops it; its data stays.
    pub async fn stop(&mut self) {
        self.process.stop(Signal::TERM, STOPS_WITHIN).await;
    }

    /// Stops it and removes its data.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub async fn end(mut self, lab: &Lab) -> anyhow::Result<()> {
        self.stop().await;
        std::fs::remove_dir_all(&self.directory)?;
        match self.database {
            Some(url) => lab.drop_database(&url).await,
            None => Ok(()),
        }
    }
}
