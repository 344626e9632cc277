//! A real browser: the page of the routes, and pages of others.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::Engine;

/// The browser in a directory of its own, which resolves no name: only addresses are reached.
fn chromium(profile: &Path) -> Command {
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    chromium.args(["--disable-background-networking", "--disable-component-update"]);
    chromium.args(["--no-first-run", "--enable-logging=stderr", "--virtual-time-budget=20000"]);
    chromium.arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
    chromium.arg(format!("--user-data-dir={}", profile.display()));
    chromium
}

/// What a page has become, and what the browser told about it.
fn show(profile: &Path, address: &str) -> (String, String) {
    let output: Output = chromium(profile).args(["--dump-dom", address]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The page shows every group of routes, and reports no breach of its policy, which lets it ask for
/// nothing elsewhere.
#[test]
fn a_browser_shows_swagger_ui_without_asking_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(&directory.path().join("data"));
    let address = format!("{}/docs", engine.address);
    let (page, told) = show(&directory.path().join("browser"), &address);
    let routes = page.matches("opblock-summary-path").count();
    assert!(routes > 60, "{routes} routes are shown: {page} {told}");
    for shown in ["Places an order", "data-path=\"/v1/orders/{order_id}:cancel\"", "Inventory"] {
        assert!(page.contains(shown), "{shown} is not shown: {told}");
    }
    for breach in ["Content Security Policy", "Refused to", "Uncaught"] {
        assert!(!told.contains(breach), "{told}");
    }
    if let Some(picture) = std::env::var_os("ORDINAL_WRITE_PICTURE") {
        let mut photograph = chromium(&directory.path().join("camera"));
        photograph.args(["--hide-scrollbars", "--window-size=1200,900"]);
        photograph.arg(format!("--screenshot={}", PathBuf::from(picture).display()));
        assert!(photograph.arg(&address).output().unwrap().status.success());
    }
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/swagger-ui.png");
    assert!(fs::read(picture).unwrap().starts_with(b"\x89PNG"));
}

/// What a page of somebody else tries: an order by a form's types of content, one with JSON, and
/// reading the list.
const PAGE: &str = r#"<!doctype html><title>evil</title><pre id="said"></pre><script>
const order = JSON.stringify({
  customer_id: "018f6f3e-0000-7000-8000-000000000001",
  lines: [{sku: "MUG", quantity: 1, unit_price: {currency_code: "GBP", units: "1"}}],
  address: {street: "1 High Street", city: "London", postal_code: "EC1A 1BB", country: "GB"},
});
const said = [];
const tries = [
  {method: "POST", body: order, mode: "no-cors", headers: {"content-type": "text/plain"}},
  {method: "POST", body: order, mode: "no-cors"},
  {method: "POST", body: order, headers: {"content-type": "application/json"}},
  {},
  {headers: {"ordinal-role": "ops"}},
];
(async () => {
  for (const one of tries) {
    try {
      const answer = await fetch("ENGINE/v1/orders", one);
      said.push(answer.type === "opaque" ? "opaque" : "read " + await answer.text());
    } catch { said.push("refused"); }
  }
  document.getElementById("said").textContent = "said: " + said.join(", ");
})();
</script>"#;

/// A page that this machine serves under another origin.
fn serve(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{page}", page.len());
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_page_of_another_origin_reads_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(&directory.path().join("data"));
    engine.ask(&["stock", "set", "MUG", "100"]);
    let address = serve(PAGE.replace("ENGINE", &engine.address));
    let (page, told) = show(&directory.path().join("browser"), &address);
    let said = page.split("said: ").nth(1).unwrap_or_else(|| panic!("{page} {told}"));
    let said = said.split('<').next().unwrap();
    assert_eq!(said, "opaque, opaque, refused, refused, refused", "{told}");
    let orders = engine.ask(&["order", "list"]);
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(0), "{orders}");
}
