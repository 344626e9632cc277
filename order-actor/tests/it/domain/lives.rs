//! Ten thousand orders from placing to their end, with cancellations, parcels, returns and lost
//! parcels by chance: every sum is exact, no cap is passed, and what was delivered is restocked,
//! written off, or kept.

use std::collections::BTreeMap;

use order_actor::domain::{
    Amount, ApproveReturn, By, Command, Details, Discount, EditOrder, Event, Line, LineChange,
    LinePrice, LineQuantity, LineTerms, NewLine, Order, OrderPrice, OutcomeUnits, ParcelName,
    ParcelState, Place, Policy, ReceiveReturn, RejectReturn, RequestReturn, Restitution, Return,
    ReturnLineDisposition, Shipment, Status, Tax, TaxMode, UndoCause, UndoShipment, UnitOutcome,
    decide, evolve, price,
};
use proptest::prelude::*;
use shared_events::contract::{CancelReason, Currency, Disposition, Money, Quantity};

use super::amounts;
use super::edit::{an_edit, answer, answer_with, edit_id};
use super::parcels::{a_finding, an_undoing};
use super::support::*;

/// Numbers that decide what happens next; zero where there are no more.
struct Chance<'a>(std::slice::Iter<'a, u32>);

impl Chance<'_> {
    fn below(&mut self, limit: u32) -> u32 {
        let number = self.0.next().copied().unwrap_or_default();
        if limit == 0 { 0 } else { number % limit }
    }
}

struct Life {
    order: Order,
    seconds: u64,
    next: u128,
    /// Units by line that came back: restocked, written off.
    back: BTreeMap<u32, (u32, u32)>,
    refunded: i64,
    by_default: bool,
}

impl Life {
    fn details(&self) -> &Details {
        self.order.details().unwrap()
    }

    fn send(&mut self, command: &Command, by: &By) -> Result<(), TestCaseError> {
        self.seconds += 1;
        let policy = Policy::default();
        let events = decide(&self.order, command, by, after(self.seconds), &policy)
            .map_err(|refused| TestCaseError::fail(format!("{command:?}: {refused}")))?;
        for event in &events {
            self.note(event);
            self.order = evolve(std::mem::take(&mut self.order), event)
                .map_err(|impossible| TestCaseError::fail(impossible.to_string()))?;
            self.check()?;
        }
        Ok(())
    }

    /// Counted from the events, apart from the order.
    fn note(&mut self, event: &Event) {
        match event {
            Event::ReturnApproved { lines, refund, .. }
            | Event::ReturnReceived { lines, refund, .. } => self.came_back(lines, *refund),
            Event::ShipmentUndone(undone) => self.came_back(&undone.lines, undone.refund),
            Event::ShipmentFound(found) => {
                // Written off when the parcel was lost.
                for back in &found.lines {
                    self.back.get_mut(&back.line).unwrap().1 -= back.quantity.get();
                }
                self.came_back(&found.lines, Money::zero(self.details().totals.total.currency));
            }
            _ => {}
        }
    }

    fn came_back(&mut self, lines: &[Restitution], refund: Money) {
        self.refunded += refund.minor;
        for back in lines {
            let counts = self.back.entry(back.line).or_default();
            match back.disposition {
                Disposition::Restock => counts.0 += back.quantity.get(),
                Disposition::WriteOff => counts.1 += back.quantity.get(),
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let details = self.details();
        let mut paid = details.charges.iter().map(|one| one.amount.total).sum::<i64>();
        for line in &details.lines {
            let (restocked, written_off) = self.back.get(&line.number).copied().unwrap_or_default();
            prop_assert_eq!(line.returned, restocked + written_off);
            prop_assert_eq!(restocked + written_off + line.kept() + line.in_return, line.fulfilled);
            let amounts = line.amounts;
            paid += amounts.fulfilled.total;
            let open = amounts.ordered.minus(amounts.cancelled).minus(amounts.fulfilled);
            prop_assert!(open.total >= 0 && open.tax >= 0);
            prop_assert!(line.backordered <= line.open());
            if line.open() == 0 {
                prop_assert_eq!((open.total, open.tax), (0, 0));
            }
            let kept = amounts.fulfilled.minus(amounts.returned).minus(amounts.approved);
            prop_assert!(kept.total >= 0 && kept.tax >= 0);
            if line.returned + line.approved == line.fulfilled {
                prop_assert_eq!((kept.total, kept.tax), (0, 0));
            }
        }
        prop_assert_eq!(details.refunded.minor, self.refunded);
        prop_assert!(details.refunded.minor + details.promised().minor <= paid);
        prop_assert_eq!(
            details.refundable().minor,
            paid - details.refunded.minor - details.promised().minor
        );
        Ok(())
    }

    /// Some units of some lines of which there are so many.
    fn some(&self, chance: &mut Chance<'_>, of: fn(&Line) -> u32) -> Vec<LineQuantity> {
        let lines = self.details().lines.iter().filter(|line| of(line) > 0);
        let lines: Vec<(u32, u32)> = lines.map(|line| (line.number, of(line))).collect();
        let first = chance.below(u32::try_from(lines.len()).unwrap());
        let mut named = Vec::new();
        for (index, (line, most)) in (0..).zip(lines) {
            if index == first || chance.below(3) == 0 {
                named.push((line, 1 + chance.below(most)));
            }
        }
        units(&named)
    }

    /// The units that wait for stock, by line.
    fn waiting(&self) -> Vec<(u32, u32)> {
        let lines = self.details().lines.iter().filter(|line| line.backordered > 0);
        lines.map(|line| (line.number, line.backordered)).collect()
    }

    /// Units that wait and that the edit which waits takes off: they go first.
    fn cancels_waiting(&self, edit: u128) -> u32 {
        let details = self.details();
        let lines = &details.edit(edit_id(edit)).unwrap().lines;
        let of = |one: &LineQuantity| {
            details.line(one.line).unwrap().backordered.min(one.quantity.get())
        };
        lines.cancelled().iter().map(of).sum()
    }

    fn has(&self, of: fn(&Line) -> u32) -> bool {
        self.details().lines.iter().any(|line| of(line) > 0)
    }

    /// Some lines get other units, and some come in addition; stock holds what that needs, or not.
    fn edit(&mut self, chance: &mut Chance<'_>) -> Result<(), TestCaseError> {
        self.next += 1;
        let (details, mode) = (self.details().clone(), self.details().terms.tax_mode);
        let mut terms = |price: Money, units: u32| {
            let base = u32::try_from(price.minor * i64::from(units)).unwrap();
            let discount = chance.below(base + 1);
            let tax = chance.below(base - discount + 1);
            let money = |minor: u32| Money::new(i64::from(minor), price.currency);
            let discount = Discount { label: "SPRING".to_owned(), amount: money(discount) };
            let rate = Some("20".parse().unwrap());
            let tax = Tax { name: "VAT".to_owned(), rate, amount: money(tax) };
            (vec![discount], vec![tax], chance.below(4))
        };
        let (mut changes, mut added) = (Vec::new(), Vec::new());
        for line in &details.lines {
            let (.., to) = terms(line.unit_price, 0);
            let quantity = line.open() + 2 - to.min(line.open() + 2);
            let mut change =
                LineChange { line: line.number, quantity, discounts: vec![], taxes: vec![] };
            if quantity > line.open() {
                (change.discounts, change.taxes, _) =
                    terms(line.unit_price, quantity - line.open());
            }
            changes.push(change);
        }
        let price = Money::new(251, details.totals.total.currency);
        for units in 1..=terms(price, 0).2.min(2) {
            let (discounts, taxes, _) = terms(price, units);
            added.push(NewLine { discounts, taxes, ..new_line("PAN", units, price) });
        }
        let leaves = !added.is_empty() || changes.iter().any(|change| change.quantity > 0);
        if !leaves || details.lines.len() > 12 {
            return Ok(());
        }
        let command = EditOrder { changes, added, ..an_edit(self.next, &[], 0) };
        self.send(&Command::EditOrder(Box::new(command)), &by_ops())?;
        if let Some(waits) = self.details().waiting_edit() {
            let wanted = waits.lines.wanted();
            let missing: &[&str] = if chance.below(4) == 0 { &["MUG"] } else { &[] };
            if missing.is_empty() {
                let some =
                    wanted.iter().map(|one| (one.line, chance.below(one.quantity.get() + 1)));
                let waits: Vec<_> = some.filter(|(_, units)| *units > 0).collect();
                let before: u32 = self.waiting().iter().map(|(_, units)| units).sum();
                let more: u32 = waits.iter().map(|(_, units)| units).sum();
                let fewer: u32 = self.cancels_waiting(self.next);
                self.send(&answer_with(self.next, &waits), &by_engine())?;
                let after: u32 = self.waiting().iter().map(|(_, units)| units).sum();
                prop_assert_eq!(after, before - fewer + more);
            } else {
                self.send(&answer(self.next, missing), &by_engine())?;
                prop_assert_eq!(&details.lines, &self.details().lines);
                prop_assert_eq!(details.totals, self.details().totals);
            }
        }
        self.whole(mode)
    }

    /// The sums are those of all lines as if they had been placed so. Only the shares of lines in a
    /// discount of the order are others: they stay as they were placed.
    fn whole(&self, tax_mode: TaxMode) -> Result<(), TestCaseError> {
        let details = self.details();
        let none = LineTerms::default();
        let terms = |line: &Line| line.terms.as_deref().cloned().unwrap_or_else(|| none.clone());
        let terms: Vec<LineTerms> = details.lines.iter().map(terms).collect();
        let lines = details.lines.iter().zip(&terms).map(|(line, terms)| LinePrice {
            unit_price: line.unit_price,
            quantity: Quantity::new(line.ordered).unwrap(),
            discounts: &terms.discounts,
            taxes: &terms.taxes,
        });
        let charges: Vec<_> = details.charges.iter().map(|one| one.charge.clone()).collect();
        let discounts = &details.terms.discounts;
        let order = OrderPrice { charges: &charges, discounts, tax_mode };
        if let Ok(priced) = price(&lines.collect::<Vec<_>>(), order) {
            prop_assert_eq!(priced.totals, details.totals);
        }
        let of_lines = details.lines.iter().map(|line| line.amounts.ordered);
        let all = of_lines.chain(details.charges.iter().map(|one| one.amount));
        let sum = all.fold(Amount::default(), Amount::plus);
        prop_assert_eq!(
            (sum.total, sum.tax),
            (details.totals.total.minor, details.totals.tax.minor)
        );
        Ok(())
    }

    fn step(&mut self, chance: &mut Chance<'_>) -> Result<(), TestCaseError> {
        self.next += 1;
        let next = self.next;
        match chance.below(8) {
            0 if self.has(Line::open) => {
                let lines = self.some(chance, Line::open);
                let named: Vec<_> =
                    lines.iter().map(|one| (one.line, one.quantity.get())).collect();
                self.send(&cancel(CancelReason::Ops, &named), &by_ops())
            }
            5 if !self.waiting().is_empty() => {
                let lines = self.some(chance, |line| line.backordered);
                let named: Vec<_> =
                    lines.iter().map(|one| (one.line, one.quantity.get())).collect();
                self.send(&allocate(1, &named), &by_engine())
            }
            1 | 2 if self.has(Line::allocated) => {
                let lines = self.some(chance, Line::allocated);
                let named: Vec<_> =
                    lines.iter().map(|one| (one.line, one.quantity.get())).collect();
                self.send(&fulfill(next, &named), &by_service())
            }
            3 | 4 if self.has(Line::kept) => {
                let (return_id, lines) = (return_id(next), self.some(chance, Line::kept));
                let command = RequestReturn {
                    return_id,
                    lines,
                    reason: "chipped".to_owned(),
                    reference: format!("RMA {next}"),
                    exchange_order_id: None,
                };
                self.send(&Command::RequestReturn(command), &by_ops())
            }
            6 if self.has(Line::kept) => self.undo(chance),
            7 if self.lost().is_some() => self.find(chance),
            _ => self.judge(chance),
        }
    }

    /// A parcel comes to nothing: it is lost, or came back.
    fn undo(&mut self, chance: &mut Chance<'_>) -> Result<(), TestCaseError> {
        let details = self.details();
        let is_kept = |units: &LineQuantity| {
            details.line(units.line).is_some_and(|line| units.quantity.get() <= line.kept())
        };
        let parcels = details.shipments.iter().filter(|parcel| {
            parcel.state() == ParcelState::Shipped && parcel.lines.iter().all(is_kept)
        });
        let parcels: Vec<_> = parcels.map(|parcel| parcel.shipment_id).collect();
        let at = chance.below(u32::try_from(parcels.len()).unwrap());
        let shipment_id = parcels.get(usize::try_from(at).unwrap()).copied();
        if shipment_id.is_none() {
            return Ok(());
        }
        let cause =
            if chance.below(2) == 0 { UndoCause::Lost } else { UndoCause::ReturnedToSender };
        let parcel = ParcelName { shipment_id, reference: String::new() };
        let undoing = UndoShipment { parcel, ..an_undoing(0, cause) };
        self.send(&Command::UndoShipment(undoing), &by_service())
    }

    /// A parcel that is lost.
    fn lost(&self) -> Option<&Shipment> {
        let mut parcels = self.details().shipments.iter().map(|parcel| &**parcel);
        parcels.find(|parcel| parcel.state() == ParcelState::Lost)
    }

    /// A lost parcel came back after all, whole or with a line of it damaged. Nothing of the order
    /// changes by that.
    fn find(&mut self, chance: &mut Chance<'_>) -> Result<(), TestCaseError> {
        let Some(lost) = self.lost() else { return Ok(()) };
        let disposition = Disposition::WriteOff;
        let damaged = lost.lines.iter().filter(|_| chance.below(3) == 0);
        let dispositions =
            damaged.map(|units| ReturnLineDisposition { line: units.line, disposition }).collect();
        let shipment_id = Some(lost.shipment_id);
        let parcel = ParcelName { shipment_id, reference: String::new() };
        let finding = UndoShipment { parcel, dispositions, ..a_finding(0) };
        let (before, status) = (self.details().clone(), self.order.status());
        self.send(&Command::UndoShipment(finding), &by_ops())?;
        let details = self.details();
        prop_assert_eq!((&before.lines, before.refunded), (&details.lines, details.refunded));
        prop_assert_eq!(status, self.order.status());
        Ok(())
    }

    /// Does something with one of the waiting returns.
    fn judge(&mut self, chance: &mut Chance<'_>) -> Result<(), TestCaseError> {
        let waiting = &self.details().waiting;
        let at = chance.below(u32::try_from(waiting.len()).unwrap());
        let Some(known) = waiting.get(usize::try_from(at).unwrap()) else { return Ok(()) };
        let known = Return::clone(known);
        let return_id = Some(known.return_id);
        if chance.below(6) == 0 {
            let command = RejectReturn { return_id, ..a_rejection() };
            return self.send(&Command::RejectReturn(command), &by_ops());
        }
        let outcomes = split(&known.units(), chance);
        let rejected = outcomes.iter().any(|one| one.outcome == UnitOutcome::Rejected);
        let mut rejected_reason = if rejected { "worn".to_owned() } else { String::new() };
        if known.approval.is_some() {
            let reference = known.reference;
            let command = ReceiveReturn {
                return_id: None,
                reference,
                outcomes,
                rejected_reason,
                location: None,
            };
            return self.send(&Command::ReceiveReturn(command), &by_desk());
        }
        let receive_later = chance.below(2) == 0;
        let mut outcomes = outcomes;
        if receive_later {
            outcomes.retain(|one| one.outcome == UnitOutcome::Rejected);
            if outcomes.is_empty() {
                rejected_reason.clear();
            }
        }
        let goodwill = chance.below(8) == 0;
        self.by_default &= !goodwill;
        let refund = goodwill.then(|| self.details().refundable());
        let refund_reason = "sorry".to_owned();
        self.send(
            &Command::ApproveReturn(ApproveReturn {
                return_id,
                outcomes,
                rejected_reason,
                receive_later,
                refund,
                refund_reason,
                ..an_approval()
            }),
            &by_ops(),
        )
    }

    /// Ships what is open, judges what waits, and sends back all that is kept.
    fn end(&mut self) -> Result<(), TestCaseError> {
        let waiting = self.waiting();
        if !waiting.is_empty() {
            self.send(&allocate(1, &waiting), &by_engine())?;
        }
        if self.has(Line::open) {
            self.send(&fulfill(1_000_000, &[]), &by_service())?;
        }
        while let Some(known) = self.details().waiting.first() {
            let (return_id, approved) = (Some(known.return_id), known.approval.is_some());
            let command = if approved {
                Command::ReceiveReturn(ReceiveReturn { return_id, ..a_receipt() })
            } else {
                Command::ApproveReturn(ApproveReturn { return_id, ..an_approval() })
            };
            self.send(&command, &by_ops())?;
        }
        let kept = self.details().lines.iter().filter(|line| line.kept() > 0);
        let kept: Vec<_> = kept.map(|line| (line.number, line.kept())).collect();
        if !kept.is_empty() {
            self.send(&request_return(2_000_000, &kept), &by_owner())?;
            self.send(&approve(2_000_000), &by_ops())?;
        }
        Ok(())
    }
}

/// Each line's units over outcomes; at least one unit is taken back.
fn split(lines: &[LineQuantity], chance: &mut Chance<'_>) -> Vec<OutcomeUnits> {
    use UnitOutcome::{NotArrived, Rejected, Restock, WriteOff};
    let mut named = Vec::new();
    for (index, LineQuantity { line, quantity }) in lines.iter().enumerate() {
        let mut left = quantity.get();
        if index == 0 {
            left -= 1;
        }
        let mut restocked = quantity.get() - left;
        for outcome in [WriteOff, NotArrived, Rejected] {
            let units = if chance.below(3) == 0 { chance.below(left + 1) } else { 0 };
            left -= units;
            if units > 0 {
                named.push((*line, units, outcome));
            }
        }
        restocked += left;
        if restocked > 0 {
            named.push((*line, restocked, Restock));
        }
    }
    outcomes(&named)
}

fn an_order(currency: Currency) -> impl Strategy<Value = Place> {
    let line = (1_u32..=7, 0_i64..1_000, amounts::of_line());
    (prop::collection::vec(line, 1..4), amounts::extras()).prop_filter_map(
        "amounts that fit",
        move |(lines, extras)| {
            let money = |minor| Money::new(minor, currency);
            let mut place = Place { lines: Vec::new(), ..extras };
            for (units, price, (discounts, taxes)) in lines {
                let line = new_line("MUG", units, money(price));
                place.lines.push(NewLine { discounts, taxes, ..line });
            }
            let amounts = place
                .lines
                .iter_mut()
                .flat_map(|line| {
                    let discounts = line.discounts.iter_mut().map(|one| &mut one.amount);
                    discounts.chain(line.taxes.iter_mut().map(|one| &mut one.amount))
                })
                .chain(place.charges.iter_mut().flat_map(|charge| {
                    let taxes = charge.taxes.iter_mut().map(|one| &mut one.amount);
                    [&mut charge.amount].into_iter().chain(taxes)
                }))
                .chain(place.discounts.iter_mut().map(|one| &mut one.amount));
            amounts.for_each(|amount| *amount = money(amount.minor));
            let command = Command::from(place.clone());
            let (now, policy) = (after(0), Policy::default());
            decide(&Order::Absent, &command, &by_owner(), now, &policy).ok().map(|_| place)
        },
    )
}

fn any_order() -> impl Strategy<Value = Place> {
    prop::sample::select(vec!["GBP", "JPY", "KWD"])
        .prop_flat_map(|code| an_order(code.parse().unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        max_local_rejects: 1_000_000,
        max_global_rejects: 1_000_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_becomes_of_an_order_its_units_and_money_add_up(
        place in any_order(),
        numbers in prop::collection::vec(any::<u32>(), 0..120),
    ) {
        let mut life = Life {
            order: Order::Absent,
            seconds: 0,
            next: 0,
            back: BTreeMap::new(),
            refunded: 0,
            by_default: true,
        };
        life.send(&Command::from(place), &by_owner())?;
        life.send(&confirm(1), &by_engine())?;
        let mut chance = Chance(numbers.iter());
        for _ in 0..chance.below(4) {
            life.edit(&mut chance)?;
        }
        while chance.0.len() > 0 && !life.order.is_ended() {
            life.step(&mut chance)?;
        }
        if !life.order.is_ended() {
            life.end()?;
        }
        // Also of an order that is over.
        while life.lost().is_some() {
            life.find(&mut chance)?;
        }
        if life.order.status() == Some(Status::Returned) {
            let lines = &life.details().lines;
            let paid: i64 = lines.iter().map(|line| line.amounts.fulfilled.total).sum();
            let returned: i64 = lines.iter().map(|line| line.amounts.returned.total).sum();
            prop_assert_eq!(returned, paid);
            if life.by_default {
                prop_assert_eq!(life.details().refunded.minor, paid, "to the last unit of money");
            }
        } else {
            prop_assert_eq!(life.order.status(), Some(Status::Cancelled));
        }
    }
}
