use std::collections::BTreeMap;

use service_edge::page::Tokens;
use service_edge::time::instant;
use service_edge::{Refused, Violations};
use shared_events::contract::{Reason, RequestId, Timestamp};
use shared_events::stream::{AskedBy, OperatorAction, Verb};
use tonic::{Request, Status};

use super::{ENDPOINT, NotificationEdge, proto, unavailable};
use crate::Route;
use crate::ledger::{self, Replay};

/// Shards that a journal can have.
const SHARDS_MAX: usize = 1_024;

/// What a page of a replay is asked for.
struct Asked {
    id: RequestId,
    since: Timestamp,
    /// Until the first page was asked for, where it is not said.
    until: Option<Timestamp>,
    after: BTreeMap<u16, u64>,
    /// The serial after which the page begins.
    page: i64,
    tokens: Tokens,
    reason: String,
}

impl Asked {
    fn parse(request: &proto::ReplayWebhooksRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let id: Option<RequestId> = violations.parsed("replay_id", &request.replay_id);
        let after = positions(&request.after, &mut violations);
        let since = since(request, &mut violations);
        let until = request.until.as_ref().map(instant);
        if until == Some(None) {
            violations.wrong("until", "not a time");
        }
        let reason = violations.reason("reason", &request.reason);
        if !Route::is_endpoint_name(&request.endpoint) {
            violations.wrong("endpoint", ENDPOINT);
        }
        let spelling = id.map(|id| id.to_string()).unwrap_or_default();
        let tokens = Tokens::of(format!("{}/{spelling}", request.endpoint));
        let page = tokens.place(&request.page_token, |serial| serial.parse().ok());
        let page = page.unwrap_or_else(|foreign| {
            violations.extend(foreign);
            None
        });
        match (id, since) {
            (Some(id), Some(since)) if violations.is_empty() => {
                let (until, page) = (until.flatten(), page.unwrap_or(0));
                Ok(Self { id, since, until, after, page, tokens, reason })
            }
            _ => Err(violations),
        }
    }

    /// The text by which a repeated id is told from another replay under it.
    fn fingerprint(&self, endpoint: &str) -> String {
        let until = self.until.map_or("its beginning".to_owned(), |until| until.to_string());
        format!("{endpoint} from {} to {until} after {:?}", self.since, self.after)
    }
}

/// Queues one page of a replay.
pub(super) async fn page(
    edge: &NotificationEdge,
    request: Request<proto::ReplayWebhooksRequest>,
) -> Result<proto::ReplayWebhooksResponse, Status> {
    let by = request.extensions().get::<AskedBy>().cloned().unwrap_or_default();
    let request = request.into_inner();
    let now = (edge.now)();
    let asked = Asked::parse(&request)?;
    let mut webhooks = edge.config.webhooks.iter();
    let webhook = webhooks.find(|webhook| webhook.name == request.endpoint).ok_or_else(|| {
        Refused::new(Reason::NotFound).say("no such webhook endpoint is configured")
    })?;
    let (id, fingerprint) = (asked.id.uuid(), asked.fingerprint(&request.endpoint));
    let mut tx = edge.database.begin().await.map_err(|error| unavailable(&error))?;
    let began = ledger::begin_replay(&mut tx, id, &fingerprint, now).await;
    let began = began.map_err(|error| unavailable(&error))?.ok_or_else(reused)?;
    let Asked { since, until, after, page, tokens, reason, .. } = asked;
    let until = until.unwrap_or(began);
    let replay = Replay { webhook, id, since, until, after, by: &by.subject };
    let replayed = ledger::replay(&edge.database, &mut tx, &replay, page, now).await;
    let replayed = replayed.map_err(|error| unavailable(&error))?;
    if !request.validate_only {
        if replayed.queued > 0 {
            let target = &request.endpoint;
            let action = OperatorAction::new(&by, Verb::ReplayWebhooks, target, &reason, now);
            let queued = format!("{} calls queued by replay {id}", replayed.queued);
            let action = action.changing("", &queued);
            action.write(&mut tx).await.map_err(|error| unavailable(&error))?;
        }
        tx.commit().await.map_err(|error| unavailable(&error.into()))?;
        edge.due.wake();
    }
    let next_page_token = replayed.next.map(|serial| tokens.after(serial)).unwrap_or_default();
    Ok(proto::ReplayWebhooksResponse { queued: replayed.queued, next_page_token })
}

fn reused() -> Status {
    let refused = Refused::new(Reason::IdempotencyKeyReused).about("replay_id");
    refused.say("this replay id was used for another endpoint, time or position")
}

/// From when on the messages were composed.
fn since(request: &proto::ReplayWebhooksRequest, violations: &mut Violations) -> Option<Timestamp> {
    let since = match &request.since {
        None if !request.after.is_empty() => Some(Timestamp::MIN),
        since => since.as_ref().and_then(instant),
    };
    if since.is_none() {
        violations.wrong("since", "not a time, and there is no position in `after`");
    }
    since
}

/// The positions after which facts are posted, by shard.
fn positions(given: &[proto::FactPosition], violations: &mut Violations) -> BTreeMap<u16, u64> {
    let mut after = BTreeMap::new();
    if given.len() > SHARDS_MAX {
        violations.wrong("after", format!("more than {SHARDS_MAX} positions"));
        return after;
    }
    for (index, place) in given.iter().enumerate() {
        match u16::try_from(place.shard) {
            Ok(shard) if after.insert(shard, place.position).is_none() => {}
            Ok(_) => violations.wrong(format!("after[{index}].shard"), "named twice"),
            Err(_) => violations.wrong(format!("after[{index}].shard"), "not a shard"),
        }
    }
    after
}
