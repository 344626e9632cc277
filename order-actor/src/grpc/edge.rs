use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use service_edge::{Refused, Wire};
use shared_events::chance::Chance;
use shared_events::contract::{Currency, OrderId, PspName, Reason};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::caller::CallContext;
use super::changes::Changes;
use super::parse::{Parsed, Violations};
use super::proto::journal_service_server::JournalServiceServer;
use super::proto::order_service_server::OrderServiceServer;
use super::{proto, status};
use crate::actor::{Refusal, Registry};
use crate::domain::{By, Command, Rejection, Role};
use crate::journal::{Journal, JournalError};
use crate::projections::{OrderReturns, OrderSummaries};

/// Bytes of one request.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The order nodes of a cluster.
pub trait Nodes: Send + Sync {
    /// The way to the node at this address; none if the address is invalid.
    fn wire(&self, address: &str) -> Option<Wire>;
}

/// Execution slots, shared fairly between callers. Single calls take a slot before they reach this
/// module; commands of a stream take theirs here.
#[async_trait]
pub trait Slots: Send + Sync {
    /// Waits for a slot of this caller, for a command that another node forwarded or not. Dropping
    /// the returned value frees it.
    ///
    /// # Errors
    /// Why the caller gets none: the command is not begun.
    async fn slot(&self, by: &By, forwarded: bool) -> Result<Box<dyn Send + Sync>, Status>;
}

/// Bytes that a command stream holds: commands without an answer and answers not yet taken by the
/// client. The layer that limits a stream's bytes attaches it to the request and reads it. Clones
/// share their state.
#[derive(Clone, Debug, Default)]
pub struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    /// Sets the current number of bytes.
    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// The current number of bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ends a stream of commands before the engine stops: no more are read, those that were are answered,
/// and then it ends with a status. The layer that knows of the connection attaches it to the request.
#[derive(Clone, Debug)]
pub struct EndsBy {
    /// When.
    pub when: CancellationToken,
    /// With which status.
    pub why: fn() -> Status,
}

impl EndsBy {
    /// Completes when no more commands are to be read, with what their caller is told then.
    pub(super) async fn stopped(stop: &CancellationToken, ends: Option<&Self>) -> Status {
        let Some(Self { when, why }) = ends else {
            stop.cancelled().await;
            return Refused::stopping();
        };
        tokio::select! {
            () = stop.cancelled() => Refused::stopping(),
            () = when.cancelled() => why(),
        }
    }
}

/// Implements both gRPC services. Limits on concurrent calls and streams are enforced in front of
/// it. Clones are cheap and share their state.
#[derive(Clone)]
pub struct OrdersEdge {
    pub(super) registry: Registry,
    pub(super) summaries: OrderSummaries,
    pub(super) returns: OrderReturns,
    pub(super) journal: Journal,
    pub(super) changes: Changes,
    pub(super) stop: CancellationToken,
    pub(super) nodes: Option<Arc<dyn Nodes>>,
    pub(super) slots: Option<Arc<dyn Slots>>,
    pub(super) chance: Chance,
    pub(super) payers: Option<Payers>,
}

/// What is wrong with paying by a provider in a currency; none where it can be done, as far as this
/// process knows.
pub type Payers = Arc<dyn Fn(&PspName, Currency) -> Option<String> + Send + Sync>;

impl OrdersEdge {
    /// An edge over these components.
    #[must_use]
    pub fn new(
        registry: Registry,
        summaries: OrderSummaries,
        returns: OrderReturns,
        journal: Journal,
    ) -> Self {
        Self {
            registry,
            summaries,
            returns,
            changes: Changes::new(journal.clone()),
            journal,
            stop: CancellationToken::new(),
            nodes: None,
            slots: None,
            chance: Chance::system(),
            payers: None,
        }
    }

    /// Ends streams with `UNAVAILABLE` and reason `STOPPING` when this token is cancelled. Without
    /// it, open streams delay a graceful stop until their clients disconnect.
    #[must_use]
    pub fn stopping_with(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// Forwards a stream's commands for orders of other nodes. Without it they are refused with the
    /// owner's address.
    #[must_use]
    pub fn among(mut self, nodes: Arc<dyn Nodes>) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// Makes commands of streams wait for an execution slot. Without it they are executed
    /// immediately.
    #[must_use]
    pub fn taking_slots(mut self, slots: Arc<dyn Slots>) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Draws generated ids from this source instead of the machine's.
    #[must_use]
    pub fn drawing_from(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// Refuses orders whose plan names a provider, or has a currency, that cannot pay. Without it
    /// such an order waits for its money in vain.
    #[must_use]
    pub fn paid_by(mut self, payers: Payers) -> Self {
        self.payers = Some(payers);
        self
    }

    /// Refuses a placement whose plan cannot pay it. An order that is there was placed when its plan
    /// could: that it is placed again is answered as ever.
    pub(super) async fn can_pay(
        &self,
        call: &CallContext,
        parsed: &Parsed,
        deadline: Instant,
    ) -> Result<(), Status> {
        let Command::Place(place) = &parsed.command else { return Ok(()) };
        let currency = place.lines.first().map(|line| line.unit_price.currency);
        let wrong = self.payers.as_ref().zip(place.payment.as_ref()).zip(currency);
        let wrong = wrong.and_then(|((payers, plan), currency)| payers(&plan.psp, currency));
        let Some(wrong) = wrong else { return Ok(()) };
        self.settled(parsed.order_id, call.forwarded, deadline).await;
        match self.registry.view(parsed.order_id, &call.by).await {
            Err(Refusal::Rejected(Rejection::NotFound)) => {
                let mut violations = Violations::default();
                violations.add("payment.psp", Reason::InvalidPayment, wrong);
                Err(violations.into())
            }
            // The node that owns it looks itself.
            Ok(_)
            | Err(Refusal::NotOwner { .. } | Refusal::Archived { .. } | Refusal::Quarantined(_)) => {
                Ok(())
            }
            Err(refusal) => Err(status::refused_to(&call.by, &refusal)),
        }
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

    /// The refusal for an archived or unreadable order, as this caller may see it. The order's
    /// customer is looked up in the summaries; other customers get `hidden`.
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

    /// A position as this caller may see it; none for a customer if it cannot be encrypted.
    pub(super) async fn position_for(
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

    /// The real position behind one that this caller was shown.
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
        // A number that does not decrypt was never issued by this journal.
        cipher.reveal(shard, position).ok_or_else(status::forked)
    }
}

/// A place with its position encrypted for customers.
pub(super) async fn hidden(
    journal: &Journal,
    place: proto::ShardPosition,
) -> Result<proto::ShardPosition, JournalError> {
    let shard = u16::try_from(place.shard).unwrap_or(u16::MAX);
    let position = journal.position_cipher(shard).await?.hide(shard, place.position);
    Ok(proto::ShardPosition { position, ..place })
}
