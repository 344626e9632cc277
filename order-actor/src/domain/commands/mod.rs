//! One file per command: its content, the roles that may send it, its guards in their order, and
//! its events.
//! Never here: the wire form of a command (`grpc/commands`), or what its events do (`evolve`).

mod allocate; // stock came for units that waited
mod approve_return; // take the units back
mod cancel; // cancel the order, or some of its units
mod confirm; // stock holds all units
mod escalate; // a return was not judged in time
mod fulfill; // ship a parcel
mod lapse; // the order was not confirmed in time
mod place; // create the order
mod reject_return; // leave the units with the customer
mod request_return; // ask to return units

use serde::Serialize;
use shared_events::contract::Timestamp;

pub use allocate::Allocate;
pub use approve_return::{ApproveReturn, ReturnLineDisposition};
pub use cancel::Cancel;
pub use confirm::Confirm;
use escalate::Escalate;
pub use fulfill::Fulfill;
use lapse::Lapse;
pub use place::{ExpectedTotals, NewCharge, NewLine, Place};
pub use reject_return::RejectReturn;
pub use request_return::RequestReturn;

use super::guards::Decision;
use super::{By, Details, Order, Policy, Rejection};

/// A command to one order. It may be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Command {
    /// Place the order.
    Place(Box<Place>),
    /// Stock holds all its units.
    Confirm(Confirm),
    /// Stock came for units that were backordered.
    Allocate(Allocate),
    /// Cancel it, or some of its open units.
    Cancel(Cancel),
    /// Its confirmation window may have passed.
    Lapse,
    /// Ship a parcel.
    Fulfill(Fulfill),
    /// Ask to return units.
    RequestReturn(RequestReturn),
    /// The time to judge a return may have passed.
    Escalate,
    /// Take the units back.
    ApproveReturn(ApproveReturn),
    /// Leave the units with the customer.
    RejectReturn(RejectReturn),
}

impl From<Place> for Command {
    fn from(place: Place) -> Self {
        Self::Place(Box::new(place))
    }
}

/// The kinds of commands, without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// See [`Command::Place`].
    Place,
    /// See [`Command::Confirm`].
    Confirm,
    /// See [`Command::Allocate`].
    Allocate,
    /// See [`Command::Cancel`].
    Cancel,
    /// See [`Command::Lapse`].
    Lapse,
    /// See [`Command::Fulfill`].
    Fulfill,
    /// See [`Command::RequestReturn`].
    RequestReturn,
    /// See [`Command::Escalate`].
    Escalate,
    /// See [`Command::ApproveReturn`].
    ApproveReturn,
    /// See [`Command::RejectReturn`].
    RejectReturn,
}

impl CommandKind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Place => "Place",
            Self::Confirm => "Confirm",
            Self::Allocate => "Allocate",
            Self::Cancel => "Cancel",
            Self::Lapse => "Lapse",
            Self::Fulfill => "Fulfill",
            Self::RequestReturn => "RequestReturn",
            Self::Escalate => "Escalate",
            Self::ApproveReturn => "ApproveReturn",
            Self::RejectReturn => "RejectReturn",
        }
    }

    /// Every kind, in the order of `next`.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Place), |kind| kind.next())
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Place => Some(Self::Confirm),
            Self::Confirm => Some(Self::Allocate),
            Self::Allocate => Some(Self::Cancel),
            Self::Cancel => Some(Self::Lapse),
            Self::Lapse => Some(Self::Fulfill),
            Self::Fulfill => Some(Self::RequestReturn),
            Self::RequestReturn => Some(Self::Escalate),
            Self::Escalate => Some(Self::ApproveReturn),
            Self::ApproveReturn => Some(Self::RejectReturn),
            Self::RejectReturn => None,
        }
    }
}

impl Command {
    /// The rules of the command, in its file.
    pub(super) fn rules(&self) -> &dyn Decide {
        match self {
            Self::Place(place) => place.as_ref(),
            Self::Confirm(confirm) => confirm,
            Self::Allocate(allocate) => allocate,
            Self::Cancel(cancel) => cancel,
            Self::Lapse => &Lapse,
            Self::Fulfill(fulfill) => fulfill,
            Self::RequestReturn(request) => request,
            Self::Escalate => &Escalate,
            Self::ApproveReturn(approve) => approve,
            Self::RejectReturn(reject) => reject,
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> CommandKind {
        self.rules().kind()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// The rejection for an order of another customer. It reveals as little as possible.
    #[must_use]
    pub fn hidden(&self) -> Rejection {
        self.rules().hidden()
    }

    /// Whether it creates its order, which must not exist before.
    #[must_use]
    pub fn creates_order(&self) -> bool {
        self.rules().creates_order()
    }

    /// Checks that the caller's role may send this command at all. The only place that checks the
    /// role of a command.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`]
    pub fn authorize(&self, by: &By) -> Result<(), Rejection> {
        if self.rules().allows(by) { Ok(()) } else { Err(Rejection::Forbidden { role: by.role() }) }
    }
}

/// What a decision depends on besides the order and the command.
#[derive(Clone, Copy)]
pub(super) struct DecisionContext<'a> {
    pub(super) by: &'a By,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
}

/// The rules of a command, called by [`decide`](super::decide).
pub(super) trait Decide {
    /// Its kind.
    fn kind(&self) -> CommandKind;

    /// Whether this caller may send it to any order.
    fn allows(&self, by: &By) -> bool;

    /// Whether it creates its order.
    fn creates_order(&self) -> bool {
        false
    }

    /// Checks the command by itself, whatever the order is.
    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    /// The decision if the order does not exist, after the same check.
    fn on_absent(&self, _context: &DecisionContext<'_>) -> Decision {
        self.check()?;
        Err(Rejection::NotFound)
    }

    /// The rejection if the order is another customer's.
    fn hidden(&self) -> Rejection {
        Rejection::NotFound
    }

    /// The decision for an existing order that the caller may see.
    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision;
}
