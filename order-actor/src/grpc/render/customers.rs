//! What customers see of their orders: not what the shop writes among itself, nor who writes. Words
//! of cancellations, of returns, and of why units were not taken back are for them; all other reasons
//! are for staff. An event of a new kind does not compile until it is decided here.

use super::payments::without_fees;
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

/// Leaves of an order and of events what its customer may see.
pub fn for_customer(order: Option<&mut proto::Order>, events: &mut [proto::Event]) {
    if let Some(order) = order {
        order.notes.retain(|note| note.public);
        for (number, note) in (1_u32..).zip(&mut order.notes) {
            note.note = number;
            hide_staff(&note.role, &mut note.subject);
        }
        for hold in &mut order.holds {
            // That it is held and since when, and not what is suspected.
            hold.kind = proto::HoldKind::Unspecified.into();
            hold.label.clear();
            hold.reason.clear();
        }
        // What was changed and when, and not what the shop says of it.
        order.edits.iter_mut().for_each(|edit| edit.reason.clear());
        without_fees(order.payment.as_mut().and_then(|payment| payment.plan.as_mut()));
    }
    events.iter_mut().for_each(for_customers);
}

/// Leaves of an event what its customer may see.
pub fn for_customers(event: &mut proto::Event) {
    match &mut event.kind {
        Some(Kind::OrderPlaced(placed)) => {
            placed.notes.retain(|note| note.public);
            without_fees(placed.payment.as_mut());
        }
        Some(Kind::NoteAdded(added)) => {
            hide_staff(&added.role, &mut added.subject);
            if !added.public {
                added.text.clear();
            }
        }
        Some(Kind::OrderHeld(held)) => {
            let hold_id = std::mem::take(&mut held.hold_id);
            *held = proto::OrderHeld { hold_id, ..proto::OrderHeld::default() };
        }
        Some(Kind::HoldReleased(released)) => released.reason.clear(),
        Some(Kind::OrderEditRequested(asked)) => asked.reason.clear(),
        Some(Kind::OrderEdited(edited)) => edited.reason.clear(),
        Some(Kind::OrderCorrected(corrected)) => corrected.reason.clear(),
        Some(Kind::ShipmentUndone(undone)) => undone.reason.clear(),
        Some(Kind::ReturnApproved(approved)) => approved.refund_reason.clear(),
        Some(Kind::ReturnAuthorized(approved)) => approved.refund_reason.clear(),
        Some(
            Kind::OrderConfirmed(_)
            | Kind::LinesCancelled(_)
            | Kind::OrderCancelled(_)
            | Kind::LinesFulfilled(_)
            | Kind::OrderFulfilled(_)
            | Kind::ReturnRequested(_)
            | Kind::ReturnEscalated(_)
            | Kind::ReturnRejected(_)
            | Kind::ShipmentCorrected(_)
            | Kind::ShipmentDelivered(_)
            | Kind::ReturnReceived(_)
            | Kind::LinesAllocated(_)
            | Kind::OrderEditRefused(_)
            | Kind::StockHeld(_)
            | Kind::PaymentSecured(_)
            | Kind::PaymentLost(_)
            | Kind::PaymentCaptured(_)
            | Kind::RefundSettled(_)
            | Kind::RefundFailed(_)
            | Kind::CompensationCompleted(_),
        )
        | None => {}
    }
}

/// Customers learn that the shop wrote to them, not who.
fn hide_staff(role: &str, subject: &mut String) {
    if role != "CUSTOMER" {
        subject.clear();
    }
}
