//! Streams that go on where they were once the server has ended them (`STOPPING`): each connection
//! has an age, and each process stops some time. One whose items have no positions begins anew: each
//! of them says all.
//! Never here: what an item means.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use shared_events::chance::Chance;
use shared_events::contract::Reason;
use shared_events::stream::Backoff;
use tokio::time::sleep;
use tonic::Code;

use super::{Client, Failure};

/// The pauses before a stream is opened again.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(4) };
/// So many failures one after the other end it: after five to ten seconds.
const FAILURES_MAX: u32 = 7;

/// Takes the items of a stream, each once and in order: the field of this name, in each message
/// that has one.
///
/// # Errors
/// Why the stream cannot begin, or cannot go on; what `take` refuses.
pub(crate) async fn read(
    client: &Client,
    method: &str,
    request: Value,
    item: &str,
    mut take: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    each_message(client, method, request, |reading, message| match reading.saw(message, item) {
        Some(item) => take(item),
        None => Ok(()),
    })
    .await
}

/// Takes published facts, each once and in order within its shard, as CloudEvents in JSON.
///
/// # Errors
/// As of [`read`].
pub(crate) async fn facts(
    client: &Client,
    request: Value,
    mut take: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    each_message(client, "facts.v1.FactService/ReadFacts", request, |reading, message| {
        reading.saw_facts(message).iter().try_for_each(|fact| take(fact))
    })
    .await
}

/// Takes the messages of a stream, over as many connections as it needs.
async fn each_message(
    client: &Client,
    method: &str,
    request: Value,
    mut take: impl FnMut(&mut Reading, &Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reading = Reading::new(request);
    loop {
        let failure = match once(client, method, &mut reading, &mut take).await {
            Ok(taken) => return taken,
            Err(_) if reading.is_complete() => return Ok(()),
            Err(failure) => failure,
        };
        let Some(pause) = reading.goes_on_in(&failure) else { return Err(failure) };
        sleep(pause).await;
    }
}

/// One stream, to its end or to what is not taken. The outer error is the stream's.
async fn once(
    client: &Client,
    method: &str,
    reading: &mut Reading,
    take: &mut impl FnMut(&mut Reading, &Value) -> Result<(), Failure>,
) -> Result<Result<(), Failure>, Failure> {
    let mut answers = client.stream(method, reading.next()).await?;
    while let Some(answer) = answers.next().await {
        if let Err(refused) = take(reading, &answer?) {
            return Ok(Err(refused));
        }
    }
    Ok(Ok(()))
}

/// How far a stream was read.
struct Reading {
    /// As it was asked for at first.
    request: Value,
    /// The last position of each shard.
    after: BTreeMap<u64, Value>,
    /// Facts of a position of which not all have come.
    partial: Vec<String>,
    /// Items that are still asked for; none for all.
    left: Option<u64>,
    /// Whether it is known where it begins.
    begun: bool,
    /// Failures since the last message, the end of the last stream among them.
    failures: u32,
}

impl Reading {
    fn new(request: Value) -> Self {
        let left = request["limit"].as_u64().filter(|limit| *limit > 0);
        let mut reading = Self {
            after: BTreeMap::new(),
            partial: Vec::new(),
            left,
            // A watch begins where the journal ends, unless it says otherwise.
            begun: request["from_beginning"] != false,
            failures: 0,
            request: Value::Null,
        };
        reading.pass(&request["after"]);
        reading.request = request;
        reading
    }

    /// Takes note of these positions.
    fn pass(&mut self, places: &Value) {
        for place in places.as_array().into_iter().flatten() {
            if let Some(shard) = place["shard"].as_u64() {
                self.after.insert(shard, place.clone());
            }
        }
    }

    /// The request that goes on.
    fn next(&mut self) -> Value {
        // What is not complete is read once more.
        self.partial.clear();
        let mut request = self.request.clone();
        if !self.begun {
            return request;
        }
        if !self.after.is_empty() || self.request["after"].is_array() {
            request["after"] = self.after.values().cloned().collect();
        }
        if let Some(left) = self.left {
            request["limit"] = json!(left);
        }
        // It is known where it begins. A shard that is not named had no event there, and is read
        // from the first one.
        if request["from_beginning"].is_boolean() {
            request["from_beginning"] = json!(true);
        }
        request
    }

    /// Takes note of a message; the item that it has.
    fn saw<'a>(&mut self, message: &'a Value, item: &str) -> Option<&'a Value> {
        self.failures = 0;
        let progress = &message["progress"];
        self.begun |= progress.is_object();
        self.pass(&progress["through"]);
        let item = Some(&message[item]).filter(|item| item.is_object())?;
        self.pass(&json!([item["position"]]));
        self.left = self.left.map(|left| left.saturating_sub(1));
        Some(item)
    }

    /// Takes note of a message with facts; those that are complete with it. Facts of one position
    /// come together, in one message or more, of which the last one has the position.
    fn saw_facts(&mut self, message: &Value) -> Vec<String> {
        self.failures = 0;
        let facts = message["facts"].as_array().into_iter().flatten();
        self.partial.extend(facts.filter_map(Value::as_str).map(str::to_owned));
        let through = &message["through"];
        if through.as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        self.pass(through);
        let complete = std::mem::take(&mut self.partial);
        let count = u64::try_from(complete.len()).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(count));
        complete
    }

    /// Whether all was seen that is asked for.
    fn is_complete(&self) -> bool {
        self.left == Some(0)
    }

    /// After which pause it goes on; none where it does not.
    fn goes_on_in(&mut self, failure: &Failure) -> Option<Duration> {
        let stopping = failure.reason() == Reason::Stopping.code();
        // Whoever has ended it may be away for a while, and its connection may close just then.
        let codes = [Code::Unavailable, Code::Cancelled];
        let away = self.failures > 0
            && matches!(failure, Failure::Status(status) if codes.contains(&status.code()));
        if !self.begun || !(stopping || away) || self.failures == FAILURES_MAX {
            return None;
        }
        let pause = BACKOFF.wait(self.failures, Chance::system().number());
        self.failures += 1;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use service_edge::Refused;
    use tonic::Status;

    use super::*;

    fn stopping() -> Failure {
        Failure::Status(Box::new(Refused::stopping()))
    }

    fn away() -> Failure {
        Failure::Status(Box::new(Status::unavailable("no engine")))
    }

    fn event(shard: u64, position: u64) -> Value {
        json!({ "event": { "position": { "shard": shard, "position": position, "mark": 7 } } })
    }

    #[test]
    fn a_stream_goes_on_after_its_last_positions_with_what_is_left_of_its_limit() {
        let after = json!([{ "shard": 2, "position": 5 }]);
        let request = json!({ "after": after, "only_named": false, "limit": 3 });
        let mut reading = Reading::new(request.clone());
        assert_eq!(reading.next(), request);
        let through = json!([{ "shard": 2, "position": 5, "mark": 1 }]);
        assert!(reading.saw(&json!({ "progress": { "through": through } }), "event").is_none());
        for (shard, position) in [(0, 1), (0, 2)] {
            let message = event(shard, position);
            assert_eq!(reading.saw(&message, "event"), Some(&message["event"]));
        }
        let after = json!([
            { "shard": 0, "position": 2, "mark": 7 }, { "shard": 2, "position": 5, "mark": 1 },
        ]);
        assert_eq!(reading.next(), json!({ "after": after, "only_named": false, "limit": 1 }));
        assert!(!reading.is_complete());
        reading.saw(&event(2, 6), "event").unwrap();
        // A limit of nothing would be none.
        assert!(reading.is_complete());
    }

    #[test]
    fn shards_without_events_when_a_watch_began_are_read_from_their_first_one() {
        let request = json!({ "order_ids": [], "after": [], "from_beginning": false });
        let mut reading = Reading::new(request.clone());
        assert_eq!(reading.next(), request);
        reading.saw(&json!({ "progress": { "through": [] } }), "change");
        let next = json!({ "order_ids": [], "after": [], "from_beginning": true });
        assert_eq!(reading.next(), next);
    }

    #[test]
    fn what_has_a_beginning_of_its_own_goes_on_before_its_first_message() {
        for request in [json!({ "live": false }), json!({ "from_beginning": true })] {
            let mut reading = Reading::new(request.clone());
            assert!(reading.goes_on_in(&stopping()).is_some(), "{request}");
            // A server that nobody has reached is not waited for.
            assert_eq!(Reading::new(request).goes_on_in(&away()), None);
        }
    }

    #[test]
    fn facts_of_a_position_of_which_not_all_came_are_read_again() {
        let place = |position: u64| json!([{ "shard": 4, "position": position, "mark": 9 }]);
        let mut reading = Reading::new(json!({ "source": "/ordinal/orders", "live": false }));
        let empty: Vec<String> = Vec::new();
        let first = json!({ "facts": ["a", "b"], "through": place(1) });
        assert_eq!(reading.saw_facts(&first), ["a", "b"]);
        assert_eq!(reading.saw_facts(&json!({ "facts": ["c"], "through": [] })), empty);
        let next = reading.next();
        assert_eq!(next["after"], place(1), "{next}");
        assert_eq!(reading.saw_facts(&json!({ "facts": ["c"], "through": [] })), empty);
        let last = json!({ "facts": ["d"], "through": place(2) });
        assert_eq!(reading.saw_facts(&last), ["c", "d"]);
        assert_eq!(reading.next()["after"], place(2));
    }

    #[test]
    fn a_stream_without_positions_begins_anew() {
        let request = json!({ "customer_id": "x" });
        let mut reading = Reading::new(request.clone());
        let message = json!({ "wallet": { "balances": [] } });
        assert_eq!(reading.saw(&message, "wallet"), Some(&message["wallet"]));
        assert!(reading.goes_on_in(&stopping()).is_some());
        assert_eq!(reading.next(), request);
    }

    #[test]
    fn only_a_stream_that_was_ended_goes_on_and_not_for_ever() {
        let mut reading = Reading::new(json!({ "from_beginning": false }));
        // Nobody knows where it would begin.
        assert_eq!(reading.goes_on_in(&stopping()), None);
        reading.saw(&json!({ "progress": { "through": [] } }), "event");
        assert_eq!(reading.goes_on_in(&away()), None);
        let mut pauses = vec![reading.goes_on_in(&stopping()).unwrap()];
        pauses.extend(std::iter::from_fn(|| reading.goes_on_in(&away())));
        assert_eq!(pauses.len(), 7);
        for (pause, longest) in pauses.iter().zip([100, 200, 400, 800, 1_600, 3_200, 4_000]) {
            let longest = Duration::from_millis(longest);
            assert!((longest / 2..=longest).contains(pause), "{pauses:?}");
        }
        reading.saw(&event(0, 1), "event");
        assert!(reading.goes_on_in(&stopping()).is_some_and(|pause| pause <= BACKOFF.first));
        let refused = Failure::Status(Box::new(Status::permission_denied("x")));
        assert_eq!(reading.goes_on_in(&refused), None);
    }
}
