//! A real browser: the page of the routes, and pages of others.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Engine, PATIENCE};

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
    serve_at(TcpListener::bind("127.0.0.1:0").unwrap(), page)
}

fn serve_at(listener: TcpListener, page: String) -> String {
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

/// What a page has said by `said: `.
fn said(page: &str, told: &str) -> String {
    let said = page.split("said: ").nth(1).unwrap_or_else(|| panic!("{page} {told}"));
    said.split('<').next().unwrap().to_owned()
}

/// What a shop's page does from its own origin, by every way of calling.
const SHOP: &str = r#"<!doctype html><title>shop</title><pre id="said"></pre><script>
const engine = "ENGINE", order = {
  customer_id: "018f6f3e-0000-7000-8000-000000000001",
  lines: [{sku: "MUG", quantity: 1, unit_price: {currency_code: "GBP", units: "1"}}],
  address: {street: "1 High Street", city: "London", postal_code: "EC1A 1BB", country: "GB"},
};
const json = {"content-type": "application/json", "idempotency-key": "a basket"};
const place = () => fetch(engine + "/v1/orders",
  {method: "POST", headers: json, body: JSON.stringify(order)});
// A source that is refused says nothing else.
const first = (source, event) => new Promise((done) => {
  source["on" + event] = done; source.onerror = () => done({data: "refused"});
});
const ways = {
  placed: async () => {
    const [one, two] = [await place(), await place()];
    return [one.status, one.headers.get("location").length, two.headers.get("ordinal-replayed")];
  },
  etag: async () => {
    let orders = [];
    // The list follows the journal.
    for (let times = 0; times < 5000 && !orders.length; times++) {
      orders = (await (await fetch(engine + "/v1/orders")).json()).orders ?? [];
    }
    const id = orders[0].order_id;
    return (await fetch(engine + "/v1/orders/" + id)).headers.get("etag") !== null;
  },
  problem: async () => {
    const answer = await fetch(engine + "/v1/orders/x", {headers: {authorization: "Bearer x"}});
    return [answer.status, (await answer.json()).code];
  },
  unread: async () => (await fetch(engine + "/v1/orders", {method: "POST", body: "x"})).status,
  grpc_web: async () => {
    const headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"};
    const path = "/ordinal.orders.v1.OrderService/GetOrder";
    const body = new Uint8Array([0, 0, 0, 0, 0]);
    const answer = await fetch(engine + path, {method: "POST", headers, body});
    return [answer.status, /grpc-status: ?3/.test(await answer.text())];
  },
  events: async () => {
    const source = new EventSource(engine + "/v1/orders:watch");
    const opened = await first(source, "open");
    source.close();
    return opened.type ?? opened.data;
  },
  socket: async () => {
    const socket = new WebSocket(engine.replace("http", "ws") + "/v1/live", "ordinal.live.v1");
    socket.onopen = () => socket.send(JSON.stringify({id: "a", watch: {}}));
    let data;
    first(socket, "message").then((message) => { data = message.data; });
    // A browser without a head waits for calls, and not for sockets.
    for (let times = 0; times < 5000 && data === undefined; times++) {
      await fetch(engine + "/v1/problems/NOT_FOUND").catch(() => {});
    }
    socket.close();
    return data === "refused" ? data : Object.keys(JSON.parse(data));
  },
  // G16: more than the six connections that a browser has to a place, and calls beside them.
  tabs: async () => {
    const live = new Set(), url = engine.replace("http", "ws") + "/v1/live";
    let failed = false;
    const sockets = Array.from({length: 8}, () => new WebSocket(url, "ordinal.live.v1"));
    sockets.forEach((socket, tab) => {
      socket.onopen = () => socket.send(JSON.stringify({id: "a", watch: {}}));
      socket.onmessage = () => live.add(tab);
      socket.onerror = () => { failed = true; };
    });
    for (let times = 0; times < 5000 && live.size < 8 && !failed; times++) {
      await fetch(engine + "/v1/problems/NOT_FOUND").catch(() => {});
    }
    sockets.forEach((socket) => socket.close());
    return live.size || "refused";
  },
  cookies: async () => (await fetch(engine + "/v1/orders", {credentials: "include"})).status,
};
(async () => {
  const said = {};
  for (const [name, way] of Object.entries(ways)) {
    try { said[name] = await way(); } catch { said[name] = "refused"; }
  }
  document.getElementById("said").textContent = "said: " + JSON.stringify(said);
})();
</script>"#;

#[test]
fn a_page_of_a_permitted_origin_calls_in_every_way() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let data = directory.path().join("data").display().to_string();
    let engine = Engine::start_with(&["--data", &data, "--cors-origin", &origin]);
    engine.ask(&["stock", "set", "MUG", "100"]);
    let page = SHOP.replace("ENGINE", &engine.address);
    let shop = serve_at(listener, page.clone());
    let (shown, told) = show(&directory.path().join("browser"), &shop);
    let said_by_shop: Value = serde_json::from_str(&said(&shown, &told)).unwrap();
    assert_eq!(
        said_by_shop,
        json!({
            "placed": [201, 47, "true"],
            "etag": true,
            "problem": [400, "INVALID_FIELD"],
            "unread": 415,
            "grpc_web": [200, true],
            "events": "open",
            "socket": ["id", "progress", "cursor"],
            "tabs": 8,
            "cookies": "refused",
        }),
        "{told}"
    );
    // The same page from another origin.
    let (shown, told) = show(&directory.path().join("other"), &serve(page));
    let said_by_other: Value = serde_json::from_str(&said(&shown, &told)).unwrap();
    let said_by_other = said_by_other.as_object().unwrap();
    assert!(said_by_other.values().all(|said| said == "refused"), "{said_by_other:?}");
    let patience = Instant::now() + PATIENCE;
    // The list follows the journal, and has one order.
    let orders = loop {
        let orders = engine.ask(&["order", "list"]);
        if orders["orders"] != json!([]) {
            break orders;
        }
        assert!(Instant::now() < patience, "nothing is listed");
    };
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(1), "{orders}");
}

#[test]
fn a_page_of_another_origin_reads_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(&directory.path().join("data"));
    engine.ask(&["stock", "set", "MUG", "100"]);
    let address = serve(PAGE.replace("ENGINE", &engine.address));
    let (page, told) = show(&directory.path().join("browser"), &address);
    let said = said(&page, &told);
    assert_eq!(said, "opaque, opaque, refused, refused, refused", "{told}");
    let orders = engine.ask(&["order", "list"]);
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(0), "{orders}");
}
