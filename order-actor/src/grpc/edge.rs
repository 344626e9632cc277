use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use shared_events::chance::Chance;
use shared_events::contract::OrderId;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::changes::Changes;
use super::proto::journal_service_server::JournalServiceServer;
use super::proto::order_service_server::OrderServiceServer;
use super::{proto, status};
use crate::actor::{Refusal, Registry};
use crate::domain::{By, Rejection, Role};
use crate::journal::{Journal, JournalError};
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
pub trait Slots: Send + Sync {
    /// Waits for a slot of this caller; it is over when what is returned is dropped.
    async fn slot(&self, by: &By) -> Box<dyn Send + Sync>;
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
    pub(super) changes: Changes,
    pub(super) stop: CancellationToken,
    pub(super) nodes: Option<Arc<dyn Nodes>>,
    pub(super) slots: Option<Arc<dyn Slots>>,
    pub(super) chance: Chance,
}

impl OrdersEdge {
    /// Over these parts.
    #[must_use]
    pub fn new(registry: Registry, summaries: OrderSummaries, journal: Journal) -> Self {
        Self {
            registry,
            summaries,
            changes: Changes::new(journal.clone()),
            journal,
            stop: CancellationToken::new(),
            nodes: None,
            slots: None,
            chance: Chance::system(),
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

    /// Commands of streams wait for a slot among all that is carried out; without this they are
    /// carried out at once.
    #[must_use]
    pub fn taking_slots(mut self, slots: Arc<dyn Slots>) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Ids that nobody named are drawn from there, and not from the machine.
    #[must_use]
    pub fn drawing_from(mut self, chance: Chance) -> Self {
        self.chance = chance;
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

    /// What a customer is told who asks for an order that has left or cannot be read. Whose it is
    /// stands in the list still: somebody else's is as hidden as before, by this rejection.
    pub(super) async fn unreadable_for(
        &self,
        by: &By,
        order_id: OrderId,
        refusal: Refusal,
        hidden: Rejection,
    ) -> Refusal {
        let unreadable = matches!(refusal, Refusal::Archived { .. } | Refusal::Quarantined(_));
        if !unreadable || by.only_customer().is_none() {
            return refusal;
        }
        match self.summaries.of_order(order_id).await {
            Ok(Some(known)) if by.owns_orders_of(known.customer_id) => refusal,
            Ok(_) => hidden.into(),
            Err(error) => Refusal::Unavailable(error.to_string()),
        }
    }

    /// A place as this caller may see it; none to a customer while it cannot be hidden.
    pub(super) async fn place_for(
        &self,
        by: &By,
        place: Option<proto::ShardPosition>,
    ) -> Option<proto::ShardPosition> {
        let place = place?;
        if by.role() != Role::Customer {
            return Some(place);
        }
        hidden(&self.journal, place).await.ok()
    }

    /// A position that this caller was shown.
    pub(super) async fn position_of(
        &self,
        by: &By,
        shard: u16,
        position: u64,
    ) -> Result<u64, Status> {
        if by.role() != Role::Customer {
            return Ok(position);
        }
        let cipher =
            self.journal.position_cipher(shard).await.map_err(|error| status::journal(&error))?;
        // What nobody was shown here was shown by another journal, if at all.
        cipher.reveal(shard, position).ok_or_else(status::forked)
    }
}

/// A place with its position hidden.
pub(super) async fn hidden(
    journal: &Journal,
    place: proto::ShardPosition,
) -> Result<proto::ShardPosition, JournalError> {
    let shard = u16::try_from(place.shard).unwrap_or(u16::MAX);
    let position = journal.position_cipher(shard).await?.hide(shard, place.position);
    Ok(proto::ShardPosition { position, ..place })
}
