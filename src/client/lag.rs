//! The lag of an engine's followers, as a client sees it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Client, Failure, text};

const POLL_EVERY: Duration = Duration::from_millis(50);

/// Facts that each follower has still to read, by its name.
pub type Lag = BTreeMap<String, u64>;

/// Positions by shard.
type Positions = BTreeMap<u64, u64>;

/// How far the followers are behind now. One that does not answer, or does not know the head of
/// what it follows, is behind by an unknown number of facts, which counts as one.
///
/// # Errors
/// What the engine answered.
pub async fn behind(client: &Client) -> Result<Lag, Failure> {
    Ok(worst(&list(client).await?, lag))
}

/// Waits, within this time, until every follower has passed the heads of the first answer that knew
/// them; facts published later do not count. Returns what is still missing to these heads.
///
/// # Errors
/// What the engine answered.
pub async fn caught_up(client: &Client, patience: Duration) -> Result<Lag, Failure> {
    let until = Instant::now() + patience;
    let mut targets = Targets::default();
    loop {
        let answer = list(client).await?;
        let missing = worst(&answer, |follower| targets.missing(follower));
        if is_zero(&missing) || Instant::now() > until {
            return Ok(missing);
        }
        sleep(POLL_EVERY).await;
    }
}

/// Waits, within this time, until no follower has anything left to read: what followers publish
/// themselves is read too. Returns how far each is behind.
///
/// # Errors
/// What the engine answered.
pub async fn drained(client: &Client, patience: Duration) -> Result<Lag, Failure> {
    let until = Instant::now() + patience;
    // A follower listed first may have got new work from one that was listed last.
    let mut looks_left = 2;
    loop {
        let lag = behind(client).await?;
        looks_left = if is_zero(&lag) { looks_left - 1 } else { 2 };
        if looks_left == 0 || Instant::now() > until {
            return Ok(lag);
        }
        sleep(POLL_EVERY).await;
    }
}

/// Whether there are followers and none is behind.
fn is_zero(lag: &Lag) -> bool {
    !lag.is_empty() && lag.values().all(|facts| *facts == 0)
}

async fn list(client: &Client) -> Result<Value, Failure> {
    client.call("admin.v1.AdminService/ListFollowers", json!({})).await
}

/// The largest value of each follower over the nodes that list it; 1 for those without an answer.
fn worst(answer: &Value, mut facts: impl FnMut(&Value) -> u64) -> Lag {
    let rows = |name: &str| answer[name].as_array().into_iter().flatten();
    let unavailable = rows("away").filter_map(|name| Some((name.as_str()?.to_owned(), 1)));
    let mut lag: Lag = unavailable.collect();
    for follower in rows("followers") {
        let most = lag.entry(text(follower, "name")).or_default();
        *most = facts(follower).max(*most);
    }
    lag
}

fn is_known(follower: &Value) -> bool {
    follower["head_known"] == true && follower["lag"].is_u64()
}

fn lag(follower: &Value) -> u64 {
    let lag = follower["lag"].as_u64().unwrap_or_default();
    lag.max(u64::from(!is_known(follower)))
}

/// The heads that each follower has to pass, by its name and node.
#[derive(Default)]
struct Targets(HashMap<(String, String), Positions>);

impl Targets {
    /// Facts between a follower and its target, which is set where its heads are first known.
    fn missing(&mut self, follower: &Value) -> u64 {
        let (cursors, heads) = (positions(follower, "cursors"), positions(follower, "heads"));
        let lag = lag(follower);
        // Behind without a distance: its log was set back, and it has still to go back, too.
        if !is_known(follower) || (lag > 0 && distance(&cursors, &heads) == 0) {
            return lag;
        }
        let key = (text(follower, "name"), text(follower, "node"));
        distance(&cursors, self.0.entry(key).or_insert(heads))
    }
}

fn positions(follower: &Value, name: &str) -> Positions {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let rows = follower[name].as_array().into_iter().flatten();
    rows.map(|one| (number(&one["shard"]), number(&one["position"]))).collect()
}

/// Positions between cursors and heads.
fn distance(cursors: &Positions, heads: &Positions) -> u64 {
    let reached = |shard| cursors.get(shard).copied().unwrap_or_default();
    heads.iter().map(|(shard, head)| head.saturating_sub(reached(shard))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cursor: u64, head: u64, lag: u64) -> Value {
        let at = |position: u64| json!([{ "shard": 3, "position": position }]);
        json!({ "followers": [{
            "name": "stock", "node": "a", "cursors": at(cursor), "heads": at(head),
            "lag": lag, "head_known": true,
        }] })
    }

    #[test]
    fn a_follower_has_caught_up_once_it_has_passed_the_first_heads() {
        let mut targets = Targets::default();
        let mut missing = |answer: &Value| worst(answer, |one| targets.missing(one))["stock"];
        assert_eq!(missing(&answer(2, 5, 3)), 3);
        assert_eq!(missing(&answer(4, 9, 5)), 1);
        assert_eq!(missing(&answer(5, 20, 15)), 0);
    }

    #[test]
    fn an_unknown_head_or_a_log_that_was_set_back_is_not_caught_up() {
        let mut targets = Targets::default();
        let mut missing = |answer: &Value| worst(answer, |one| targets.missing(one));
        assert_eq!(missing(&json!({ "away": ["stock"] }))["stock"], 1);
        let mut unknown = answer(5, 5, 0);
        unknown["followers"][0]["head_known"] = json!(false);
        assert_eq!(missing(&unknown)["stock"], 1);
        assert_eq!(missing(&answer(7, 5, 1))["stock"], 1);
        assert_eq!(missing(&answer(5, 5, 0))["stock"], 0);
    }

    #[test]
    fn no_followers_are_not_caught_up() {
        assert!(!is_zero(&worst(&json!({}), lag)));
    }
}
