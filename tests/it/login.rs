//! Somebody logs in at a real OpenID Connect provider and calls with the token that it gives.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tempfile::TempDir;

use crate::http::Http;
use crate::support::{Engine, PATIENCE, ordinal};

/// How long its keys are not fetched again, and how long the provider is away: fifteen cool-downs,
/// and seven times as long as keys are kept. By the times that an issuer has by default a minute is
/// two cool-downs and a tenth of that. `keys` of edge-auth has that minute, by a clock that stands
/// in the test: the engine here is another process, with a clock of its own.
const COOLDOWN: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_secs(15);

/// An OpenID Connect provider in a process of its own.
struct Provider {
    process: Child,
    say: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Provider {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oidc/provider.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/test installs node and oidc-provider");
        let say = process.stdin.take().unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = told.next().expect("the provider did not start").unwrap();
        Self { process, say, told, url }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.say, "{line}").unwrap();
        self.told.next().expect("the provider ended").unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An engine whose operators this provider knows.
fn engine_of(provider: &Provider, folder: &TempDir) -> Engine {
    engine_with(provider, folder, "")
}

/// With more settings of the provider.
fn engine_with(provider: &Provider, folder: &TempDir, more: &str) -> Engine {
    let file = folder.path().join("issuers.toml");
    let text = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"ordinal\"]\nroles = \"realm_access.roles\"\n\
         map = {{ ordinal-ops = \"OPS\" }}\njwks = {{ refresh = \"2s\", cooldown = \"1s\" }}\n{more}",
        provider.url
    );
    std::fs::write(&file, text).unwrap();
    let data = folder.path().join("data");
    let flags = ["--issuers", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    Engine::start_with(&flags)
}

/// The status of a call with this token.
async fn called(http: &mut Http, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    http.call("GET /v1/stock/MUG", &[("authorization", bearer.as_str())]).await.status
}

/// By authorization code with PKCE, through the pages of a certified provider.
#[test]
fn somebody_who_logged_in_at_a_real_provider_is_an_operator() {
    let mut provider = Provider::start();
    let folder = TempDir::new().unwrap();
    let engine = engine_of(&provider, &folder);
    let anna = provider.ask("login anna");
    engine.ask(&["--token", &anna, "stock", "set", "MUG", "5"]);
    let actions = engine.run(&["--token", &anna, "operations", "list"]);
    let actions = String::from_utf8(actions.stdout).unwrap();
    assert!(actions.contains("anna"), "{actions}");
    assert_eq!(provider.ask("rotate"), "rotated");
    let berta = provider.ask("login berta");
    let patience = std::time::Instant::now() + PATIENCE;
    loop {
        let address = ["--json", "--address", &engine.address, "--token", &berta];
        let output = ordinal(&[&address[..], &["stock", "get", "MUG"]].concat());
        if output.status.success() {
            break;
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("UNAUTHENTICATED"), "{error}");
        assert!(std::time::Instant::now() < patience, "the new key is never known");
    }
    engine.ask(&["--token", &anna, "stock", "get", "MUG"]);
    assert!(engine.stop().success());
}

/// A9: access tokens last a minute and a login hours. Whoever is logged in goes on with the next
/// token, and sees no page of the provider meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_logged_in_goes_on_when_a_token_has_ended() {
    let (mut provider, folder) = (Provider::start(), TempDir::new().unwrap());
    let engine = engine_with(&provider, &folder, "leeway = \"0s\"\n");
    let mut http = Http::connect(&engine.address).await;
    let mut me = async |token: &str| {
        let bearer = format!("Bearer {token}");
        http.call("GET /v1/me", &[("authorization", bearer.as_str())]).await
    };
    assert_eq!(provider.ask("ttl 1"), "1");
    let mut token = provider.ask("login anna");
    // Twice: the next token ends as well, and the login is the same.
    for lasts in ["ttl 1", "ttl 600"] {
        let patience = Instant::now() + PATIENCE;
        loop {
            let answer = me(&token).await;
            if answer.status == 401 && answer.code() == "TOKEN_EXPIRED" {
                break;
            }
            assert!(Instant::now() < patience, "the token does not end: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(format!("ttl {}", provider.ask(lasts)), lasts);
        let next = provider.ask("refresh anna");
        assert_ne!(next, token);
        token = next;
    }
    let anna = me(&token).await;
    assert_eq!(anna.status, 200, "{anna:?}");
    assert!(anna.json()["subject"].as_str().unwrap().contains("anna"), "{anna:?}");
    assert!(engine.stop().success());
}

/// While callers are at work: the keys are exchanged, strangers name ten thousand keys, and the
/// provider is away for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_go_on_while_their_provider_rotates_keys_or_is_away() {
    let (mut provider, folder) = (Provider::start(), TempDir::new().unwrap());
    let engine = engine_of(&provider, &folder);
    let since = Instant::now();
    let anna = provider.ask("login anna");
    engine.ask(&["--token", &anna, "stock", "set", "MUG", "5"]);
    let (ends, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers = (0..4).map(|_| {
        let (address, token) = (engine.address.clone(), anna.clone());
        let (ends, calls) = (Arc::clone(&ends), Arc::clone(&calls));
        tokio::spawn(async move {
            let mut http = Http::connect(&address).await;
            while !ends.load(Ordering::Relaxed) {
                assert_eq!(called(&mut http, &token).await, 200);
                calls.fetch_add(1, Ordering::Relaxed);
                // The others need the cores.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut http = Http::connect(&engine.address).await;
    for name in ["berta", "carla", "dora"] {
        assert_eq!(provider.ask("rotate"), "rotated");
        let token = provider.ask(&format!("login {name}"));
        let patience = Instant::now() + PATIENCE;
        while called(&mut http, &token).await != 200 {
            assert!(Instant::now() < patience, "the new key is never known");
        }
    }
    let rest = anna.split_once('.').unwrap().1;
    let strangers = (0..20).map(|stranger| {
        let (address, rest) = (engine.address.clone(), rest.to_owned());
        tokio::spawn(async move {
            let mut http = Http::connect(&address).await;
            for nth in 0..500 {
                let kid = format!("forged-{stranger}-{nth}");
                let head = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid }).to_string();
                let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head));
                assert_eq!(called(&mut http, &forged).await, 401);
            }
        })
    });
    for stranger in strangers.collect::<Vec<_>>() {
        stranger.await.unwrap();
    }
    let fetches: u64 = provider.ask("fetches").parse().unwrap();
    let most = 2 + since.elapsed().as_secs() / COOLDOWN.as_secs();
    assert!((4..=most).contains(&fetches), "{fetches} fetches, {most} at most");
    assert_eq!(provider.ask("away"), "away");
    let (before, away) = (calls.load(Ordering::Relaxed), Instant::now());
    while away.elapsed() < AWAY {
        assert_eq!(called(&mut http, &anna).await, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(calls.load(Ordering::Relaxed) > before, "the callers stand still");
    assert_eq!(provider.ask("back"), "back");
    assert_eq!(provider.ask("rotate"), "rotated");
    let emma = provider.ask("login emma");
    let patience = Instant::now() + PATIENCE;
    while called(&mut http, &emma).await != 200 {
        assert!(Instant::now() < patience, "the provider is back, and its new key is never known");
    }
    ends.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(engine.stop().success());
}
