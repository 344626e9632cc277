//! TLS between processes: roles and nodes reach each other by it, and a token goes to nobody whose
//! certificate has another name than the journal's row says.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::certificates::{Authority, Pair};
use crate::health::{ends_at_once, logged};
use crate::nodes::{LEASE, databases, until_even, verified};
use crate::support::{Engine, PATIENCE, free_port, ordinal, placing, write_private};

pub const OPS: &str = "operators-have-this-token-of-32-characters";
pub const PEER: &str = "processes-have-this-token-of-32-characters";

/// A token file with an operator and a service.
fn tokens(folder: &Path) -> String {
    let path = folder.join("tokens.toml");
    let line = |token: &str, role: &str| {
        format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"x\"\n")
    };
    write_private(&path, &(line(OPS, "OPS") + &line(PEER, "SERVICE")));
    path.display().to_string()
}

/// What every process of a test gets.
pub struct Common(Vec<String>);

impl Common {
    pub fn new(url: &str, tokens: &str, authority: &Authority, files: &(String, String)) -> Self {
        let flags = [
            ("--database-url", url),
            ("--tokens", tokens),
            ("--peer-token", PEER),
            ("--tls-cert", &files.0),
            ("--tls-key", &files.1),
            ("--peer-ca", authority.ca()),
        ];
        let all = flags.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]);
        Self(all.collect())
    }

    pub fn and<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        // Only who has orders has leases.
        let role = more.iter().skip_while(|flag| **flag != "--role").nth(1);
        let lease = if role.is_none_or(|role| *role == "orders") { &LEASE[..] } else { &[] };
        let common = self.0.iter().map(String::as_str);
        common.chain(lease.iter().copied()).chain(more.iter().copied()).collect()
    }
}

/// A verb as an operator, who knows the authority.
fn ask(engine: &Engine, authority: &Authority, verb: &[&str]) -> Value {
    engine.ask(&[&["--ca", authority.ca(), "--token", OPS], verb].concat())
}

#[test]
fn roles_and_nodes_reach_each_other_by_tls() {
    let (runtime, [database]) = databases();
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (tokens, url) = (tokens(folder.path()), database.url());
    let common = Common::new(&url, &tokens, &authority, &files);
    let ports = [(); 4].map(|()| free_port());
    let listen = ports.map(|port| format!("127.0.0.1:{port}"));
    let at = listen.each_ref().map(|address| format!("https://{address}"));
    let nodes = format!("{},{}", at[0], at[1]);
    let start = |role: &str, nth: usize, more: &[&str]| {
        let own = ["--role", role, "--listen", listen[nth].as_str()];
        Engine::start_with(&common.and(&[&own, more].concat()))
    };
    let others = ["--inventory-at", &at[2], "--notifications-at", &at[3]];
    let a = start("orders", 0, &[&["--node-name", "a"], &others[..]].concat());
    let b = start("orders", 1, &[&["--node-name", "b"], &others[..]].concat());
    let stock = start("inventory", 2, &["--orders-at", &nodes]);
    let messages = start("notifications", 3, &["--orders-at", &nodes]);

    // A call that another role answers.
    ask(&a, &authority, &["stock", "set", "MUG", "100"]);
    // Calls that another node answers, followers that read from others, and their answers.
    until_even(|| ask(&a, &authority, &["shards", "list"]));
    let mut orders = Vec::new();
    for _ in 0..6 {
        let id = Uuid::now_v7().to_string();
        ask(&a, &authority, &[&placing(&["MUG=1@4.50GBP"])[..], &["--id", &id]].concat());
        orders.push(id);
    }
    let patience = Instant::now() + 2 * PATIENCE;
    for id in &orders {
        while ask(&b, &authority, &["order", "get", id])["order"]["status"]
            != json!("ORDER_STATUS_CONFIRMED")
        {
            assert!(Instant::now() < patience, "{id} is not confirmed");
        }
    }
    let list = ["notification", "list", "--order", &orders[0]];
    while ask(&b, &authority, &list)["notifications"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < patience, "there is no message");
    }
    let health = ["--address", at[2].as_str(), "--ca", authority.ca(), "health"];
    assert!(ordinal(&health).status.success());
    for engine in [messages, stock, b, a] {
        assert!(engine.stop().success());
    }
    verified(&ordinal(&["--json", "verify", "--database-url", &url]));
    runtime.block_on(database.drop());
}

/// Somebody at an address that the journal names.
struct Stranger {
    port: u16,
    shows: Arc<Mutex<Arc<ServerConfig>>>,
    /// Handshakes that began.
    called: Arc<AtomicUsize>,
    /// Bytes that came after a handshake.
    heard: Arc<AtomicUsize>,
}

fn config(pair: &Pair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

impl Stranger {
    async fn open(pair: &Pair) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shows = Arc::new(Mutex::new(config(pair)));
        let (called, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stranger = Self { port, shows, called, heard };
        let (shows, called, heard) = (
            Arc::clone(&stranger.shows),
            Arc::clone(&stranger.called),
            Arc::clone(&stranger.heard),
        );
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                called.fetch_add(1, Ordering::Relaxed);
                let (config, heard) = (Arc::clone(&shows.lock().unwrap()), Arc::clone(&heard));
                tokio::spawn(async move {
                    let Ok(mut stream) = TlsAcceptor::from(config).accept(socket).await else {
                        return;
                    };
                    let mut some = [0; 1024];
                    while let Ok(count @ 1..) = stream.read(&mut some).await {
                        heard.fetch_add(count, Ordering::Relaxed);
                    }
                });
            }
        });
        stranger
    }
}

#[test]
fn a_node_forwards_to_nobody_with_another_name_than_the_row_says() {
    let (runtime, [database]) = databases();
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (tokens, url) = (tokens(folder.path()), database.url());
    let common = Common::new(&url, &tokens, &authority, &files);
    // Of the same authority, so only the name is wrong.
    let stranger = runtime.block_on(Stranger::open(&authority.issue(&["stranger.example"])));
    let advertised = format!("127.0.0.1:{}", stranger.port);
    let a = Engine::start_with(&common.and(&["--node-name", "a"]));
    let other = authority.write("other", &authority.issue(&["localhost"]));
    let of_b = Common::new(&url, &tokens, &authority, &other);
    let log = folder.path().join("log");
    let b = logged(&[], &of_b.and(&["--node-name", "b", "--advertise", &advertised]), &log);
    let patience = Instant::now() + PATIENCE;
    let said = || fs::read_to_string(&log).unwrap();
    while !said().contains("--tls-cert is not for 127.0.0.1") {
        assert!(Instant::now() < patience, "{}", said());
    }
    // Orders, of which half are in the shards that b has, until so many were not forwarded, or the
    // stranger heard something.
    let place = |refusals: usize| {
        let patience = Instant::now() + 2 * PATIENCE;
        let (mut refused, mut last) = (0, String::new());
        while refused < refusals && stranger.heard.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < patience, "a has all shards: {last}");
            let flags = ["--ca", authority.ca(), "--token", OPS, "--timeout", "3s"];
            let id = Uuid::now_v7().to_string();
            let output =
                a.run(&[&flags, &placing(&["MUG=1@4.50GBP"])[..], &["--id", &id]].concat());
            last = String::from_utf8_lossy(&output.stderr).into_owned();
            refused += usize::from(last.contains("OUTCOME_UNKNOWN"));
        }
    };
    place(4);
    assert!(stranger.called.load(Ordering::Relaxed) > 0, "nobody called");
    assert_eq!(stranger.heard.load(Ordering::Relaxed), 0, "a stranger was spoken to");
    // With the name of the row it would have been.
    *stranger.shows.lock().unwrap() = config(&authority.issue(&["127.0.0.1"]));
    place(usize::MAX);
    assert!(stranger.heard.load(Ordering::Relaxed) > 0, "the test sees nothing");
    for engine in [b, a] {
        engine.kill();
    }
    runtime.block_on(database.drop());
}

#[test]
fn the_authority_of_other_processes_is_read_anew() {
    let (runtime, [database]) = databases();
    // The file has a stranger's certificate first.
    let (authority, known) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    let files = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (tokens, url) = (tokens(folder.path()), database.url());
    let listen = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let [orders_at, stock_at] = listen.each_ref().map(|address| format!("https://{address}"));
    let nowhere = format!("https://127.0.0.1:{}", free_port());
    let common = Common::new(&url, &tokens, &known, &files);
    let flags = ["--role", "orders", "--listen", &listen[0], "--inventory-at", &stock_at];
    let orders =
        Engine::start_with(&common.and(&[&flags[..], &["--notifications-at", &nowhere]].concat()));
    let common = Common::new(&url, &tokens, &authority, &files);
    let flags = ["--role", "inventory", "--listen", &listen[1], "--orders-at", &orders_at];
    let stock = Engine::start_with(&common.and(&flags));
    // The other process answers it.
    let call = || {
        let flags = ["--ca", authority.ca(), "--token", OPS, "stock", "set", "MUG", "1"];
        let output = orders.run(&flags);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(error) }
    };
    let error = call().expect_err("a stranger's authority is believed");
    // Followers may have failed so often before that no call is sent.
    let is_away = ["OUTCOME_UNKNOWN", "NOT_FORWARDED"].iter().any(|it| error.contains(it));
    assert!(is_away, "{error}");
    fs::copy(&authority.ca, &known.ca).unwrap();
    orders.signal("-HUP");
    let patience = Instant::now() + PATIENCE;
    while let Err(error) = call() {
        assert!(Instant::now() < patience, "{error}");
    }
    for engine in [stock, orders] {
        assert!(engine.stop().success());
    }
    runtime.block_on(database.drop());
}

#[test]
fn settings_of_tls_without_effect_are_refused() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let data = folder.path().to_str().unwrap();
    let with = |flags: &[&str]| ends_at_once(&[&["--data", data], flags].concat(), 2);
    let error = with(&["--peer-ca", authority.ca()]);
    assert!(error.contains("--peer-ca has no effect"), "{error}");
}

#[test]
fn addresses_of_a_service_are_all_https_or_none() {
    let (runtime, [database]) = databases();
    let url = database.url();
    let both = "https://127.0.0.1:9,http://127.0.0.1:10";
    let flags = ["--role", "inventory", "--database-url", &url, "--orders-at", both];
    let error = ends_at_once(&flags, 1);
    assert!(error.contains("are all https:// or all http://"), "{error}");
    runtime.block_on(database.drop());
}
