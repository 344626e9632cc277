use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use shared_events::contract::{Fact, Origin, Reason, Timestamp};
use shared_events::stream::{
    Batch, Comparison, Cursors, Finding, Place, Reader, Scope, Source, SourceError,
};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::proto::fact_service_client::FactServiceClient;
use super::{Identity, cursors, introduced, place, positions, proto, read_history};
use crate::Wire;

/// A message holds at most 1 MiB of facts, or one fact that is larger.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the other side may take for its first answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How many facts are asked for to see which is the oldest: some of each shard, since not every
/// position has facts.
const FIRST_FACTS: u32 = 64;

/// Another process's facts, through one stream that continues from the reader's cursors. A lost
/// stream is opened again; what the reader has not committed is read again.
pub struct RemoteFacts {
    origin: Origin,
    client: FactServiceClient<Wire>,
    identity: Identity,
    without_contact: bool,
    live: Mutex<Option<Live>>,
}

struct Live {
    /// The reader's cursors once it has handled everything that was returned.
    at: Cursors,
    stream: Streaming<proto::ReadFactsResponse>,
    /// Facts of a batch whose last message has not arrived yet.
    partial: Vec<Fact>,
    /// Read while waiting.
    next: Option<Batch<Fact>>,
}

impl RemoteFacts {
    /// The facts of this service, from whichever process answers at the end of the wire.
    #[must_use]
    pub fn new(origin: Origin, wire: Wire, identity: Identity) -> Self {
        let client = FactServiceClient::new(wire).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { origin, client, identity, without_contact: false, live: Mutex::default() }
    }

    /// The same facts without what says how customers are reached. Processes of earlier versions
    /// send it all the same.
    #[must_use]
    pub fn without_contact(self) -> Self {
        Self { without_contact: true, ..self }
    }

    /// Asks for facts: all, also new ones, or about so many of those that are there.
    async fn ask(&self, after: &Cursors, limit: Option<u32>) -> Result<Live, SourceError> {
        let shards = match after.scope() {
            Scope::All => Vec::new(),
            Scope::Only(shards) => shards.iter().copied().map(u32::from).collect(),
        };
        let request = self.identity.request(proto::ReadFactsRequest {
            source: self.origin.uri().to_owned(),
            after: positions(after),
            shards,
            live: limit.is_none(),
            without_contact: self.without_contact,
            limit: limit.unwrap_or(0),
        });
        let mut client = self.client.clone();
        let stream = answered(client.read_facts(request)).await?.into_inner();
        Ok(Live { at: after.clone(), stream, partial: Vec::new(), next: None })
    }

    /// The heads, and the shards that are empty.
    async fn ask_heads(&self) -> Result<(Cursors, Vec<u32>), SourceError> {
        let request =
            self.identity.request(proto::GetHeadsRequest { source: self.origin.uri().to_owned() });
        let mut client = self.client.clone();
        let answer = answered(client.get_heads(request)).await?.into_inner();
        let heads = cursors(&answer.heads);
        let heads =
            heads.ok_or_else(|| SourceError::Unavailable("a head without a shard".to_owned()))?;
        Ok((heads, answer.empty_shards))
    }

    async fn open(&self, after: &Cursors) -> Result<Live, SourceError> {
        let mut live = self.ask(after, None).await?;
        // The first message of a live stream comes immediately, with or without facts.
        live.next = Some(answered(live.message()).await?);
        Ok(live)
    }
}

impl Live {
    /// The next complete batch of a stream that does not end.
    async fn message(&mut self) -> Result<Batch<Fact>, Status> {
        self.batch().await?.ok_or_else(|| Status::unavailable("the stream ended"))
    }

    /// The next complete batch; none where the stream has ended.
    async fn batch(&mut self) -> Result<Option<Batch<Fact>>, Status> {
        loop {
            let Some(message) = self.stream.message().await? else { return Ok(None) };
            for json in &message.facts {
                let fact = Fact::from_json(json)
                    .map_err(|error| Status::data_loss(format!("unreadable fact: {error}")))?;
                self.partial.push(fact);
            }
            let through = cursors(&message.through)
                .ok_or_else(|| Status::data_loss("a position without a shard"))?;
            if !through.is_empty() || self.partial.is_empty() {
                let items = std::mem::take(&mut self.partial);
                return Ok(Some(Batch { items, through, more: message.more }));
            }
        }
    }
}

/// The answer in time, or an error.
async fn answered<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, SourceError> {
    match timeout(ANSWERS_WITHIN, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(failed(&status)),
        Err(_) => Err(SourceError::Unavailable(format!("no answer within {ANSWERS_WITHIN:?}"))),
    }
}

fn failed(status: &Status) -> SourceError {
    let detail = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        // A log with a gap, or with another history than was read from it: no reader may continue.
        Code::DataLoss => SourceError::Broken { shard: 0, position: 0, detail },
        Code::OutOfRange => SourceError::Forked { shard: 0, position: 0, detail },
        _ => archived(status).unwrap_or(SourceError::Unavailable(detail)),
    }
}

/// What the other side says is archived, where that is why nothing was read.
fn archived(status: &Status) -> Option<SourceError> {
    let info = status.get_details_error_info()?;
    if info.reason != Reason::Archived.code() {
        return None;
    }
    let value = |key: &str| info.metadata.get(key);
    Some(SourceError::Archived {
        shard: value("shard")?.parse().ok()?,
        through: value("through")?.parse().ok()?,
        first: value("first")?.parse().ok()?,
        file: value("file")?.clone(),
    })
}

#[async_trait]
impl Source<Fact> for RemoteFacts {
    async fn read_after(&self, after: &Cursors, _: usize) -> Result<Batch<Fact>, SourceError> {
        let mut live = self.live.lock().await;
        let open = live.take().filter(|open| open.at == *after);
        let mut open = match open {
            Some(open) => open,
            None => self.open(after).await?,
        };
        let mut batch = match open.next.take() {
            Some(batch) => batch,
            None => match open.message().now_or_never() {
                None => Batch::default(),
                Some(Ok(batch)) => batch,
                // Servers close old connections; that alone is no failure.
                Some(Err(status)) => {
                    tracing::debug!(%status, source = self.origin.uri(), "feed opened again");
                    open = self.open(after).await?;
                    open.next.take().unwrap_or_default()
                }
            },
        };
        open.at.merge(&batch.through);
        if !batch.is_empty() {
            match open.message().now_or_never() {
                None => {}
                Some(Ok(next)) => {
                    // Servers of earlier versions do not send `more`; this message shows it.
                    batch.more |= !next.is_empty();
                    open.next = Some(next);
                }
                // No data are lost by an error here: the next read opens the feed again from these
                // cursors.
                Some(Err(_)) => return Ok(batch),
            }
        }
        *live = Some(open);
        Ok(batch)
    }

    async fn changed(&self, after: &Cursors) {
        let mut live = self.live.lock().await;
        let Some(open) = live.as_mut().filter(|open| open.at == *after && open.next.is_none())
        else {
            return;
        };
        match open.message().await {
            Ok(batch) => open.next = Some(batch),
            // The next read finds the cause.
            Err(_) => *live = None,
        }
    }

    async fn compare(&self, known: &[Place], incarnation: u64) -> Result<Comparison, SourceError> {
        let request = self.identity.request(proto::CompareRequest {
            source: self.origin.uri().to_owned(),
            places: known.iter().map(place).collect(),
            incarnation,
            reader: None,
        });
        let mut client = self.client.clone();
        let answer = answered(client.compare(request)).await?.into_inner();
        let finding = |finding: proto::Finding| match finding {
            proto::Finding::Same => Some(Finding::Same),
            proto::Finding::Other => Some(Finding::Other),
            proto::Finding::Beyond => Some(Finding::Ahead),
            proto::Finding::Unspecified => None,
        };
        let findings: Option<Vec<Finding>> = answer.findings().map(finding).collect();
        let findings = findings.filter(|findings| findings.len() == known.len());
        let findings = findings
            .ok_or_else(|| SourceError::Unavailable("an answer without a comparison".to_owned()))?;
        let history = answer.history.as_ref().and_then(read_history);
        Ok(Comparison { history, findings })
    }

    async fn meet(&self, reader: &Reader) -> Result<bool, SourceError> {
        let request = self.identity.request(proto::CompareRequest {
            source: self.origin.uri().to_owned(),
            reader: Some(introduced(reader)),
            ..proto::CompareRequest::default()
        });
        let mut client = self.client.clone();
        Ok(!answered(client.compare(request)).await?.into_inner().unknown_reader)
    }

    async fn pause(&self) {
        *self.live.lock().await = None;
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        Ok(self.ask_heads().await?.0)
    }

    async fn ends(&self) -> Result<Cursors, SourceError> {
        let (mut ends, empty) = self.ask_heads().await?;
        for shard in empty.into_iter().filter_map(|shard| u16::try_from(shard).ok()) {
            ends.advance(shard, 0);
        }
        Ok(ends)
    }

    async fn oldest_after(&self, after: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        // A call of its own: the reader's stream goes on. Positions without facts are passed over.
        let mut read = self.ask(after, Some(FIRST_FACTS)).await?;
        while let Some(batch) = answered(read.batch()).await? {
            if let Some(oldest) = batch.oldest() {
                return Ok(Some(oldest));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use shared_events::contract::{FactBody, FactId, InventoryFact, OrderId};
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::{Endpoint, Server};
    use tonic::{Request, Response};
    use tower::ServiceExt as _;

    use super::*;
    use crate::feed::proto::fact_service_server::{FactService, FactServiceServer};

    /// Sends these messages, each of one position, to readers that have not had them.
    struct Publisher(Vec<proto::ReadFactsResponse>);

    type Messages =
        tokio_stream::Iter<std::vec::IntoIter<Result<proto::ReadFactsResponse, Status>>>;

    #[tonic::async_trait]
    impl FactService for Publisher {
        type ReadFactsStream = Messages;

        async fn read_facts(
            &self,
            request: Request<proto::ReadFactsRequest>,
        ) -> Result<Response<Messages>, Status> {
            let after = request.into_inner().after.first().map_or(0, |place| place.position);
            let left = self.0.iter().filter(|message| message.through[0].position > after);
            let left: Vec<_> = left.cloned().map(Ok).collect();
            Ok(Response::new(tokio_stream::iter(left)))
        }

        async fn compare(
            &self,
            _: Request<proto::CompareRequest>,
        ) -> Result<Response<proto::CompareResponse>, Status> {
            Err(Status::unimplemented("nobody asks"))
        }

        async fn get_heads(
            &self,
            _: Request<proto::GetHeadsRequest>,
        ) -> Result<Response<proto::GetHeadsResponse>, Status> {
            Err(Status::unimplemented("nobody asks"))
        }
    }

    fn message(position: u64, json: Option<&str>) -> proto::ReadFactsResponse {
        let body = FactBody::Inventory(InventoryFact::Reserved {
            order_id: OrderId::mint(),
            reservation_id: "018f6f3e-0000-7000-8000-00000000000b".parse().unwrap(),
            lines: Vec::new(),
            backordered: Vec::new(),
        });
        let id = FactId::at(Origin::Inventory, 0, position, 0);
        let time = Timestamp::from_micros(1_800_000_000_000_000);
        let fact = Fact::new(id, (0, position, 0), 1, time, body);
        let facts = vec![json.map_or_else(|| fact.to_json().unwrap(), str::to_owned)];
        proto::ReadFactsResponse {
            facts,
            through: vec![proto::FactPosition { shard: 0, position, mark: None }],
            more: false,
        }
    }

    async fn serve(
        messages: Vec<proto::ReadFactsResponse>,
    ) -> (RemoteFacts, tokio::task::JoinHandle<Result<(), tonic::transport::Error>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder()
            .add_service(FactServiceServer::new(Publisher(messages)))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = shared_events::stream::spawn(serving);
        let channel = Endpoint::new(format!("http://{address}")).unwrap().connect_lazy();
        let wire = Wire::new(channel.map_err(|error| Status::from_error(error.into())));
        (RemoteFacts::new(Origin::Inventory, wire, Identity::default()), serving)
    }

    #[tokio::test]
    async fn more_is_what_the_server_sends() {
        for more in [true, false] {
            let message = proto::ReadFactsResponse { more, ..message(1, None) };
            let (source, serving) = serve(vec![message]).await;
            let batch = source.read_after(&Cursors::default(), 100).await.unwrap();
            assert_eq!((batch.items.len(), batch.more), (1, more));
            serving.abort();
        }
    }

    #[tokio::test]
    async fn the_oldest_of_nothing_is_none() {
        let without = proto::ReadFactsResponse { facts: Vec::new(), ..message(1, None) };
        let time = Timestamp::from_micros(1_800_000_000_000_000);
        for (messages, oldest) in [
            (Vec::new(), None),
            (vec![without.clone()], None),
            (vec![without, message(2, None)], Some(time)),
        ] {
            let (source, serving) = serve(messages).await;
            assert_eq!(source.oldest_after(&Cursors::default()).await.unwrap(), oldest);
            serving.abort();
        }
    }

    #[tokio::test]
    async fn an_unreadable_fact_is_not_skipped() {
        let messages = vec![message(1, None), message(2, Some("{")), message(3, None)];
        let (source, serving) = serve(messages).await;
        let mut cursors = Cursors::default();
        let refused = loop {
            match source.read_after(&cursors, 100).await {
                Ok(batch) if batch.is_empty() => source.changed(&cursors).await,
                Ok(batch) => cursors.merge(&batch.through),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, SourceError::Broken { .. }), "{refused}");
        assert_eq!(cursors.get(0), 1);
        serving.abort();
    }
}
