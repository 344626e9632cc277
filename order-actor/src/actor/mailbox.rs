use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared_events::contract::{OrderId, RequestId, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::registry::Shared;
use crate::domain::{By, Command, Event, Order, Rejection};

/// What comes with a command besides the command.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who asks, as proved at the edge.
    pub by: By,
    /// What makes a retry recognisable.
    pub request_id: Option<RequestId>,
    /// The version the caller believes the order to have.
    pub expected_version: Option<u64>,
    /// Answer what would happen, and let nothing happen.
    pub validate_only: bool,
    /// The fact that caused the command.
    pub causation: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// After this nobody waits for the answer any more.
    pub deadline: Instant,
}

impl Context {
    /// A plain command by somebody, wanted until then.
    #[must_use]
    pub const fn new(by: By, deadline: Instant) -> Self {
        Self {
            by,
            request_id: None,
            expected_version: None,
            validate_only: false,
            causation: None,
            traceparent: None,
            deadline,
        }
    }
}

/// A command's outcome.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The order after it.
    pub order: Arc<Order>,
    /// The order's version: the number of its events.
    pub version: u64,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// What was appended, or would be for `validate_only`; empty where nothing happened.
    pub events: Vec<Event>,
    /// Whether this request had been carried out before.
    pub replayed: bool,
    /// The order's shard.
    pub shard: u16,
    /// Position of the order's last event in its shard; 0 where it has none.
    pub position: u64,
}

/// An order as it stands.
#[derive(Clone, Debug)]
pub struct View {
    /// The order.
    pub order: Arc<Order>,
    /// Its version.
    pub version: u64,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// Its shard.
    pub shard: u16,
    /// Position of its last event in its shard.
    pub position: u64,
}

/// Why the caller got no new version back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The domain's no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The order is not at the version the caller believes.
    #[error("the order is at version {actual}, not {expected}")]
    VersionMismatch {
        /// What the caller gave.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// The request id was used for another command.
    #[error("this request id was used for another command")]
    RequestIdReused,
    /// Too many commands wait, or too many orders are awake.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The deadline passed before the command was begun; nothing happened.
    #[error("the deadline passed before the command was begun")]
    DeadlineExceeded,
    /// Another node has the order's shard, or none has yet; surely nothing was appended.
    #[error("shard {shard} is not here")]
    NotOwner {
        /// The shard.
        shard: u16,
        /// Where to ask (host:port), if that is known.
        owner: Option<Arc<str>>,
    },
    /// An operator has closed the order's shard; surely nothing was appended.
    #[error("shard {shard} is frozen: {reason}")]
    Frozen {
        /// The shard.
        shard: u16,
        /// What the operator said.
        reason: Arc<str>,
    },
    /// The journal cannot take it now; surely nothing was appended.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    /// The journal was set back and nobody has accepted that yet; surely nothing was appended.
    #[error("the journal is not the one that was followed: {0}")]
    Doubted(String),
    /// Whether it was appended is not known; ask again with the same request id.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
    /// What would be appended is larger than an event may be; nothing was.
    #[error("the event would be too large")]
    TooLarge,
    /// The order has as many events as one may have; nothing was appended.
    #[error("the order has too many events")]
    TooManyEvents,
    /// The order has left for an archive that is not at hand; nothing can happen to it any more.
    #[error("the order is archived: {file}")]
    Archived {
        /// The file that its first event stands in, by its path in the archive.
        file: String,
    },
    /// The order's history is impossible; operators have been told.
    #[error("the history of this order is broken: {0}")]
    Quarantined(String),
}

/// A place in an order's queue. Frees it when dropped, wherever the message got to.
pub(super) struct Permit {
    shared: Arc<Shared>,
    order_id: OrderId,
    ticket: u64,
    begun: Arc<AtomicBool>,
}

impl Permit {
    /// For a call that is counted as waiting for an order, in the stay of that ticket. Must not be
    /// dropped under the registry's lock, which it takes.
    pub(super) fn new(shared: Arc<Shared>, order_id: OrderId, ticket: u64) -> Self {
        Self { shared, order_id, ticket, begun: Arc::default() }
    }

    /// Tells whether the actor has taken the message up; outlives the message.
    pub(super) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }

    /// The actor takes the message up.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.done(self.order_id, self.ticket);
    }
}

/// What an order understands.
pub(super) enum Message {
    /// Carry out a command.
    Execute {
        command: Box<Command>,
        context: Box<Context>,
        permit: Permit,
        reply: oneshot::Sender<Result<Executed, Refusal>>,
    },
    /// Show the order.
    View { by: By, permit: Permit, reply: oneshot::Sender<Result<View, Refusal>> },
}
