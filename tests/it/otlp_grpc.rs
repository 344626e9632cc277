//! Spans by OTLP over gRPC, where `OTEL_EXPORTER_OTLP_PROTOCOL` says so.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::collector::{Collector, Seen, drawn};
use crate::support::{Engine, PATIENCE, free_port};
use crate::traces::{TRACE, place, traceparent};

const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");

fn started(environment: &[(&str, &str)], folder: &TempDir, url: &str) -> Engine {
    let data = folder.path().join("data").display().to_string();
    let flags = ["--data", &data, "--otlp-endpoint", url, "--without-stock"];
    Engine::start_in(&[environment, &[GRPC]].concat(), &flags)
}

fn is_placing(span: &Seen) -> bool {
    span.name == "order Place"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_arrive_by_grpc_with_the_headers_of_the_environment() {
    let (collector, folder) = (Collector::grpc(0), TempDir::new().unwrap());
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=4711");
    let engine = started(&[headers], &folder, &collector.url());
    place(&engine, Some(&traceparent(TRACE, true))).await;
    let of_trace = |it: &Seen| it.trace == TRACE;
    let seen = collector.until(|seen| seen.iter().any(|it| of_trace(it) && is_placing(it)));
    let placing = seen.iter().find(|it| of_trace(it) && is_placing(it)).unwrap();
    assert_eq!(placing.attributes["ordinal.outcome"], "DONE", "{}", drawn(&seen));
    let raw = String::from_utf8_lossy(&collector.raw()).into_owned();
    assert!(raw.contains("api-key") && raw.contains("4711"));
    // The last ones are sent when the process ends.
    let before = collector.seen().iter().filter(|it| is_placing(it)).count();
    place(&engine, None).await;
    assert!(engine.stop().success());
    collector.until(|seen| seen.iter().filter(|it| is_placing(it)).count() == before + 1);
}

/// T3: what comes once the collector is there arrives, by the same process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_by_grpc_that_comes_later_gets_spans() {
    let (port, folder) = (free_port(), TempDir::new().unwrap());
    let engine = started(&[], &folder, &format!("http://127.0.0.1:{port}"));
    // Longer than a batch waits before it is tried.
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        place(&engine, None).await;
    }
    let collector = Collector::grpc(port);
    let patience = Instant::now() + PATIENCE;
    while !collector.seen().iter().any(is_placing) {
        assert!(Instant::now() < patience, "no span arrives");
        place(&engine, None).await;
    }
    assert!(engine.stop().success());
}

/// T1: with one worker thread, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_by_grpc_that_never_answers_holds_nothing_up() {
    let (collector, folder) = (Collector::frozen(), TempDir::new().unwrap());
    let engine = started(&[("TOKIO_WORKER_THREADS", "1")], &folder, &collector.url());
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        place(&engine, None).await;
    }
    // Where it waited for the collector it would not end.
    assert!(engine.stop().success());
}

#[test]
fn a_protocol_that_is_not_there_is_refused_at_the_start() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let serve = |variable: (&str, &str), url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ordinal"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--otlp-endpoint", url, "--data"]);
        command.arg(&data).env(variable.0, variable.1).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let url = "http://127.0.0.1:4317";
    let said = serve(("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), url);
    assert!(
        said.contains("OTEL_EXPORTER_OTLP_PROTOCOL is neither http/protobuf nor grpc"),
        "{said}"
    );
    let said = serve(("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp"), url);
    assert!(said.contains("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), "{said}");
    let said = serve(GRPC, "http://127.0.0.1:4317/v1/traces");
    assert!(said.contains("--otlp-endpoint: has a path"), "{said}");
}
