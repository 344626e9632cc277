//! [`Command::EditOrder`], [`Command::AnswerEdit`] and [`Command::LapseEdit`]

use order_actor::domain::{
    AnswerEdit, ChangedLine, Command, Details, Discount, EditOrder, EditRefusal, EditState,
    EditedLines, Event, Existing, ExpectedTotals, HoldKind, LineChange, Order, OrderEditRefused,
    OrderEditRequested, OrderEdited, PlacedLine, Policy, Rejection, Role, Status, Tax, UndoCause,
    bounds, deadline, decide, evolve, replay,
};
use shared_events::contract::{CancelReason, EditId, Money, Quantity};
use uuid::Uuid;

use super::hold::held;
use super::parcels::undone;
use super::support::*;

pub fn edit_id(n: u128) -> EditId {
    EditId::from_uuid(Uuid::from_u128(0x500 + n))
}

pub fn change(line: u32, quantity: u32) -> LineChange {
    LineChange { line, quantity, discounts: Vec::new(), taxes: Vec::new() }
}

/// An edit of these lines to these units, with so many pans at 7.00 in addition.
pub fn an_edit(n: u128, changes: &[(u32, u32)], pans: u32) -> EditOrder {
    let new = || new_line("PAN", pans, gbp(700));
    EditOrder {
        edit_id: edit_id(n),
        changes: changes.iter().map(|(line, units)| change(*line, *units)).collect(),
        added: (pans > 0).then(new).into_iter().collect(),
        reason: "she called".to_owned(),
        expected: ExpectedTotals::default(),
    }
}

pub fn edit(n: u128, changes: &[(u32, u32)], pans: u32) -> Command {
    Command::EditOrder(Box::new(an_edit(n, changes, pans)))
}

pub fn answer(n: u128, missing: &[&str]) -> Command {
    let missing = missing.iter().map(|sku| sku.parse().unwrap()).collect();
    Command::AnswerEdit(AnswerEdit { edit_id: edit_id(n), missing, backordered: Vec::new() })
}

/// Stock holds the units of an edit, of which these wait.
pub fn answer_with(n: u128, backordered: &[(u32, u32)]) -> Command {
    let (missing, backordered) = (Vec::new(), units(backordered));
    Command::AnswerEdit(AnswerEdit { edit_id: edit_id(n), missing, backordered })
}

/// Lines with their units before and after, and so many pans as the third line.
fn lines(changed: &[(u32, u32, u32)], pans: u32) -> EditedLines {
    let changed = changed.iter().map(|(line, from, to)| ChangedLine {
        line: *line,
        from: *from,
        to: *to,
        discounts: Vec::new(),
        taxes: Vec::new(),
    });
    let pan = |quantity| PlacedLine {
        line: 3,
        sku: "PAN".parse().unwrap(),
        quantity,
        unit_price: gbp(700),
        seller_id: None,
        title: String::new(),
        image_url: String::new(),
        attributes: <_>::default(),
        discounts: Vec::new(),
        taxes: Vec::new(),
    };
    let added = Quantity::new(pans).ok().map(pan).into_iter().collect();
    EditedLines { changed: changed.collect(), added }
}

pub fn edit_requested(n: u128, changed: &[(u32, u32, u32)], pans: u32, seconds: u64) -> Event {
    Event::OrderEditRequested(OrderEditRequested {
        edit_id: edit_id(n),
        lines: lines(changed, pans),
        reason: "she called".to_owned(),
        answer_by: after(seconds + 15 * MINUTE),
        at: after(seconds),
    })
}

/// With discounts and taxes of the units that are added.
pub fn priced(seconds: u64) -> Event {
    let mut event = edit_requested(1, &[(1, 2, 3)], 2, seconds);
    if let Event::OrderEditRequested(asked) = &mut event {
        let discounts = vec![Discount { label: "SALE".to_owned(), amount: gbp(100) }];
        let taxes = vec![Tax { name: "VAT".to_owned(), rate: None, amount: gbp(180) }];
        asked.lines.changed[0].discounts = discounts.clone();
        asked.lines.changed[0].taxes = taxes.clone();
        asked.lines.added[0].discounts = discounts;
        asked.lines.added[0].taxes = taxes;
    }
    event
}

pub fn edited(n: u128, edit: (&[(u32, u32, u32)], u32), total: i64, seconds: u64) -> Event {
    edited_with(n, edit, &[], total, seconds)
}

/// An edit of which these units wait for stock.
pub fn edited_with(
    n: u128,
    (changed, pans): (&[(u32, u32, u32)], u32),
    backordered: &[(u32, u32)],
    total: i64,
    seconds: u64,
) -> Event {
    Event::OrderEdited(OrderEdited {
        edit_id: edit_id(n),
        lines: lines(changed, pans),
        total: gbp(total),
        backordered: units(backordered),
        reason: "she called".to_owned(),
        at: after(seconds),
    })
}

pub fn edit_refused(n: u128, missing: &[&str], seconds: u64) -> Event {
    let cause = if missing.is_empty() { EditRefusal::Expired } else { EditRefusal::OutOfStock };
    let skus = missing.iter().map(|sku| sku.parse().unwrap()).collect();
    Event::OrderEditRefused(OrderEditRefused {
        edit_id: edit_id(n),
        cause,
        skus,
        at: after(seconds),
    })
}

/// Placed and confirmed, and an edit waits: a mug more, a plate fewer, two pans.
pub fn edit_waits() -> Vec<Event> {
    vec![placed(), confirmed(), edit_requested(1, &[(1, 2, 3), (2, 3, 2)], 2, 5)]
}

fn details(order: &Order) -> &Details {
    order.details().unwrap()
}

fn states(order: &Order) -> Vec<EditState> {
    details(order).edits.iter().map(|edit| edit.state).collect()
}

/// Units of each line: ordered, cancelled, open.
fn units_of(order: &Order) -> Vec<(u32, u32, u32)> {
    let lines = details(order).lines.iter();
    lines.map(|line| (line.ordered, line.cancelled, line.open())).collect()
}

fn waiting(order: &Order) -> Vec<u32> {
    details(order).lines.iter().map(|line| line.backordered).collect()
}

/// One of the added mugs and one of two pans are not on hand.
#[test]
fn units_of_an_edit_wait_as_those_of_a_placement() {
    let edit = (&[(1, 2, 3), (2, 3, 2)][..], 2);
    let then = given(edit_waits())
        .when(&answer_with(1, &[(1, 1), (3, 1)]), &by_engine(), 60)
        .then(edited_with(1, edit, &[(1, 1), (3, 1)], 5_900, 60));
    assert_eq!(waiting(&then.order), [1, 0, 1]);
    let mut history = edit_waits();
    history.push(edited_with(1, edit, &[(1, 1), (3, 1)], 5_900, 60));
    let refused = Rejection::Backordered { lines: vec![1, 3] };
    given(history.clone()).when(&fulfill(1, &[]), &by_ops(), 70).then_rejected(&refused);
    let then = given(history.clone())
        .when(&allocate(1, &[(1, 1), (3, 1)]), &by_engine(), 70)
        .then(lines_allocated(&[(1, 1), (3, 1)], 70));
    assert_eq!(waiting(&then.order), [0, 0, 0]);
    let cancel = cancel(CancelReason::CustomerRequest, &[(1, 1)]);
    let then = given(history).when(&cancel, &by_owner(), 70).then(lines_cancelled(&[(1, 1)], 70));
    assert_eq!(waiting(&then.order), [0, 0, 1]);
}

/// Those that waited before wait on.
#[test]
fn units_of_an_edit_wait_beside_those_that_wait_already() {
    let history = vec![
        placed(),
        confirmed_with(&[(1, 2), (2, 1)]),
        edit_requested(1, &[(1, 2, 4), (2, 3, 2)], 0, 5),
    ];
    let edit = (&[(1, 2, 4), (2, 3, 2)][..], 0);
    let then = given(history).when(&answer_with(1, &[(1, 2)]), &by_engine(), 60).then(edited_with(
        1,
        edit,
        &[(1, 2)],
        5_500,
        60,
    ));
    // The plate that the edit takes off was the one that waited.
    assert_eq!(waiting(&then.order), [4, 0]);
}

/// An answer that names units which the edit does not add.
#[test]
fn only_added_units_of_an_edit_wait() {
    let edit = (&[(1, 2, 3), (2, 3, 2)][..], 2);
    given(edit_waits())
        .when(&answer_with(1, &[(1, 9), (2, 1), (7, 1)]), &by_engine(), 60)
        .then(edited_with(1, edit, &[(1, 1)], 5_900, 60));
    for wrong in [&[(2, 1)][..], &[(1, 2)], &[(7, 1)]] {
        let mut history = edit_waits();
        history.push(edited_with(1, edit, wrong, 5_900, 60));
        assert_eq!(impossible(&history).detail, "more units than the edit adds");
    }
}

#[test]
fn an_answer_without_waiting_units_is_written_as_before() {
    let Command::AnswerEdit(plain) = answer(1, &[]) else { unreachable!() };
    assert_eq!(serde_json::to_value(&plain).unwrap().as_object().unwrap().len(), 2);
}

#[test]
fn units_fewer_are_cancelled_at_once() {
    let after = given([placed(), confirmed()])
        .when(&edit(1, &[(1, 2), (2, 1)], 0), &by_service(), 9)
        .then(edited(1, (&[(1, 2, 2), (2, 3, 1)], 0), 3_500, 9))
        .is(Status::Confirmed);
    assert_eq!(units_of(&after.order), [(2, 0, 2), (3, 2, 1)]);
    assert_eq!(details(&after.order).lines[1].amounts.cancelled.total, 1_000);
    assert_eq!(states(&after.order), [EditState::Applied]);
}

#[test]
fn units_more_wait_for_stock_and_the_order_stays_as_it_is() {
    let waits = given([placed(), confirmed()])
        .when(&edit(1, &[(1, 3), (2, 2)], 2), &by_ops(), 5)
        .then(edit_requested(1, &[(1, 2, 3), (2, 3, 2)], 2, 5))
        .is(Status::Confirmed);
    assert_eq!(units_of(&waits.order), [(2, 0, 2), (3, 0, 3)]);
    assert_eq!(states(&waits.order), [EditState::Waiting]);
    assert_eq!(deadline(&waits.order).unwrap().kind.code(), "EDIT");
    assert_eq!(deadline(&waits.order).unwrap().due, after(5 + 15 * MINUTE));
}

#[test]
fn what_stock_holds_is_applied_as_a_whole() {
    let edit = edited(1, (&[(1, 2, 3), (2, 3, 2)], 2), 5_900, 9);
    let done = given(edit_waits()).when(&answer(1, &[]), &by_engine(), 9).then(edit);
    assert_eq!(units_of(&done.order), [(3, 0, 3), (3, 1, 2), (2, 0, 2)]);
    let now = details(&done.order);
    assert_eq!((now.totals.goods, now.totals.total), (gbp(5_900), gbp(5_900)));
    let paid: Vec<i64> = now.lines.iter().map(|line| line.amounts.ordered.total).collect();
    assert_eq!(paid, [3_000, 1_500, 1_400]);
    assert_eq!(now.lines_as_placed().len(), 2);
    assert_eq!(deadline(&done.order), None);
}

#[test]
fn what_stock_lacks_is_refused_as_a_whole() {
    let before = replay(&[placed(), confirmed()]).unwrap();
    let refused = given(edit_waits())
        .when(&answer(1, &["PAN"]), &by_engine(), 9)
        .then(edit_refused(1, &["PAN"], 9))
        .is(Status::Confirmed);
    assert_eq!(details(&refused.order).lines, details(&before).lines);
    assert_eq!(details(&refused.order).totals, details(&before).totals);
    assert_eq!(states(&refused.order), [EditState::OutOfStock]);
    assert_eq!(details(&refused.order).edits[0].skus[0].as_str(), "PAN");
}

#[test]
fn an_edit_without_an_answer_ends() {
    let late = 5 + 15 * MINUTE;
    given(edit_waits()).when(&Command::LapseEdit, &by_engine(), late - 1).then_nothing_happened();
    let ended = given(edit_waits())
        .when(&Command::LapseEdit, &by_engine(), late)
        .then(edit_refused(1, &[], late));
    assert_eq!(states(&ended.order), [EditState::Expired]);
    // The answer that comes later changes nothing; stock releases the units.
    let ended = edit_waits().into_iter().chain([edit_refused(1, &[], late)]);
    given(ended).when(&answer(1, &[]), &by_engine(), late).then_nothing_happened();
    nothing().when(&Command::LapseEdit, &by_engine(), 9).then_nothing_happened();
    nothing().when(&answer(1, &[]), &by_engine(), 9).then_rejected(&Rejection::NotFound);
}

#[test]
fn meanwhile_nothing_is_shipped_cancelled_in_part_or_edited() {
    let pending = Rejection::EditPending { edit_id: edit_id(1) };
    for (command, by) in [
        (fulfill(1, &[]), by_service()),
        (fulfill(1, &[(1, 1)]), by_service()),
        (cancel(CancelReason::Ops, &[(1, 1)]), by_ops()),
        (edit(2, &[(1, 1)], 0), by_ops()),
    ] {
        given(edit_waits()).when(&command, &by, 9).then_rejected(&pending);
    }
    assert!(pending.to_string().contains("waits for stock"));
}

#[test]
fn cancelling_the_order_ends_the_edit_that_waits() {
    let cancelled = given(edit_waits())
        .when(&cancel(CancelReason::CustomerRequest, &[]), &by_owner(), 9)
        .then(order_cancelled(CancelReason::CustomerRequest, true, 9))
        .is(Status::Cancelled);
    assert_eq!(states(&cancelled.order), [EditState::Voided]);
    assert_eq!(deadline(&cancelled.order), None);
    let history =
        edit_waits().into_iter().chain([order_cancelled(CancelReason::CustomerRequest, true, 9)]);
    given(history).when(&answer(1, &[]), &by_engine(), 10).then_nothing_happened();
}

#[test]
fn lines_are_edited_between_confirmation_and_the_first_parcel() {
    let command = edit(1, &[(1, 3)], 0);
    nothing().when(&command, &by_ops(), 9).then_rejected(&Rejection::NotFound);
    given([placed()])
        .when(&command, &by_ops(), 9)
        .then_rejected(&invalid_transition(Status::Pending, "EditOrder"));
    given(delivered())
        .when(&command, &by_ops(), 19)
        .then_rejected(&invalid_transition(Status::Fulfilled, "EditOrder"));
    let shipped = vec![placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 5)];
    given(shipped.clone()).when(&command, &by_ops(), 9).then_rejected(&Rejection::AlreadyShipped);
    let lost = shipped.into_iter().chain([undone(1, UndoCause::Lost, &[(1, 1)], 1_000, 6)]);
    given(lost).when(&command, &by_ops(), 9).then_rejected(&Rejection::AlreadyShipped);
    // A held order may be edited.
    given([placed(), confirmed(), held(1, HoldKind::Fraud, "", 3)])
        .when(&command, &by_ops(), 9)
        .then(edit_requested(1, &[(1, 2, 3)], 0, 9));
}

#[test]
fn services_and_operators_edit_lines() {
    for (by, role) in [(by_owner(), Role::Customer), (by_engine(), Role::Engine)] {
        given([placed(), confirmed()])
            .when(&edit(1, &[(1, 1)], 0), &by, 9)
            .then_rejected(&Rejection::Forbidden { role });
    }
}

#[test]
fn the_same_edit_again_changes_nothing() {
    let command = edit(1, &[(1, 3), (2, 2)], 2);
    let turned = edit(1, &[(2, 2), (1, 3)], 2);
    let applied = edited(1, (&[(1, 2, 3), (2, 3, 2)], 2), 5_900, 9);
    let applied: Vec<Event> = edit_waits().into_iter().chain([applied]).collect();
    for history in [edit_waits(), applied] {
        for same in [&command, &turned] {
            given(history.clone()).when(same, &by_ops(), 20).then_nothing_happened();
        }
        let other = EditOrder { reason: "he called".to_owned(), ..an_edit(1, &[(1, 4)], 1) };
        given(history)
            .when(&Command::EditOrder(Box::new(other)), &by_ops(), 20)
            .then_rejected(&exists(Existing::Edit, &["changes", "lines", "reason"]));
    }
}

#[test]
fn an_order_that_was_edited_is_still_the_order_that_was_placed() {
    let applied = edited(1, (&[(1, 2, 3), (2, 3, 2)], 2), 5_900, 9);
    let history: Vec<Event> = edit_waits().into_iter().chain([applied]).collect();
    given(history.clone()).when(&place(), &by_owner(), 20).then_nothing_happened();
    // What the last edit made of it is the base of the next.
    given(history).when(&edit(2, &[(2, 3), (3, 0)], 0), &by_ops(), 20).then(edit_requested(
        2,
        &[(2, 2, 3), (3, 2, 0)],
        0,
        20,
    ));
}

#[test]
fn units_as_they_are_change_nothing() {
    given([placed(), confirmed()])
        .when(&edit(1, &[(1, 2), (2, 3)], 0), &by_ops(), 9)
        .then_nothing_happened();
}

#[test]
fn a_line_taken_off_may_come_back() {
    let history = [placed(), confirmed(), edited(1, (&[(1, 2, 0)], 0), 3_500, 5)];
    given(history).when(&edit(2, &[(1, 1)], 0), &by_ops(), 9).then(edit_requested(
        2,
        &[(1, 0, 1)],
        0,
        9,
    ));
}

/// The refusal of an edit of an order that is confirmed.
fn refused(command: EditOrder) -> Rejection {
    let order = replay(&[placed(), confirmed()]).unwrap();
    let command = Command::EditOrder(Box::new(command));
    let policy = Policy::default();
    decide(&order, &command, &by_ops(), after(9), &policy).unwrap_err()
}

#[test]
fn lines_that_do_not_fit_are_refused_with_their_place() {
    let at = |rejection: Rejection| match rejection {
        Rejection::InvalidLines { line, at, detail } => (line, at, detail),
        other => panic!("{other:?}"),
    };
    let (line, path, detail) = at(refused(an_edit(1, &[(1, 1), (9, 1)], 0)));
    assert_eq!((line, path.as_str(), detail), (9, "changes[1].line", "no such line"));
    let (_, path, detail) = at(refused(an_edit(1, &[(1, 1), (1, 2)], 0)));
    assert_eq!((path.as_str(), detail), ("changes[1].line", "named twice"));
    let (_, path, _) = at(refused(an_edit(1, &[(1, Quantity::MAX + 1)], 0)));
    assert_eq!(path, "changes[0].quantity");
    let nothing_left = refused(an_edit(1, &[(1, 0), (2, 0)], 0));
    assert!(matches!(nothing_left, Rejection::InvalidField { at: "changes", .. }));
    let many = vec![new_line("PAN", 1, gbp(1)); bounds::LINES_MAX - 1];
    let many = EditOrder { added: many, ..an_edit(1, &[], 0) };
    assert_eq!(refused(many), Rejection::TooManyLines);
    let silent = EditOrder { reason: " ".to_owned(), ..an_edit(1, &[(1, 1)], 0) };
    assert_eq!(refused(silent), Rejection::ReasonRequired);
}

#[test]
fn amounts_that_do_not_fit_are_refused_with_their_place() {
    let yen = new_line("PAN", 1, yen_of(1));
    let yen = EditOrder { added: vec![yen], ..an_edit(1, &[], 0) };
    assert_eq!(refused(yen), Rejection::CurrencyMismatch);
    let much = new_line("PAN", 2, gbp(i64::MAX));
    let much = EditOrder { added: vec![much], ..an_edit(1, &[], 0) };
    assert_eq!(refused(much), Rejection::AmountOverflow);
    let wider = new_line("PAN", 1, gbp(i64::MAX - 1_000));
    let wider = EditOrder { added: vec![wider], ..an_edit(1, &[], 0) };
    assert_eq!(refused(wider), Rejection::AmountOverflow);
    let discount = Discount { label: "SALE".to_owned(), amount: gbp(1_001) };
    let change = LineChange { discounts: vec![discount.clone()], ..change(1, 3) };
    let deep = EditOrder { changes: vec![change], ..an_edit(1, &[(2, 1)], 0) };
    let Rejection::InvalidAmount { at, .. } = refused(deep) else { panic!() };
    assert_eq!(at, "changes[0].discounts");
    let mut line = new_line("PAN", 1, gbp(700));
    line.discounts.push(discount);
    let deep = EditOrder { added: vec![line], ..an_edit(1, &[], 0) };
    let Rejection::InvalidAmount { at, .. } = refused(deep) else { panic!() };
    assert_eq!(at, "lines[0].discounts");
    let total = Some(gbp(5_901));
    let expected = ExpectedTotals { total, ..ExpectedTotals::default() };
    let other = EditOrder { expected, ..an_edit(1, &[(1, 3), (2, 2)], 2) };
    assert_eq!(refused(other), Rejection::TotalsMismatch { field: "total", is: gbp(5_900) });
}

fn yen_of(minor: i64) -> Money {
    Money::new(minor, "JPY".parse().unwrap())
}

/// The first line has a discount and a tax.
fn with_terms() -> Vec<Event> {
    let mut placed = placed();
    if let Event::OrderPlaced { lines, total, .. } = &mut placed {
        lines[0].discounts = vec![Discount { label: "SALE".to_owned(), amount: gbp(200) }];
        lines[0].taxes = vec![Tax { name: "VAT".to_owned(), rate: None, amount: gbp(360) }];
        *total = gbp(3_500 - 200 + 360);
    }
    vec![placed, confirmed()]
}

#[test]
fn discounts_and_taxes_of_added_units_are_given_where_the_line_has_some() {
    let discounts = vec![Discount { label: "SALE".to_owned(), amount: gbp(100) }];
    let taxes = vec![Tax { name: "VAT".to_owned(), rate: None, amount: gbp(180) }];
    let missing = [
        (LineChange { taxes: taxes.clone(), ..change(1, 3) }, "changes[0].discounts"),
        (LineChange { discounts: discounts.clone(), ..change(1, 3) }, "changes[0].taxes"),
        (LineChange { discounts: discounts.clone(), ..change(1, 1) }, "changes[0].discounts"),
        (LineChange { taxes: taxes.clone(), ..change(2, 3) }, "changes[0].taxes"),
    ];
    let order = replay(&with_terms()).unwrap();
    for (change, path) in missing {
        let command = EditOrder { changes: vec![change], ..an_edit(1, &[], 0) };
        let command = Command::EditOrder(Box::new(command));
        let policy = Policy::default();
        let refused = decide(&order, &command, &by_ops(), after(9), &policy);
        let Err(Rejection::InvalidAmount { at, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(at, path);
    }
    let change = LineChange { discounts, taxes, ..change(1, 3) };
    let command = EditOrder { changes: vec![change], ..an_edit(1, &[], 0) };
    let policy = Policy::default();
    let command = Command::EditOrder(Box::new(command));
    let asked = decide(&order, &command, &by_ops(), after(9), &policy);
    let order = asked.unwrap().iter().try_fold(order, evolve).unwrap();
    let applied = decide(&order, &answer(1, &[]), &by_engine(), after(10), &policy);
    let order = applied.unwrap().iter().try_fold(order, evolve).unwrap();
    let now = details(&order);
    let terms = now.lines[0].terms.as_ref().unwrap();
    assert_eq!((terms.discounts.len(), terms.discounts[0].amount), (1, gbp(300)));
    assert_eq!((terms.taxes.len(), terms.taxes[0].amount), (1, gbp(540)));
    assert_eq!(now.lines[0].amounts.ordered.total, 2_160 + 1_080);
    let totals = now.totals;
    assert_eq!((totals.goods, totals.discounts, totals.tax), (gbp(4_500), gbp(300), gbp(540)));
    assert_eq!(totals.total, gbp(4_740));
}

#[test]
fn a_line_has_at_most_ten_discounts_and_taxes() {
    let discount = |n: usize| Discount { label: format!("D{n}"), amount: gbp(1) };
    let tax = |n: usize| Tax { name: format!("T{n}"), rate: None, amount: gbp(1) };
    let many = LineChange { discounts: (0..11).map(discount).collect(), ..change(1, 3) };
    let Rejection::InvalidAmount { at, .. } =
        refused(EditOrder { changes: vec![many], ..an_edit(1, &[], 0) })
    else {
        panic!()
    };
    assert_eq!(at, "changes[0].discounts");
    let many = LineChange { taxes: (0..11).map(tax).collect(), ..change(1, 3) };
    let Rejection::InvalidAmount { at, .. } =
        refused(EditOrder { changes: vec![many], ..an_edit(1, &[], 0) })
    else {
        panic!()
    };
    assert_eq!(at, "changes[0].taxes");
}

#[test]
fn an_order_is_edited_a_hundred_times_at_most() {
    let mut history = vec![placed(), confirmed()];
    for n in 0..50 {
        history.push(edit_requested(n, &[(1, 2, 3)], 0, 5));
        history.push(edit_refused(n, &["MUG"], 6));
    }
    given(history.clone()).when(&edit(60, &[(1, 3)], 0), &by_ops(), 9).then(edit_requested(
        60,
        &[(1, 2, 3)],
        0,
        9,
    ));
    for n in 100..150 {
        history.push(edit_requested(n, &[(1, 2, 3)], 0, 5));
        history.push(edit_refused(n, &["MUG"], 6));
    }
    given(history)
        .when(&edit(60, &[(1, 3)], 0), &by_ops(), 9)
        .then_rejected(&Rejection::TooManyEdits);
}

#[test]
fn edits_that_cannot_have_happened_are_impossible() {
    let base = || vec![placed(), confirmed()];
    let with = |more: Vec<Event>| base().into_iter().chain(more).collect::<Vec<_>>();
    let raise = || edit_requested(1, &[(1, 2, 3)], 0, 5);
    for (history, why) in [
        (vec![placed(), raise()], "the state does not allow it"),
        (with(vec![lines_fulfilled(1, &[(1, 1)], 4), raise()]), "the state does not allow it"),
        (with(vec![raise(), edit_requested(2, &[(1, 2, 3)], 0, 6)]), "another edit waits"),
        (with(vec![edit_requested(1, &[(9, 0, 3)], 0, 5)]), "no such line"),
        (with(vec![edit_requested(1, &[(1, 2, 3), (1, 2, 4)], 0, 5)]), "named twice"),
        (with(vec![edit_requested(1, &[(1, 1, 3)], 0, 5)]), "not the open units"),
        (with(vec![edit_requested(1, &[(1, 2, u32::MAX)], 0, 5)]), "too many units"),
        (with(vec![edit_requested(1, &[(1, 2, 1)], 0, 5)]), "it needs nothing of stock"),
        (with(vec![edit_requested(1, &[(1, 2, 2)], 0, 5)]), "nothing changes"),
        (with(vec![edited(1, (&[(1, 2, 0), (2, 3, 0)], 0), 3_500, 5)]), "nothing changes"),
        (with(vec![edited(1, (&[(1, 2, 3)], 0), 4_500, 5)]), "not the edit that waits"),
        (with(vec![raise(), edited(1, (&[(1, 2, 4)], 0), 5_500, 6)]), "not the edit that waits"),
        (with(vec![raise(), edited(2, (&[(1, 2, 3)], 0), 4_500, 6)]), "not the edit that waits"),
        (with(vec![raise(), edited(1, (&[(1, 2, 3)], 0), 4_501, 6)]), "do not add up"),
        (with(vec![edit_refused(1, &["MUG"], 5)]), "not the edit that waits"),
        (with(vec![raise(), edit_refused(2, &["MUG"], 5)]), "not the edit that waits"),
        (with(vec![raise(), lines_cancelled(&[(1, 1)], 6)]), "an edit waits for stock"),
        (with(vec![raise(), lines_fulfilled(1, &[(1, 1)], 6)]), "an edit waits for stock"),
    ] {
        let impossible = impossible(&history);
        assert!(impossible.detail.contains(why), "{}: {why}", impossible.detail);
    }
    let mut odd = edit_requested(1, &[], 2, 5);
    if let Event::OrderEditRequested(asked) = &mut odd {
        asked.lines.added[0].line = 4;
    }
    assert!(impossible(&with(vec![odd])).detail.contains("numbered on"));
    let mut many = edit_requested(1, &[], 2, 5);
    if let Event::OrderEditRequested(asked) = &mut many {
        let pan = asked.lines.added[0].clone();
        asked.lines.added = (3..=2_001).map(|line| PlacedLine { line, ..pan.clone() }).collect();
    }
    assert!(impossible(&with(vec![many])).detail.contains("too many lines"));
}
