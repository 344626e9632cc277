use std::collections::{BTreeMap, BTreeSet};

use inventory_stream::domain::{Reservation, ReservationState};
use notification::ledger::CorrectedContact;
use notification::{Channel, Config, Kind, Route, planned_all};
use order_actor::domain::{Details, Line, Order, deadline};
use order_actor::projections::{DueDeadline, ReturnSummary, Summary};
use shared_events::contract::{
    CancelReason, Disposition, Fact, FactBody, OrderFact, ReservationId,
};

use super::history::ReadPart;
use super::report::{Law, Report};

/// Summaries equal the replayed orders.
pub fn summary(
    report: &mut Report,
    subject: &str,
    read_part: &ReadPart<'_>,
    found: Option<&Summary>,
) {
    report.check(Law::SummariesAsReplayed);
    let expected = read_part
        .last()
        .and_then(|last| Summary::of(read_part.order(), last.sequence, last.event.at()));
    if expected.as_ref() != found {
        let text = |summary: Option<&Summary>| {
            summary.map_or("none".to_owned(), |summary| {
                format!(
                    "{} at version {}, {} refunded of {}",
                    summary.status.code(),
                    summary.version,
                    summary.refunded,
                    summary.total
                )
            })
        };
        let detail =
            format!("the list has {}, the replay {}", text(found), text(expected.as_ref()));
        report.find(Law::SummariesAsReplayed, subject, detail);
    }
}

/// The list of returns has those of the replayed orders, as they are. Counted with the summaries.
pub fn returns(
    report: &mut Report,
    subject: &str,
    read_part: &ReadPart<'_>,
    found: &[ReturnSummary],
) {
    let mut expected = ReturnSummary::all_of(read_part.order());
    expected.sort_by_key(|known| known.return_id);
    if expected == found {
        return;
    }
    let text = |returns: &[ReturnSummary]| {
        let states: Vec<&str> = returns.iter().map(|known| known.state.code()).collect();
        if states.is_empty() { "none".to_owned() } else { states.join(", ") }
    };
    let (found, expected) = (text(found), text(&expected));
    let detail = if found == expected {
        format!("its returns ({found}) are listed with other content than the replay has")
    } else {
        format!("its listed returns are {found}, those of the replay {expected}")
    };
    report.find(Law::SummariesAsReplayed, subject, detail);
}

/// Exactly the open deadlines are armed.
pub fn deadlines(
    report: &mut Report,
    subject: &str,
    read_part: &ReadPart<'_>,
    found: Option<&DueDeadline>,
) {
    report.check(Law::DeadlinesAsReplayed);
    let expected = deadline(read_part.order()).map(|open| (open.kind, open.due));
    let found = found.map(|armed| (armed.kind, armed.due));
    if expected != found {
        let text = |deadline: Option<(order_actor::domain::DeadlineKind, _)>| {
            deadline.map_or("none".to_owned(), |(kind, due)| format!("{} by {due}", kind.code()))
        };
        let detail = format!("armed is {}, open is {}", text(found), text(expected));
        report.find(Law::DeadlinesAsReplayed, subject, detail);
    }
}

/// The reservation fits the order's state, and its units delivered and restocked equal the order's.
#[expect(clippy::too_many_lines, reason = "the clauses of one law, each presumes those before it")]
pub fn reservation(
    report: &mut Report,
    subject: &str,
    read_part: &ReadPart<'_>,
    confirmed_by: Option<ReservationId>,
    found: Option<&Reservation>,
) {
    let Some(details) = read_part.order().details() else {
        if found.is_some() {
            let detail = "there is a reservation, but stock has not read the order";
            report.find(Law::ReservationsAsOrders, subject, detail);
        }
        return;
    };
    report.check(Law::ReservationsAsOrders);
    let Some(found) = found else {
        report.find(Law::ReservationsAsOrders, subject, "its reservation is missing");
        return;
    };
    let allowed: &[ReservationState] = match (read_part.order(), confirmed_by) {
        (Order::Cancelled(cancelled), None)
            if cancelled.reason == CancelReason::InsufficientStock =>
        {
            &[ReservationState::Rejected]
        }
        (Order::Cancelled(_), Some(_)) => &[ReservationState::Released],
        // Cancelled before stock answered: either answer is possible.
        (Order::Cancelled(_), None) => &[ReservationState::Released, ReservationState::Rejected],
        (_, Some(_)) => &[ReservationState::Reserved],
        // Stock has answered; the answer has not reached the order yet.
        (_, None) => &[ReservationState::Reserved, ReservationState::Rejected],
    };
    if !allowed.contains(&found.state) {
        let status = read_part.order().status().map_or("absent", order_actor::domain::Status::code);
        let detail = format!("is {status}, its reservation {}", found.state.code());
        report.find(Law::ReservationsAsOrders, subject, detail);
        return;
    }
    if confirmed_by.is_some_and(|id| id != found.reservation_id) {
        let detail = "was confirmed by another reservation than the stored one";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
    if let Order::Cancelled(cancelled) = read_part.order()
        && found.state == ReservationState::Rejected
        && cancelled.reason == CancelReason::InsufficientStock
        && cancelled.skus.iter().collect::<BTreeSet<_>>() != found.missing.iter().collect()
    {
        let detail = "the missing skus differ from those that stock named";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
    if !found.waiting.is_empty() {
        let detail = "facts wait for others that were read already";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
    edit(report, subject, details, found);
    let lines: BTreeMap<u32, _> = found.lines.iter().map(|held| (held.line, held)).collect();
    let same_lines = lines.len() == details.lines.len()
        && details.lines.iter().all(|line| {
            lines
                .get(&line.number)
                .is_some_and(|held| held.sku == line.sku && held.quantity == line.ordered)
        });
    if !same_lines {
        let detail = "the reservation has other lines";
        report.find(Law::ReservationsAsOrders, subject, detail);
        return;
    }
    if found.state == ReservationState::Rejected {
        return;
    }
    for line in &details.lines {
        report.check(Law::GoodsOutAndBack);
        let Some(held) = lines.get(&line.number) else { continue };
        let [restocked, written_off] = [Disposition::Restock, Disposition::WriteOff]
            .map(|disposition| read_part.came_back(line.number, disposition));
        let kept = line.fulfilled.checked_sub(line.returned);
        if kept.is_none_or(|kept| restocked + written_off + kept != line.fulfilled) {
            let detail = format!(
                "line {}: {restocked} restocked, {written_off} written off, {} returned of {}",
                line.number, line.returned, line.fulfilled
            );
            report.find(Law::GoodsOutAndBack, subject, detail);
        }
        let expected = (line.cancelled, line.fulfilled, read_part.restocked(line.number));
        // Units withdrawn by a stock-take are released before the order cancels them.
        let is = (held.released - held.withdrawn, held.committed, held.restocked);
        if expected != is {
            let text = |(released, out, back): (u32, u32, u32)| {
                format!("{released} released, {out} delivered, {back} restocked")
            };
            let detail = format!(
                "line {}: stock counts {}, the order {}",
                line.number,
                text(is),
                text(expected)
            );
            report.find(Law::GoodsOutAndBack, subject, detail);
        }
    }
}

/// Units are held for an edit only while it waits.
fn edit(report: &mut Report, subject: &str, details: &Details, found: &Reservation) {
    let waits = details.waiting_edit();
    let Some(held) = &found.edit else { return };
    let fits = waits.is_some_and(|edit| {
        let wanted =
            edit.lines.wanted().into_iter().map(|units| (units.line, units.quantity.get()));
        edit.edit_id == held.edit_id
            && wanted.eq(held.lines.iter().map(|held| (held.line, held.quantity)))
    });
    if !fits {
        let detail = "stock holds units for an edit that does not wait";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
}

/// Stock's answer has reached the order, if all answers were read. `read` is the order as stock has
/// read it, `now` as it is.
pub fn answer(
    report: &mut Report,
    subject: &str,
    all_answers_read: bool,
    (read, now): (&Order, &Order),
    found: Option<&Reservation>,
) {
    let waits = |order: &Order| order.details()?.waiting_edit().map(|edit| edit.edit_id);
    if all_answers_read && waits(now).is_some() && waits(now) == waits(read) {
        let detail = "stock has answered an edit, and the answer has not reached the order";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
    let answered = found.is_some_and(|found| {
        matches!(found.state, ReservationState::Reserved | ReservationState::Rejected)
    });
    if all_answers_read && answered && waits_for_stock(now) {
        let detail = "stock has answered, and the answer has not reached the order";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
    let withdrawn = found.is_some_and(|found| found.lines.iter().any(|line| line.withdrawn > 0));
    if all_answers_read && withdrawn && matches!(now, Order::Confirmed(_)) {
        let detail = "stock has withdrawn its units, and that has not reached the order";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
}

/// The units that wait for stock are those that stock has not come for. `read` is the order as stock
/// has read it, `now` as it is.
pub fn backorders(
    report: &mut Report,
    subject: &str,
    all_answers_read: bool,
    (read, now): (&Order, &Order),
    found: Option<&Reservation>,
) {
    let waits = |order: &Order| -> BTreeMap<u32, u32> {
        let lines = order.details().map(|details| details.lines.as_slice()).unwrap_or_default();
        lines.iter().map(|line| (line.number, line.backordered)).collect()
    };
    let Some(found) = found.filter(|_| matches!(now, Order::Confirmed(_))) else { return };
    // What it cancelled and stock has not read would differ.
    let all_read = all_answers_read && read.details().map(open) == now.details().map(open);
    if !all_read {
        return;
    }
    let in_order = waits(now);
    for held in &found.lines {
        let waits = in_order.get(&held.line).copied().unwrap_or_default();
        if waits != held.backordered {
            let detail = format!(
                "line {}: {waits} units wait in the order, {} in stock",
                held.line, held.backordered
            );
            report.find(Law::ReservationsAsOrders, subject, detail);
        }
    }
}

fn open(details: &Details) -> Vec<u32> {
    details.lines.iter().map(Line::open).collect()
}

/// Each fact has exactly one message per channel, not counting messages resent on request. Messages
/// to webhooks, operators and phones depend on the engine's configuration: they may be absent, but
/// never double. So may messages of returned units, for which earlier engines sent the refund only,
/// and those of what was paid and paid back, of which they told nobody.
pub fn notifications(
    report: &mut Report,
    subject: &str,
    facts: &[Fact],
    found: impl IntoIterator<Item = (String, Route)>,
) {
    // Of webhooks, each endpoint for itself.
    let mut sent: BTreeMap<(String, Channel), BTreeMap<Route, u32>> = BTreeMap::new();
    for (fact_id, route) in found {
        let of_channel = sent.entry((fact_id, route.channel())).or_default();
        *of_channel.entry(route).or_default() += 1;
    }
    let customers_only = Config { ops: None, ..Config::to_directory(std::path::PathBuf::new()) };
    let due: BTreeSet<(String, Channel)> = planned_all(facts, &customers_only)
        .into_iter()
        .map(|(fact_id, route)| (fact_id.to_string(), route.channel()))
        .collect();
    for fact in facts {
        let kind = fact.body.kind();
        for channel in Channel::all() {
            let message = (fact.id.to_string(), channel);
            let times = sent.remove(&message).unwrap_or_default().into_values().max().unwrap_or(0);
            let optional = channel != Channel::Email || is_for_operators(fact) || is_later(fact);
            let is_due = due.contains(&message) && !optional;
            if is_due || times > 0 {
                report.check(Law::NotificationsOnce);
            }
            let right = if is_due { times == 1 } else { times == 0 || (optional && times == 1) };
            if !right {
                let detail = format!("{kind} was sent {times} times by {}", channel.code());
                report.find(Law::NotificationsOnce, subject, detail);
            }
        }
    }
    for ((fact_id, channel), routes) in sent {
        let times: u32 = routes.into_values().sum();
        let detail =
            format!("{times} by {} for the fact {fact_id}, which does not exist", channel.code());
        report.find(Law::NotificationsOnce, subject, detail);
    }
}

/// A corrected order's contact is known where its messages are sent; the law shows no value.
pub fn contact(
    report: &mut Report,
    subject: &str,
    read_part: &ReadPart<'_>,
    found: Option<&CorrectedContact>,
) {
    let expected = read_part.corrected_contact();
    if expected.is_some() || found.is_some() {
        report.check(Law::ContactsAsOrders);
    }
    let expected = expected.map(|contact| {
        let [email, phone] = [&contact.email, &contact.phone];
        CorrectedContact {
            email: email.clone().unwrap_or_default(),
            phone: phone.clone().unwrap_or_default(),
        }
    });
    if expected.as_ref() != found {
        let detail = "the contact that messages are resent to is not the order's";
        report.find(Law::ContactsAsOrders, subject, detail);
    }
}

/// Whether messages about it came later than what it tells of.
const fn is_later(fact: &Fact) -> bool {
    matches!(
        fact.body,
        FactBody::Order(
            OrderFact::Returned { .. }
                | OrderFact::PaymentSecured { .. }
                | OrderFact::RefundSettled { .. }
        )
    )
}

fn is_for_operators(fact: &Fact) -> bool {
    let FactBody::Order(order) = &fact.body else { return false };
    Kind::of(order).is_some_and(Kind::is_for_operators)
}

/// Whether an order waits for the answer of stock, as far as it knows.
fn waits_for_stock(order: &Order) -> bool {
    let Order::Pending(pending) = order else { return false };
    pending.details.payment.as_ref().is_none_or(|payment| payment.held.is_none())
}
