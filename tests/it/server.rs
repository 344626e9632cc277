//! Postgres in practice: behind a pooler, as a standby, with harmful settings of the role, with
//! tables of a newer program.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::health::{does_not_start, logged, until_health};
use crate::support::{Engine, PATIENCE, PostgresServer, free_port, ordinal};

impl PostgresServer {
    /// The result of these statements, one value per line.
    pub fn sql(&self, statements: &str) -> String {
        let output = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &self.url()])
            .args(statements.split("; ").flat_map(|statement| ["-c", statement]))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A pgbouncer of one test in front of a server, killed when dropped.
struct Pooler {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Pooler {
    fn start(server: &PostgresServer, mode: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = free_port();
        let (url, at) = (server.url(), folder.path().display());
        let server_port = url.rsplit([':', '/']).nth(1).unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port} user=postgres\n[pgbouncer]\n\
             listen_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\nauth_file={at}/users\n\
             pool_mode={mode}\ndefault_pool_size=60\nmax_client_conn=400\nunix_socket_dir=\n\
             ignore_startup_parameters=extra_float_digits,options\npidfile={at}/pid\n"
        );
        fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        fs::write(folder.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        let mut command = if rustix::process::geteuid().is_root() {
            // It refuses to run as root, as the server does.
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]);
            command.arg("pgbouncer");
            command
        } else {
            Command::new("pgbouncer")
        };
        let process = command
            .arg(folder.path().join("pgbouncer.ini"))
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is needed; scripts/test installs it");
        let patience = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Self { process, url, _folder: folder }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The flags of each role, on this database.
fn roles(url: &str) -> [Vec<&str>; 3] {
    let nobody = ["--orders-at", "http://127.0.0.1:9", "--inventory-at", "http://127.0.0.1:9"];
    ["orders", "inventory", "notifications"]
        .map(|role| [&["--role", role, "--database-url", url][..], &nobody].concat())
}

#[test]
fn every_role_accepts_session_pooling_and_refuses_transaction_pooling() {
    let server = PostgresServer::start();
    let direct = server.url();
    let engine = Engine::start_with(&["--database-url", &direct]);
    engine.ask(&["stock", "set", "MUG", "5"]);
    let placed = engine.place(&["MUG=1@4.50GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
    engine.until(&order, "CONFIRMED");
    assert!(engine.stop().success());

    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(&server, mode);
        for flags in roles(&pooler.url) {
            let error = does_not_start(&flags);
            assert!(error.contains("use pool_mode = session"), "{mode} {flags:?}: {error}");
            assert_eq!(error.trim().lines().count(), 1, "{error}");
        }
    }
    let pooler = Pooler::start(&server, "session");
    let engine = Engine::start_with(&["--database-url", &pooler.url]);
    engine.until(&order, "CONFIRMED");
    let placed = engine.place(&["MUG=1@4.50GBP"]);
    engine.until(placed["order"]["order_id"].as_str().unwrap(), "CONFIRMED");
    until_health(&engine, true, "");
    let verified = ordinal(&["verify", "--database-url", &pooler.url]);
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(told.contains("of 2 orders: every law holds"), "{told}");
    assert!(engine.stop().success());
    assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0\n");
}

#[test]
fn a_standby_is_refused_by_every_role_and_can_be_verified() {
    let server = PostgresServer::start();
    let engine = Engine::start_with(&["--database-url", &server.url()]);
    engine.place(&["MUG=1@4.50GBP"]);
    assert!(engine.stop().success());
    server.becomes_a_standby();
    let url = server.url();
    for flags in roles(&url) {
        let error = does_not_start(&flags);
        assert!(error.contains("is a standby, which takes no writes"), "{flags:?}: {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    }
    let verified = ordinal(&["verify", "--database-url", &url]);
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(told.contains("of 1 orders: every law holds"), "{told}");
}

#[test]
fn session_settings_of_a_database_role_do_no_harm() {
    let server = PostgresServer::start();
    for setting in [
        "statement_timeout = '100ms'",
        "lock_timeout = '50ms'",
        "idle_in_transaction_session_timeout = '100ms'",
        "idle_session_timeout = '300ms'",
        "search_path = 'elsewhere'",
        "synchronous_commit = off",
    ] {
        server.sql(&format!("ALTER ROLE postgres SET {setting}"));
    }
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let (url, mail) = (server.url(), folder.path().join("mail"));
    let flags = ["--database-url", &url, "--mail-dir", mail.to_str().unwrap()];
    let engine = logged(&[], &flags, &log);
    engine.ask(&["stock", "set", "MUG", "50"]);
    for _ in 0..5 {
        let placed = engine.place(&["MUG=1@4.50GBP"]);
        engine.until(placed["order"]["order_id"].as_str().unwrap(), "CONFIRMED");
    }
    until_health(&engine, true, "");
    let verified = ordinal(&["verify", "--database-url", &url]);
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && told.contains("every law holds"), "{told}");
    let others = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'elsewhere')";
    assert_eq!(server.sql(others), "0\n");
    // Logged once, for a server that all services share.
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("synchronous_commit").count(), 1, "{said}");
    assert!(!said.contains("fsync"), "{said}");
}

#[test]
fn a_process_opens_no_more_sessions_than_documented() {
    let server = PostgresServer::start();
    let url = server.url();
    let engine = Engine::start_with(&["--database-url", &url, "--database-connections", "2"]);
    engine.ask(&["stock", "set", "MUG", "500"]);
    let load = ["load", "--rate", "50", "--duration", "3s", "--mix", "place=1"];
    let loaded = engine.run(&load);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ordinal-%'";
    let sessions: u32 = server.sql(count).trim().parse().unwrap();
    // The journal has 2 for reading, 2 for orders, 1 that writes, 1 for the lease; lists, stock,
    // messages, payments and the ledger have 2 each; each of their four followers has 1 for its
    // lease.
    assert!(sessions <= 20, "{sessions}");
    until_health(&engine, true, "");
    assert!(engine.stop().success());
}

#[test]
fn tables_of_a_newer_program_are_refused_in_every_schema() {
    let server = PostgresServer::start();
    let url = server.url();
    assert!(Engine::start_with(&["--database-url", &url]).stop().success());
    for schema in ["orders_journal", "orders", "inventory", "notifications", "ledger", "payments"] {
        let table = format!("{schema}._sqlx_migrations");
        server.sql(&format!(
            "INSERT INTO {table} VALUES (999999, 'of tomorrow', now(), true, '\\x00', 0)"
        ));
        let error = does_not_start(&["--database-url", &url]);
        assert!(error.contains(schema) && error.contains("newer than this program"), "{error}");
        server.sql(&format!("DELETE FROM {table} WHERE version = 999999"));
    }
    assert!(Engine::start_with(&["--database-url", &url]).stop().success());
}
