//! Webhook calls conform to Standard Webhooks: its libraries verify them, run by the code in
//! `docs/webhooks.md`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use notification::ledger::{Entry, State};
use notification::{Channel, Webhook, WebhookSecret, WebhookSecretError};
use shared_events::contract::{Fact, Timestamp};
use shared_events::stream::Dialect;

use crate::delivery::receiver;
use crate::support::{Bench, PATIENCE, free_port, hook, placed, secret};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/webhooks.md");
    std::fs::read_to_string(path).unwrap()
}

/// The first block of this language in the document.
fn block(language: &str) -> String {
    let document = document();
    let (_, rest) = document.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

fn tool(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} names what webhooks are verified with; scripts/test installs it")
    })
}

/// A program in one of the document's languages.
fn program(language: &str, code: &str) -> Command {
    match language {
        "python" => {
            let mut program = Command::new(tool("ORDINAL_TEST_PYTHON"));
            program.args(["-u", "-c", code]);
            program
        }
        "typescript" => {
            let mut program = Command::new("node");
            program.arg(compiled(code));
            program
        }
        _ => {
            let mut program = Command::new("node");
            program.args(["-e", code]).env("NODE_PATH", tool("ORDINAL_TEST_NODE_MODULES"));
            program
        }
    }
}

/// A TypeScript program, compiled strictly in a directory that stays until the tests are over.
fn compiled(code: &str) -> PathBuf {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let (folder, compiler) = (FOLDER.path(), PathBuf::from(tool("ORDINAL_TEST_TYPESCRIPT")));
    let (compiler, library) =
        (compiler.join("node_modules"), PathBuf::from(tool("ORDINAL_TEST_NODE_MODULES")));
    let modules = folder.join("node_modules");
    std::fs::create_dir_all(&modules).unwrap();
    symlink(compiler.join("@types"), modules.join("@types")).unwrap();
    symlink(library.join("standardwebhooks"), modules.join("standardwebhooks")).unwrap();
    std::fs::write(folder.join("package.json"), "{\"type\": \"module\"}").unwrap();
    std::fs::write(folder.join("receiver.ts"), code).unwrap();
    let output = Command::new(compiler.join(".bin/tsc"))
        .args(["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"])
        .arg("receiver.ts")
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    folder.join("receiver.js")
}

/// The receiver of the document, with its secret.
struct Receiver {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Receiver {
    async fn start(language: &str, secret: &str) -> Self {
        let port = free_port();
        let mut process = program(language, &block(language))
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let listens = tokio::time::timeout(PATIENCE, async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        listens.await.expect("the receiver listens");
        Self { process, output, url: format!("http://127.0.0.1:{port}/hook") }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The real time: the libraries refuse calls older than five minutes.
#[expect(clippy::disallowed_methods, reason = "a library of others reads the machine's clock")]
fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(0).plus(now)
}

fn ended(state: State) -> impl Fn(&[Entry]) -> bool {
    move |entries| {
        let mut hooks = entries.iter().filter(|entry| entry.channel == Channel::Webhook);
        hooks.all(|entry| entry.state == state)
    }
}

async fn called(webhook: Webhook, fact: &Fact) -> Bench {
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.webhooks = vec![webhook]).await;
    *bench.clock.lock().unwrap() = now();
    bench.follow(std::slice::from_ref(fact)).await;
    bench.deliver();
    bench
}

async fn the_documented_receiver_accepts_our_calls(language: &str) {
    let ((text, new), (_, other), (_, old)) = (secret(1), secret(2), secret(3));
    let fact = placed(42);
    let mut receiver = Receiver::start(language, &text).await;
    let url = receiver.url.clone();
    let webhook = |secrets: Vec<WebhookSecret>| Webhook { secrets, ..hook(url.clone()) };
    // During a rotation both secrets sign, and the receiver may have either.
    for secrets in [vec![new.clone()], vec![old.clone(), new.clone()], vec![new, old]] {
        let bench = called(webhook(secrets), &fact).await;
        bench.until(ended(State::Delivered)).await;
        bench.stop().await;
        let printed = format!("order.created.v1 of {}, position 42", fact.subject);
        assert_eq!(receiver.line(), printed);
    }
    // A call signed with another secret is refused.
    let bench = called(webhook(vec![other]), &fact).await;
    bench.until(ended(State::Failed)).await;
    let entries = bench.entries().await;
    assert!(entries.iter().any(|entry| entry.last_error == "webhook: answered 401"), "{entries:?}");
    bench.stop().await;
    assert_eq!(receiver.line(), "refused: No matching signature found");
    // The document shows these lines.
    let shown = document();
    for line in ["order.created.v1 of ", ", position 42", "refused: No matching signature found"] {
        assert!(shown.contains(line), "{line}");
    }
}

#[tokio::test]
async fn the_documented_python_receiver_accepts_our_calls() {
    the_documented_receiver_accepts_our_calls("python").await;
}

#[tokio::test]
async fn the_documented_typescript_receiver_accepts_our_calls() {
    the_documented_receiver_accepts_our_calls("typescript").await;
}

const CHECK_PYTHON: &str = r#"
import json, sys
from standardwebhooks import Webhook
for line in sys.stdin:
    case = json.loads(line)
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("yes", flush=True)
    except Exception as error:
        print(error, flush=True)
"#;

const CHECK_JAVASCRIPT: &str = r#"
const { Webhook } = require("standardwebhooks");
require("readline").createInterface({ input: process.stdin }).on("line", line => {
    const { secret, body, headers } = JSON.parse(line);
    try {
        new Webhook(secret).verify(body, headers);
        console.log("yes");
    } catch (error) {
        console.log(error.message);
    }
});
"#;

/// Each library verifies a call as sent, and with each of its parts altered.
#[tokio::test]
async fn the_libraries_accept_a_call_and_refuse_altered_ones() {
    let (url, mut received) = receiver(vec![204]).await;
    let ((text, ours), (wrong, _)) = (secret(1), secret(2));
    let bench = called(Webhook { secrets: vec![ours], ..hook(url) }, &placed(1)).await;
    let request = received.recv().await.unwrap();
    bench.stop().await;
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let headers: serde_json::Map<String, serde_json::Value> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let call = serde_json::json!({ "secret": text, "body": body, "headers": headers });
    let with = |pointer: &str, value: serde_json::Value| {
        let mut case = call.clone();
        *case.pointer_mut(pointer).unwrap() = value;
        case
    };
    let late = now().micros() / 1_000_000 - 400;
    let cases = [
        (call.clone(), true),
        (with("/secret", wrong.into()), false),
        (with("/body", body.replace("1530", "1531").into()), false),
        (with("/headers/webhook-id", uuid::Uuid::nil().to_string().into()), false),
        (with("/headers/webhook-timestamp", (late + 390).to_string().into()), false),
        (with("/headers/webhook-timestamp", late.to_string().into()), false),
        (with("/headers/webhook-signature", "v1,AAAA".into()), false),
    ];
    for (language, code) in [("python", CHECK_PYTHON), ("javascript", CHECK_JAVASCRIPT)] {
        let mut process =
            program(language, code).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        for (case, _) in &cases {
            writeln!(input, "{case}").unwrap();
        }
        drop(input);
        let output = process.wait_with_output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let verified: Vec<bool> = output.lines().map(|line| line == "yes").collect();
        let expected: Vec<bool> = cases.iter().map(|(_, known)| *known).collect();
        assert_eq!(verified, expected, "{language}: {output}");
    }
}

#[test]
fn only_secrets_that_the_libraries_read_are_accepted() {
    let encode = |length: usize| {
        let key = vec![9; length];
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
        format!("whsec_{text}")
    };
    for length in [24, 32, 64] {
        let secret: WebhookSecret = encode(length).parse().unwrap();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
    }
    for (wrong, error) in [
        ("webhook-secret-0123456789".to_owned(), WebhookSecretError::Prefix),
        (String::new(), WebhookSecretError::Prefix),
        ("whsk_AAAA".to_owned(), WebhookSecretError::Prefix),
        ("whsec_not base64".to_owned(), WebhookSecretError::Base64),
        (encode(32).replace('=', ""), WebhookSecretError::Base64),
        ("whsec_".to_owned(), WebhookSecretError::Length(0)),
        (encode(23), WebhookSecretError::Length(23)),
        (encode(65), WebhookSecretError::Length(65)),
    ] {
        let refused = wrong.parse::<WebhookSecret>().unwrap_err();
        assert_eq!(refused, error, "{wrong}");
        let shown = refused.to_string();
        assert!(wrong.is_empty() || !shown.contains(&wrong), "{shown}");
    }
}
