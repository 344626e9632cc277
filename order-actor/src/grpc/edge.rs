use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use shared_events::contract::OrderId;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::changes::Changes;
use super::proto::journal_service_server::JournalServiceServer;
use super::proto::order_service_server::OrderServiceServer;
use crate::actor::{Refusal, Registry};
use crate::domain::{By, Rejection};
use crate::journal::Journal;
use crate::outbox::FactSource;
use crate::projections::OrderSummaries;

/// The most bytes of one request.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The order nodes of a cluster.
pub trait Nodes: Send + Sync {
    /// A channel to the node that listens there; none where that is no address.
    fn channel(&self, address: &str) -> Option<Channel>;
}

/// Whose command is carried out next. Calls have waited before they come here, streams of commands
/// wait here.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Waits for a turn of this caller; it is over when what is returned is dropped.
    async fn turn(&self, by: &By) -> Box<dyn Send + Sync>;
}

/// Bytes of commands that a stream has read and not answered, and of answers that wait for its client.
/// Whoever counts what the stream brings gives it along with the request, and looks at it; clones are
/// the same.
#[derive(Clone, Debug, Default)]
pub struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    /// So many at the moment.
    pub fn are(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Orders and their journal, as gRPC services. How many calls and streams there may be at once is
/// decided in front of them. Clones are cheap and the same.
#[derive(Clone)]
pub struct OrdersEdge {
    pub(super) registry: Registry,
    pub(super) summaries: OrderSummaries,
    pub(super) journal: Journal,
    pub(super) facts: Arc<FactSource>,
    pub(super) changes: Changes,
    pub(super) stop: CancellationToken,
    pub(super) nodes: Option<Arc<dyn Nodes>>,
    pub(super) turns: Option<Arc<dyn Turns>>,
}

impl OrdersEdge {
    /// Over these parts.
    #[must_use]
    pub fn new(
        registry: Registry,
        summaries: OrderSummaries,
        journal: Journal,
        facts: Arc<FactSource>,
    ) -> Self {
        Self {
            registry,
            summaries,
            changes: Changes::new(journal.clone()),
            journal,
            facts,
            stop: CancellationToken::new(),
            nodes: None,
            turns: None,
        }
    }

    /// Streams end, with `UNAVAILABLE` and reason `STOPPING`, when this token says so; without one
    /// they hold up a graceful stop for as long as their clients stay.
    #[must_use]
    pub fn stopping_with(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// Commands of a stream whose order another node has are carried there; without this they are
    /// refused with its address.
    #[must_use]
    pub fn among(mut self, nodes: Arc<dyn Nodes>) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// Commands of streams wait for their turn among all that is carried out; without this they are
    /// carried out at once.
    #[must_use]
    pub fn taking_turns(mut self, turns: Arc<dyn Turns>) -> Self {
        self.turns = Some(turns);
        self
    }

    /// The two services.
    #[must_use]
    pub fn into_services(self) -> (OrderServiceServer<Self>, JournalServiceServer<Self>) {
        let edge = Arc::new(self);
        (
            OrderServiceServer::from_arc(Arc::clone(&edge))
                .max_decoding_message_size(REQUEST_BYTES_MAX),
            JournalServiceServer::from_arc(edge).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
    }

    /// What a customer is told who asks for an order that has left. Whose it is stands in the list
    /// still: somebody else's is as hidden as before, by this rejection.
    pub(super) async fn archived_for(
        &self,
        by: &By,
        order_id: OrderId,
        file: String,
        hidden: Rejection,
    ) -> Refusal {
        let By::Customer(own) = by else { return Refusal::Archived { file } };
        match self.summaries.of_order(order_id).await {
            Ok(Some(known)) if known.customer_id == *own => Refusal::Archived { file },
            Ok(_) => hidden.into(),
            Err(error) => Refusal::Unavailable(error.to_string()),
        }
    }
}
