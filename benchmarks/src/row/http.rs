use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::lab::{self, Lab};
use crate::measure::{Pace, Run, Runs};
use crate::report::{Bound, Row};
use crate::subject::client::{by_calls, by_safe_calls};
use crate::subject::http::{Spoken, Target, by_http};
use crate::subject::issuer::Issuer;
use crate::subject::one_process::without_stock;

/// Tokens of row 12.
const TOKENS: usize = 1_000;
const BOTH: [Spoken; 2] = [Spoken::Http1, Spoken::Http2];

/// Row 11: calls by HTTP with JSON.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "11",
        "place + cancel by HTTP with JSON, on Postgres",
        "The servers of row 2; the client in its own process, over loopback, each caller waits for each answer: by HTTP/1.1 on a connection of his own, by HTTP/2 64 calls at most on one, \
         as by gRPC. The framework behind two plain handlers of axum (HTTP/1.1), which parse the same JSON, check it by the same rules and read the order again to return a part of it.",
    );
    let (ours, theirs) = (lab.database("http").await?, lab.database("framework").await?);
    let engine = lab::server(lab, "http", &["serve", "--postgres", &ours]).await?;
    let framework = ["serve", "--axum", "--framework", &theirs];
    let framework = lab::server(lab, "axum", &framework).await?;
    let (to_engine, to_axum) = (Target::plain(engine.address), Target::plain(framework.address));
    for callers in [64, 256] {
        let mut taken = [const { Vec::new() }; 4];
        for _ in 0..pace.rounds {
            taken[0].push(by_http(pace, &to_engine, Spoken::Http1, callers).await?);
            taken[1].push(by_http(pace, &to_engine, Spoken::Http2, callers).await?);
            taken[2].push(by_calls(pace, engine.address, callers).await?);
            taken[3].push(by_http(pace, &to_axum, Spoken::Http1, callers).await?);
        }
        let taken = taken.map(Runs);
        let case = format!("{callers} in flight");
        let names = [
            "Ordinal, HTTP/1.1",
            "Ordinal, HTTP/2",
            "Ordinal, gRPC",
            "cqrs-es + postgres-es behind axum",
        ];
        for (who, runs) in names.into_iter().zip(&taken) {
            row.runs(&case, who, "commands/s", runs);
        }
        let [one, two, grpc, axum] = &taken;
        for (spoken, runs) in [("HTTP/1.1", one), ("HTTP/2", two)] {
            let what = format!("{case}, {spoken}: against gRPC");
            row.goal(&what, runs.times(grpc), Bound::AtLeast(0.6), "");
            let what = format!("{case}, {spoken}: against the framework behind axum");
            row.goal(&what, runs.times(axum), Bound::AtLeast(10.0), "");
        }
    }
    for process in [engine, framework] {
        lab::end(process).await;
    }
    for url in [ours, theirs] {
        lab.drop_database(&url).await?;
    }
    Ok(row)
}

/// Both contenders by both protocols, in turns, and how the first stands to the second.
async fn side_by_side(
    row: &mut Row,
    pace: Pace,
    [first, second]: [(&str, &Target); 2],
    least: f64,
) -> anyhow::Result<()> {
    for spoken in BOTH {
        for callers in [64, 256] {
            let mut taken = [const { Vec::new() }; 2];
            for _ in 0..pace.rounds {
                taken[0].push(by_http(pace, first.1, spoken, callers).await?);
                taken[1].push(by_http(pace, second.1, spoken, callers).await?);
            }
            let case = format!("{}, {callers} in flight", spoken.name());
            compared(row, &case, [first.0, second.0], taken, least);
        }
    }
    Ok(())
}

fn compared(row: &mut Row, case: &str, names: [&str; 2], taken: [Vec<Run>; 2], least: f64) {
    let taken = taken.map(Runs);
    for (who, runs) in names.into_iter().zip(&taken) {
        row.runs(case, &format!("Ordinal, {who}"), "commands/s", runs);
    }
    let [first, second] = &taken;
    let what = format!("{case}: {} against {}", names[0], names[1]);
    row.goal(&what, first.times(second), Bound::AtLeast(least), "");
}

/// Row 12: the same with a token in each call.
///
/// # Errors
/// Where the engine fails or does not take a token.
pub async fn tokens(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "12",
        "place + cancel by HTTP with a JWT of RS256 in each call",
        "The work of row 11, for `ordinal serve` without stock: callers send 1,000 different tokens of an issuer in turns (RS256, 2,048 bits), whose keys the engine has fetched from the client's process. \
         Beside it an engine without an issuer, whose callers send nothing.",
    );
    let issuer = Issuer::start().await?;
    let tokens: Vec<String> =
        (0..TOKENS).map(|nth| issuer.token(&format!("shop-{nth}"))).collect::<Result<_, _>>()?;
    let flags = [
        "--issuer",
        &issuer.url,
        "--audience",
        "ordinal",
        "--issuer-roles",
        "roles",
        "--issuer-map",
        "shop=OPS",
    ];
    let (with, with_url) = without_stock(lab, "tokens", &flags).await?;
    let (without, without_url) = without_stock(lab, "open", &[]).await?;
    let named = Target { tokens: tokens.into(), ..Target::plain(with.address) };
    let open = Target::plain(without.address);
    side_by_side(&mut row, pace, [("with tokens", &named), ("without", &open)], 0.95).await?;
    for (process, url) in [(with, with_url), (without, without_url)] {
        lab::end(process).await;
        lab.drop_database(&url).await?;
    }
    Ok(row)
}

/// Row 14: the same by TLS.
///
/// # Errors
/// Where the engine fails.
pub async fn tls(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "14",
        "place + cancel by TLS against clear text",
        "The work of row 11, for `ordinal serve` without stock: by HTTP/1.1, HTTP/2 and gRPC, with TLS 1.3 and an ECDSA certificate on P-256, and without. Connections are kept, so handshakes are not part of it.",
    );
    let (files, client) = certified(&lab.directory("tls")?)?;
    let flags = ["--tls-cert", &files[0], "--tls-key", &files[1]];
    let (by_tls, tls_url) = without_stock(lab, "tls", &flags).await?;
    let (clear, clear_url) = without_stock(lab, "clear", &[]).await?;
    let safe = Target { tls: Some(Arc::clone(&client)), ..Target::plain(by_tls.address) };
    let open = Target::plain(clear.address);
    side_by_side(&mut row, pace, [("by TLS", &safe), ("in clear text", &open)], 0.85).await?;
    for callers in [64, 256] {
        let mut taken = [const { Vec::new() }; 2];
        for _ in 0..pace.rounds {
            taken[0].push(by_safe_calls(pace, (by_tls.address, &client), callers).await?);
            taken[1].push(by_calls(pace, clear.address, callers).await?);
        }
        let case = format!("gRPC, {callers} in flight");
        compared(&mut row, &case, ["by TLS", "in clear text"], taken, 0.85);
    }
    for (process, url) in [(by_tls, tls_url), (clear, clear_url)] {
        lab::end(process).await;
        lab.drop_database(&url).await?;
    }
    Ok(row)
}

/// A certificate for localhost with its key, as files, and a client that trusts only it.
fn certified(folder: &Path) -> anyhow::Result<([String; 2], Arc<rustls::ClientConfig>)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(([cert, key].map(|path| path.display().to_string()), Arc::new(config)))
}
