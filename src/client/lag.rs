//! The lag of an engine's followers, as a client sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Client, Failure, text};

const POLL_EVERY: Duration = Duration::from_millis(50);

/// Each follower's lag in facts, by name. A follower that does not answer, or does not know the
/// head of its log, counts with at least one.
///
/// # Errors
/// The engine's refusal.
pub async fn behind(client: &Client) -> Result<BTreeMap<String, u64>, Failure> {
    let answer = client.call("admin.v1.AdminService/ListFollowers", json!({})).await?;
    let list = |name: &str| answer[name].as_array().into_iter().flatten();
    let away = list("away").filter_map(|name| Some((name.as_str()?.to_owned(), 1)));
    let here = list("followers").map(|follower| {
        let unknown = follower["head_known"] != true || !follower["lag"].is_u64();
        let lag = follower["lag"].as_u64().unwrap_or_default();
        (text(follower, "name"), lag.max(u64::from(unknown)))
    });
    Ok(away.chain(here).collect())
}

/// Waits, for at most `patience`, until every follower is at the head of its log; returns the lag
/// of each.
///
/// # Errors
/// The engine's refusal.
pub async fn caught_up(
    client: &Client,
    patience: Duration,
) -> Result<BTreeMap<String, u64>, Failure> {
    let until = Instant::now() + patience;
    // A follower that was read first may have got new work from one that was read later.
    let mut polls_left = 2;
    loop {
        let lag = behind(client).await?;
        let caught_up = !lag.is_empty() && lag.values().all(|facts| *facts == 0);
        polls_left = if caught_up { polls_left - 1 } else { 2 };
        if polls_left == 0 || Instant::now() > until {
            return Ok(lag);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}
