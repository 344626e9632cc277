//! One file per command: what it says, who may say it, its guards in their order, and the events
//! that it brings about.
//! Never here: how a command travels (`grpc/commands`), or what its events do (`evolve`).

mod approve_return; // let the units come back
mod cancel; // do not deliver the order, or some of its units
mod confirm; // all units are held
mod escalate; // nobody judged a return in time
mod fulfill; // a parcel leaves
mod lapse; // nobody confirmed in time
mod place; // the first one
mod reject_return; // leave the units with the customer
mod request_return; // units should come back

use serde::Serialize;
use shared_events::contract::Timestamp;

pub use approve_return::{ApproveReturn, ReturnLineDisposition};
pub use cancel::Cancel;
pub use confirm::Confirm;
use escalate::Escalate;
pub use fulfill::Fulfill;
use lapse::Lapse;
pub use place::{NewLine, Place};
pub use reject_return::RejectReturn;
pub use request_return::RequestReturn;

use super::guards::Decision;
use super::{By, Details, Order, Policy, Rejection};

/// What may be asked of one order. It may be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Command {
    /// Place it.
    Place(Place),
    /// All its units are held.
    Confirm(Confirm),
    /// Do not deliver it, or some of its open units.
    Cancel(Cancel),
    /// Its confirmation window may have passed.
    Lapse,
    /// A parcel leaves.
    Fulfill(Fulfill),
    /// Units should come back.
    RequestReturn(RequestReturn),
    /// Nobody may have judged a return in time.
    Escalate,
    /// Let the units come back.
    ApproveReturn(ApproveReturn),
    /// Leave the units with the customer.
    RejectReturn(RejectReturn),
}

/// The kinds of commands, without what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// See [`Command::Place`].
    Place,
    /// See [`Command::Confirm`].
    Confirm,
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
            Self::Cancel => "Cancel",
            Self::Lapse => "Lapse",
            Self::Fulfill => "Fulfill",
            Self::RequestReturn => "RequestReturn",
            Self::Escalate => "Escalate",
            Self::ApproveReturn => "ApproveReturn",
            Self::RejectReturn => "RejectReturn",
        }
    }

    /// Every kind: the first one, and what stands after each.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Place), |kind| kind.next())
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Place => Some(Self::Confirm),
            Self::Confirm => Some(Self::Cancel),
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
    /// The dispatch: to the file that knows what it means.
    pub(super) fn meaning(&self) -> &dyn Decide {
        match self {
            Self::Place(place) => place,
            Self::Confirm(confirm) => confirm,
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
        self.meaning().kind()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// What it hears of an order that is somebody else's: no more than it must.
    #[must_use]
    pub fn hidden(&self) -> Rejection {
        self.meaning().hidden()
    }

    /// Whether it may be said by somebody in that role to any order, whatever the order is like. The
    /// only place where the role of a command is looked at.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`]
    pub fn may(&self, by: &By) -> Result<(), Rejection> {
        if self.meaning().may(by) { Ok(()) } else { Err(Rejection::Forbidden { role: by.role() }) }
    }
}

/// Who asked, when, and by which windows.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) by: &'a By,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
}

/// What a command means: [`decide`](super::decide) asks in the order in which these stand here.
pub(super) trait Decide {
    /// Which one it is.
    fn kind(&self) -> CommandKind;

    /// Who may say it to any order.
    fn may(&self, by: &By) -> bool;

    /// What can be wrong with it whatever the order is like.
    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    /// What it does where there is no such order.
    fn of_none(&self, _asked: &Asked<'_>) -> Decision {
        Err(Rejection::NotFound)
    }

    /// What it hears of somebody else's order.
    fn hidden(&self) -> Rejection {
        Rejection::NotFound
    }

    /// What it does to an order.
    fn of(&self, order: &Order, details: &Details, asked: &Asked<'_>) -> Decision;
}
