//! Laws that hold after any sequence of commands, by any caller, at any time.

use std::collections::BTreeSet;
use std::time::Duration;

use order_actor::domain::{
    AddNote, Allocate, Amount, ApproveReturn, By, Cancel, Command, CommandKind, Confirm, Details,
    Event, Fulfill, Judgement, Line, LineAmounts, LineQuantity, NewLine, NoteText, Order,
    OutcomeUnits, Place, Policy, ReceiveReturn, RejectReturn, RequestReturn, ReturnLineDisposition,
    UndoCause, Undone, UnitOutcome, bounds, decide, evolve, replay,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shared_events::contract::{CancelReason, Currency, Disposition, Money, Quantity, Timestamp};

use super::parcels::{find, undo};
use super::support::*;
use super::{amounts, later, payments};

#[derive(Clone, Debug)]
struct Step {
    command: Command,
    by: By,
    pause: Duration,
}

fn quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![9 => 1_u32..=3, 1 => 1..=Quantity::MAX].prop_map(|n| Quantity::new(n).unwrap())
}

fn currency() -> impl Strategy<Value = Currency> {
    prop_oneof![30 => Just("GBP"), 1 => Just("JPY")].prop_map(|code| code.parse().unwrap())
}

pub fn money() -> impl Strategy<Value = Money> {
    let minor = prop_oneof![20 => 0_i64..3_000, 1 => any::<i64>(), 1 => Just(i64::MAX)];
    (minor, currency()).prop_map(|(minor, currency)| Money::new(minor, currency))
}

fn some_lines() -> impl Strategy<Value = Vec<LineQuantity>> {
    let number = prop_oneof![20 => 1_u32..=3, 1 => any::<u32>()];
    let line = (number, quantity()).prop_map(|(line, quantity)| LineQuantity { line, quantity });
    prop_oneof![2 => Just(units(&[(1, 1)])), 3 => prop::collection::vec(line, 0..3)]
}

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => Just("because".to_owned()),
        1 => Just(String::new()),
        1 => Just("x".repeat(501)),
    ]
}

fn a_placing() -> impl Strategy<Value = Command> {
    let line = (quantity(), money(), amounts::of_line()).prop_map(
        |(quantity, unit_price, (discounts, taxes))| NewLine {
            quantity,
            discounts,
            taxes,
            ..new_line("MUG", 1, unit_price)
        },
    );
    let lines = prop_oneof![
        1 => Just(a_place().lines),
        2 => Just(vec![new_line("MUG", 1, gbp(1_000))]),
        3 => prop::collection::vec(line, 0..4),
    ];
    let customer = prop_oneof![9 => Just(owner()), 1 => Just(stranger())];
    (lines, customer, amounts::extras()).prop_map(|(lines, customer_id, extras)| {
        Command::from(Place { lines, customer_id, ..extras })
    })
}

fn a_cancel() -> impl Strategy<Value = Command> {
    use CancelReason::{CustomerRequest, InsufficientStock, Ops, PaymentFailed, SlaTimeout};
    let reason = prop::sample::select(vec![
        CustomerRequest,
        InsufficientStock,
        Ops,
        PaymentFailed,
        SlaTimeout,
    ]);
    (reason, text(), some_lines()).prop_map(|(reason, text, lines)| {
        Command::Cancel(Cancel { reason, text, lines, skus: vec!["MUG".parse().unwrap()] })
    })
}

fn a_fulfill() -> impl Strategy<Value = Command> {
    (1_u128..6, some_lines(), text()).prop_map(|(n, lines, carrier)| {
        let shipment_id = shipment(n);
        let (tracking, reference) = (String::new(), String::new());
        Command::Fulfill(Fulfill {
            shipment_id,
            lines,
            carrier,
            tracking,
            reference,
            location: None,
        })
    })
}

fn a_request() -> impl Strategy<Value = Command> {
    (1_u128..5, some_lines(), text(), a_reference()).prop_map(|(n, lines, reason, reference)| {
        let (return_id, exchange_order_id) = (return_id(n), None);
        Command::RequestReturn(RequestReturn {
            return_id,
            lines,
            reason,
            reference,
            exchange_order_id,
        })
    })
}

/// Mostly none.
fn a_reference() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(String::new()),
        1 => Just("A".to_owned()),
        1 => Just("B".to_owned()),
        1 => Just("x".repeat(65)),
    ]
}

fn some_outcomes() -> impl Strategy<Value = Vec<OutcomeUnits>> {
    use UnitOutcome::{NotArrived, Rejected, Restock, WriteOff};
    let outcome = prop::sample::select(vec![Restock, WriteOff, NotArrived, Rejected]);
    let units = (1_u32..=3, 1_u32..=3, outcome).prop_map(|units| outcomes(&[units])[0]);
    prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(outcomes(&[(1, 1, WriteOff)])),
        1 => Just(outcomes(&[(1, 1, Restock), (1, 1, Rejected)])),
        2 => prop::collection::vec(units, 0..4),
    ]
}

fn an_approving() -> impl Strategy<Value = Command> {
    let disposition = prop::sample::select(vec![Disposition::Restock, Disposition::WriteOff]);
    let named = (1_u32..=3, disposition)
        .prop_map(|(line, disposition)| ReturnLineDisposition { line, disposition });
    let dispositions = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(named, 0..3)];
    let refund = prop_oneof![6 => Just(None), 2 => money().prop_map(Some), 1 => Just(Some(gbp(-1))), 1 => Just(Some(gbp(i64::MAX)))];
    let kept = (some_outcomes(), text(), prop::bool::weighted(0.4));
    (prop::option::of(1_u128..5), dispositions, refund, text(), kept).prop_map(
        |(n, dispositions, refund, refund_reason, (outcomes, why, receive_later))| {
            let return_id = n.map(return_id);
            let rejects = outcomes.iter().any(|units| units.outcome == UnitOutcome::Rejected);
            let rejected_reason = if rejects { why } else { String::new() };
            Command::ApproveReturn(ApproveReturn {
                return_id,
                dispositions,
                outcomes,
                rejected_reason,
                receive_later,
                refund,
                refund_reason,
                ..an_approval()
            })
        },
    )
}

fn a_receiving() -> impl Strategy<Value = Command> {
    (prop::option::of(1_u128..5), some_outcomes(), text()).prop_map(|(n, outcomes, why)| {
        let rejects = outcomes.iter().any(|units| units.outcome == UnitOutcome::Rejected);
        let rejected_reason = if rejects { why } else { String::new() };
        let return_id = n.map(return_id);
        Command::ReceiveReturn(ReceiveReturn {
            return_id,
            outcomes,
            rejected_reason,
            ..a_receipt()
        })
    })
}

fn a_rejecting() -> impl Strategy<Value = Command> {
    (prop::option::of(1_u128..5), text()).prop_map(|(n, reason)| {
        let return_id = n.map(return_id);
        Command::RejectReturn(RejectReturn { return_id, reason, ..a_rejection() })
    })
}

fn a_noting() -> impl Strategy<Value = Command> {
    (any::<bool>(), text())
        .prop_map(|(public, text)| Command::AddNote(AddNote { public, note: NoteText { text } }))
}

/// Stock names each line once, and only units that were placed.
fn some_units() -> impl Strategy<Value = Vec<LineQuantity>> {
    let units = |[one, two]: [u32; 2]| {
        let named = [(1, one), (2, two)].into_iter().filter(|(_, units)| *units > 0);
        units(&named.collect::<Vec<_>>())
    };
    [0_u32..3, 0_u32..3].prop_map(units)
}

fn a_confirming() -> impl Strategy<Value = Command> {
    let backordered = prop_oneof![4 => Just(Vec::new()), 1 => some_units()];
    (1_u128..3, backordered).prop_map(|(n, backordered)| {
        Command::Confirm(Confirm { reservation_id: reservation(n), backordered })
    })
}

fn an_allocation() -> impl Strategy<Value = Command> {
    (1_u128..3, some_units()).prop_map(|(n, lines)| {
        Command::Allocate(Allocate { reservation_id: reservation(n), lines })
    })
}

/// The weight and the commands of each kind. A missing kind does not compile.
fn of_kind(kind: CommandKind) -> (u32, BoxedStrategy<Command>) {
    match kind {
        CommandKind::Place => (1, a_placing().boxed()),
        CommandKind::Confirm => (3, a_confirming().boxed()),
        CommandKind::Allocate => (1, an_allocation().boxed()),
        CommandKind::Cancel => (1, a_cancel().boxed()),
        CommandKind::Lapse => (1, Just(Command::Lapse).boxed()),
        CommandKind::Fulfill => (4, a_fulfill().boxed()),
        CommandKind::RequestReturn => (4, a_request().boxed()),
        CommandKind::Escalate => (1, Just(Command::Escalate).boxed()),
        CommandKind::ApproveReturn => (2, an_approving().boxed()),
        CommandKind::RejectReturn => (1, a_rejecting().boxed()),
        CommandKind::ReceiveReturn => (6, a_receiving().boxed()),
        CommandKind::HoldOrder => (1, later::a_hold().boxed()),
        CommandKind::ReleaseHold => (1, later::a_release().boxed()),
        CommandKind::Correct => (1, later::a_correction().boxed()),
        CommandKind::UpdateShipment => (2, later::an_update().boxed()),
        CommandKind::RecordDelivery => (3, later::a_delivery().boxed()),
        CommandKind::UndoShipment => (2, later::an_undoing().boxed()),
        CommandKind::AddNote => (1, a_noting().boxed()),
        CommandKind::EditOrder => (2, later::an_edit().boxed()),
        CommandKind::AnswerEdit => (2, later::an_answer().boxed()),
        CommandKind::LapseEdit => (1, Just(Command::LapseEdit).boxed()),
        CommandKind::SecurePayment => (2, payments::a_securing().boxed()),
        CommandKind::FailPayment => (1, payments::a_failure().boxed()),
        CommandKind::LosePayment => (1, payments::a_loss().boxed()),
        CommandKind::NoteCapture => (1, payments::a_capture().boxed()),
        CommandKind::SettleRefund => (1, payments::a_settling().boxed()),
        CommandKind::Compensated => (1, payments::a_compensation().boxed()),
    }
}

fn a_step() -> impl Strategy<Value = Step> {
    let commands: Vec<_> = CommandKind::all().map(of_kind).collect();
    let command = prop::strategy::Union::new_weighted(commands);
    let anybody =
        prop::sample::select(vec![by_owner(), by_stranger(), by_service(), by_ops(), by_engine()]);
    let by = prop_oneof![6 => Just(None), 1 => anybody.prop_map(Some)];
    let pause = prop_oneof![
        12 => (0..10 * MINUTE).prop_map(Duration::from_secs),
        2 => (0..4 * DAY).prop_map(Duration::from_secs),
        1 => (0..40 * DAY).prop_map(Duration::from_secs),
    ];
    (command, by, pause).prop_map(|(command, by, pause)| {
        let by = by.unwrap_or_else(|| usual_caller(&command));
        Step { command, by, pause }
    })
}

/// The usual caller of a command.
fn usual_caller(command: &Command) -> By {
    match command {
        Command::Place(place) if place.payment.is_some() => by_service(),
        Command::Place(_) | Command::RequestReturn(_) | Command::Correct(_) => by_owner(),
        Command::HoldOrder(_) | Command::ReleaseHold(_) | Command::EditOrder(_) => by_ops(),
        Command::AnswerEdit(_) | Command::LapseEdit => by_engine(),
        Command::SecurePayment(_)
        | Command::FailPayment(_)
        | Command::LosePayment(_)
        | Command::NoteCapture(_)
        | Command::SettleRefund(_)
        | Command::Compensated(_) => by_engine(),
        Command::UpdateShipment(_) | Command::RecordDelivery(_) | Command::UndoShipment(_) => {
            by_service()
        }
        Command::Confirm(_) | Command::Allocate(_) | Command::Lapse | Command::Escalate => {
            by_engine()
        }
        Command::Fulfill(_) => by_service(),
        Command::ReceiveReturn(_) => by_desk(),
        Command::ApproveReturn(_) | Command::RejectReturn(_) | Command::AddNote(_) => by_ops(),
        Command::Cancel(cancel) => match cancel.reason {
            CancelReason::CustomerRequest => by_owner(),
            CancelReason::Ops => by_ops(),
            _ => by_engine(),
        },
    }
}

/// Mostly an order that was placed and confirmed, then anything.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let begun = prop_oneof![
        1 => Just(Vec::new()),
        8 => a_placing().prop_map(|placing| vec![placing, confirm(1)]),
        1 => a_placing().prop_map(|placing| vec![placing, confirm_with(1, &[(1, 1)])]),
        1 => payments::a_paid_placing().prop_map(|placing| vec![placing, confirm(1)]),
        1 => Just(payments::a_refunded_life()),
        1 => payments::a_paid_placing()
            .prop_map(|placing| vec![placing, confirm_with(1, &[(1, 1)])]),
        1 => Just(vec![
            place(),
            confirm(1),
            fulfill(1, &[]),
            request_return(1, &[(1, 1)]),
            approve_later(1),
        ]),
        1 => Just(vec![
            place(),
            confirm(1),
            fulfill(1, &[(1, 1)]),
            undo(1, UndoCause::Lost),
            find(1),
        ]),
        3 => payments::a_paid_placing()
            .prop_map(|placing| vec![placing, confirm(1), payments::secure(3_500, DAY)]),
    ]
    .prop_map(|commands| {
        let step =
            |command: Command| Step { by: usual_caller(&command), command, pause: Duration::ZERO };
        commands.into_iter().map(step).collect::<Vec<_>>()
    });
    (begun, prop::collection::vec(a_step(), 0..40)).prop_map(|(mut begun, more)| {
        begun.extend(more);
        begun
    })
}

/// All decided events, and the order after them.
fn live(steps: &[Step]) -> (Vec<Event>, Order) {
    let (mut order, mut history, mut now) = (Order::Absent, Vec::new(), after(0));
    for step in steps {
        now = now.plus(step.pause);
        if let Ok(events) = decide(&order, &step.command, &step.by, now, &Policy::default()) {
            order = events.iter().try_fold(order, evolve).expect("a decided event is possible");
            history.extend(events);
        }
    }
    (history, order)
}

fn check_sums(details: &Details) -> Result<(), TestCaseError> {
    let totals = details.totals;
    let mut total = 0_i128;
    for line in &details.lines {
        let wide = |n: u32| u64::from(n);
        prop_assert!(wide(line.returned) + wide(line.in_return) <= wide(line.fulfilled));
        prop_assert!(wide(line.fulfilled) + wide(line.cancelled) <= wide(line.ordered));
        prop_assert!(line.backordered <= line.open());
        prop_assert_eq!(line.unit_price.currency, totals.total.currency);
        total += i128::from(line.amounts.ordered.total);
        check_amounts(line)?;
    }
    total += details.charges.iter().map(|one| i128::from(one.amount.total)).sum::<i128>();
    prop_assert_eq!(total, i128::from(totals.total.minor));
    let tax = |amount: Amount| i128::from(amount.tax);
    let taxes = details.lines.iter().map(|line| tax(line.amounts.ordered)).sum::<i128>()
        + details.charges.iter().map(|one| tax(one.amount)).sum::<i128>();
    prop_assert_eq!(taxes, i128::from(totals.tax.minor));
    prop_assert_eq!(details.refunded.currency, totals.total.currency);
    prop_assert!((0..=totals.total.minor).contains(&details.refunded.minor));
    payments::check(details)?;
    check_returns(details)
}

/// Units in return are those of the returns that wait, and what is promised back is there to be
/// paid.
fn check_returns(details: &Details) -> Result<(), TestCaseError> {
    prop_assert!(details.waiting.len() <= bounds::RETURNS_WAITING_MAX);
    for line in &details.lines {
        let of = |lines: &[LineQuantity]| {
            let units = lines.iter().filter(|units| units.line == line.number);
            units.map(|units| units.quantity.get()).sum::<u32>()
        };
        let waiting = details.waiting.iter();
        let in_return: u32 = waiting.clone().map(|one| of(&one.units())).sum();
        let approved = waiting.filter_map(|one| one.approval.as_ref());
        let approved_units: u32 = approved.clone().map(|one| of(&one.units())).sum();
        let held = approved.flat_map(|one| &one.lines).filter(|held| held.line == line.number);
        let amount = held.fold(Amount::default(), |sum, held| sum.plus(held.amount));
        prop_assert_eq!((line.in_return, line.approved), (in_return, approved_units));
        prop_assert_eq!(line.amounts.approved, amount);
        // Restocked, written off, and kept are all that was delivered.
        let back = details.judged.iter().filter_map(|judged| match &judged.judgement {
            Judgement::Approved { lines, .. } => Some(lines),
            Judgement::Rejected { .. } => None,
        });
        let undone = details.shipments.iter().filter_map(|parcel| parcel.undone.as_ref());
        let undone = undone.filter(|undone| !undone.event.open_again);
        // What a lost parcel's units are once it is found.
        let now = |undone: &Undone| {
            let found = undone.found.as_ref().map(|found| &found.lines);
            found.unwrap_or(&undone.event.lines).clone()
        };
        let undone: Vec<_> = undone.flat_map(now).collect();
        let back = back.flatten().chain(&undone).filter(|back| back.line == line.number);
        let of = |disposition: Disposition| {
            let of = back.clone().filter(|back| back.disposition == disposition);
            of.map(|back| back.quantity.get()).sum::<u32>()
        };
        let (restocked, written_off) = (of(Disposition::Restock), of(Disposition::WriteOff));
        prop_assert_eq!(restocked + written_off + line.kept() + line.in_return, line.fulfilled);
    }
    let paid: i64 = details.lines.iter().map(|line| line.amounts.fulfilled.total).sum::<i64>()
        + details.charges.iter().map(|charge| charge.amount.total).sum::<i64>();
    prop_assert!(details.refunded.minor + details.promised().minor <= paid);
    Ok(())
}

/// Parts of a line's price add up to it, however they were taken.
fn check_amounts(line: &Line) -> Result<(), TestCaseError> {
    let LineAmounts { ordered, cancelled, fulfilled, returned, .. } = line.amounts;
    for part in [|amount: Amount| amount.total, |amount: Amount| amount.tax] {
        let [ordered, cancelled, fulfilled, returned] =
            [ordered, cancelled, fulfilled, returned].map(part);
        prop_assert!(cancelled >= 0 && fulfilled >= 0 && returned >= 0);
        prop_assert!(cancelled + fulfilled <= ordered && returned <= fulfilled);
        if line.open() == 0 {
            prop_assert_eq!(cancelled + fulfilled, ordered);
        }
        if line.returned == line.fulfilled {
            prop_assert_eq!(returned, fulfilled);
        }
    }
    Ok(())
}

/// The status agrees with the counts.
fn check_status(order: &Order) -> Result<(), TestCaseError> {
    let Some(details) = order.details() else { return Ok(()) };
    let any = |count: fn(&order_actor::domain::Line) -> u32| {
        details.lines.iter().any(|line| count(line) > 0)
    };
    let open = any(order_actor::domain::Line::open);
    let (fulfilled, in_return) = (any(|line| line.fulfilled), any(|line| line.in_return));
    let kept = any(order_actor::domain::Line::kept);
    let agrees = match order {
        Order::Absent => true,
        Order::Pending(_) => open && !fulfilled,
        Order::Confirmed(confirmed) => open && fulfilled == confirmed.shipped_at.is_some(),
        Order::Fulfilled(_) => !open && kept && !in_return,
        Order::ReturnRequested(_) => !open && in_return && !details.waiting.is_empty(),
        Order::Returned(_) => !open && fulfilled && !kept && !in_return,
        Order::Cancelled(_) => !open && !fulfilled,
    };
    prop_assert!(agrees, "{:?}", order);
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn decided_events_conserve_units_and_money_and_ended_orders_stay_ended(steps in steps()) {
        let (mut order, mut now) = (Order::Absent, after(0));
        for step in steps {
            now = now.plus(step.pause);
            let decision = decide(&order, &step.command, &step.by, now, &Policy::default());
            let Ok(events) = decision else { continue };
            let noted = matches!(
                events[..],
                [Event::NoteAdded { .. }
                    | Event::RefundSettled(_)
                    | Event::RefundFailed(_)
                    | Event::PaymentCaptured(_)
                    | Event::CompensationCompleted(_)
                    | Event::ShipmentFound(_)]
            );
            prop_assert!(!order.is_ended() || events.is_empty() || noted);
            for event in &events {
                prop_assert_eq!(event.at(), now);
                order = match evolve(order, event) {
                    Ok(order) => order,
                    Err(impossible) => return Err(TestCaseError::fail(impossible.to_string())),
                };
                check_status(&order)?;
                if let Some(details) = order.details() {
                    check_sums(details)?;
                }
            }
        }
    }

    /// Cancelling and allocating units by number, writing a note, noting that money was taken and
    /// failing one of several payments are the only commands without an id of their own: their retries are recognised by the request id in the journal.
    #[test]
    fn a_repeated_command_appends_nothing(steps in steps()) {
        let (mut order, mut now) = (Order::Absent, after(0));
        for step in steps {
            now = now.plus(step.pause);
            let decided = |order: &Order| {
                decide(order, &step.command, &step.by, now, &Policy::default())
            };
            let first = decided(&order);
            prop_assert_eq!(&first, &decided(&order), "deciding is pure");
            let Ok(events) = first else { continue };
            order = events.iter().try_fold(order, evolve).unwrap();
            let has_no_id = match &step.command {
                Command::Cancel(it) => !it.lines.is_empty(),
                Command::Allocate(_) | Command::AddNote(_) | Command::NoteCapture(_) => true,
                Command::FailPayment(_) => true,
                _ => false,
            };
            if !has_no_id {
                prop_assert!(decided(&order).unwrap_or_default().is_empty(), "{:?}", step.command);
            }
        }
    }

    #[test]
    fn replaying_a_prefix_and_then_the_rest_equals_replaying_all(steps in steps(), at in any::<prop::sample::Index>()) {
        let (history, order) = live(&steps);
        let (prefix, rest) = history.split_at(at.index(history.len() + 1));
        let before = replay(prefix).unwrap();
        prop_assert_eq!(&rest.iter().try_fold(before, evolve).unwrap(), &order);
        prop_assert_eq!(&replay(&history).unwrap(), &order);
    }

    #[test]
    fn every_event_survives_json(steps in steps()) {
        let (history, _) = live(&steps);
        for event in history {
            let text = serde_json::to_string(&event).unwrap();
            let decoded: Event = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&decoded).unwrap(), text);
            prop_assert_eq!(decoded, event);
        }
    }

    /// A damaged history is refused or its sums still hold; it never panics.
    #[test]
    fn a_damaged_history_is_refused_or_still_adds_up(
        steps in steps(),
        damage in 0..3,
        one in any::<prop::sample::Index>(),
        two in any::<prop::sample::Index>(),
    ) {
        let (mut history, _) = live(&steps);
        if !history.is_empty() {
            let (one, two) = (one.index(history.len()), two.index(history.len()));
            match damage {
                0 => drop(history.remove(one)),
                1 => history.swap(one, two),
                _ => history.insert(two, history[one].clone()),
            }
        }
        if let Ok(order) = replay(&history) {
            check_status(&order)?;
            if let Some(details) = order.details() {
                check_sums(details)?;
            }
        }
    }

    #[test]
    fn deciding_never_panics_whatever_the_time_and_the_windows(
        steps in steps(),
        micros in prop::collection::vec(any::<i64>(), 42),
        window in prop_oneof![Just(Duration::ZERO), Just(Duration::MAX)],
    ) {
        let policy =
            Policy {
                confirm_within: window,
                return_within: window,
                judge_within: window,
                pay_within: window,
                receive_later: window.is_zero(),
                check_addresses: window.is_zero(),
            };
        let mut order = Order::Absent;
        for (step, micros) in steps.iter().zip(micros) {
            let now = Timestamp::from_micros(micros);
            if let Ok(events) = decide(&order, &step.command, &step.by, now, &policy) {
                order = events.iter().try_fold(order, evolve).unwrap();
            }
        }
    }
}

/// The laws above would prove little if the commands reached few states.
#[test]
fn generated_commands_reach_every_state_event_and_main_rejection() {
    let mut runner = TestRunner::deterministic();
    let (mut states, mut events, mut refusals) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..2_400 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let (mut order, mut now) = (Order::Absent, after(0));
        for step in steps {
            now = now.plus(step.pause);
            match decide(&order, &step.command, &step.by, now, &Policy::default()) {
                Ok(decided) => {
                    events.extend(decided.iter().map(Event::name));
                    order = decided.iter().try_fold(order, evolve).unwrap();
                    states.extend(order.status());
                }
                Err(rejection) => drop(refusals.insert(rejection.code())),
            }
        }
    }
    assert_eq!(states.len(), 6, "{states:?}");
    assert_eq!(events, Event::NAMES.iter().copied().collect::<BTreeSet<_>>());
    let expected = [
        "ALREADY_EXISTS",
        "AMOUNT_OVERFLOW",
        "BACKORDERED",
        "ALREADY_SHIPPED",
        "CURRENCY_MISMATCH",
        "EDIT_PENDING",
        "EMPTY_ORDER",
        "FORBIDDEN",
        "FORBIDDEN_REASON",
        "INVALID_LINE",
        "INVALID_LINES",
        "INVALID_REFUND",
        "INVALID_RETURN_LINES",
        "INVALID_PARCEL_STATE",
        "INVALID_TRANSITION",
        "NOT_FOUND",
        "NO_SUCH_HOLD",
        "NO_SUCH_PARCEL",
        "ORDER_HELD",
        "PAYMENT_MISMATCH",
        "PAYMENT_NOT_SECURED",
        "PAYMENT_PLAN_FIXED",
        "REASON_REQUIRED",
        "REFUND_TOO_LARGE",
        "RETURN_ID_REQUIRED",
        "RETURN_MISMATCH",
        "RETURN_NOT_APPROVED",
        "RETURN_WINDOW_EXPIRED",
        "TEXT_TOO_LONG",
    ];
    for code in expected {
        assert!(refusals.contains(code), "{code} never occurred: {refusals:?}");
    }
}
