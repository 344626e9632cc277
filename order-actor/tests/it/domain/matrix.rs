//! Every command against every state, as one page: `matrix.txt`.
//! `ORDINAL_WRITE_GOLDEN=1` rewrites it; a reviewer checks the difference.

use std::fmt::Write as _;
use std::fs;

use order_actor::domain::{
    By, Command, CommandKind, Event, HoldKind, Order, Place, Policy, Rejection, UndoCause,
    deadline, decide, evolve, replay,
};
use shared_events::contract::{CancelReason, LossCause};

use super::correct::correct;
use super::edit::{answer as answer_edit, edit, edit_waits};
use super::golden::folder;
use super::hold::{held, hold, release};
use super::parcels::{
    deliver, find, open_again, parcel_delivered, undo, undo_to_ship_again, undone, update,
};
use super::payments::{compensated, fail, lose, note_capture, refund_fails, secure, settle};
use super::support::*;

fn states() -> Vec<(&'static str, Vec<Event>)> {
    let extended = |mut history: Vec<Event>, more: Vec<Event>| {
        history.extend(more);
        history
    };
    let some = &[(1, 1)];
    vec![
        ("absent", vec![]),
        ("pending", vec![placed()]),
        ("pending, a unit cancelled", vec![placed(), lines_cancelled(some, 2)]),
        ("confirmed", vec![placed(), confirmed()]),
        ("confirmed and held", vec![placed(), confirmed(), held(1, HoldKind::Fraud, "", 3)]),
        ("confirmed, an edit waits", edit_waits()),
        ("confirmed, a unit delivered", vec![placed(), confirmed(), lines_fulfilled(1, some, 5)]),
        (
            "confirmed, a unit delivered, its return requested",
            vec![placed(), confirmed(), lines_fulfilled(1, some, 5), return_requested(1, some, 10)],
        ),
        (
            "confirmed, a unit returned",
            vec![
                placed(),
                confirmed(),
                lines_fulfilled(1, some, 5),
                return_requested(1, some, 10),
                return_approved(1, some, 1_000, 15),
            ],
        ),
        (
            "confirmed, a unit lost",
            vec![
                placed(),
                confirmed(),
                lines_fulfilled(1, some, 5),
                undone(1, UndoCause::Lost, some, 1_000, 6),
            ],
        ),
        ("confirmed, its parcel open again", extended(delivered(), vec![open_again(1, ALL, 12)])),
        ("fulfilled", delivered()),
        ("fulfilled and arrived", extended(delivered(), vec![parcel_delivered(1, 15, None, 15)])),
        ("fulfilled, a return rejected", extended(waiting(ALL), vec![return_rejected(1, 30)])),
        (
            "fulfilled, a unit returned",
            extended(waiting(some), vec![return_approved(1, some, 1_000, 30)]),
        ),
        ("return requested", waiting(ALL)),
        ("return requested, escalated", extended(waiting(ALL), vec![return_escalated(1, 4 * DAY)])),
        (
            "return requested, approved",
            extended(waiting(ALL), vec![return_authorized(1, ALL, 3_500, 30)]),
        ),
        (
            "two returns requested",
            extended(waiting(some), vec![return_requested(2, &[(2, 1)], 30)]),
        ),
        ("returned", extended(waiting(ALL), vec![return_approved(1, ALL, 3_500, 30)])),
        ("cancelled", vec![placed(), order_cancelled(CancelReason::CustomerRequest, false, 5)]),
    ]
    .into_iter()
    .chain(super::payments::states())
    .collect()
}

/// Label, command, caller, and seconds after the order was placed.
type Case = (&'static str, Command, By, u64);

/// The cases of each kind. A missing kind does not compile.
fn of_kind(kind: CommandKind) -> Vec<Case> {
    use CancelReason::{CustomerRequest, InsufficientStock, Ops};
    let other = Command::from(Place { lines: vec![new_line("MUG", 9, gbp(1))], ..a_place() });
    let theirs = Command::from(Place { customer_id: stranger(), ..a_place() });
    let early = 20;
    match kind {
        CommandKind::Place => vec![
            ("Place the same", place(), by_owner(), early),
            ("Place other content", other, by_owner(), early),
            ("Place by somebody else", theirs, by_stranger(), early),
        ],
        CommandKind::Confirm => vec![
            ("Confirm by reservation 1", confirm(1), by_engine(), early),
            ("Confirm by reservation 2", confirm(2), by_engine(), early),
        ],
        CommandKind::Allocate => vec![
            ("Allocate a unit of line 2", allocate(1, &[(2, 1)]), by_engine(), early),
            ("Allocate by reservation 2", allocate(2, &[(2, 1)]), by_engine(), early),
        ],
        CommandKind::Cancel => vec![
            ("Cancel", cancel(CustomerRequest, &[]), by_owner(), early),
            ("Cancel for OPS", cancel(Ops, &[]), by_ops(), early),
            ("Cancel for INSUFFICIENT_STOCK", cancel(InsufficientStock, &[]), by_engine(), early),
            ("Cancel a unit of line 2", cancel(CustomerRequest, &[(2, 1)]), by_owner(), early),
            ("Cancel a stranger's", cancel(CustomerRequest, &[]), by_stranger(), early),
        ],
        CommandKind::Lapse => vec![
            ("Lapse early", Command::Lapse, by_engine(), early),
            ("Lapse late", Command::Lapse, by_engine(), 20 * MINUTE),
        ],
        CommandKind::Fulfill => vec![
            ("Fulfill, parcel 1 again", fulfill(1, &[]), by_service(), early),
            ("Fulfill the rest, parcel 2", fulfill(2, &[]), by_service(), early),
            ("Fulfill a unit, parcel 2", fulfill(2, &[(2, 1)]), by_service(), early),
        ],
        CommandKind::RequestReturn => vec![
            ("RequestReturn 1", request_return(1, &[(2, 1)]), by_owner(), 60),
            ("RequestReturn 2", request_return(2, &[(2, 1)]), by_owner(), 60),
            ("RequestReturn 2 of all", request_return(2, ALL), by_owner(), 60),
            ("RequestReturn 2 late", request_return(2, ALL), by_owner(), 40 * DAY),
        ],
        CommandKind::Escalate => vec![
            ("Escalate early", Command::Escalate, by_engine(), 60),
            ("Escalate late", Command::Escalate, by_engine(), 5 * DAY),
        ],
        CommandKind::ApproveReturn => vec![
            ("ApproveReturn", Command::ApproveReturn(an_approval()), by_ops(), 60),
            ("ApproveReturn 1", approve(1), by_ops(), 60),
            ("ApproveReturn 2", approve(2), by_ops(), 60),
            ("ApproveReturn 1, receive later", approve_later(1), by_ops(), 60),
        ],
        CommandKind::RejectReturn => vec![
            ("RejectReturn 1", reject(1), by_ops(), 60),
            ("RejectReturn 2", reject(2), by_ops(), 60),
        ],
        CommandKind::ReceiveReturn => vec![
            ("ReceiveReturn", Command::ReceiveReturn(a_receipt()), by_ops(), 60),
            ("ReceiveReturn 1", receive(1), by_desk(), 60),
            ("ReceiveReturn 2", receive(2), by_desk(), 60),
        ],
        CommandKind::HoldOrder => vec![("HoldOrder", hold(1), by_ops(), early)],
        CommandKind::ReleaseHold => vec![("ReleaseHold", release(1), by_ops(), early)],
        CommandKind::Correct => vec![("CorrectOrder", correct(), by_owner(), early)],
        CommandKind::UpdateShipment => vec![("UpdateShipment 1", update(1), by_service(), early)],
        CommandKind::RecordDelivery => vec![
            ("RecordDelivery 1", deliver(1, None), by_service(), early),
            ("RecordDelivery 1 late", deliver(1, None), by_service(), 40 * DAY),
        ],
        CommandKind::UndoShipment => vec![
            ("UndoShipment 1, lost", undo(1, UndoCause::Lost), by_ops(), early),
            ("UndoShipment 1, back", undo(1, UndoCause::ReturnedToSender), by_ops(), early),
            ("UndoShipment 1, open again", undo_to_ship_again(1), by_ops(), early),
            ("UndoShipment 1, found", find(1), by_ops(), early),
        ],
        CommandKind::AddNote => vec![
            ("AddNote", note(true), by_owner(), 60),
            ("AddNote for staff", note(false), by_ops(), 60),
            ("AddNote by somebody else", note(true), by_stranger(), 60),
        ],
        CommandKind::EditOrder => vec![
            ("EditOrder, a unit fewer", edit(2, &[(2, 1)], 0), by_ops(), early),
            ("EditOrder, a unit more", edit(2, &[(2, 4)], 0), by_service(), early),
            ("EditOrder, a line more", edit(2, &[], 2), by_service(), early),
        ],
        CommandKind::AnswerEdit => vec![
            ("AnswerEdit 1, held", answer_edit(1, &[]), by_engine(), early),
            ("AnswerEdit 1, missing", answer_edit(1, &["PAN"]), by_engine(), early),
        ],
        CommandKind::LapseEdit => vec![
            ("LapseEdit early", Command::LapseEdit, by_engine(), early),
            ("LapseEdit late", Command::LapseEdit, by_engine(), 20 * MINUTE),
        ],
        CommandKind::SecurePayment => vec![
            ("SecurePayment of all", secure(3_500, DAY), by_engine(), early),
            ("SecurePayment of less", secure(2_000, DAY), by_engine(), early),
        ],
        CommandKind::FailPayment => vec![
            ("FailPayment", fail(None), by_engine(), early),
            ("FailPayment of one seller", fail(Some(1)), by_engine(), early),
        ],
        CommandKind::LosePayment => {
            vec![("LosePayment", lose(LossCause::Expired), by_engine(), early)]
        }
        CommandKind::NoteCapture => vec![("NoteCapture", note_capture(3_500), by_engine(), early)],
        CommandKind::SettleRefund => vec![
            ("SettleRefund, paid", settle(1, 1_000), by_engine(), early),
            ("SettleRefund, failed", refund_fails(1, 1_000), by_engine(), early),
        ],
        CommandKind::Compensated => vec![
            ("Compensated, stock", compensated(true, false), by_engine(), early),
            ("Compensated, money", compensated(false, true), by_engine(), early),
        ],
    }
}

fn commands() -> Vec<Case> {
    CommandKind::all()
        .flat_map(|kind| {
            let said = of_kind(kind);
            assert!(!said.is_empty() && said.iter().all(|(_, command, ..)| command.kind() == kind));
            said
        })
        .collect()
}

fn headline(order: &Order) -> &'static str {
    order.status().map_or("ABSENT", order_actor::domain::Status::code)
}

fn answer(order: &Order, decision: Result<Vec<Event>, Rejection>) -> String {
    match decision {
        Err(rejection) => rejection.code().to_owned(),
        Ok(events) if events.is_empty() => "nothing happens".to_owned(),
        Ok(events) => {
            let names: Vec<_> = events.iter().map(Event::name).collect();
            let after = events.iter().try_fold(order.clone(), evolve).unwrap();
            format!("{} -> {}", names.join(", "), headline(&after))
        }
    }
}

fn page() -> String {
    let mut page = String::new();
    for (state, history) in states() {
        let order = replay(&history).unwrap();
        let deadline = deadline(&order).map_or("none", |deadline| deadline.kind.code());
        writeln!(page, "{state} ({}, deadline {deadline})", headline(&order)).unwrap();
        for (name, command, by, seconds) in commands() {
            let decision = decide(&order, &command, &by, after(seconds), &Policy::default());
            writeln!(page, "  {name:<30} {}", answer(&order, decision)).unwrap();
        }
        page.push('\n');
    }
    page.push_str("roles (to an order that is absent; returns: a SERVICE of that scope)\n");
    let mut names = std::collections::BTreeSet::new();
    for (_, command, _, seconds) in commands() {
        if !names.insert(command.name()) {
            continue;
        }
        write!(page, "  {:<14}", command.name()).unwrap();
        for (by, name) in [
            (by_owner(), "CUSTOMER"),
            (by_service(), "SERVICE"),
            (by_desk(), "returns"),
            (by_ops(), "OPS"),
            (by_engine(), "ENGINE"),
        ] {
            let decision =
                decide(&Order::Absent, &command, &by, after(seconds), &Policy::default());
            let answer = match decision {
                Err(Rejection::Forbidden { .. }) => "-",
                _ => name,
            };
            write!(page, " {answer:<9}").unwrap();
        }
        page.truncate(page.trim_end().len());
        page.push('\n');
    }
    page
}

#[test]
fn every_command_against_every_state() {
    let path = folder().join("matrix.txt");
    let page = page();
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (actual, expected) in page.lines().zip(expected.lines()) {
        assert_eq!(actual, expected);
    }
    assert_eq!(page, expected);
}
