use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared_events::contract::{OrderId, Reason, RequestId, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::registry::Shared;
use crate::domain::{By, Command, Event, Order, Rejection};

/// What an actor needs to know about a command besides its content.
#[derive(Clone, Debug)]
pub struct Context {
    /// The caller, as authenticated at the edge.
    pub by: By,
    /// The idempotency key of retries.
    pub request_id: Option<RequestId>,
    /// The version that the order must have.
    pub expected_version: Option<u64>,
    /// Whether to answer what would happen and append nothing.
    pub validate_only: bool,
    /// The fact that caused the command.
    pub causation: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub tracestate: Option<String>,
    /// The trace that lines of the log name where there is no other: 32 hexadecimal digits.
    pub log_trace: Option<String>,
    /// When the caller stops waiting for the answer.
    pub deadline: Instant,
}

impl Context {
    /// A context without options.
    #[must_use]
    pub const fn new(by: By, deadline: Instant) -> Self {
        Self {
            by,
            request_id: None,
            expected_version: None,
            validate_only: false,
            causation: None,
            traceparent: None,
            tracestate: None,
            log_trace: None,
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
    /// The events appended, or to be appended for `validate_only`; empty if there were none.
    pub events: Vec<Event>,
    /// Whether an earlier call executed this request already.
    pub replayed: bool,
    /// The order's shard.
    pub shard: u16,
    /// Position of the order's last event in its shard; 0 if it has none.
    pub position: u64,
}

/// The current state of an order.
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
    /// The domain refuses the command.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The order is not at the expected version.
    #[error("the order is at version {actual}, not {expected}")]
    VersionMismatch {
        /// The version that the caller expects.
        expected: u64,
        /// The version of the order.
        actual: u64,
    },
    /// The request id was used for another command.
    #[error("this request id was used for another command")]
    RequestIdReused,
    /// Too many commands wait, or too many orders are awake.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The deadline passed before the command was started; nothing was appended.
    #[error("the deadline passed before the command was started")]
    DeadlineExceeded,
    /// Another node, or no node yet, owns the order's shard; certainly nothing was appended.
    #[error("this node does not own shard {shard}")]
    NotOwner {
        /// The shard.
        shard: u16,
        /// The owner's address (host:port), if known.
        owner: Option<Arc<str>>,
    },
    /// An operator has frozen the order's shard; certainly nothing was appended.
    #[error("an operator has frozen shard {shard}")]
    Frozen {
        /// The shard.
        shard: u16,
        /// The operator's reason.
        reason: Arc<str>,
    },
    /// The journal is unavailable; certainly nothing was appended.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    /// The journal was set back, which no operator has accepted; certainly nothing was appended.
    #[error("the journal is not the one that was followed: {0}")]
    Doubted(String),
    /// It is not known whether it was appended; retry with the same request id.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
    /// The event would be larger than the limit; nothing was appended.
    #[error("the event would be too large")]
    TooLarge,
    /// The order has reached the limit of its events; nothing was appended.
    #[error("the order has too many events")]
    TooManyEvents,
    /// The order is in an archive that this node does not read; no command can change it any more.
    #[error("the order is archived: {file}")]
    Archived {
        /// The file with its first event, by its path in the archive.
        file: String,
    },
    /// The order's history is impossible; operators have been notified.
    #[error("the history of this order is broken: {0}")]
    Quarantined(String),
}

impl Refusal {
    /// The reason that callers compare.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::VersionMismatch { .. } => Reason::VersionMismatch,
            Self::RequestIdReused => Reason::IdempotencyKeyReused,
            Self::Overloaded => Reason::Overloaded,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::NotOwner { .. } => Reason::ShardNotHere,
            Self::Frozen { .. } => Reason::ShardFrozen,
            Self::Unavailable(_) => Reason::JournalUnavailable,
            Self::Doubted(_) => Reason::JournalDoubted,
            Self::OutcomeUnknown(_) => Reason::OutcomeUnknown,
            Self::TooLarge => Reason::EventTooLarge,
            Self::TooManyEvents => Reason::TooManyEvents,
            Self::Archived { .. } => Reason::OrderArchived,
            Self::Quarantined(_) => Reason::OrderQuarantined,
        }
    }
}

/// A place in an order's queue. Dropping it frees the place, wherever the message is then.
pub(super) struct Permit {
    shared: Arc<Shared>,
    order_id: OrderId,
    ticket: u64,
    begun: Arc<AtomicBool>,
}

impl Permit {
    /// For a call already counted as waiting for an order, under this ticket. Must not be dropped
    /// while the registry's lock is held: dropping takes that lock.
    pub(super) fn new(shared: Arc<Shared>, order_id: OrderId, ticket: u64) -> Self {
        Self { shared, order_id, ticket, begun: Arc::default() }
    }

    /// A flag that is set once the actor starts with the message; it outlives the message.
    pub(super) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }

    /// Records that the actor starts with the message.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.done(self.order_id, self.ticket);
    }
}

/// A message to an order's actor.
pub(super) enum Message {
    /// Execute a command.
    Execute {
        command: Box<Command>,
        context: Box<Context>,
        permit: Permit,
        reply: oneshot::Sender<Result<Executed, Refusal>>,
    },
    /// Show the order.
    View { by: By, permit: Permit, reply: oneshot::Sender<Result<View, Refusal>> },
}
