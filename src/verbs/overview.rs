//! `overview`: what there is and what waits, in one call.

use serde_json::{Value, json};

use crate::client::show::{short_time, text};
use crate::client::{Client, Failure, Output};

/// `ordinal overview`: orders by status, returns that wait, holds, dead letters, lag.
pub async fn overview(client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.call("admin.v1.AdminService/GetOverview", json!({})).await?;
    out.answer(&answer, show);
    Ok(())
}

fn show(out: &Output, answer: &Value) {
    let items = |list: &str| answer[list].as_array().into_iter().flatten();
    let orders = items("orders").filter(|one| one["count"]["number"].as_u64() > Some(0));
    let orders = orders.map(|one| format!("{} {}", number(&one["count"]), text(one, "status")));
    let returns = |state: &str| {
        let found = items("returns").find(|one| text(one, "state") == state);
        let Some(found) = found else { return String::new() };
        let (count, oldest) = (number(&found["count"]), short_time(found, "oldest_requested_at"));
        if oldest.is_empty() { count } else { format!("{count}, the first of {oldest}") }
    };
    let letters: u64 = items("followers").filter_map(|one| one["dead_letters"].as_u64()).sum();
    let many = items("followers").any(|one| one["dead_letters"].as_u64() >= Some(100));
    let troubled: Vec<String> = items("followers").filter_map(trouble).collect();
    out.pairs([
        ("orders", joined(&orders.collect::<Vec<_>>(), &answer["orders"])),
        ("returns to judge", returns("REQUESTED")),
        ("goods to come", returns("APPROVED")),
        ("held orders", number(&answer["held"])),
        ("quarantined orders", number(&answer["quarantined"])),
        ("dead letters", format!("{letters}{}", if many { " or more" } else { "" })),
        ("followers", items("followers").count().to_string()),
        ("not answering", text(answer, "away")),
    ]);
    troubled.into_iter().for_each(|line| out.line(line));
}

/// The parts; nothing where their list is empty, since it is not known then.
fn joined(parts: &[String], list: &Value) -> String {
    let known = list.as_array().is_some_and(|list| !list.is_empty());
    match (known, parts.is_empty()) {
        (true, true) => "none".to_owned(),
        (true, false) => parts.join(", "),
        (false, _) => String::new(),
    }
}

/// A count; nothing where it is absent.
fn number(count: &Value) -> String {
    let more = if count["or_more"] == true { " or more" } else { "" };
    let number = text(count, "number");
    if number.is_empty() { number } else { number + more }
}

/// What is wrong with a follower, if anything.
fn trouble(follower: &Value) -> Option<String> {
    let mut wrong = Vec::new();
    if follower["head_known"] == false {
        wrong.push("its log does not answer".to_owned());
    }
    if let Some(lag) = follower["lag"].as_u64().filter(|lag| *lag > 0) {
        let since = short_time(follower, "oldest_waiting_since");
        let since = if since.is_empty() { since } else { format!(", the oldest of {since}") };
        wrong.push(format!("{lag} positions behind{since}"));
    }
    for (field, what) in [("paused", "paused"), ("error", "error")] {
        let said = text(follower, field);
        if !said.is_empty() {
            wrong.push(format!("{what}: {said}"));
        }
    }
    if follower["stopped"] == true {
        wrong.push("stopped, because its log is broken".to_owned());
    }
    let name = text(follower, "name");
    (!wrong.is_empty()).then(|| format!("{name}: {}", wrong.join("; ")))
}
