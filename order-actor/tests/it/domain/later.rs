//! Holds, corrections, parcels and edits: commands for the laws.

use order_actor::domain::{
    AddressPart, AddressPatch, BillingPatch, ChargeRefund, Command, ContactPatch, Correct,
    EditOrder, ExpectedTotals, HoldKind, HoldName, HoldOrder, LineChange, NewLine, ParcelName,
    RecordDelivery, ReleaseHold, ReturnLineDisposition, UndoCause, UndoShipment, UpdateShipment,
};
use proptest::prelude::*;
use shared_events::contract::Disposition;

use super::amounts;
use super::edit::{answer, answer_with, edit_id};
use super::hold::hold_id;
use super::laws::{money, text};
use super::support::*;

pub fn a_hold() -> impl Strategy<Value = Command> {
    let kind = prop::sample::select(vec![HoldKind::Fraud, HoldKind::Address, HoldKind::Custom]);
    let label = prop::sample::select(vec!["", "", "call", "FRAUD"]);
    (1_u128..6, kind, label, text()).prop_map(|(n, kind, label, reason)| {
        let label = label.to_owned();
        Command::HoldOrder(HoldOrder { hold_id: hold_id(n), kind, label, reason })
    })
}

pub fn a_release() -> impl Strategy<Value = Command> {
    let named = prop::sample::select(vec!["FRAUD", "ADDRESS", "call"])
        .prop_map(|name| HoldName::Name(name.to_owned()));
    let hold = prop_oneof![(1_u128..6).prop_map(|n| HoldName::Id(hold_id(n))), named];
    (hold, text()).prop_map(|(hold, reason)| Command::ReleaseHold(ReleaseHold { hold, reason }))
}

fn an_address() -> impl Strategy<Value = AddressPatch> {
    let part = prop::sample::select(AddressPart::ALL.to_vec());
    let value = prop::sample::select(vec!["", "GB", "IE", "1 High Street", "+442071838750"]);
    prop::collection::btree_map(part, value.prop_map(str::to_owned), 0..3).prop_map(AddressPatch)
}

pub fn a_correction() -> impl Strategy<Value = Command> {
    let email = prop::option::of(prop::sample::select(vec!["", "a@example.com", "nobody"]));
    let whole = AddressPart::ALL.map(|part| (part, part.of(&address()).clone()));
    let billing_address = prop_oneof![
        3 => Just(BillingPatch::Keep),
        1 => Just(BillingPatch::Remove),
        1 => an_address().prop_map(BillingPatch::Change),
        1 => Just(BillingPatch::Change(AddressPatch(whole.into()))),
    ];
    (email, an_address(), billing_address, text()).prop_map(
        |(email, address, billing_address, reason)| {
            let email = email.map(str::to_owned);
            let contact = ContactPatch { email, ..ContactPatch::default() };
            Command::Correct(Box::new(Correct { contact, address, billing_address, reason }))
        },
    )
}

fn a_parcel() -> impl Strategy<Value = ParcelName> {
    let reference = prop::sample::select(vec!["", "", "", "W-1"]);
    (prop::option::weighted(0.9, 1_u128..6), reference).prop_map(|(n, reference)| ParcelName {
        shipment_id: n.map(shipment),
        reference: reference.to_owned(),
    })
}

pub fn an_update() -> impl Strategy<Value = Command> {
    (a_parcel(), prop::option::of(text()), prop::option::of(text())).prop_map(
        |(parcel, carrier, tracking)| {
            Command::UpdateShipment(UpdateShipment { parcel, carrier, tracking })
        },
    )
}

pub fn a_delivery() -> impl Strategy<Value = Command> {
    let delivered_at = prop::option::of((0..40 * DAY).prop_map(after));
    (a_parcel(), delivered_at).prop_map(|(parcel, delivered_at)| {
        Command::RecordDelivery(RecordDelivery { parcel, delivered_at })
    })
}

pub fn an_undoing() -> impl Strategy<Value = Command> {
    let cause = prop::sample::select(vec![UndoCause::Lost, UndoCause::ReturnedToSender]);
    let disposition = prop::sample::select(vec![Disposition::Restock, Disposition::WriteOff]);
    let named = (1_u32..=3, disposition)
        .prop_map(|(line, disposition)| ReturnLineDisposition { line, disposition });
    let dispositions = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(named, 0..3)];
    let refund = prop_oneof![4 => Just(None), 1 => money().prop_map(Some)];
    let outcome = (prop::bool::weighted(0.4), prop::bool::weighted(0.2));
    let charge = (1_u32..=3, money()).prop_map(|(charge, amount)| ChargeRefund { charge, amount });
    let charges = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(charge, 0..3)];
    (a_parcel(), cause, dispositions, refund, text(), outcome, charges).prop_map(
        |(parcel, cause, dispositions, refund, reason, (open_again, found), charges)| {
            Command::UndoShipment(UndoShipment {
                parcel,
                cause,
                dispositions,
                refund,
                reason,
                open_again,
                charges,
                found,
            })
        },
    )
}

/// Mostly of lines that there are, to few units.
pub fn an_edit() -> impl Strategy<Value = Command> {
    let terms = || prop_oneof![2 => Just((Vec::new(), Vec::new())), 1 => amounts::of_line()];
    let quantity = prop_oneof![20 => 0_u32..5, 1 => any::<u32>()];
    let line = prop_oneof![20 => 1_u32..=3, 1 => any::<u32>()];
    let change = (line, quantity, terms()).prop_map(|(line, quantity, (discounts, taxes))| {
        LineChange { line, quantity, discounts, taxes }
    });
    let added = (1_u32..4, money(), terms()).prop_map(|(units, price, (discounts, taxes))| {
        NewLine { discounts, taxes, ..new_line("PAN", units, price) }
    });
    let changes = prop::collection::vec(change, 0..3);
    (1_u128..6, changes, prop::collection::vec(added, 0..2), text()).prop_map(
        |(n, changes, added, reason)| {
            let expected = ExpectedTotals::default();
            let edit_id = edit_id(n);
            Command::EditOrder(Box::new(EditOrder { edit_id, changes, added, reason, expected }))
        },
    )
}

pub fn an_answer() -> impl Strategy<Value = Command> {
    let missing = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec!["MUG"])];
    let backordered = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((1_u32..=4, 1_u32..5), 1..3),
    ];
    (1_u128..6, missing, backordered).prop_map(|(n, missing, backordered)| {
        if missing.is_empty() { answer_with(n, &backordered) } else { answer(n, &missing) }
    })
}
