use std::sync::Arc;

use shared_events::contract::OrderId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::proto::journal_service_server::JournalServiceServer;
use super::proto::order_service_server::OrderServiceServer;
use super::status;
use crate::actor::{Refusal, Registry};
use crate::domain::{By, Rejection, Role};
use crate::journal::Journal;
use crate::outbox::FactSource;
use crate::projections::OrderSummaries;

/// The most bytes of one request.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Streams open at once over all connections: each may remember some thousand orders.
const STREAMS_MAX: usize = 256;

/// The order nodes of a cluster.
pub trait Nodes: Send + Sync {
    /// A channel to the node that listens there; none where that is no address.
    fn channel(&self, address: &str) -> Option<Channel>;
}

/// Orders and their journal, as gRPC services. Clones are cheap and the same.
#[derive(Clone)]
pub struct OrdersEdge {
    pub(super) registry: Registry,
    pub(super) summaries: OrderSummaries,
    pub(super) journal: Journal,
    pub(super) facts: Arc<FactSource>,
    pub(super) stop: CancellationToken,
    pub(super) nodes: Option<Arc<dyn Nodes>>,
    streams: Arc<Semaphore>,
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
            journal,
            facts,
            stop: CancellationToken::new(),
            nodes: None,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
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

    /// A place for one more stream.
    pub(super) fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| status::refused(&Refusal::Overloaded))
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
        if by.role != Role::Customer {
            return Refusal::Archived { file };
        }
        match self.summaries.of_order(order_id).await {
            Ok(Some(known)) if known.customer_id.to_string() == by.subject => {
                Refusal::Archived { file }
            }
            Ok(_) => hidden.into(),
            Err(error) => Refusal::Unavailable(error.to_string()),
        }
    }
}
