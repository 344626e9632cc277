use serde::Serialize;

use super::commands::{self, Decide};
use super::{
    ApproveReturn, By, Cancel, Confirm, Fulfill, Place, RejectReturn, Rejection, RequestReturn,
};

/// What may be asked of one order. It may be refused. What each means stands in its own file of
/// `commands/`.
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
    /// The dispatch: the file of `commands/` that knows what it means.
    pub(super) fn meaning(&self) -> &dyn Decide {
        match self {
            Self::Place(place) => place,
            Self::Confirm(confirm) => confirm,
            Self::Cancel(cancel) => cancel,
            Self::Lapse => &commands::Lapse,
            Self::Fulfill(fulfill) => fulfill,
            Self::RequestReturn(request) => request,
            Self::Escalate => &commands::Escalate,
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
