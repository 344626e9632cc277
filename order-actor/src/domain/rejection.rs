use shared_events::contract::{CancelReason, ContactError, Money, Reason};

use super::{AddressError, Role, Status, bounds};

/// Why the domain refuses a command, in the order in which the guards run. A closed list with
/// stable codes; no text shows personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The caller's role may not send this command.
    #[error("the role {} may not do this", role.code())]
    Forbidden {
        /// The caller's role.
        role: Role,
    },
    /// No line was given.
    #[error("an order has at least one line")]
    EmptyOrder,
    /// Too many lines were given.
    #[error("an order has at most {max} lines", max = bounds::LINES_MAX)]
    TooManyLines,
    /// A line is invalid.
    #[error("line {line}: {detail}")]
    InvalidLine {
        /// 1-based number of the line.
        line: u32,
        /// What is wrong.
        detail: &'static str,
    },
    /// The lines have more than one currency.
    #[error("all lines of an order have one currency")]
    CurrencyMismatch,
    /// The total does not fit.
    #[error("the total is too large")]
    AmountOverflow,
    /// An amount is below zero, or more than it may be.
    #[error("{at}: {detail}")]
    InvalidAmount {
        /// The path of the field, such as `lines[0].discounts[1].amount`.
        at: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// A sum is not what the client expects.
    #[error("expected.{field}: it comes to {is}")]
    TotalsMismatch {
        /// Which sum.
        field: &'static str,
        /// What it is.
        is: Money,
    },
    /// The address is not well formed.
    #[error("address: {0}")]
    InvalidAddress(AddressError),
    /// The contact is not well formed.
    #[error("contact: {0}")]
    InvalidContact(ContactError),
    /// The id is taken by something with other content.
    #[error("{}{}", existing.message(), differing(differs))]
    AlreadyExists {
        /// What has the id.
        existing: Existing,
        /// The fields that differ, as far as the caller may know.
        differs: Vec<&'static str>,
    },
    /// The order does not exist, or is another customer's.
    #[error("no such order")]
    NotFound,
    /// The state of the order does not allow it.
    #[error("an order that is {} does not allow {call}; {}", from.code(), allowed(*from))]
    InvalidTransition {
        /// The state it is in.
        from: Status,
        /// The call that was refused.
        call: &'static str,
    },
    /// The units named are not open units of the order.
    #[error("line {line}: {detail}")]
    InvalidLines {
        /// The number that was given.
        line: u32,
        /// The path of the field at fault, such as `lines[0].quantity`.
        at: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// Units that were to be shipped wait for stock.
    #[error("units of {} wait for stock; ship the others by number", numbered(lines))]
    Backordered {
        /// The lines, by number.
        lines: Vec<u32>,
    },
    /// The caller's role may not give this reason.
    #[error("the role {} may not cancel for {}", role.code(), reason.code())]
    ForbiddenReason {
        /// The caller's role.
        role: Role,
        /// The reason given.
        reason: CancelReason,
    },
    /// A reason is required.
    #[error("a reason of 1 to {max} characters is required", max = bounds::TEXT_MAX)]
    ReasonRequired,
    /// A text is too long.
    #[error("{field} has at most {max} characters")]
    TextTooLong {
        /// Which text.
        field: &'static str,
        /// The bound in characters.
        max: usize,
    },
    /// The return window is over.
    #[error("the return window is over")]
    ReturnWindowExpired,
    /// The units named cannot be returned.
    #[error("line {line}: {detail}")]
    InvalidReturnLines {
        /// The number that was given; 0 where none was.
        line: u32,
        /// The path of the field at fault, such as `lines[0].quantity`.
        at: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// The return named is not the waiting one.
    #[error("that return does not wait for judgement")]
    ReturnMismatch,
    /// The refund is below zero or in another currency.
    #[error("a refund is not below zero and has the order's currency")]
    InvalidRefund,
    /// A refund above the value of the units needs a reason.
    #[error("a refund above the value of the units needs a reason")]
    RefundNeedsReason,
    /// The refund exceeds what was paid.
    #[error(
        "at most {most} may still be refunded: the total, less what was cancelled and refunded"
    )]
    RefundTooLarge {
        /// What may still be refunded.
        most: Money,
    },
    /// A customer has repeated this for one order as often as allowed.
    #[error("{what} at most {max} times for one order")]
    AskedTooOften {
        /// The repeated request.
        what: &'static str,
        /// How often it may be.
        max: u64,
    },
    /// The order is near the limit of its events; only commands that end it are accepted.
    #[error("the order has too many events; only commands that end it are accepted")]
    TooManyEvents,
}

/// What an id that is used again belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An order.
    Order,
    /// A parcel of the order.
    Shipment,
    /// A return that waits or was approved.
    Return,
    /// A rejected return: it cannot be requested again under its id.
    RejectedReturn,
    /// The judgement of a return.
    Judgement,
}

impl Existing {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Order => "ORDER",
            Self::Shipment => "SHIPMENT",
            Self::Return => "RETURN",
            Self::RejectedReturn => "REJECTED_RETURN",
            Self::Judgement => "JUDGEMENT",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Order => "an order with this id exists with other content",
            Self::Shipment => "a parcel with this id was shipped with other content",
            Self::Return => "a return with this id was requested with other content",
            Self::RejectedReturn => {
                "the return with this id was rejected; request it under another return id"
            }
            Self::Judgement => "this return was judged otherwise",
        }
    }
}

fn differing(fields: &[&'static str]) -> String {
    if fields.is_empty() { String::new() } else { format!(": {} differ", fields.join(", ")) }
}

fn numbered(lines: &[u32]) -> String {
    match lines {
        [only] => format!("line {only}"),
        lines => {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            format!("lines {}", lines.join(", "))
        }
    }
}

fn allowed(from: Status) -> String {
    match from.allows() {
        [] => "no call changes it any more".to_owned(),
        calls => format!("it allows {}", calls.join(" and ")),
    }
}

impl Rejection {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.reason().code()
    }

    /// The reason that callers compare.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Forbidden { .. } => Reason::Forbidden,
            Self::EmptyOrder => Reason::EmptyOrder,
            Self::TooManyLines => Reason::TooManyLines,
            Self::InvalidLine { .. } => Reason::InvalidLine,
            Self::CurrencyMismatch => Reason::CurrencyMismatch,
            Self::AmountOverflow => Reason::AmountOverflow,
            Self::InvalidAmount { .. } => Reason::InvalidAmount,
            Self::TotalsMismatch { .. } => Reason::TotalsMismatch,
            Self::InvalidAddress(_) => Reason::InvalidAddress,
            Self::InvalidContact(_) => Reason::InvalidContact,
            Self::AlreadyExists { .. } => Reason::AlreadyExists,
            Self::NotFound => Reason::NotFound,
            Self::InvalidTransition { .. } => Reason::InvalidTransition,
            Self::InvalidLines { .. } => Reason::InvalidLines,
            Self::Backordered { .. } => Reason::Backordered,
            Self::ForbiddenReason { .. } => Reason::ForbiddenReason,
            Self::ReasonRequired => Reason::ReasonRequired,
            Self::TextTooLong { .. } => Reason::TextTooLong,
            Self::ReturnWindowExpired => Reason::ReturnWindowExpired,
            Self::InvalidReturnLines { .. } => Reason::InvalidReturnLines,
            Self::ReturnMismatch => Reason::ReturnMismatch,
            Self::InvalidRefund => Reason::InvalidRefund,
            Self::RefundNeedsReason => Reason::RefundNeedsReason,
            Self::RefundTooLarge { .. } => Reason::RefundTooLarge,
            Self::AskedTooOften { .. } => Reason::AskedTooOften,
            Self::TooManyEvents => Reason::TooManyEvents,
        }
    }
}
