//! Tokens: drawn where none were given, stored as hashes, never shown.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::ordinal;

/// Reaches only this machine, but does not look like a loopback address: as in a container.
const OFF_LOOPBACK: &str = "[::ffff:127.0.0.1]:0";

/// An engine without given tokens; its address, and its first output.
fn serve(data: &Path) -> (Child, String, Value) {
    let log = std::fs::File::options().create(true).append(true).open(data.with_extension("log"));
    let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["--json", "serve", "--listen", OFF_LOOPBACK, "--data", data.to_str().unwrap()])
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(log.unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).expect("the engine did not start");
    let port = told["listening"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    (process, format!("http://127.0.0.1:{port}"), told)
}

fn end(mut process: Child) {
    let id = process.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert!(process.wait().unwrap().success());
}

fn ask(address: &str, token_file: Option<&Path>, verb: &[&str]) -> (i32, String) {
    let file = token_file.map(|path| format!("--token-file={}", path.display()));
    let flags: Vec<&str> =
        ["--json", "--address", address].into_iter().chain(file.as_deref()).collect();
    let output = ordinal(&[&flags[..], verb].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), error)
}

#[test]
fn an_engine_off_loopback_without_tokens_draws_them_once() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let [ops, service] = ["ops.token", "service.token"].map(|name| data.join(name));
    let (process, address, told) = serve(&data);
    assert_eq!(told["tokens"], data.join("tokens.toml").to_str().unwrap());
    assert_eq!(ask(&address, Some(&ops), &["stock", "set", "MUG", "5"]).0, 0);
    assert_eq!(ask(&address, Some(&service), &["stock", "get", "MUG"]).0, 0);
    let (code, error) = ask(&address, Some(&service), &["followers"]);
    assert!(code == 1 && error.contains("FORBIDDEN"), "{error}");
    let (code, error) = ask(&address, None, &["stock", "get", "MUG"]);
    assert!(code == 1 && error.contains("UNAUTHENTICATED"), "{error}");
    assert_eq!(ask(&address, None, &["health"]).0, 0);
    let (code, error) = ask(&address, Some(Path::new("/nonexistent")), &["followers"]);
    assert!(code == 2 && error.contains("/nonexistent"), "{error}");
    end(process);

    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let drawn = [&ops, &service].map(|path| read(path));
    for token in &drawn {
        assert!(token.trim().len() == 64 && drawn[0] != drawn[1]);
    }
    let (process, address, _) = serve(&data);
    assert_eq!([&ops, &service].map(|path| read(path)), drawn, "drawn again");
    assert_eq!(ask(&address, Some(&ops), &["stock", "get", "MUG"]).0, 0);
    end(process);

    // Nobody else can read them, and nothing shows them, logs at trace included.
    for file in ["ops.token", "service.token", "tokens.toml"] {
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let shown =
        [read(&data.with_extension("log")), read(&data.join("tokens.toml")), told.to_string()];
    for token in &drawn {
        assert!(shown.iter().all(|text| !text.contains(token.trim())));
    }
}

#[test]
fn an_engine_without_a_directory_requires_tokens() {
    let flags =
        ["serve", "--listen", OFF_LOOPBACK, "--database-url", "postgres://nobody@127.0.0.1:1/x"];
    let output = ordinal(&flags);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("without --tokens"), "{error}");
}

#[test]
fn a_file_of_token_hashes_is_accepted_and_an_invalid_one_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokens.toml");
    let token = "a-token-of-a-test-of-enough-characters";
    let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = |hash: &str, role: &str, subject: &str| {
        format!("[[hashes]]\nsha256 = \"{hash}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
    };
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(&line(&hash, "OPS", "anna"));
    let data = folder.path().join("data");
    let flags = ["--data", data.to_str().unwrap(), "--tokens", path.to_str().unwrap()];
    let engine = crate::support::Engine::start_with(&flags);
    engine.ask(&["--token", token, "followers"]);
    let refused = engine.refused(1, &["--token", &hash, "followers"]);
    assert_eq!(refused["reason"], "UNAUTHENTICATED");
    assert!(engine.stop().success());
    for wrong in [
        line(&hash[1..], "OPS", "anna"),
        line(&"x".repeat(64), "OPS", "anna"),
        line(&hash, "ENGINE", "anna"),
        line(&hash, "OPS", " "),
        line(&hash, "CUSTOMER", "anna"),
        [line(&hash, "OPS", "anna"), line(&hash, "SERVICE", "shop")].concat(),
        String::new(),
    ] {
        write(&wrong);
        let output = ordinal(&[&["serve", "--listen", "127.0.0.1:0"], &flags[..]].concat());
        assert!(!output.status.success(), "{wrong}");
    }
}
