use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::child::Process;
use crate::engine::services;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// One database per service.
fn databases() -> Vec<&'static str> {
    services::ALL.iter().map(|service| service.name).collect()
}

/// A private Postgres in this folder, created there if it is new, with a database per service.
///
/// # Errors
/// Where no server is installed, or it does not start.
pub async fn postgres(folder: &Path, address: SocketAddr) -> anyhow::Result<Process> {
    server(folder, "postgres", address, &databases(), Vec::new()).await
}

/// Several servers: the first with a database per service, each with one for a part of the journal.
/// They run with these additional environment variables.
pub(crate) async fn postgres_servers(
    folder: &Path,
    addresses: &[SocketAddr],
    environment: &[(&'static str, String)],
) -> anyhow::Result<Vec<Process>> {
    let (all, mut servers) = (databases(), Vec::new());
    for (nth, address) in (1..).zip(addresses) {
        let (name, databases) = match nth {
            1 => ("postgres".to_owned(), &all[..]),
            _ => (format!("postgres-{nth}"), &["orders"][..]),
        };
        servers.push(server(folder, &name, *address, databases, environment.to_vec()).await?);
    }
    Ok(servers)
}

async fn server(
    folder: &Path,
    name: &str,
    address: SocketAddr,
    databases: &[&str],
    environment: Vec<(&'static str, String)>,
) -> anyhow::Result<Process> {
    let programs = postgres_programs().context(
        "no Postgres server is installed; on Debian: apt-get install postgresql redis-server",
    )?;
    // Postgres refuses to run as root; the system's package creates a user for it.
    let user = if rustix::process::geteuid().is_root() {
        Some(user_of("postgres").context("there is no user postgres to run the server as")?)
    } else {
        None
    };
    let home = folder.join(name);
    std::fs::create_dir_all(&home)?;
    if let Some((user, group)) = user {
        chown(&home, Some(user), Some(group))?;
    }
    let data = home.join("data");
    if !data.join("PG_VERSION").exists() {
        let mut init = Command::new(programs.join("initdb"));
        init.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        init.current_dir("/");
        if let Some((user, group)) = user {
            init.uid(user).gid(group);
        }
        let made = init.output().await.context("initdb")?;
        anyhow::ensure!(
            made.status.success(),
            "initdb in {}: {}",
            data.display(),
            String::from_utf8_lossy(&made.stderr).trim()
        );
    }
    let settings = [
        format!("port={}", address.port()),
        "listen_addresses=127.0.0.1".to_owned(),
        "max_connections=400".to_owned(),
        // Socket paths have a length limit; TCP is enough.
        "unix_socket_directories=".to_owned(),
    ];
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    let log = folder.join("logs").join(format!("{name}.log"));
    let mut process = Process::new(name, address, &programs.join("postgres"), arguments, log)
        .knowing(environment)
        .run_by(user);
    process.start()?;
    process.until(STARTS_WITHIN, postgres_answers).await?;
    let mut connection = PgConnection::connect_with(&options(address)).await?;
    for database in databases {
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
                .bind(*database)
                .fetch_one(&mut connection)
                .await?;
        if !known {
            connection.execute(format!("CREATE DATABASE {database}").as_str()).await?;
        }
    }
    connection.close().await?;
    Ok(process)
}

fn options(address: SocketAddr) -> PgConnectOptions {
    PgConnectOptions::new()
        .host("127.0.0.1")
        .port(address.port())
        .username("postgres")
        .database("postgres")
}

pub(crate) async fn postgres_answers(address: SocketAddr) -> bool {
    match PgConnection::connect_with(&options(address)).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

/// Executes statements one after the other, each by itself.
///
/// # Errors
/// The first that is refused, with its text.
pub(crate) async fn execute(url: &str, statements: &[String]) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    for statement in statements {
        connection.execute(statement.as_str()).await.with_context(|| statement.clone())?;
    }
    Ok(connection.close().await?)
}

/// The URL of a service's database.
pub fn database_url(address: SocketAddr, database: &str) -> String {
    format!("postgres://postgres@{address}/{database}")
}

/// Which shards of the journal each of several servers holds, as `--journal-database` takes it;
/// empty where there is one server.
pub(crate) fn shard_map(servers: &[SocketAddr], shards: u16) -> Vec<String> {
    let count = u16::try_from(servers.len()).unwrap_or(u16::MAX);
    if count < 2 {
        return Vec::new();
    }
    let first = |nth: u16| shards * nth / count;
    let entry = |(nth, server): (u16, &SocketAddr)| {
        format!("{}-{}={}", first(nth), first(nth + 1) - 1, database_url(*server, "orders"))
    };
    (0..).zip(servers).map(entry).collect()
}

/// A private Redis without persistence: it holds only recent facts.
///
/// # Errors
/// Where no server is installed, or it does not start.
pub async fn redis(folder: &Path, address: SocketAddr) -> anyhow::Result<Process> {
    let program = find("redis-server").context(
        "no Redis server is installed; on Debian: apt-get install postgresql redis-server",
    )?;
    let home = folder.join("redis");
    std::fs::create_dir_all(&home)?;
    let port = address.port().to_string();
    let home = home.display().to_string();
    let arguments = [
        "--bind",
        "127.0.0.1",
        "--port",
        &port,
        "--dir",
        &home,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let log = folder.join("logs").join("redis.log");
    let arguments = arguments.map(str::to_owned);
    let mut process = Process::new("redis", address, &program, arguments, log);
    process.start()?;
    process.until(STARTS_WITHIN, listens).await?;
    Ok(process)
}

pub(crate) async fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists())
}

/// The folder of the newest installed Postgres programs.
pub fn postgres_programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version)))
        .max_by_key(|(version, _)| *version)
        .map(|(_, version)| version.path().join("bin"))
        .filter(|programs| programs.join("initdb").exists());
    newest.or_else(|| Some(find("initdb")?.parent()?.to_owned()))
}

/// User and group of this name.
fn user_of(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [known, _, user, group, ..] = fields.as_slice() else { return None };
        (*known == name).then_some((user.parse().ok()?, group.parse().ok()?))
    })
}
