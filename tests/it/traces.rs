//! An order is one trace, from the call to the mail, as a collector receives it; and a collector
//! that hangs or is away harms nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use shared_events::chance::Chance;
use tempfile::TempDir;
use uuid::Uuid;

use crate::book::root;
use crate::collector::{Collector, Seen, drawn};
use crate::health::{logged, until_health};
use crate::http::Http;
use crate::limits::NO_ORDER;
use crate::logs::lines;
use crate::metrics::page_of;
use crate::nodes::{databases, node};
use crate::overload::token;
use crate::support::{CUSTOMER, Engine, PATIENCE, RedisServer, free_port, write_private};
use crate::wire::{Wire, framed, reason, status, within};

pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const MAIL: &str = "send mail";

/// The header of a caller who records this trace.
pub fn traceparent(trace: &str, sampled: bool) -> String {
    format!("00-{trace}-{CALLER}-0{}", u8::from(sampled))
}

pub fn order(order_id: Uuid) -> Value {
    json!({
        "order_id": order_id,
        "customer_id": CUSTOMER,
        "lines": [{
            "sku": "MUG", "quantity": 1, "unit_price": { "currency_code": "GBP", "units": "4" },
        }],
        "address": {
            "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB", "country": "GB",
        },
        "contact": { "email": "customer@example.com" },
    })
}

/// Places an order by HTTP in this trace, if any; returns its id.
pub async fn place(engine: &Engine, trace: Option<&str>) -> String {
    let headers: Vec<(&str, &str)> = trace.map(|it| ("traceparent", it)).into_iter().collect();
    place_with(engine, &headers).await
}

/// The same with these headers.
pub async fn place_with(engine: &Engine, headers: &[(&str, &str)]) -> String {
    let order_id = Uuid::now_v7();
    let mut http = Http::connect(&engine.address).await;
    let placed = http.json("POST /v1/orders", headers, &order(order_id)).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    order_id.to_string()
}

fn started(flags: &[&str]) -> (Engine, TempDir) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let engine = Engine::start_with(&[&["--data", &data], flags].concat());
    engine.ask(&["stock", "set", "MUG", "1000"]);
    (engine, folder)
}

/// The same, with a file that says by how many seconds its clock is ahead.
fn started_with_clock(collector: &Collector) -> (Engine, [TempDir; 2], PathBuf) {
    let folder = TempDir::new().unwrap();
    let clock = folder.path().join("offset");
    fs::write(&clock, "0").unwrap();
    let (url, offset) = (collector.url(), clock.display().to_string());
    let flags = ["--otlp-endpoint", &url, "--clock-offset-file", &offset];
    let (engine, data) = started(&flags);
    (engine, [folder, data], clock)
}

/// The spans of a trace whose order was confirmed by mail, once they are all here.
fn mailed(collector: &Collector, trace: &str) -> Vec<Seen> {
    let of_trace = |seen: &[Seen]| -> Vec<Seen> {
        seen.iter().filter(|it| it.trace == trace).cloned().collect()
    };
    let is_whole = |seen: &[Seen]| {
        let seen = of_trace(seen);
        let is_known = |id: &str| id == CALLER || seen.iter().any(|it| it.span == id);
        let ended = |name: &str| seen.iter().filter(|it| it.name == name).count();
        let processed = ended("process order.created.v1") + ended("process order.confirmed.v1");
        ended(MAIL) == 2
            && processed >= 4
            && [0, 2].contains(&ended("send webhook"))
            && seen.iter().any(|it| it.name == "order Confirm")
            && seen.iter().all(|it| is_known(&it.parent))
    };
    of_trace(&collector.until(is_whole))
}

/// The only span of this name.
fn one<'a>(spans: &'a [Seen], name: &str, follower: Option<&str>) -> &'a Seen {
    let of = |span: &&Seen| {
        let by = span.attributes.get("ordinal.follower").map(String::as_str);
        span.name == name && follower.is_none_or(|follower| by == Some(follower))
    };
    let found: Vec<&Seen> = spans.iter().filter(of).collect();
    assert_eq!(found.len(), 1, "{name}:\n{}", drawn(spans));
    found[0]
}

/// Checks that each of these was caused by the one before it.
fn assert_follow(spans: &[Seen], names: &[(&str, Option<&str>)]) {
    let mut before = one(spans, names[0].0, names[0].1);
    for (name, follower) in &names[1..] {
        let caused: Vec<Seen> =
            spans.iter().filter(|it| it.parent == before.span).cloned().collect();
        let next = one(&caused, name, *follower).span.clone();
        let next = spans.iter().find(|it| it.span == next).unwrap();
        assert!(before.began <= next.began && next.began <= next.ended, "{next:#?}");
        before = next;
    }
}

/// What one order is, from the call to the mail: each was caused by the one before it.
const PATH: [(&str, Option<&str>); 7] = [
    ("ordinal.orders.v1.OrderService/PlaceOrder", None),
    ("order Place", None),
    ("process order.created.v1", Some("stock")),
    ("process inventory.reserved.v1", Some("stock-answers")),
    ("order Confirm", None),
    ("process order.confirmed.v1", Some("notifications")),
    ("send mail", None),
];

/// Takes one webhook call; its head is what is received.
fn webhook() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heads) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).unwrap() > 0 {}
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
            let _ = sender.send(head);
        }
    });
    (url, heads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_one_trace_from_the_call_to_the_mail() {
    let collector = Collector::start();
    let (url, calls) = webhook();
    let secret = TempDir::new().unwrap();
    let secret = secret.path().join("secret");
    write_private(&secret, "whsec_bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2VyLTEyMw==");
    let (collector_url, secret) = (collector.url(), secret.to_str().unwrap());
    let (engine, folder) = started(&[
        "--otlp-endpoint",
        &collector_url,
        "--webhook-url",
        &url,
        "--webhook-secret-file",
        secret,
    ]);
    let order_id = place(&engine, Some(&traceparent(TRACE, true))).await;
    engine.until(&order_id, "CONFIRMED");
    let spans = mailed(&collector, TRACE);
    assert_follow(&spans, &PATH);
    let server = one(&spans, PATH[0].0, None);
    assert_eq!((server.parent.as_str(), server.service.as_str()), (CALLER, "ordinal"));
    let placing = one(&spans, "order Place", None);
    assert_eq!(placing.parent, server.span);
    let known = ["ordinal.order_id", "ordinal.outcome", "ordinal.version", "ordinal.position"];
    let told = known.map(|name| placing.attributes[name].as_str());
    assert_eq!(told, [order_id.as_str(), "DONE", "1", "1"]);
    // The batch has a trace of its own, which is linked to those who waited for it.
    let append = spans.iter().find(|it| it.name == "append" && it.parent == placing.span).unwrap();
    let all = collector.seen();
    let batch = all.iter().filter(|it| it.name == "append shard");
    let linked = batch.filter(|it| it.links == [(TRACE.to_owned(), append.span.clone())]);
    assert!(linked.clone().all(|it| it.trace != TRACE && it.parent.is_empty()));
    assert_eq!(linked.count(), 1, "{all:#?}");
    // Who gets a mail or a webhook call learns of its span.
    let sent = |name: &str| -> Vec<String> {
        let spans = spans.iter().filter(|it| it.name == name);
        spans.map(|it| format!("traceparent: 00-{TRACE}-{}-01", it.span)).collect()
    };
    let mails = fs::read_dir(folder.path().join("data/mail")).unwrap();
    let mails: Vec<String> =
        mails.map(|mail| fs::read_to_string(mail.unwrap().path()).unwrap()).collect();
    let told = |header: &&String| mails.iter().any(|mail| mail.contains(header.as_str()));
    assert_eq!(sent(MAIL).iter().filter(told).count(), 2, "{mails:#?}");
    let call = calls.recv_timeout(PATIENCE).unwrap();
    assert!(sent("send webhook").iter().any(|header| call.contains(header)), "{call}");
    // An event names the span that made it: years later it still leads to its trace.
    let history = engine.ask(&["order", "history", &order_id]);
    let made = &history["events"][0]["traceparent"];
    assert_eq!(made, &json!(format!("00-{TRACE}-{}-01", placing.span)), "{history}");
    assert!(engine.stop().success());
}

/// The processes of a shop that are joined by Redis, with one in front of them.
struct Roles {
    edge: Engine,
    orders: Engine,
    stock: Engine,
    mail: Engine,
}

impl Roles {
    fn start(urls: [&str; 3], redis: &RedisServer, collector: &Collector, mails: &str) -> Self {
        let [orders, stock, mail] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let (redis, collector) = (redis.url(), collector.url());
        let both = ["--redis-url", &redis, "--otlp-endpoint", &collector];
        let start = |own: &[&str]| Engine::start_with(&[own, &both].concat());
        let at = [&orders, &stock, &mail].map(|address| format!("http://{address}"));
        let edge = Engine::start_with(&[
            "--role",
            "edge",
            "--orders-at",
            &at[0],
            "--inventory-at",
            &at[1],
            "--notifications-at",
            &at[2],
            "--otlp-endpoint",
            &collector,
        ]);
        Self {
            edge,
            orders: start(&[
                "--role",
                "orders",
                "--orders-database-url",
                urls[0],
                "--listen",
                &orders,
                "--inventory-at",
                &stock,
                "--notifications-at",
                &mail,
            ]),
            stock: start(&[
                "--role",
                "inventory",
                "--inventory-database-url",
                urls[1],
                "--listen",
                &stock,
                "--orders-at",
                &orders,
            ]),
            mail: start(&[
                "--role",
                "notifications",
                "--notifications-database-url",
                urls[2],
                "--listen",
                &mail,
                "--orders-at",
                &orders,
                "--mail-dir",
                mails,
            ]),
        }
    }
}

/// The page shows a trace as it arrives here. `ORDINAL_WRITE_GOLDEN=1` writes it anew.
#[test]
fn an_order_is_one_trace_over_processes_also_where_redis_is_emptied_in_between() {
    let (runtime, databases) = databases::<3>();
    let (mut redis, collector) = (RedisServer::start(), Collector::start());
    let urls = databases.each_ref().map(|database| database.url());
    let folder = TempDir::new().unwrap();
    let mails = folder.path().display().to_string();
    let shop = Roles::start(urls.each_ref().map(String::as_str), &redis, &collector, &mails);
    until_health(&shop.edge, true, "");
    shop.orders.ask(&["stock", "set", "MUG", "1000"]);
    let header = traceparent(TRACE, true);
    let first = runtime.block_on(place(&shop.edge, Some(&header)));
    shop.orders.until(&first, "CONFIRMED");
    // What the process in front did is above all the others did.
    let behind = |spans: Vec<Seen>| -> Vec<Seen> {
        let (edge, behind): (Vec<Seen>, Vec<Seen>) =
            spans.into_iter().partition(|it| it.service == "ordinal-edge");
        assert_eq!((edge.len(), edge[0].parent.as_str()), (1, CALLER), "{edge:#?}");
        assert_eq!(one(&behind, PATH[0].0, None).parent, edge[0].span);
        behind
    };
    let spans = behind(mailed(&collector, TRACE));
    assert_follow(&spans, &PATH);
    let services = |name: &str| one(&spans, name, None).service.clone();
    assert_eq!(services("order Place"), "ordinal-orders");
    assert_eq!(services("order Confirm"), "ordinal-orders");
    let stock = one(&spans, "process order.created.v1", Some("stock"));
    assert_eq!(stock.service, "ordinal-inventory");
    assert_on_the_page(&collector);
    // The fact is gone from Redis before stock and mail read it: they read it from the journal.
    let trace = TRACE.replace("0af", "1af");
    for follower in ["stock", "notifications"] {
        shop.orders.ask(&["follower", "pause", follower, "--reason", "a test"]);
    }
    let second = runtime.block_on(place(&shop.edge, Some(&traceparent(&trace, true))));
    redis.cli(&["FLUSHALL"]);
    redis.restart();
    for follower in ["stock", "notifications"] {
        shop.orders.ask(&["follower", "resume", follower]);
    }
    shop.orders.until(&second, "CONFIRMED");
    assert_follow(&behind(mailed(&collector, &trace)), &PATH);
    let Roles { edge, orders, stock, mail } = shop;
    assert!(
        edge.stop().success()
            && mail.stop().success()
            && stock.stop().success()
            && orders.stop().success()
    );
    for database in databases {
        runtime.block_on(database.drop());
    }
}

/// The last spans arrive after the mail: facts about mails that were sent.
fn assert_on_the_page(collector: &Collector) {
    let file = root().join("docs/tracing.md");
    let page = fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- trace -->\n\n```\n", "```\n\n<!-- end of trace -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (kept, after) = rest.split_once(end).unwrap();
    let of_trace = |seen: &[Seen]| -> Vec<Seen> {
        seen.iter().filter(|it| it.trace == TRACE).cloned().collect()
    };
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        std::thread::sleep(Duration::from_secs(3));
        let tree = drawn(&of_trace(&collector.seen()));
        fs::write(&file, [before, begin, &tree, end, after].concat()).unwrap();
        return;
    }
    collector.until(|seen| drawn(&of_trace(seen)) == kept);
}

/// T5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_one_append_have_traces_of_their_own_and_the_append_links_to_all() {
    const ORDERS: usize = 100;
    let collector = Collector::start();
    let (engine, _folder) = started(&["--otlp-endpoint", &collector.url()]);
    let traces: Vec<String> = (1..=ORDERS).map(|nth| format!("{nth:032x}")).collect();
    let placing = traces.iter().map(|trace| {
        let header = traceparent(trace, true);
        let engine = &engine;
        async move { place(engine, Some(&header)).await }
    });
    futures::future::join_all(placing).await;
    let of_placing = |seen: &[Seen]| -> Vec<Seen> {
        let placings = seen.iter().filter(|it| it.name == "order Place").collect::<Vec<_>>();
        let made = |it: &&Seen| placings.iter().any(|placing| placing.span == it.parent);
        seen.iter().filter(|it| it.name == "append").filter(made).cloned().collect()
    };
    let links = |seen: &[Seen]| -> Vec<Vec<(String, String)>> {
        let batches = seen.iter().filter(|it| it.name == "append shard");
        batches.map(|batch| batch.links.clone()).collect()
    };
    let seen = collector.until(|seen| {
        let linked = links(seen).concat();
        let appends = of_placing(seen);
        let all = appends.iter().all(|it| linked.contains(&(it.trace.clone(), it.span.clone())));
        appends.len() == ORDERS && all
    });
    let mut known: Vec<String> = of_placing(&seen).into_iter().map(|it| it.trace).collect();
    known.sort();
    assert_eq!(known, traces);
    let largest = links(&seen).into_iter().map(|links| links.len()).max().unwrap();
    assert!((2..=128).contains(&largest), "{largest}");
    assert!(engine.stop().success());
}

/// T6: and one that is read a day later is no part of it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_a_day_later_has_a_trace_of_its_own_with_a_link() {
    let collector = Collector::start();
    let (engine, _folders, clock) = started_with_clock(&collector);
    engine.ask(&["follower", "pause", "notifications", "--reason", "a test"]);
    let order_id = place(&engine, Some(&traceparent(TRACE, true))).await;
    engine.until(&order_id, "CONFIRMED");
    fs::write(&clock, (24 * 60 * 60).to_string()).unwrap();
    engine.ask(&["follower", "resume", "notifications"]);
    let name = "process order.confirmed.v1";
    let of_mail =
        |it: &Seen| it.name == name && it.attributes["ordinal.follower"] == "notifications";
    let seen = collector.until(|seen| seen.iter().any(of_mail));
    let late = seen.iter().find(|it| of_mail(it)).unwrap();
    assert!(late.trace != TRACE && late.parent.is_empty(), "{late:#?}");
    let confirming = seen.iter().find(|it| it.name == "order Confirm").unwrap();
    assert_eq!(late.links, [(TRACE.to_owned(), confirming.span.clone())]);
    assert!(engine.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_begins_a_trace_that_links_to_the_placing() {
    let collector = Collector::start();
    let flags = ["--without-stock", "--confirm-within", "1s", "--otlp-endpoint", &collector.url()];
    let (engine, _folder) = started(&flags);
    let order_id = place(&engine, Some(&traceparent(TRACE, true))).await;
    engine.until(&order_id, "CANCELLED");
    let seen = collector.until(|seen| seen.iter().any(|it| it.name == "order Lapse"));
    let kinds = |name: &str| one(&seen, name, None).kind;
    let server = "ordinal.orders.v1.OrderService/PlaceOrder";
    assert_eq!((kinds(server), kinds("order Lapse")), (SpanKind::Server, SpanKind::Internal));
    let (lapse, placing) = (one(&seen, "order Lapse", None), one(&seen, "order Place", None));
    assert!(lapse.trace != TRACE && lapse.parent.is_empty(), "{lapse:#?}");
    assert_eq!(lapse.links, [(TRACE.to_owned(), placing.span.clone())]);
    assert!(engine.stop().success());
}

/// A reminder to judge a return belongs to the return, and the end of an edit to the edit: the
/// placing is long past.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_links_to_what_set_it() {
    let collector = Collector::start();
    let (engine, _folders, clock) = started_with_clock(&collector);
    let order_id = place(&engine, Some(&traceparent(TRACE, true))).await;
    engine.until(&order_id, "CONFIRMED");
    let mut http = Http::connect(&engine.address).await;
    let reason = "a test";
    let edit = json!({
        "edit_id": Chance::system().uuid(), "reason": reason,
        "changes": [{ "line": 1, "quantity": 2 }],
    });
    let returned = json!({ "lines": [{ "line": 1, "quantity": 1 }], "reason": reason });
    let days = |days: u64| (days * 24 * 60 * 60).to_string();
    let of_order = format!("POST /v1/orders/{order_id}");
    let steps = [
        (":edit", edit, "EditOrder", "LapseEdit", days(1)),
        ("/returns", returned, "RequestReturn", "Escalate", days(9)),
    ];
    // Stock does not answer the edit.
    engine.ask(&["follower", "pause", "stock", "--reason", reason]);
    for (nth, (call, body, caused_by, by_timer, later)) in steps.iter().enumerate() {
        let call = format!("{of_order}{call}");
        if nth == 1 {
            engine.ask(&["order", "fulfill", &order_id]);
        }
        let trace = TRACE.replace("0af", &format!("{}af", nth + 3));
        let header = traceparent(&trace, true);
        let answer = http.json(&call, &[("traceparent", header.as_str())], body).await;
        assert!(answer.status < 300, "{answer:?}");
        fs::write(&clock, later).unwrap();
        let by_timer = format!("order {by_timer}");
        let seen = collector.until(|seen| seen.iter().any(|it| it.name == by_timer));
        let timed = one(&seen, &by_timer, None);
        let cause = one(&seen, &format!("order {caused_by}"), None);
        assert!(timed.trace != trace && timed.parent.is_empty(), "{timed:#?}");
        assert_eq!(timed.links, [(trace, cause.span.clone())]);
    }
    assert!(engine.stop().success());
}

/// Stock that is counted anew takes units away from orders that were promised them: in the trace of
/// whoever counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_a_count_cancels_is_in_its_trace_and_links_to_the_placing() {
    let collector = Collector::start();
    let (engine, _folder) = started(&["--otlp-endpoint", &collector.url()]);
    let order_id = place(&engine, Some(&traceparent(TRACE, true))).await;
    engine.until(&order_id, "CONFIRMED");
    let mut http = Http::connect(&engine.address).await;
    let counted = json!({ "on_hand": 0, "allow_shortage": true });
    let count = TRACE.replace("0af", "2af");
    let header = traceparent(&count, true);
    let headers = [("traceparent", header.as_str())];
    let answer = http.json("PUT /v1/stock/MUG", &headers, &counted).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    engine.until(&order_id, "CANCELLED");
    // What the cancellation causes is in its trace.
    let told = "process order.cancelled.v1";
    let seen = collector.until(|seen| {
        let names = [told, "order Cancel", "process inventory.rejected.v1"];
        names.iter().all(|name| seen.iter().any(|it| it.name == *name))
    });
    let (cancel, placing) = (one(&seen, "order Cancel", None), one(&seen, "order Place", None));
    assert_eq!(cancel.trace, count, "{cancel:#?}");
    assert_eq!(cancel.links, [(TRACE.to_owned(), placing.span.clone())]);
    let counting: Vec<Seen> = seen.iter().filter(|it| it.trace == count).cloned().collect();
    let caused = [
        ("ordinal.inventory.v1.InventoryService/SetStock", None),
        ("process inventory.rejected.v1", Some("stock-answers")),
        ("order Cancel", None),
    ];
    assert_follow(&counting, &caused);
    let told = seen.iter().filter(|it| it.name == told);
    assert!(told.clone().all(|it| it.parent == cancel.span), "{seen:#?}");
    assert!(engine.stop().success());
}

/// Goods that come days later are given to orders that wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_gets_units_has_a_trace_that_links_to_the_placing() {
    let collector = Collector::start();
    let (engine, _folder) = started(&["--otlp-endpoint", &collector.url()]);
    engine.ask(&["stock", "set", "MUG", "0"]);
    engine.ask(&["stock", "backorder", "MUG", "5", "--reason", "pre-sale"]);
    let order_id = place(&engine, Some(&traceparent(TRACE, true))).await;
    engine.until(&order_id, "CONFIRMED");
    engine.ask(&["stock", "set", "MUG", "5"]);
    let name = "order Allocate";
    let seen = collector.until(|seen| seen.iter().any(|it| it.name == name));
    let (allocate, placing) = (one(&seen, name, None), one(&seen, "order Place", None));
    assert!(allocate.trace != TRACE && allocate.parent.is_empty(), "{allocate:#?}");
    assert_eq!(allocate.links, [(TRACE.to_owned(), placing.span.clone())]);
    assert!(engine.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_decide_whether_their_traces_are_recorded_and_the_ratio_about_others() {
    let collector = Collector::start();
    let ratio = ["--trace-sample", "0", "--otlp-endpoint", &collector.url()];
    let (engine, _folder) = started(&ratio);
    let others = [traceparent(&TRACE.replace("0af", "2af"), false), "00-no-trace-01".to_owned()];
    let mut unrecorded = vec![place(&engine, None).await];
    for header in &others {
        unrecorded.push(place(&engine, Some(header)).await);
    }
    let recorded = place(&engine, Some(&traceparent(TRACE, true))).await;
    for order_id in unrecorded.iter().chain([&recorded]) {
        engine.until(order_id, "CONFIRMED");
    }
    let recorded = mailed(&collector, TRACE);
    // Whoever refuses to be recorded keeps his own trace in the history, as without spans.
    let kept = engine.ask(&["order", "history", &unrecorded[1]]);
    assert_eq!(kept["events"][0]["traceparent"], json!(others[0]), "{kept}");
    let none = engine.ask(&["order", "history", &unrecorded[0]]);
    assert!(none["events"][0].get("traceparent").is_none_or(|it| it == ""), "{none}");
    assert!(engine.stop().success());
    let of_batches = |it: &&Seen| it.trace != TRACE && it.name != "append shard";
    let seen = collector.seen();
    let further: Vec<&Seen> =
        seen.iter().filter(of_batches).filter(|it| !it.name.starts_with("receive ")).collect();
    assert!(further.is_empty() && !recorded.is_empty(), "{further:#?}");
}

/// The ratio is about commands of a stream whose caller has said nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_a_stream_that_is_not_to_be_recorded_have_no_span() {
    let collector = Collector::start();
    let (engine, _folder) = started(&["--trace-sample", "1", "--otlp-endpoint", &collector.url()]);
    let other = traceparent(&TRACE.replace("0af", "2af"), false);
    let ids = [Chance::system().uuid(), Chance::system().uuid()];
    for (header, id) in [(Some(&other), ids[0]), (None, ids[1])] {
        let line = json!({ "tag": 1, "place_order": order(id) }).to_string();
        let mut headers = vec![("content-type", "application/x-ndjson")];
        headers.extend(header.map(|header| ("traceparent", header.as_str())));
        let mut http = Http::connect(&engine.address).await;
        let answer = http.text("POST /v1/orders:batch", &headers, &line).await;
        assert!(answer.text.contains("\"done\""), "{answer:?}");
        engine.until(&id.to_string(), "CONFIRMED");
    }
    // Spans arrive in the order in which they end: with the second order those of the first.
    let confirmed = |seen: &[Seen]| seen.iter().any(|it| it.name == "order Confirm");
    let seen = collector.until(confirmed);
    let placed: Vec<&Seen> = seen.iter().filter(|it| it.name == "order Place").collect();
    assert_eq!(placed.len(), 1, "{placed:#?}");
    assert_eq!(placed[0].attributes["ordinal.order_id"], ids[1].to_string());
    let history = engine.ask(&["order", "history", &ids[0].to_string()]);
    let kept = history["events"][0]["traceparent"].as_str().unwrap_or_default();
    assert!(kept.ends_with("-00") && kept.contains(&other[3..35]), "{history}");
    assert!(engine.stop().success());
}

/// That a call is not recorded is said by the process that forwards it, and by nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_say_that_a_call_was_decided_about() {
    const GET: &str = "ordinal.orders.v1.OrderService/GetOrder";
    let (collector, folder) = (Collector::start(), TempDir::new().unwrap());
    let token = token("SERVICE", "shop");
    let tokens = folder.path().join("tokens.toml");
    let line = format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"SERVICE\"\nsubject = \"shop\"\n");
    write_private(&tokens, &line);
    let data = folder.path().join("data");
    let (data, tokens) = (data.to_str().unwrap(), tokens.to_str().unwrap());
    let flags = ["--data", data, "--tokens", tokens, "--otlp-endpoint", &collector.url()];
    let engine = Engine::start_with(&flags);
    let wire = Wire::open(&engine.address).await;
    let peer = format!("Bearer {token}");
    let (carried, peer) = (("ordinal-carried", "1"), ("ordinal-peer", peer.as_str()));
    let known = Some(token.as_str());
    let none: [(&str, &str); 0] = [];
    let asked =
        [(known, &none[..]), (known, &[carried]), (known, &[carried, peer]), (None, &[carried])];
    for (nth, (token, said)) in asked.into_iter().enumerate() {
        let said = [&[("ordinal-unrecorded", "1")][..], said].concat();
        let mut call = wire.begin_with(&format!("/{GET}"), token, &said).await;
        let request = order_actor::grpc::proto::GetOrderRequest {
            order_id: NO_ORDER.into(),
            ..Default::default()
        };
        // It may have been refused already.
        let _ = call.request.send_data(framed(&request), true);
        let answer = within(call.answer).await.unwrap();
        let refused = reason(&status(answer.headers()).unwrap());
        assert_eq!(refused, if token.is_some() { "NOT_FOUND" } else { "UNAUTHENTICATED" });
        let spans = |seen: &[Seen]| seen.iter().filter(|it| it.name == GET).count();
        collector.until(|seen| spans(seen) == nth + 1);
    }
    assert!(engine.stop().success());
}

/// T2: no span lives as long as a stream does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_of_a_stream_ends_while_the_stream_goes_on() {
    let collector = Collector::start();
    let (engine, _folder) = started(&["--otlp-endpoint", &collector.url()]);
    let mut http = Http::connect(&engine.address).await;
    http.head("GET /v1/orders:watch", &[("accept", "text/event-stream")]).await;
    assert_eq!(http.answered().await.status, 200);
    let watch = "ordinal.orders.v1.OrderService/WatchOrders";
    collector.until(|seen| seen.iter().any(|it| it.name == watch));
    // The stream goes on.
    place(&engine, None).await;
    assert!(http.line().await.len() < 9, "a chunk of the stream");
    assert!(engine.stop().success());
}

/// T2: nor is there one trace of all that comes by a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_a_stream_has_a_trace_of_its_own_that_links_to_the_stream() {
    const COMMANDS: usize = 20;
    let collector = Collector::start();
    let (engine, _folder) = started(&["--otlp-endpoint", &collector.url()]);
    let line = |nth| json!({ "tag": nth, "place_order": order(Uuid::now_v7()) }).to_string();
    let lines: Vec<String> = (0..COMMANDS).map(line).collect();
    let header = traceparent(TRACE, true);
    let headers = [("content-type", "application/x-ndjson"), ("traceparent", header.as_str())];
    let mut http = Http::connect(&engine.address).await;
    let answer = http.text("POST /v1/orders:batch", &headers, &lines.join("\n")).await;
    assert_eq!(answer.text.matches("\"done\"").count(), COMMANDS, "{answer:?}");
    let stream = "ordinal.orders.v1.OrderService/ExecuteCommands";
    let message = format!("{stream} message");
    let placings = |seen: &[Seen]| seen.iter().filter(|it| it.name == "order Place").count();
    let seen = collector.until(|seen| placings(seen) == COMMANDS);
    let of_stream = one(&seen, stream, None);
    assert_eq!(of_stream.trace, TRACE);
    let messages: Vec<&Seen> = seen.iter().filter(|it| it.name == message).collect();
    let traces: BTreeSet<&str> = messages.iter().map(|it| it.trace.as_str()).collect();
    assert_eq!((messages.len(), traces.len()), (COMMANDS, COMMANDS));
    let link = [(TRACE.to_owned(), of_stream.span.clone())];
    assert!(messages.iter().all(|it| it.parent.is_empty() && it.links == link), "{messages:#?}");
    for placing in seen.iter().filter(|it| it.name == "order Place") {
        assert!(messages.iter().any(|it| it.span == placing.parent), "{placing:#?}");
    }
    assert!(engine.stop().success());
}

/// A call that another node answers is one span below the other.
#[test]
fn a_call_that_is_forwarded_to_another_node_stays_in_its_trace() {
    let (runtime, [database]) = databases();
    let (url, collector) = (database.url(), Collector::start());
    let collector_url = collector.url();
    let flags = ["--database-url", &url, "--otlp-endpoint", &collector_url, "--without-stock"];
    let [a, b] = ["a", "b"].map(|name| node(name, &flags));
    let server = "ordinal.orders.v1.OrderService/PlaceOrder";
    let forwarded = |seen: &[Seen]| {
        let of_server = || seen.iter().filter(|it| it.name == server && it.trace == TRACE);
        of_server().any(|it| of_server().any(|caller| caller.span == it.parent))
    };
    let patience = Instant::now() + PATIENCE;
    while !forwarded(&collector.seen()) {
        assert!(Instant::now() < patience, "{}", drawn(&collector.seen()));
        runtime.block_on(place(&a, Some(&traceparent(TRACE, true))));
    }
    assert!(a.stop().success() && b.stop().success());
    runtime.block_on(database.drop());
}

/// The first process decides for all: one that would record everything records nothing of a call
/// that came to another one, which records none.
#[test]
fn a_forwarded_call_that_is_not_recorded_is_not_decided_anew() {
    let (runtime, [database]) = databases();
    let (url, collector) = (database.url(), Collector::start());
    let collector_url = collector.url();
    let flags = ["--database-url", &url, "--otlp-endpoint", &collector_url, "--without-stock"];
    let a = node("a", &[&flags[..], &["--trace-sample", "0"]].concat());
    let b = node("b", &flags);
    let server = "ordinal.orders.v1.OrderService/PlaceOrder";
    // Spans of a process arrive in their order: what came before this has arrived with it.
    let until_forwarded = |trace: &str| {
        let forwarded = |seen: &[Seen]| {
            let of_server = || seen.iter().filter(|it| it.name == server && it.trace == trace);
            of_server().any(|it| of_server().any(|caller| caller.span == it.parent))
        };
        let patience = Instant::now() + PATIENCE;
        while !forwarded(&collector.seen()) {
            assert!(Instant::now() < patience, "{}", drawn(&collector.seen()));
            runtime.block_on(place(&a, Some(&traceparent(trace, true))));
        }
    };
    until_forwarded(TRACE);
    // About half of them belong to the other node.
    for _ in 0..40 {
        runtime.block_on(place(&a, None));
    }
    let last = TRACE.replace('0', "9");
    until_forwarded(&last);
    let seen = collector.seen();
    let others = seen.iter().filter(|it| it.name == server && it.trace != TRACE);
    let others: Vec<&Seen> = others.filter(|it| it.trace != last).collect();
    assert!(others.is_empty(), "{others:#?}");
    // The other one decides about calls that come to itself.
    let before = collector.seen().len();
    runtime.block_on(place(&b, None));
    collector.until(|seen| seen[before..].iter().any(|it| it.name == server && it.trace != last));
    assert!(a.stop().success() && b.stop().success());
    runtime.block_on(database.drop());
}

/// T1: with one worker thread, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_holds_nothing_up() {
    let collector = Collector::frozen();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let flags = ["--data", &data, "--otlp-endpoint", &collector.url()];
    let engine = Engine::start_in(&[("TOKIO_WORKER_THREADS", "1")], &flags);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    let mut placed = Vec::new();
    // Long enough for the first batch to be on its way.
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        placed.push(place(&engine, None).await);
    }
    engine.until(placed.last().unwrap(), "CONFIRMED");
    let begun = Instant::now();
    assert!(engine.stop().success());
    // The time to drain is 10 s.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// T3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_is_told_once_and_what_is_lost_is_counted() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let flags = ["--data", data.to_str().unwrap(), "--otlp-endpoint", &url];
    let flags = [&flags[..], &["--metrics-listen", "127.0.0.1:0"]].concat();
    let engine = logged(&["env", "ORDINAL_LOG_FORMAT=json"], &flags, &log);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    let said = |words: &str| -> Vec<Value> {
        let lines = lines(&log).into_iter();
        let about = lines.filter(|line| line["target"].as_str().unwrap().contains("spans"));
        about.filter(|line| line["message"].as_str().unwrap().contains(words)).collect()
    };
    // Until a batch was kept for as long as it may.
    let patience = Instant::now() + PATIENCE;
    let dropped = |line: &str| {
        line.strip_prefix("ordinal_spans_dropped_total ").is_some_and(|count| count != "0")
    };
    while !page_of(&engine).await.lines().any(dropped) {
        assert!(Instant::now() < patience, "nothing is dropped");
        place(&engine, None).await;
    }
    let collector = Collector::on(port);
    let patience = Instant::now() + PATIENCE;
    while said("takes spans again").is_empty() {
        assert!(Instant::now() < patience, "{}", fs::read_to_string(&log).unwrap());
        place(&engine, None).await;
    }
    let (away, again) = (said("takes none"), said("takes spans again"));
    assert_eq!((away.len(), again.len()), (1, 1), "{away:?} {again:?}");
    assert!(again[0]["dropped"].as_u64().unwrap() > 0, "{again:?}");
    let seen = collector.until(|seen| !seen.is_empty());
    // Nothing of its own way is among them: each is of a call, an order, a batch or a fact.
    let ours = ["ordinal.", "order ", "append", "process ", "receive ", "send "];
    let known = |it: &&Seen| ours.iter().any(|begin| it.name.starts_with(begin));
    assert_eq!(seen.iter().filter(known).count(), seen.len());
    assert!(engine.stop().success());
}
