//! Somebody logs in at a real OpenID Connect provider and calls with the token that it gives.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Engine, PATIENCE, ordinal};

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

/// By authorization code with PKCE, through the pages of a certified provider.
#[test]
fn somebody_who_logged_in_at_a_real_provider_is_an_operator() {
    let mut provider = Provider::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("issuers.toml");
    let text = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"ordinal\"]\nroles = \"realm_access.roles\"\n\
         map = {{ ordinal-ops = \"OPS\" }}\njwks = {{ cooldown = \"1s\" }}\n",
        provider.url
    );
    std::fs::write(&file, text).unwrap();
    let data = folder.path().join("data");
    let flags = ["--issuers", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let engine = Engine::start_with(&flags);
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
