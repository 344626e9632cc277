//! One file per command: its content, the roles that may send it, its guards in their order, and
//! its events.
//! Never here: the wire form of a command (`grpc/commands`), or what its events do (`evolve`).

mod add_note; // write a note
mod allocate; // stock came for units that waited
mod answer_edit; // stock holds the units of an edit, or lacks some
mod approve_return; // take the units back
mod cancel; // cancel the order, or some of its units
mod compensated; // what a cancelled order held is back
mod confirm; // stock holds all units
mod correct; // contact and addresses
mod edit; // change its lines
mod escalate; // a return was not judged in time
mod fail_payment; // the money is not to be had
mod fulfill; // ship a parcel
mod hold; // do not ship it
mod lapse; // the order was not confirmed in time
mod lapse_edit; // stock did not answer an edit in time
mod lose_payment; // secured money is gone
mod note_capture; // money was taken
mod one_order; // lists whose order says nothing
mod place; // create the order
mod receive_return; // the goods of an approved return came back
mod record_delivery; // a parcel was delivered
mod reject_return; // leave the units with the customer
mod release_hold; // ship it after all
mod request_return; // ask to return units
mod secure_payment; // the money stands
mod settle_refund; // a refund was paid, or was not
mod undo_shipment; // a parcel was lost, or came back
mod update_shipment; // the tracking of a parcel

use serde::Serialize;
use shared_events::contract::Timestamp;

pub use add_note::AddNote;
pub use allocate::Allocate;
pub use answer_edit::AnswerEdit;
pub use approve_return::{ApproveReturn, ReturnLineDisposition};
pub use cancel::Cancel;
pub use compensated::Compensated;
pub use confirm::Confirm;
pub use correct::Correct;
pub use edit::{EditOrder, LineChange};
use escalate::Escalate;
pub use fail_payment::FailPayment;
pub use fulfill::Fulfill;
pub use hold::HoldOrder;
use lapse::Lapse;
use lapse_edit::LapseEdit;
pub use lose_payment::LosePayment;
pub use note_capture::NoteCapture;
pub use place::{NewCharge, NewLine, Place};
pub use receive_return::ReceiveReturn;
pub use record_delivery::RecordDelivery;
pub use reject_return::RejectReturn;
pub use release_hold::{HoldName, ReleaseHold};
pub use request_return::RequestReturn;
pub use secure_payment::SecurePayment;
pub(crate) use settle_refund::NO_SUCH_REFUND;
pub use settle_refund::{RefundOutcome, SettleRefund};
pub use undo_shipment::UndoShipment;
pub use update_shipment::UpdateShipment;

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
    /// The goods of an approved return came back.
    ReceiveReturn(ReceiveReturn),
    /// Hold it: it does not ship.
    HoldOrder(HoldOrder),
    /// Release a hold.
    ReleaseHold(ReleaseHold),
    /// Correct contact or addresses.
    Correct(Box<Correct>),
    /// Correct the tracking of a parcel.
    UpdateShipment(UpdateShipment),
    /// A parcel was delivered.
    RecordDelivery(RecordDelivery),
    /// A parcel was lost, or came back.
    UndoShipment(UndoShipment),
    /// Write a note.
    AddNote(AddNote),
    /// Change its lines.
    EditOrder(Box<EditOrder>),
    /// Stock holds the units of an edit, or lacks some.
    AnswerEdit(AnswerEdit),
    /// The time for stock to answer an edit may have passed.
    LapseEdit,
    /// The money stands.
    SecurePayment(SecurePayment),
    /// The money is not to be had.
    FailPayment(FailPayment),
    /// Secured money is gone.
    LosePayment(LosePayment),
    /// Money was taken.
    NoteCapture(NoteCapture),
    /// A refund was paid, or was not.
    SettleRefund(SettleRefund),
    /// What a cancelled order held is back.
    Compensated(Compensated),
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
    /// See [`Command::ReceiveReturn`].
    ReceiveReturn,
    /// See [`Command::HoldOrder`].
    HoldOrder,
    /// See [`Command::ReleaseHold`].
    ReleaseHold,
    /// See [`Command::Correct`].
    Correct,
    /// See [`Command::UpdateShipment`].
    UpdateShipment,
    /// See [`Command::RecordDelivery`].
    RecordDelivery,
    /// See [`Command::UndoShipment`].
    UndoShipment,
    /// See [`Command::AddNote`].
    AddNote,
    /// See [`Command::EditOrder`].
    EditOrder,
    /// See [`Command::AnswerEdit`].
    AnswerEdit,
    /// See [`Command::LapseEdit`].
    LapseEdit,
    /// See [`Command::SecurePayment`].
    SecurePayment,
    /// See [`Command::FailPayment`].
    FailPayment,
    /// See [`Command::LosePayment`].
    LosePayment,
    /// See [`Command::NoteCapture`].
    NoteCapture,
    /// See [`Command::SettleRefund`].
    SettleRefund,
    /// See [`Command::Compensated`].
    Compensated,
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
            Self::ReceiveReturn => "ReceiveReturn",
            Self::HoldOrder => "HoldOrder",
            Self::ReleaseHold => "ReleaseHold",
            Self::Correct => "Correct",
            Self::UpdateShipment => "UpdateShipment",
            Self::RecordDelivery => "RecordDelivery",
            Self::UndoShipment => "UndoShipment",
            Self::AddNote => "AddNote",
            Self::EditOrder => "EditOrder",
            Self::AnswerEdit => "AnswerEdit",
            Self::LapseEdit => "LapseEdit",
            Self::SecurePayment => "SecurePayment",
            Self::FailPayment => "FailPayment",
            Self::LosePayment => "LosePayment",
            Self::NoteCapture => "NoteCapture",
            Self::SettleRefund => "SettleRefund",
            Self::Compensated => "Compensated",
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
            Self::RejectReturn => Some(Self::ReceiveReturn),
            Self::ReceiveReturn => Some(Self::HoldOrder),
            Self::HoldOrder => Some(Self::ReleaseHold),
            Self::ReleaseHold => Some(Self::Correct),
            Self::Correct => Some(Self::UpdateShipment),
            Self::UpdateShipment => Some(Self::RecordDelivery),
            Self::RecordDelivery => Some(Self::UndoShipment),
            Self::UndoShipment => Some(Self::AddNote),
            Self::AddNote => Some(Self::EditOrder),
            Self::EditOrder => Some(Self::AnswerEdit),
            Self::AnswerEdit => Some(Self::LapseEdit),
            Self::LapseEdit => Some(Self::SecurePayment),
            Self::SecurePayment => Some(Self::FailPayment),
            Self::FailPayment => Some(Self::LosePayment),
            Self::LosePayment => Some(Self::NoteCapture),
            Self::NoteCapture => Some(Self::SettleRefund),
            Self::SettleRefund => Some(Self::Compensated),
            Self::Compensated => None,
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
            Self::ReceiveReturn(receive) => receive,
            Self::HoldOrder(hold) => hold,
            Self::ReleaseHold(release) => release,
            Self::Correct(correct) => correct.as_ref(),
            Self::UpdateShipment(update) => update,
            Self::RecordDelivery(record) => record,
            Self::UndoShipment(undo) => undo,
            Self::AddNote(add) => add,
            Self::EditOrder(edit) => edit.as_ref(),
            Self::AnswerEdit(answer) => answer,
            Self::LapseEdit => &LapseEdit,
            Self::SecurePayment(secure) => secure,
            Self::FailPayment(fail) => fail,
            Self::LosePayment(lose) => lose,
            Self::NoteCapture(note) => note,
            Self::SettleRefund(settle) => settle,
            Self::Compensated(compensated) => compensated,
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
        if by.may_send(self.kind()) && self.rules().allows(by) {
            Ok(())
        } else {
            Err(Rejection::Forbidden { role: by.role() })
        }
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
