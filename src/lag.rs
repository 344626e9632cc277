//! How far the followers of an engine are behind, as a client sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::cli::{Client, Failure, text};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

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
        let answer = client.call("admin.v1.AdminService/ListFollowers", json!({})).await?;
        let followers = answer["followers"].as_array().into_iter().flatten();
        let lag: BTreeMap<String, u64> = followers
            .map(|follower| (text(follower, "name"), follower["lag"].as_u64().unwrap_or(0)))
            .collect();
        // Who does not answer, or does not know the head of what it follows, may be anywhere.
        let all_known = answer["away"].as_array().is_none_or(Vec::is_empty)
            && answer["followers"]
                .as_array()
                .is_some_and(|followers| followers.iter().all(|one| one["head_known"] == true));
        let level = all_known && lag.values().all(|facts| *facts == 0);
        looks_left = if level { looks_left - 1 } else { 2 };
        if looks_left == 0 || Instant::now() > until {
            return Ok(lag);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
