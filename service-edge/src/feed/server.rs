use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::{Fact, Origin, Reason};
use shared_events::stream::{Cursors, Finding, Place, Scope, Source, SourceError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::proto::fact_service_server::{FactService, FactServiceServer};
use super::{cursors, history, places, positions, proto, read_reader, scope};
use crate::{Refused, STREAM_READ_WITHIN, archived, violation};

/// Facts per read of the log.
const READ_AT_ONCE: usize = 512;
/// Bytes of facts after which a message takes no more.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Messages that wait for a slow reader.
const WAITING_MAX: usize = 4;
/// The most shards a log can have.
const SHARDS_MAX: u16 = 1_024;

/// Creates a reader of one log; each stream has its own, so that they do not disturb each other.
pub type Log = Arc<dyn Fn() -> Arc<dyn Source<Fact>> + Send + Sync>;

/// The fact service of this process.
#[derive(Clone)]
pub struct FactEdge {
    logs: Arc<BTreeMap<&'static str, Log>>,
    stop: CancellationToken,
}

impl FactEdge {
    /// Serves these logs. Streams end at `stop`.
    #[must_use]
    pub fn new(logs: impl IntoIterator<Item = (Origin, Log)>, stop: CancellationToken) -> Self {
        let logs = logs.into_iter().map(|(origin, log)| (origin.uri(), log)).collect();
        Self { logs: Arc::new(logs), stop }
    }

    /// The tonic service.
    #[must_use]
    pub fn into_service(self) -> FactServiceServer<Self> {
        FactServiceServer::new(self)
    }

    fn log(&self, source: &str) -> Result<Arc<dyn Source<Fact>>, Status> {
        self.logs.get(source).map(|log| log()).ok_or_else(|| {
            let known: Vec<&str> = self.logs.keys().copied().collect();
            violation("source", &format!("not served here; there is {}", known.join(", ")))
        })
    }
}

type Messages = ReceiverStream<Result<proto::ReadFactsResponse, Status>>;

#[tonic::async_trait]
impl FactService for FactEdge {
    type ReadFactsStream = Messages;

    async fn read_facts(
        &self,
        request: Request<proto::ReadFactsRequest>,
    ) -> Result<Response<Messages>, Status> {
        let request = request.into_inner();
        let log = self.log(&request.source)?;
        let (after, scope) = parse_request(&request, log.shards().unwrap_or(SHARDS_MAX))?;
        let after = after.scoped(scope);
        let known: Vec<Place> = after.places().filter(|place| after.reads(place.shard)).collect();
        let compared = log.compare(&known, 0).await.map_err(|error| status(&error))?;
        let heads = log.heads().await.map_err(|error| status(&error))?;
        let ahead = |(shard, position)| heads.reads(shard) && position > heads.get(shard);
        if compared.differing(&known).next().is_some() || after.iter().any(ahead) {
            return Err(forked());
        }
        // One more place, for the final status: it can be sent however many messages wait.
        let (sender, receiver) = mpsc::channel(WAITING_MAX + 1);
        let last_word = sender.clone().try_reserve_owned();
        let stop = self.stop.clone();
        shared_events::stream::spawn(async move {
            let end = tokio::select! {
                end = send_facts(log.as_ref(), after, &request, &sender) => end,
                () = stop.cancelled() => Err(Refused::stopping()),
                () = sender.closed() => Ok(()),
            };
            if let (Err(status), Ok(last_word)) = (end, last_word) {
                last_word.send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_heads(
        &self,
        request: Request<proto::GetHeadsRequest>,
    ) -> Result<Response<proto::GetHeadsResponse>, Status> {
        let log = self.log(&request.into_inner().source)?;
        let ends = log.ends().await.map_err(|error| status(&error))?;
        let empty = ends.iter().filter(|(_, position)| *position == 0);
        let empty_shards = empty.map(|(shard, _)| u32::from(shard)).collect();
        let mut heads = positions(&ends);
        heads.retain(|head| head.position > 0);
        Ok(Response::new(proto::GetHeadsResponse { heads, empty_shards }))
    }

    async fn compare(
        &self,
        request: Request<proto::CompareRequest>,
    ) -> Result<Response<proto::CompareResponse>, Status> {
        let request = request.into_inner();
        let log = self.log(&request.source)?;
        if request.places.len() > PLACES_MAX {
            return Err(violation("places", &format!("at most {PLACES_MAX} places")));
        }
        let known = "each has a shard below 1024, a position from 1 and a mark";
        let known = places(&request.places).ok_or_else(|| violation("places", known))?;
        let unknown_reader = match &request.reader {
            Some(reader) => {
                let text = "name and identity have 1 to 64 bytes";
                let reader = read_reader(reader).ok_or_else(|| violation("reader", text))?;
                !log.meet(&reader).await.map_err(|error| status(&error))?
            }
            None => false,
        };
        let compared =
            log.compare(&known, request.incarnation).await.map_err(|error| status(&error))?;
        let finding = |finding: &Finding| match finding {
            Finding::Same => proto::Finding::Same.into(),
            Finding::Other => proto::Finding::Other.into(),
            Finding::Ahead => proto::Finding::Beyond.into(),
        };
        Ok(Response::new(proto::CompareResponse {
            history: compared.history.map(history),
            findings: compared.findings.iter().map(finding).collect(),
            unknown_reader,
        }))
    }
}

/// The most places of one comparison.
const PLACES_MAX: usize = 2_048;

/// The cursors from which a reader continues, and the shards that it reads. An unknown shard is the
/// reader's mistake, not the log's.
fn parse_request(
    request: &proto::ReadFactsRequest,
    shards: u16,
) -> Result<(Cursors, Scope), Status> {
    let unknown = |shard: u32| shard >= u32::from(shards);
    let wrong = |field: String| violation(&field, &format!("the log has {shards} shards, from 0"));
    if let Some(index) = request.after.iter().position(|place| unknown(place.shard)) {
        return Err(wrong(format!("after[{index}].shard")));
    }
    if let Some(index) = request.shards.iter().position(|shard| unknown(*shard)) {
        return Err(wrong(format!("shards[{index}]")));
    }
    let (after, scope) = (cursors(&request.after), scope(&request.shards));
    let (after, scope) = after.zip(scope).ok_or_else(|| wrong("after".to_owned()))?;
    Ok((after, scope))
}

async fn send_facts(
    log: &dyn Source<Fact>,
    mut after: Cursors,
    asked: &proto::ReadFactsRequest,
    reader: &mpsc::Sender<Result<proto::ReadFactsResponse, Status>>,
) -> Result<(), Status> {
    let mut first = true;
    let mut left = match asked.limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let shards = usize::from(log.shards().unwrap_or(1));
    loop {
        let at_once = READ_AT_ONCE.min(left.max(shards));
        let batch = log.read_after(&after, at_once).await.map_err(|error| status(&error))?;
        if batch.is_empty() && !asked.live {
            return Ok(());
        }
        if batch.is_empty() && !first {
            log.changed(&after).await;
            continue;
        }
        first = false;
        left = left.saturating_sub(batch.items.len());
        let mut message = proto::ReadFactsResponse { more: true, ..Default::default() };
        let mut bytes = 0;
        for fact in batch.items {
            let fact = if asked.without_contact { fact.without_contact() } else { fact };
            let json =
                fact.to_json().map_err(|_| broken("a fact that cannot be written as JSON"))?;
            if bytes > 0 && bytes + json.len() > MESSAGE_BYTES {
                let next = proto::ReadFactsResponse { more: true, ..Default::default() };
                if !send(reader, std::mem::replace(&mut message, next)).await? {
                    return Ok(());
                }
                bytes = 0;
            }
            bytes += json.len();
            message.facts.push(json);
        }
        message.through = positions(&batch.through);
        message.more = batch.more;
        after.merge(&batch.through);
        if !send(reader, message).await? || left == 0 {
            return Ok(());
        }
    }
}

fn forked() -> Status {
    let message = "the log does not hold what was read: it was set back";
    Refused::new(Reason::HistoryForked).say(message)
}

/// Sends to the reader; false where it has gone.
async fn send(
    reader: &mpsc::Sender<Result<proto::ReadFactsResponse, Status>>,
    message: proto::ReadFactsResponse,
) -> Result<bool, Status> {
    match tokio::time::timeout(STREAM_READ_WITHIN, reader.send(Ok(message))).await {
        Ok(sent) => Ok(sent.is_ok()),
        Err(_) => Err(Refused::reader_too_slow()),
    }
}

fn broken(detail: &str) -> Status {
    Refused::new(Reason::LogBroken).say(detail)
}

fn status(error: &SourceError) -> Status {
    match error {
        SourceError::Unavailable(error) => {
            tracing::warn!(error, "a log could not be read");
            Refused::unavailable(Reason::LogUnavailable).say("the log cannot be read at the moment")
        }
        SourceError::Archived { shard, through, first, file } => {
            archived(*shard, *through, *first, file)
        }
        SourceError::Forked { .. } => forked(),
        SourceError::Broken { .. } => broken(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use shared_events::contract::{FactBody, FactId, InventoryFact, Timestamp};
    use shared_events::stream::Batch;
    use tonic_types::StatusExt as _;

    use super::*;

    /// A log with more than any reader takes, a fact at each position.
    struct Endless;

    fn fact(position: u64) -> Fact {
        let body = FactBody::Inventory(InventoryFact::Reserved {
            order_id: "018f6f3e-0000-7000-8000-00000000000a".parse().unwrap(),
            reservation_id: "018f6f3e-0000-7000-8000-00000000000b".parse().unwrap(),
            lines: Vec::new(),
            backordered: Vec::new(),
        });
        let id = FactId::at(Origin::Inventory, 0, position, 0);
        let time = Timestamp::from_micros(1_800_000_000_000_000);
        Fact::new(id, (0, position, 0), position, time, body)
    }

    #[tonic::async_trait]
    impl Source<Fact> for Endless {
        async fn read_after(
            &self,
            cursors: &Cursors,
            _limit: usize,
        ) -> Result<Batch<Fact>, SourceError> {
            let position = cursors.get(0) + 1;
            let through = [(0, position)].into_iter().collect();
            Ok(Batch { items: vec![fact(position)], through, more: true })
        }

        async fn changed(&self, _cursors: &Cursors) {}

        async fn heads(&self) -> Result<Cursors, SourceError> {
            Ok(Cursors::default())
        }

        async fn ends(&self) -> Result<Cursors, SourceError> {
            Ok([(0, 7), (2, 0)].into_iter().collect())
        }
    }

    fn edge() -> FactEdge {
        let log: Log = Arc::new(|| Arc::new(Endless));
        FactEdge::new([(Origin::Orders, log)], CancellationToken::new())
    }

    #[tokio::test]
    async fn an_empty_shard_is_told_apart_from_one_that_is_not_known() {
        let source = Origin::Orders.uri().to_owned();
        let asked = edge().get_heads(Request::new(proto::GetHeadsRequest { source })).await;
        let told = asked.unwrap().into_inner();
        let heads = vec![proto::FactPosition { shard: 0, position: 7, mark: None }];
        assert_eq!((told.heads, told.empty_shards), (heads, vec![2]));
    }

    async fn feed(limit: u32) -> Messages {
        let edge = edge();
        let source = Origin::Orders.uri().to_owned();
        let request = proto::ReadFactsRequest { source, live: true, limit, ..Default::default() };
        edge.read_facts(Request::new(request)).await.unwrap().into_inner()
    }

    #[tokio::test]
    async fn a_live_feed_with_a_limit_ends_once_so_many_facts_were_sent() {
        let mut feed = feed(2).await;
        let mut facts = 0;
        while let Some(message) = feed.next().await {
            facts += message.unwrap().facts.len();
            // There may be some more, and not one after the other.
            assert!(facts <= 4, "it does not end");
        }
        assert!(facts >= 2, "{facts}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_for_minutes_loses_its_feed() {
        let (mut stuck, mut slow) = (feed(0).await, feed(0).await);
        // A slow one that reads on does not.
        for _ in 0..4 {
            tokio::time::sleep(STREAM_READ_WITHIN - std::time::Duration::from_secs(1)).await;
            assert!(slow.next().await.unwrap().is_ok());
        }
        for _ in 0..WAITING_MAX {
            assert!(stuck.next().await.unwrap().is_ok());
        }
        let status = stuck.next().await.unwrap().unwrap_err();
        assert_eq!(status.get_details_error_info().unwrap().reason, "READER_TOO_SLOW");
        assert!(stuck.next().await.is_none());
    }
}
