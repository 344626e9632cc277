//! An authority of one's own: certificates by the command line, and a cluster that makes its own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::ports::claim;
use crate::support::{Engine, PATIENCE, free_port, ordinal, placing, write_private};

/// The exit code, the answer and the error of a verb.
fn told(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = ordinal(&[&["--json"], arguments].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), error)
}

/// As docs/security.md says it: an authority, a certificate for the engine and one for a caller.
#[test]
fn certificates_are_made_by_the_command_line() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ca = path("ca.pem");
    assert_eq!(told(&["tls", "ca", "--out", &ca]).0, Some(0));
    let issue = |out: &str, more: &[&str]| {
        told(&[&["tls", "issue", "--authority", &ca, "--out", &path(out)], more].concat())
    };
    for (out, names) in [
        ("server.pem", &["--for", "localhost", "--for", "127.0.0.1"][..]),
        ("anna.pem", &["--for", "spiffe://shop/anna"]),
    ] {
        let (code, answer, error) = issue(out, names);
        assert_eq!((code, &answer["cert"]), (Some(0), &path(out).into()), "{error}");
        assert_eq!(answer["key"], format!("{}.key", path(out)));
    }
    let callers = path("callers.toml");
    let anna =
        "[[certificates]]\nsan = \"spiffe://shop/anna\"\nrole = \"OPS\"\nsubject = \"anna\"\n";
    write_private(callers.as_ref(), anna);
    let (cert, key, data) = (path("server.pem"), path("server.pem.key"), path("data"));
    let engine = Engine::start_with(&[
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--client-ca",
        &ca,
        "--tokens",
        &callers,
        "--data",
        &data,
    ]);
    let (cert, key) = (path("anna.pem"), path("anna.pem.key"));
    engine.ask(&["--ca", &ca, "--cert", &cert, "--cert-key", &key, "order", "list"]);
    let nobody = engine.refused(1, &["--ca", &ca, "order", "list"]);
    assert_eq!(nobody["reason"], "UNAUTHENTICATED");

    // What exists is somebody's, and stays.
    let before = std::fs::read(folder.path().join("ca.pem.key")).unwrap();
    let (code, _, error) = told(&["tls", "ca", "--out", &ca]);
    assert!(code == Some(2) && error.contains("exists"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("ca.pem.key")).unwrap(), before);
    // Nor is half of a pair left where the other half is.
    std::fs::write(folder.path().join("mine.pem"), "mine").unwrap();
    let (code, _, error) = issue("mine.pem", &["--for", "localhost"]);
    assert!(code == Some(2) && error.contains("exists"), "{error}");
    assert!(!folder.path().join("mine.pem.key").exists());
    assert_eq!(std::fs::read(folder.path().join("mine.pem")).unwrap(), b"mine");
    for (more, why) in [
        (&["--for", "not a host"][..], "is not that of a host"),
        (&["--for", "spiffe://shöp/x"], "not ASCII"),
        (&["--for", "localhost", "--valid-for", "1s"], "--valid-for"),
        (&["--for", ""], "is not that of a host"),
        (&[], "--for"),
    ] {
        let (code, _, error) = issue("x.pem", more);
        assert!(code == Some(2) && error.contains(why), "{more:?}: {error}");
        assert!(!folder.path().join("x.pem").exists() && !folder.path().join("x.pem.key").exists());
    }
    // One that may sign servers only signs no authority: a leaf is not taken for one.
    let leaf = path("server.pem");
    let of_leaf =
        ["tls", "issue", "--authority", &leaf, "--for", "localhost", "--out", &path("y.pem")];
    let (code, _, error) = told(&of_leaf);
    assert!(code == Some(2) && error.contains("not an authority"), "{error}");
}

/// Where a disk is full, the next try finds nothing in its way.
#[test]
fn half_a_key_is_not_left_behind() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ca = other.path().join("ca.pem").display().to_string();
    assert_eq!(told(&["tls", "ca", "--out", &ca]).0, Some(0));
    for verb in [
        &["tls", "ca", "--out"][..],
        &["tls", "issue", "--authority", &ca, "--for", "localhost", "--out"],
        &["token", "key", "--out"],
    ] {
        let mut full = Command::new("sh");
        // A file may have no byte, and to write one is an error and not the end.
        full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
        full.arg(env!("CARGO_BIN_EXE_ordinal")).args(verb).arg(path("a"));
        let output = full.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains("--out"), "{error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{verb:?}");
        assert!(ordinal(&[verb, &[path("a").as_str()]].concat()).status.success());
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
    }
}

/// A port with which those of a cluster are free, too.
fn base_port() -> u16 {
    let fits =
        |base: &u16| [1, 10, 20, 30, 31, 32, 50, 79].into_iter().all(|above| claim(base + above));
    std::iter::repeat_with(free_port).find(fits).unwrap()
}

/// Every process is called by TLS only, and they call each other by it.
#[test]
fn a_cluster_has_certificates_of_its_own() {
    let folder = TempDir::new().unwrap();
    let (dir, port) = (folder.path().display().to_string(), base_port().to_string());
    let ca = folder.path().canonicalize().unwrap().join("tls/ca.pem").display().to_string();
    let up = || {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["--json", "cluster", "up", "--edge", "--dir", &dir, "--port", &port])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).expect("the cluster did not start");
        assert_eq!(started["ca"], ca);
        let at = |name: &str| format!("https://{}", started["ready"][name].as_str().unwrap());
        (
            Engine { process, address: at("orders-a"), metrics: None },
            at("orders-b"),
            at("inventory"),
            at("edge"),
        )
    };
    let call =
        |address: &str, verb: &[&str]| told(&[&["--address", address, "--ca", &ca], verb].concat());
    let (cluster, other, stock, edge) = up();
    let (code, _, error) = call(&stock, &["stock", "set", "MUG", "5"]);
    assert_eq!(code, Some(0), "{error}");
    let mut placed = Vec::new();
    // Each node owns a half of the shards and forwards the others' calls; a gateway all of them.
    for address in [&cluster.address, &other, &cluster.address, &other, &edge] {
        let patience = Instant::now() + PATIENCE;
        let order = loop {
            let (code, order, error) = call(address, &placing(&["MUG=1@4.50GBP"]));
            if code == Some(0) {
                break order;
            }
            // While a shard moves to the node that has just come, callers are told to ask again.
            assert!(code == Some(3) && Instant::now() < patience, "{error}");
        };
        placed.push(order["order"]["order_id"].as_str().unwrap().to_owned());
    }
    for id in &placed {
        let since = Instant::now();
        while call(&other, &["order", "get", id]).1["order"]["status"] != "ORDER_STATUS_CONFIRMED" {
            assert!(since.elapsed() < PATIENCE, "{:?}", call(&other, &["order", "get", id]));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    let plain = cluster.address.replace("https", "http");
    let (code, _, error) = told(&["--address", &plain, "order", "list"]);
    assert!(code != Some(0) && error.contains("this port speaks TLS only"), "{error}");
    assert!(cluster.stop().success());

    // Once more: callers that trust the authority go on doing so.
    let (cluster, other, ..) = up();
    let (_, order, error) = call(&other, &["order", "get", &placed[0]]);
    assert_eq!(order["order"]["status"], "ORDER_STATUS_CONFIRMED", "{error}");
    assert!(cluster.stop().success());
}

/// Made once, renewed by the same again, and kept as long as they are good.
#[test]
fn an_installation_has_an_authority_and_certificates_for_all() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("tls").display().to_string();
    let made_for = |edge: &str, more: &[&str]| {
        let all = ["tls", "processes", "--dir", &dir];
        let hosts = ["--process", edge, "--process", "orders=*.nodes.example"];
        let output = ordinal(&[&["--json"], &all[..], &hosts, more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let new = |line: &str| serde_json::from_str::<Value>(line).unwrap()["new"] == true;
        lines.lines().map(new).collect::<Vec<_>>()
    };
    let edge = "edge=localhost,127.0.0.1";
    let made = |more: &[&str]| made_for(edge, more);
    let read = |file: &str| std::fs::read_to_string(folder.path().join("tls").join(file)).unwrap();
    assert_eq!(made(&[]), [true, true]);
    assert_eq!(read("edge/ca.crt"), read("authority/ca.crt"));
    assert!(!read("edge/tls.crt").contains("\n\n"));
    let (before, authority) = (read("edge/tls.crt"), read("authority/ca.crt"));
    assert_eq!(made(&[]), [false, false]);
    assert_eq!(read("edge/tls.crt"), before);
    // One that is called otherwise, one that ends soon, and one that was half written.
    assert_eq!(made_for("edge=other", &[]), [true, false]);
    assert_eq!(made(&["--renew-within", "89days"]), [true, false]);
    assert_eq!(made(&["--valid-for", "200days", "--renew-within", "100days"]), [true, true]);
    std::fs::remove_file(folder.path().join("tls/orders/tls.key")).unwrap();
    assert_eq!(made(&[]), [false, true]);
    assert_eq!(read("authority/ca.crt"), authority);
    let key = std::fs::metadata(folder.path().join("tls/edge/tls.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    // An engine speaks TLS with them, and its callers know the authority.
    let at = |file: &str| folder.path().join("tls/edge").join(file).display().to_string();
    let data = folder.path().join("data").display().to_string();
    let (ca, cert, key) = (at("ca.crt"), at("tls.crt"), at("tls.key"));
    let engine = Engine::start_with(&["--data", &data, "--tls-cert", &cert, "--tls-key", &key]);
    let call = ["--address", &engine.address, "--ca", &ca, "health"];
    assert!(ordinal(&call).status.success());
    assert!(engine.stop().success());
    for wrong in ["orders", "=x", "authority=x", "a/b=x", "orders=*.nodes"] {
        let output = ordinal(&["tls", "processes", "--dir", &dir, "--process", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
    // Of two of a name the second would undo the first each time.
    let before = read("edge/tls.crt");
    let twice = ["--process", edge, "--process", "edge=other"];
    let (code, _, error) = told(&[&["tls", "processes", "--dir", &dir][..], &twice].concat());
    assert!(code == Some(2) && error.contains("is there twice"), "{error}");
    assert_eq!(read("edge/tls.crt"), before);
    // Nobody trusts a new authority that he was not told of.
    std::fs::remove_file(folder.path().join("tls/authority/ca.crt.key")).unwrap();
    let output = ordinal(&["tls", "processes", "--dir", &dir, "--process", "edge=localhost"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("without its key"), "{error}");
    assert_eq!(read("authority/ca.crt"), authority);
}
