//! What customers see of their orders: not what the shop writes among itself, nor who writes. Words
//! of cancellations, of returns, and of why units were not taken back are for them; all other reasons
//! are for staff. What they see of an event is decided beside its form (`event`).

use super::event::{for_customers, hide_staff};
use super::payments::without_fees;
use crate::grpc::proto;

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
