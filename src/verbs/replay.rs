//! `notification replay`.

use serde_json::{Value, json};
use shared_events::chance::Chance;

use super::args::ReplayArgs;
use crate::client::parse::Id;
use crate::client::{Client, Failure, Output};

/// Posts facts to a webhook endpoint again, page by page.
///
/// # Errors
/// The refusal of a page; what was queued before it stays queued.
pub async fn replay(client: &Client, out: &Output, args: ReplayArgs) -> Result<(), Failure> {
    let ReplayArgs { endpoint, since, after, until, replay_id, dry_run, why } = args;
    let replay_id = replay_id.unwrap_or_else(|| Id(Chance::system().uuid())).0.to_string();
    let after = after.into_iter();
    let after: Vec<Value> =
        after.map(|(shard, position)| json!({ "shard": shard, "position": position })).collect();
    let mut request = json!({
        "endpoint": endpoint, "after": after, "replay_id": replay_id,
        "validate_only": dry_run, "reason": why.reason,
    });
    for (field, time) in [("since", since), ("until", until)] {
        if let Some(time) = time {
            request[field] = json!(time);
        }
    }
    let mut queued = 0;
    loop {
        let method = "notifications.v1.NotificationService/ReplayWebhooks";
        let mut answer = client.call(method, request.clone()).await?;
        queued += answer["queued"].as_u64().unwrap_or(0);
        let next = answer["next_page_token"].take();
        if next.as_str().is_none_or(str::is_empty) {
            break;
        }
        request["page_token"] = next;
    }
    let answer = json!({ "replay_id": replay_id, "queued": queued });
    out.answer(&answer, |out, _| {
        let what = if dry_run { "would be queued" } else { "queued" };
        out.line(format!("{queued} calls {what} for {endpoint} by replay {replay_id}"));
    });
    Ok(())
}
