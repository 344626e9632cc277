//! Health: everything that keeps a process from working is reported, with its reason, once.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::LEASE;
use crate::support::{Engine, PATIENCE, PostgresServer, placing, write_private};

/// The error of a start that must be refused.
pub fn does_not_start(flags: &[&str]) -> String {
    ends_at_once(flags, 1)
}

/// The status of an answer by HTTP, without a token.
fn probe(engine: &Engine, path: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let host = engine.address.trim_start_matches("http://");
    let mut link = std::net::TcpStream::connect(host).unwrap();
    write!(link, "GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    link.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The output of an engine that must end at its start with this exit code.
pub fn ends_at_once(flags: &[&str], code: i32) -> String {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + 3 * PATIENCE;
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > patience {
            process.kill().unwrap();
            panic!("it starts: {flags:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut error = String::new();
    process.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(code), "{flags:?}: {error}");
    error
}

/// An engine whose log is kept, started through the command `before`, with these flags.
pub fn logged(before: &[&str], flags: &[&str], log: &Path) -> Engine {
    let program = [before, &[env!("CARGO_BIN_EXE_ordinal")]].concat();
    let mut process = Command::new(program[0])
        .args(&program[1..])
        .args(["--json", "serve", "--listen", "127.0.0.1:0"])
        .args(flags)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = || fs::read_to_string(log).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", said()));
    let scheme = if told["tls"] == json!(true) { "https" } else { "http" };
    let address = format!("{scheme}://{}", told["listening"].as_str().unwrap());
    let metrics = told["metrics"].as_str().map(str::to_owned);
    Engine { process, address, metrics }
}

/// Waits until a process reports that it serves, or that it does not and why.
pub fn until_health(engine: &Engine, serving: bool, why: &str) -> Value {
    let patience = Instant::now() + 2 * PATIENCE;
    loop {
        let output = engine.run(&["health"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let reasons = told["reasons"].to_string();
        if output.status.success() == serving && (serving || reasons.contains(why)) {
            return told;
        }
        assert!(Instant::now() < patience, "{told} and not {serving} {why}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn lines(log: &Path, text: &str) -> usize {
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_deleted_or_replaced_directory_makes_the_engine_unhealthy() {
    let parent = TempDir::new().unwrap();
    let (data, log) = (parent.path().join("data"), parent.path().join("log"));
    let engine = logged(&[], &["--data", data.to_str().unwrap()], &log);
    until_health(&engine, true, "");
    engine.place(&["MUG=1@4.50GBP"]);

    // Moved away and back: it is the same directory.
    let aside = parent.path().join("aside");
    fs::rename(&data, &aside).unwrap();
    until_health(&engine, false, "is gone");
    let refused = engine.refused(3, &placing(&["MUG=1@4.50GBP"]));
    assert_eq!(refused["reason"], "JOURNAL_UNAVAILABLE", "{refused}");
    fs::rename(&aside, &data).unwrap();
    until_health(&engine, true, "");
    engine.place(&["MUG=1@4.50GBP"]);

    // Another directory under its name is not.
    fs::rename(&data, &aside).unwrap();
    assert!(Command::new("cp").arg("-r").args([&aside, &data]).status().unwrap().success());
    let told = until_health(&engine, false, "was replaced");
    let reasons = told["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["part"] == "files"), "{told}");
    engine.refused(3, &placing(&["MUG=1@4.50GBP"]));
    fs::remove_dir_all(&data).unwrap();
    until_health(&engine, false, "is gone");

    assert_eq!(lines(&log, "cannot serve part=\"files\""), 2, "each change once");
    assert_eq!(lines(&log, "can serve again part=\"files\""), 1);
    assert!(!fs::read_to_string(&log).unwrap().contains('\u{1b}'), "no colours in a file");
}

/// Where no disk may be mounted, `scripts/test` reports it at its start.
#[test]
fn a_full_disk_is_reported_and_recovers_by_itself_at_each_file() {
    let mount = ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    if !Command::new("unshare").args(mount).output().is_ok_and(|done| done.status.success()) {
        return;
    }
    let parent = TempDir::new().unwrap();
    let (disk, log) = (parent.path().join("disk"), parent.path().join("log"));
    fs::create_dir(&disk).unwrap();
    let script = format!("mount -t tmpfs -o size=12m tmpfs {} && exec \"$@\"", disk.display());
    let data = disk.join("data");
    let [mail, psps, token] = ["mail", "psps.toml", "token"]
        .map(|name| parent.path().join(name).to_str().unwrap().to_owned());
    fs::write(&psps, "[[psps]]\nname = \"play\"\ndialect = \"simulator\"\nseed = 7\n").unwrap();
    write_private(Path::new(&token), "tok_visa\n");
    let flags = ["--data", data.to_str().unwrap(), "--mail-dir", &mail, "--psps", &psps];
    let engine = logged(&["unshare", "--mount", "sh", "-c", &script, "sh"], &flags, &log);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    for (account, kind) in [("bank", "asset"), ("wallet:1", "liability")] {
        engine.ask(&["ledger", "open", account, "--kind", kind, "--currency", "GBP"]);
    }
    let entry = ["ledger", "post", "bank/wallet:1=0.01GBP"];
    let to_pay = [&placing(&["MUG=1@4.50GBP"])[..], &["--payment", "play"]].concat();
    let order = |engine: &Engine| {
        let placed = engine.place(&["MUG=1@4.50GBP"]);
        placed["order"]["order_id"].as_str().unwrap().to_owned()
    };
    engine.until(&order(&engine), "CONFIRMED");
    // The mount belongs to the process; it is reached through its root.
    let inside = PathBuf::from(format!("/proc/{}/root", engine.process.id()));
    let ballast = inside.join(disk.strip_prefix("/").unwrap()).join("ballast");
    for round in 0..3 {
        let fill = format!("dd if=/dev/zero of={} bs=64k; true", ballast.display());
        let filled = Command::new("sh").args(["-c", &fill]).stderr(Stdio::null()).status().unwrap();
        assert!(filled.success());
        let _ = Command::new("sh")
            .args(["-c", &format!("cat /dev/zero >> {}", ballast.display())])
            .stderr(Stdio::null())
            .status();
        // Commits fail in whichever file has no free space left.
        for _ in 0..12 {
            engine.run(&placing(&["MUG=1@4.50GBP"]));
            engine.run(&["stock", "set", "MUG", "1000"]);
            engine.run(&entry);
            engine.run(&to_pay);
        }
        until_health(&engine, false, "full");
        // The disk is reported before any file was tried; the journal reports itself.
        let patience = Instant::now() + PATIENCE;
        while !engine
            .run(&["health"])
            .stdout
            .windows(16)
            .any(|part| part == b"\"part\":\"journal\"")
        {
            assert!(Instant::now() < patience, "the journal does not say that it refuses");
            engine.run(&placing(&["MUG=1@4.50GBP"]));
        }
        fs::remove_file(&ballast).unwrap();
        until_health(&engine, true, "");
        engine.until(&order(&engine), "CONFIRMED");
        let paid = engine.ask(&to_pay)["order"]["order_id"].as_str().unwrap().to_owned();
        engine.ask(&["payment", "attempt", &paid, "--psp-token-file", &token]);
        engine.until(&paid, "CONFIRMED");
        engine.ask(&entry);
        assert_eq!(lines(&log, "cannot serve part=\"files\""), round + 1, "each change once");
    }
    assert!(engine.stop().success());
}

#[test]
fn a_read_only_database_is_unhealthy_and_a_lagging_follower_is_not() {
    let server = PostgresServer::start();
    let folder = TempDir::new().unwrap();
    let (url, log) = (server.url(), folder.path().join("log"));
    let mail = folder.path().join("mail");
    let flags = ["--database-url", &url, "--mail-dir", mail.to_str().unwrap()];
    let flags = [&flags[..], &LEASE].concat();
    let engine = logged(&[], &flags, &log);
    until_health(&engine, true, "");
    engine.place(&["MUG=1@4.50GBP"]);

    server.sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()");
    let told = until_health(&engine, false, "read-only");
    assert!(told["reasons"].as_array().unwrap().len() > 1, "{told}");
    let error = does_not_start(&["--database-url", &url]);
    assert!(error.contains("opens sessions that are read-only"), "{error}");
    server.sql(
        "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only",
    );
    server.sql("SELECT pg_reload_conf()");
    until_health(&engine, true, "");
    engine.place(&["MUG=1@4.50GBP"]);

    server.crash();
    until_health(&engine, false, "journal");
    assert_eq!((probe(&engine, "/readyz"), probe(&engine, "/livez")), (503, 200));
    server.again();
    until_health(&engine, true, "");
    assert_eq!(probe(&engine, "/readyz"), 200);
    engine.place(&["MUG=1@4.50GBP"]);
    // One line when it begins and one when it ends, for each part, however long it lasts.
    for part in ["journal", "database inventory", "database orders"] {
        let begins = lines(&log, &format!("cannot serve part=\"{part}\""));
        assert!((1..=4).contains(&begins), "{part}: {begins}");
    }

    // A stock follower that lags at the start is no reason; neither is an operator's pause.
    engine.ask(&["follower", "pause", "stock", "--reason", "stocktaking"]);
    engine.place(&["MUG=1@4.50GBP"]);
    until_health(&engine, true, "");
    assert!(engine.stop().success());
}

#[test]
fn timers_wait_while_the_clock_is_years_off() {
    let folder = TempDir::new().unwrap();
    let (data, offset) = (folder.path().join("data"), folder.path().join("offset"));
    let flags = [
        "--data",
        data.to_str().unwrap(),
        "--without-stock",
        "--clock-offset-file",
        offset.to_str().unwrap(),
    ];
    let engine = Engine::start_with(&flags);
    let mut orders = Vec::new();
    for _ in 0..2 {
        let placed = engine.place(&["MUG=1@4.50GBP"]);
        orders.push(placed["order"]["order_id"].as_str().unwrap().to_owned());
    }
    assert!(engine.stop().success());
    let day = 24 * 3_600;
    for off in [-2 * day, 500 * day] {
        fs::write(&offset, off.to_string()).unwrap();
        let engine = Engine::start_with(&flags);
        let told = until_health(&engine, false, "timers wait");
        assert_eq!(told["reasons"][0]["part"], "clock", "{told}");
        for order in &orders {
            engine.until(order, "PENDING");
        }
        // Once the clock is correct, they resume by themselves.
        fs::write(&offset, "0").unwrap();
        until_health(&engine, true, "");
        for order in &orders {
            engine.until(order, "PENDING");
        }
        assert!(engine.stop().success());
    }
    fs::write(&offset, (500 * day).to_string()).unwrap();
    let engine = Engine::start_with(&flags);
    until_health(&engine, false, "timers wait");
    assert_eq!(
        engine.refused(2, &["timers", "resume", "--reason", " "])["reason"],
        "INVALID_FIELD"
    );
    let resumed = engine.ask(&["timers", "resume", "--reason", "closed for a year"]);
    assert!(resumed["away"].as_array().is_none_or(Vec::is_empty), "{resumed}");
    until_health(&engine, true, "");
    for order in &orders {
        let order = engine.until(order, "CANCELLED");
        assert_eq!(order["cancel_reason"], json!("CANCEL_REASON_SLA_TIMEOUT"));
    }
}
