//! `followers`, `follower`, `dead-letter`, `read-model`, `shards` and `quarantined`.

use serde_json::{Value, json};

use super::args::{DeadLetterVerb, FollowerVerb, ReadModelVerb, ShardsVerb, TimersVerb};
use super::show::{self, text};
use super::{Client, Failure, Output};

async fn ask(
    client: &Client,
    out: &Output,
    method: &str,
    request: Value,
    show: impl FnOnce(&Output, &Value),
) -> Result<(), Failure> {
    let answer = client.call(&format!("admin.v1.AdminService/{method}"), request).await?;
    out.answer(&answer, show);
    Ok(())
}

/// A protobuf duration such as `12.345678s` in whole seconds.
fn seconds(duration: &str) -> String {
    let whole = duration.split(['.', 's']).next().unwrap_or_default();
    if whole.is_empty() { String::new() } else { format!("{whole}s") }
}

/// `ordinal followers`
pub async fn followers(client: &Client, out: &Output) -> Result<(), Failure> {
    ask(client, out, "ListFollowers", json!({}), |out, answer| {
        out.table(
            &["follower", "node", "lag", "oldest waits since", "still for", "state"],
            answer["followers"].as_array().into_iter().flatten().map(|follower| {
                let error = text(follower, "error");
                let paused = text(follower, "paused");
                let state = match (follower["stopped"] == true, error.is_empty()) {
                    _ if !paused.is_empty() => format!("paused: {paused}"),
                    (true, _) => format!("STOPPED: {error}"),
                    (false, false) => format!("waits: {error}"),
                    (false, true) => "follows".to_owned(),
                };
                let known = follower["head_known"] == true;
                vec![
                    text(follower, "name"),
                    text(follower, "node"),
                    if known { text(follower, "lag") } else { "unknown".to_owned() },
                    show::short_time(follower, "oldest_waiting_since"),
                    seconds(&text(follower, "still_for")),
                    state,
                ]
            }),
        );
        for away in answer["away"].as_array().into_iter().flatten() {
            out.line(format!("{}: its process does not answer", away.as_str().unwrap_or_default()));
        }
    })
    .await
}

/// `ordinal dead-letter …`
pub async fn dead_letters(
    client: &Client,
    out: &Output,
    verb: DeadLetterVerb,
) -> Result<(), Failure> {
    match verb {
        DeadLetterVerb::List { follower, page } => {
            let request = json!({
                "follower": follower, "page_size": page.page_size, "page_token": page.page_token,
            });
            ask(client, out, "ListDeadLetters", request, show::any).await
        }
        DeadLetterVerb::Show { follower, order_id } => {
            let request = json!({ "follower": follower, "order_id": order_id });
            ask(client, out, "GetDeadLetter", request, |out, answer| {
                for letter in answer["dead_letters"].as_array().into_iter().flatten() {
                    show::any(out, letter);
                    out.line("");
                }
            })
            .await
        }
        DeadLetterVerb::PutBack { follower, order_id } => {
            let request = json!({ "follower": follower, "order_id": order_id });
            ask(client, out, "PutBackDeadLetters", request, show::any).await
        }
        DeadLetterVerb::Drop { follower, order_id, reason } => {
            let request = json!({ "follower": follower, "order_id": order_id, "reason": reason });
            ask(client, out, "DropDeadLetter", request, show::any).await
        }
    }
}

/// `ordinal read-model …`
pub async fn read_models(
    client: &Client,
    out: &Output,
    verb: ReadModelVerb,
) -> Result<(), Failure> {
    let ReadModelVerb::Rebuild { name } = verb;
    ask(client, out, "RebuildReadModel", json!({ "name": name }), show::any).await
}

/// `ordinal follower …`
pub async fn follower(client: &Client, out: &Output, verb: FollowerVerb) -> Result<(), Failure> {
    match verb {
        FollowerVerb::Pause { name, reason } => {
            let request = json!({ "follower": name, "reason": reason });
            ask(client, out, "PauseFollower", request, show::any).await
        }
        FollowerVerb::Resume { name } => {
            ask(client, out, "ResumeFollower", json!({ "follower": name }), show::any).await
        }
    }
}

/// `ordinal shards …`
pub async fn shards(client: &Client, out: &Output, verb: ShardsVerb) -> Result<(), Failure> {
    match verb {
        ShardsVerb::List => {
            ask(client, out, "ListShards", json!({}), |out, answer| {
                let shards = answer["shards"].as_array().into_iter().flatten();
                out.table(
                    &["shard", "node", "address", "epoch", "position", "moved to", "frozen"],
                    shards.map(|shard| {
                        let fields =
                            ["shard", "node", "address", "epoch", "position", "moved_to", "frozen"];
                        fields.map(|field| text(shard, field)).to_vec()
                    }),
                );
            })
            .await
        }
        ShardsVerb::Move { shard, node } => {
            let request = json!({ "shard": shard, "node": node.unwrap_or_default() });
            ask(client, out, "MoveShard", request, show::any).await
        }
        ShardsVerb::Freeze { shard, reason } => {
            let request = json!({ "shard": shard, "reason": reason });
            ask(client, out, "FreezeShard", request, show::any).await
        }
        ShardsVerb::Unfreeze { shard } => {
            ask(client, out, "UnfreezeShard", json!({ "shard": shard }), show::any).await
        }
    }
}

/// `ordinal timers …`
pub async fn timers(client: &Client, out: &Output, verb: TimersVerb) -> Result<(), Failure> {
    let TimersVerb::Resume { reason } = verb;
    ask(client, out, "ResumeTimers", json!({ "reason": reason }), |out, answer| {
        for away in answer["away"].as_array().into_iter().flatten() {
            let node = away.as_str().unwrap_or_default();
            out.line(format!("{node} does not answer: its timers may wait still"));
        }
        out.line("timers run");
    })
    .await
}

/// `ordinal quarantined`
pub async fn quarantined(client: &Client, out: &Output) -> Result<(), Failure> {
    ask(client, out, "ListQuarantined", json!({}), show::any).await
}
