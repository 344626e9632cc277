//! The OpenAPI document: made from the protos, served with Swagger UI, and used by the tools that
//! read such documents.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Engine;

const SHOP: &str = "examples/clients/rest";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn tool(variable: &str) -> PathBuf {
    let path = std::env::var(variable);
    PathBuf::from(path.unwrap_or_else(|_| panic!("{variable} is not set; scripts/test does")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a program prints that must succeed.
fn output_of(command: &mut Command) -> String {
    let output = run(command);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{command:?}: {printed}{}", text(&output.stderr));
    printed
}

fn engine() -> (TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(&directory.path().join("data"));
    (directory, engine)
}

/// The document is made from the protos. `ORDINAL_WRITE_GOLDEN=1` rewrites it.
#[test]
fn the_openapi_document_matches_the_protos() {
    let file = root().join("docs/openapi.json");
    let made = ordinal::verbs::openapi::document().unwrap();
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept == made, "docs/openapi.json differs; ORDINAL_WRITE_GOLDEN=1 writes it anew");
}

#[test]
fn the_document_passes_the_linter() {
    let redocly = tool("ORDINAL_TEST_OPENAPI").join("node_modules/.bin/redocly");
    let directory = tempfile::tempdir().unwrap();
    let mut lint = Command::new(redocly);
    lint.args(["lint", "--extends", "recommended", "--format", "json"]);
    lint.arg(root().join("docs/openapi.json")).current_dir(directory.path());
    lint.envs([("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")]);
    let printed = output_of(&mut lint);
    let found: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"));
    assert_eq!(found["totals"]["errors"], 0, "{printed}");
}

/// A shop in TypeScript with types from the document: it places, watches and cancels an order.
#[test]
fn a_shop_with_types_from_the_document_trades() {
    let (directory, engine) = engine();
    let shop = directory.path().join("shop");
    fs::create_dir(&shop).unwrap();
    for file in ["package.json", "tsconfig.json", "shop.ts"] {
        fs::copy(root().join(SHOP).join(file), shop.join(file)).unwrap();
    }
    let modules = tool("ORDINAL_TEST_REST").join("node_modules");
    symlink(&modules, shop.join("node_modules")).unwrap();
    let program = |name: &str| {
        let mut command = Command::new(modules.join(".bin").join(name));
        command.current_dir(&shop);
        command
    };
    let document = root().join("docs/openapi.json");
    output_of(program("openapi-typescript").arg(document).args(["--output", "gen/ordinal.ts"]));
    output_of(&mut program("tsc"));
    let mut node = Command::new("node");
    node.args(["build/shop.js", &engine.address]).current_dir(&shop);
    let readme = fs::read_to_string(root().join("examples/clients/README.md")).unwrap();
    let shown = readme.split_once("```text\nstock: 100\n").expect("the README shows the output").1;
    let shown = format!("stock: 100\n{}", shown.split_once("```").unwrap().0);
    assert_eq!(output_of(&mut node), shown);
}

/// What schemathesis compares with every answer. Requests that the document forbids may be accepted:
/// numbers for texts of 64 bits, and names in lower camel case, as protobuf's JSON has them.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

/// Requests made from the document, also malformed ones: every answer is one that it allows.
/// Streams are left out, because they do not end; so is a rebuild, which waits for other readers.
#[test]
fn requests_made_from_the_document_get_answers_that_it_allows() {
    let (directory, engine) = engine();
    engine.ask(&["stock", "set", "MUG", "100"]);
    let order = engine.place(&["MUG=2@4.50GBP"])["order"]["order_id"].take();
    engine.until(order.as_str().unwrap(), "CONFIRMED");
    let program = tool("ORDINAL_TEST_PYTHON").with_file_name("schemathesis");
    let mut schemathesis = Command::new(program);
    schemathesis.arg("run").arg(root().join("docs/openapi.json"));
    schemathesis.args(["--url", &engine.address, "--checks", CHECKS]);
    schemathesis.args(["--phases", "examples,coverage", "--max-time", "55"]);
    schemathesis.args(["--exclude-path-regex", "(:watch|:batch|/v1/events|/v1/facts)$"]);
    schemathesis.args(["--exclude-operation-id", "RebuildReadModel", "--no-color"]);
    schemathesis.args(["--generation-deterministic", "--request-timeout", "30"]);
    schemathesis.args(["--warnings", "off"]).current_dir(directory.path());
    let printed = output_of(&mut schemathesis);
    assert!(printed.contains("No issues found"), "{printed}");
    // The engine is as well as before.
    let kept = engine.ask(&["order", "get", order.as_str().unwrap()])["order"].take();
    assert_eq!(kept["order_id"], order);
}

/// The head and the body of an answer.
fn answer(engine: &Engine, method: &str, path: &str, headers: &[&str]) -> (String, Vec<u8>) {
    let host = engine.address.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for header in headers {
        request.push_str(&format!("{header}\r\n"));
    }
    connection.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let mut all = Vec::new();
    connection.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (text(&all[..end]).to_lowercase(), all[end + 4..].to_vec())
}

#[test]
fn the_document_and_its_page_are_served() {
    let (_directory, engine) = engine();
    let (head, body) = answer(&engine, "GET", "/v1/openapi.json", &[]);
    assert!(head.starts_with("http/1.1 200") && head.contains("application/json"), "{head}");
    assert_eq!(body, fs::read(root().join("docs/openapi.json")).unwrap());
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let known = format!("if-none-match: {etag}");
    let (head, body) = answer(&engine, "GET", "/v1/openapi.json", &[&known]);
    assert!(head.starts_with("http/1.1 304") && body.is_empty(), "{head}");
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/docs/start.js", "text/javascript"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/swagger-ui.css", "text/css"),
    ] {
        let (head, body) = answer(&engine, "GET", path, &[]);
        assert!(head.starts_with("http/1.1 200") && head.contains(kind), "{path}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
        assert!(!body.is_empty(), "{path}");
        let (head, body) = answer(&engine, "HEAD", path, &[]);
        assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{path}: {head}");
    }
    for (method, path) in [("POST", "/docs"), ("GET", "/docs/other.js"), ("GET", "/docs/")] {
        let (head, _) = answer(&engine, method, path, &["content-length: 0"]);
        assert!(head.starts_with("http/1.1 404"), "{method} {path}: {head}");
    }
    // As for every other path: a name that somebody else chose for this machine gets nothing.
    let (head, _) = answer(&engine, "GET", "/docs", &["origin: https://evil.example"]);
    assert!(head.starts_with("http/1.1 403"), "{head}");
}
