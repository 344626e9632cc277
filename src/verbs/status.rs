//! `status`: an overview of an engine from several calls.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::client::show::{self, text};
use crate::client::{Client, Connection, Failure, Output};

/// `ordinal status`: whether the engine serves, the followers' lag, dead letters.
pub async fn status(
    client: &Client,
    connection: &Connection,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("admin.v1.AdminService/{method}"), request).await
    };
    let health = ask("GetHealth", json!({})).await?;
    let followers = ask("ListFollowers", json!({})).await?;
    let letters = ask("ListDeadLetters", json!({ "page_size": 100 })).await?;
    let quarantined = ask("ListQuarantined", json!({})).await?;
    let many = |answer: &Value, list: &str| answer[list].as_array().map_or(0, Vec::len);
    let serves = health["serving"] == true;
    let more = !text(&letters, "next_page_token").is_empty();
    let waits = |follower: &&Value| {
        follower["stopped"] == true
            || !text(follower, "error").is_empty()
            || !text(follower, "paused").is_empty()
    };
    let list = || followers["followers"].as_array().into_iter().flatten();
    let behind = list().filter_map(|follower| follower["lag"].as_u64()).max().unwrap_or(0);
    let answer = json!({
        "address": connection.address().to_string(),
        "serving": serves,
        "reasons": health["reasons"],
        "notes": health["notes"],
        "followers": many(&followers, "followers"),
        "followers_that_wait": list().filter(waits).map(|follower| text(follower, "name")).collect::<Vec<_>>(),
        "away": followers["away"],
        "furthest_behind": behind,
        "dead_letters": many(&letters, "dead_letters"),
        "more_dead_letters": more,
        "quarantined": many(&quarantined, "quarantined"),
    });
    out.answer(&answer, |out, answer| {
        out.pairs([
            ("engine", text(answer, "address")),
            ("serves", if serves { "yes" } else { "NO" }.to_owned()),
            ("followers", text(answer, "followers")),
            ("of them waiting", text(answer, "followers_that_wait")),
            ("not answering", text(answer, "away")),
            ("greatest lag", format!("{behind} positions")),
            ("dead letters", text(answer, "dead_letters") + if more { " or more" } else { "" }),
            ("quarantined orders", text(answer, "quarantined")),
        ]);
        let entries = |list: &str| health[list].as_array().into_iter().flatten();
        for reason in entries("reasons").chain(entries("notes")) {
            let since = show::short_time(reason, "since");
            out.line(format!(
                "{}: {} (since {since})",
                text(reason, "part"),
                text(reason, "reason")
            ));
        }
    });
    Ok(if serves { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
