//! `followers`, `follower`, `dead-letter`, `read-model`, `shards`, `operations` and `quarantined`.

use serde_json::{Value, json};
use shared_events::contract::Reason;

use super::args::{
    DeadLetterVerb, FollowerVerb, OperationsVerb, ReadModelVerb, ShardsVerb, TimersVerb, Why,
};
use super::orders::pages;
use crate::client::show::{self, text};
use crate::client::{Client, Failure, Output};

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
        out.list(
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
                let state = match follower["dead_letters"].as_u64().unwrap_or(0) {
                    0 => state,
                    100 => format!("{state}; 100 dead letters or more"),
                    letters => format!("{state}; dead letters: {letters}"),
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
            "no followers",
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
            let method = "admin.v1.AdminService/ListDeadLetters";
            let request = json!({ "follower": follower });
            pages(client, out, method, request, &page, show::dead_letters).await
        }
        DeadLetterVerb::Show { follower, subject } => {
            let request = json!({ "follower": follower, "subject": subject });
            ask(client, out, "GetDeadLetter", request, |out, answer| {
                for letter in answer["dead_letters"].as_array().into_iter().flatten() {
                    show::dead_letter(out, letter);
                    out.line("");
                }
            })
            .await
        }
        DeadLetterVerb::PutBack { follower, subject, validate_only, why: Why { reason } } => {
            let request = json!({
                "follower": follower, "subject": subject, "reason": reason,
                "validate_only": validate_only,
            });
            ask(client, out, "PutBackDeadLetters", request, |out, answer| {
                show::only_would(out, validate_only);
                out.line(format!("put back: {}; they are retried next", text(answer, "put_back")));
            })
            .await
        }
        DeadLetterVerb::Drop { follower, subject, validate_only, reason } => {
            let request = json!({
                "follower": follower, "subject": subject, "reason": reason,
                "validate_only": validate_only,
            });
            ask(client, out, "DropDeadLetter", request, |out, answer| {
                show::only_would(out, validate_only);
                out.line("dropped; this will never happen:");
                show::dead_letter(out, &answer["dropped"]);
            })
            .await
        }
    }
}

/// `ordinal read-model …`
pub async fn read_models(
    client: &Client,
    out: &Output,
    verb: ReadModelVerb,
) -> Result<(), Failure> {
    let ReadModelVerb::Rebuild { name, validate_only, why: Why { reason } } = verb;
    let request = json!({ "name": name, "reason": reason, "validate_only": validate_only });
    ask(client, out, "RebuildReadModel", request, |out, answer| {
        show::only_would(out, validate_only);
        out.line(format!("{name}: rebuilt from {} events", text(answer, "events")));
    })
    .await
}

/// `ordinal follower …`
pub async fn follower(client: &Client, out: &Output, verb: FollowerVerb) -> Result<(), Failure> {
    match verb {
        FollowerVerb::Pause { name, validate_only, reason } => {
            let request =
                json!({ "follower": name, "reason": reason, "validate_only": validate_only });
            ask(client, out, "PauseFollower", request, |out, _| {
                show::only_would(out, validate_only);
                out.line(format!("{name}: pauses within a second, until it is resumed"));
            })
            .await
        }
        FollowerVerb::Resume { name, validate_only, why: Why { reason } } => {
            let request =
                json!({ "follower": name, "reason": reason, "validate_only": validate_only });
            ask(client, out, "ResumeFollower", request, |out, _| {
                show::only_would(out, validate_only);
                out.line(format!("{name}: resumes within a second"));
            })
            .await
        }
    }
}

/// `ordinal shards …`
pub async fn shards(client: &Client, out: &Output, verb: ShardsVerb) -> Result<(), Failure> {
    match verb {
        ShardsVerb::List => list_shards(client, out).await,
        ShardsVerb::Move { shard, node, validate_only, why: Why { reason } } => {
            let to = node.clone().unwrap_or_else(|| "any node".to_owned());
            let node = node.unwrap_or_default();
            let request = json!({
                "shard": shard, "node": node, "reason": reason, "validate_only": validate_only,
            });
            ask(client, out, "MoveShard", request, |out, _| {
                show::only_would(out, validate_only);
                out.line(format!("shard {shard}: moves to {to} in a moment"));
            })
            .await
        }
        ShardsVerb::Freeze { shard, validate_only, reason } => {
            let request =
                json!({ "shard": shard, "reason": reason, "validate_only": validate_only });
            ask(client, out, "FreezeShard", request, |out, _| {
                show::only_would(out, validate_only);
                out.line(format!("shard {shard}: closed to all callers"));
            })
            .await
        }
        ShardsVerb::Unfreeze { shard, validate_only, why: Why { reason } } => {
            let request =
                json!({ "shard": shard, "reason": reason, "validate_only": validate_only });
            ask(client, out, "UnfreezeShard", request, |out, _| {
                show::only_would(out, validate_only);
                out.line(format!("shard {shard}: open"));
            })
            .await
        }
    }
}

/// Lists the shards. A process that has the journal to itself has none to list, which is not an
/// error.
async fn list_shards(client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.call("admin.v1.AdminService/ListShards", json!({})).await;
    let answer = match answer {
        Err(failure) if failure.reason() == Reason::OneWriter.code() => {
            let answer = json!({ "shards": [], "one_writer": true });
            out.answer(&answer, |out, _| {
                out.line("one process has the journal to itself: its shards do not move");
            });
            return Ok(());
        }
        answer => answer?,
    };
    out.answer(&answer, |out, answer| {
        let fields = ["shard", "node", "address", "epoch", "position", "moved_to", "frozen"];
        let head = ["shard", "node", "address", "epoch", "position", "moved to", "frozen"];
        let shards = answer["shards"].as_array().into_iter().flatten();
        out.list(
            &head,
            shards.map(|shard| fields.map(|field| text(shard, field)).to_vec()),
            "no shards",
        );
    });
    Ok(())
}

/// `ordinal operations …`
pub async fn operations(
    client: &Client,
    out: &Output,
    verb: OperationsVerb,
) -> Result<(), Failure> {
    let OperationsVerb::List { kind, target, subject, page } = verb;
    let method = "admin.v1.AdminService/ListOperatorActions";
    let request = json!({ "target_kind": kind, "target": target, "subject": subject });
    pages(client, out, method, request, &page, show::operations).await
}

/// `ordinal timers …`
pub async fn timers(client: &Client, out: &Output, verb: TimersVerb) -> Result<(), Failure> {
    let TimersVerb::Resume { validate_only, reason } = verb;
    let request = json!({ "reason": reason, "validate_only": validate_only });
    ask(client, out, "ResumeTimers", request, |out, answer| {
        show::only_would(out, validate_only);
        for away in answer["away"].as_array().into_iter().flatten() {
            let node = away.as_str().unwrap_or_default();
            out.line(format!("{node} does not answer: its timers may still wait"));
        }
        out.line("timers run");
    })
    .await
}

/// `ordinal quarantined`
pub async fn quarantined(client: &Client, out: &Output) -> Result<(), Failure> {
    ask(client, out, "ListQuarantined", json!({}), show::quarantined).await
}
