use shared_events::contract::{
    CancelReason, ContactError, EditId, Money, NameField, OrderId, Reason,
};

use super::{AddressError, Existing, ParcelState, PaymentStatus, Role, Status, bounds};

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
    #[error("an order that is {} does not allow {call}; {}", from.code(), allowed(*from, call))]
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
    /// A note without a text.
    #[error("a note has 1 to {max} characters", max = bounds::NOTE_MAX)]
    NoteRequired,
    /// The order has as many notes as it may have.
    #[error("an order has at most {max} notes", max = bounds::NOTES_MAX)]
    TooManyNotes,
    /// A name was given that is not for this caller, or is not well formed.
    #[error("{}: {detail}", name.field())]
    InvalidName {
        /// Which name.
        name: NameField,
        /// What is wrong.
        detail: &'static str,
    },
    /// Another order has a name that is unique.
    #[error("another order has this {}", name.field())]
    NameTaken {
        /// Which name.
        name: NameField,
        /// The other order.
        holder: OrderId,
    },
    /// The journal cannot keep names unique.
    #[error("order numbers and external ids need a journal in one database")]
    NamesNeedOneDatabase,
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
    /// Several returns wait, and none is named.
    #[error("several returns wait; name one by return_id or return_reference")]
    ReturnIdRequired,
    /// The return waits for its judgement, so its goods are not received yet.
    #[error("that return is not approved yet")]
    ReturnNotApproved,
    /// As many returns wait as may.
    #[error("at most {max} returns of an order wait at the same time")]
    TooManyReturns {
        /// How many may wait.
        max: usize,
    },
    /// The refund is below zero or in another currency.
    #[error("a refund is not below zero and has the order's currency")]
    InvalidRefund,
    /// The refund is less than the charges that are named with it.
    #[error("a refund includes the charges that are named: at least {charges}")]
    RefundBelowCharges {
        /// The sum of the charges.
        charges: Money,
    },
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
    /// The refund exceeds what the units of the parcel cost, or what is left of the total.
    #[error(
        "at most {most} is refunded for this parcel: what its units and the named charges cost, and \
         no more than may still be refunded of the order"
    )]
    ParcelRefundTooLarge {
        /// What may be refunded.
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
    /// The order is held and does not ship.
    #[error("the order is held ({}) and does not ship until that is released", holds.join(", "))]
    OrderHeld {
        /// The names of its holds.
        holds: Vec<String>,
    },
    /// The order has no such hold.
    #[error("the order has no such hold{}", standing(holds))]
    NoSuchHold {
        /// The names of its holds.
        holds: Vec<String>,
    },
    /// Too many holds stand at the same time.
    #[error("at most {max} holds of an order stand at the same time", max = bounds::HOLDS_MAX)]
    TooManyHolds,
    /// The order has no such parcel.
    #[error("the order has no such parcel")]
    NoSuchParcel,
    /// The state of the parcel does not allow it.
    #[error("a parcel that is {} does not allow {call}", is.code())]
    InvalidParcelState {
        /// Its state.
        is: ParcelState,
        /// The call that was refused.
        call: &'static str,
    },
    /// The billing address is not well formed.
    #[error("billing_address: {0}")]
    InvalidBillingAddress(AddressError),
    /// A part of an address is not one of its country.
    #[error("{at}: {detail}")]
    AddressNotOfCountry {
        /// The path of the field, such as `address.postal_code`.
        at: String,
        /// What must be true of it.
        detail: String,
    },
    /// An edit of the order waits for stock.
    #[error("an edit of the order waits for stock; try again when it is applied or refused")]
    EditPending {
        /// The edit.
        edit_id: EditId,
    },
    /// A parcel of the order was shipped, so its lines stay as they are.
    #[error("a parcel of the order was shipped; its lines are not edited any more")]
    AlreadyShipped,
    /// The order was edited as often as it may be.
    #[error("an order is edited at most {max} times", max = bounds::EDITS_MAX)]
    TooManyEdits,
    /// The payment plan is not one that can be followed.
    #[error("{at}: {detail}")]
    InvalidPayment {
        /// The path of the field, such as `payment.fees[0].fee_bps`.
        at: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// The money that must stand before a parcel leaves does not.
    #[error("nothing ships before the money stands; it is {}", is.code())]
    PaymentNotSecured {
        /// How it stands with the money.
        is: PaymentStatus,
    },
    /// What payments says does not fit what the order asked for.
    #[error("{detail}")]
    PaymentMismatch {
        /// What does not fit.
        detail: &'static str,
    },
    /// What an order with a payment plan costs is not edited.
    #[error(
        "the lines of an order with a payment plan are not edited; cancel units of it, or place another order"
    )]
    PaymentPlanFixed,
    /// A field is invalid.
    #[error("{at}: {detail}")]
    InvalidField {
        /// Its path.
        at: &'static str,
        /// What a valid value is.
        detail: &'static str,
    },
    /// The order is near the limit of its events; only commands that end it are accepted.
    #[error(
        "an order has at most {max} events; the last {room} are for commands that end it",
        max = bounds::EVENTS_MAX,
        room = bounds::ENDING_ROOM
    )]
    TooManyEvents,
}

fn standing(holds: &[String]) -> String {
    if holds.is_empty() { String::new() } else { format!("; it has {}", holds.join(", ")) }
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

fn allowed(from: Status, refused: &str) -> String {
    match from.allows_beside(refused).as_slice() {
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
            Self::NoteRequired | Self::InvalidName { .. } => Reason::InvalidField,
            Self::TooManyNotes => Reason::TooManyNotes,
            Self::NameTaken { name: NameField::OrderNumber, .. } => Reason::OrderNumberTaken,
            Self::NameTaken { .. } => Reason::ExternalIdTaken,
            Self::NamesNeedOneDatabase => Reason::NamesNeedOneDatabase,
            Self::TextTooLong { .. } => Reason::TextTooLong,
            Self::ReturnWindowExpired => Reason::ReturnWindowExpired,
            Self::InvalidReturnLines { .. } => Reason::InvalidReturnLines,
            Self::ReturnMismatch => Reason::ReturnMismatch,
            Self::ReturnIdRequired => Reason::ReturnIdRequired,
            Self::ReturnNotApproved => Reason::ReturnNotApproved,
            Self::TooManyReturns { .. } => Reason::TooManyReturns,
            Self::InvalidRefund | Self::RefundBelowCharges { .. } => Reason::InvalidRefund,
            Self::RefundNeedsReason => Reason::RefundNeedsReason,
            Self::RefundTooLarge { .. } | Self::ParcelRefundTooLarge { .. } => {
                Reason::RefundTooLarge
            }
            Self::AskedTooOften { .. } => Reason::AskedTooOften,
            Self::TooManyEvents => Reason::TooManyEvents,
            Self::OrderHeld { .. } => Reason::OrderHeld,
            Self::NoSuchHold { .. } => Reason::NoSuchHold,
            Self::TooManyHolds => Reason::TooManyHolds,
            Self::NoSuchParcel => Reason::NoSuchParcel,
            Self::InvalidParcelState { .. } => Reason::InvalidParcelState,
            Self::InvalidBillingAddress(_) | Self::AddressNotOfCountry { .. } => {
                Reason::InvalidAddress
            }
            Self::InvalidField { .. } => Reason::InvalidField,
            Self::EditPending { .. } => Reason::EditPending,
            Self::AlreadyShipped => Reason::AlreadyShipped,
            Self::TooManyEdits => Reason::TooManyEdits,
            Self::InvalidPayment { .. } => Reason::InvalidPayment,
            Self::PaymentNotSecured { .. } => Reason::PaymentNotSecured,
            Self::PaymentMismatch { .. } => Reason::PaymentMismatch,
            Self::PaymentPlanFixed => Reason::PaymentPlanFixed,
        }
    }
}
