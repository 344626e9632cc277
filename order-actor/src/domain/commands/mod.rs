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

use shared_events::contract::Timestamp;

pub use approve_return::{ApproveReturn, ReturnLineDisposition};
pub use cancel::Cancel;
pub use confirm::Confirm;
pub(super) use escalate::Escalate;
pub use fulfill::Fulfill;
pub(super) use lapse::Lapse;
pub use place::{NewLine, Place};
pub use reject_return::RejectReturn;
pub use request_return::RequestReturn;

use super::guards::Decision;
use super::{By, CommandKind, Details, Order, Policy, Rejection};

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
