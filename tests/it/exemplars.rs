//! Buckets of histograms name a recorded trace that is in them, for scrapers that ask for OpenMetrics.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::collector::Collector;
use crate::http::Http;
use crate::metrics::page_of;
use crate::prometheus::Prometheus;
use crate::support::{Engine, PATIENCE};
use crate::traces::{TRACE, place, traceparent};

/// Of calls, and of commands.
const NAMED: [&str; 2] = [
    "rpc_server_call_duration_seconds_bucket{rpc_method=\"ordinal.orders.v1.OrderService/PlaceOrder\"}",
    "ordinal_command_duration_seconds_bucket{command=\"Place\"}",
];

/// The page as OpenMetrics.
async fn open_page(engine: &Engine) -> String {
    let mut http = Http::connect(engine.metrics.as_deref().unwrap()).await;
    let asked = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let answer = http.call("GET /metrics", &asked).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, kind));
    assert!(answer.text.ends_with("\n# EOF\n"), "{}", answer.text);
    answer.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_finds_the_trace_of_a_bucket() {
    let (collector, folder) = (Collector::start(), TempDir::new().unwrap());
    let (data, url) = (folder.path().join("data"), collector.url());
    let engine = Engine::start_with(&[
        "--data",
        data.to_str().unwrap(),
        "--metrics-listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        &url,
        "--trace-sample",
        "0",
    ]);
    // Nothing is named while nothing is recorded.
    place(&engine, Some(&traceparent(TRACE, false))).await;
    assert!(!open_page(&engine).await.contains("trace_id"));
    place(&engine, Some(&traceparent(TRACE, true))).await;
    let line = |page: &str, name: &str| {
        let of = name.trim_end_matches('}');
        page.lines().any(|line| line.starts_with(of) && line.contains(TRACE))
    };
    let patience = Instant::now() + PATIENCE;
    loop {
        let page = open_page(&engine).await;
        if NAMED.iter().all(|name| line(&page, name)) {
            break;
        }
        assert!(Instant::now() < patience, "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The text format has no place for it.
    assert!(!page_of(&engine).await.contains("trace_id"));
    let prometheus = Prometheus::start(&[engine.metrics.as_deref().unwrap()]);
    let patience = Instant::now() + PATIENCE;
    for name in NAMED {
        loop {
            let found = prometheus.exemplars(name).await;
            if found.contains(TRACE) {
                break;
            }
            assert!(Instant::now() < patience, "{name}: {found}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    // It is a span that the collector has.
    let exemplars = prometheus.exemplars(NAMED[0]).await;
    collector.until(|seen| seen.iter().any(|it| exemplars.contains(&it.span)));
    assert!(engine.stop().success());
}
