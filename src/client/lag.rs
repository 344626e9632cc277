//! How far the followers of an engine are behind, as a client sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Client, Failure, text};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The facts that each follower has still to go, by its name. Who does not answer, or does not know
/// the head of what it follows, may be anywhere, and has one at least.
///
/// # Errors
/// What the engine answered.
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

/// Waits until every follower stands at the head of what it follows, at most so long; the facts
/// that each has still to go.
///
/// # Errors
/// What the engine answered.
pub async fn caught_up(
    client: &Client,
    patience: Duration,
) -> Result<BTreeMap<String, u64>, Failure> {
    let until = Instant::now() + patience;
    // A follower that was looked at first may have got new work from one that was looked at last.
    let mut looks_left = 2;
    loop {
        let lag = behind(client).await?;
        let level = !lag.is_empty() && lag.values().all(|facts| *facts == 0);
        looks_left = if level { looks_left - 1 } else { 2 };
        if looks_left == 0 || Instant::now() > until {
            return Ok(lag);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
