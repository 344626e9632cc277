//! What an order costs, and that its parts add up.

use order_actor::domain::{
    Amount, ApproveReturn, By, Charge, ChargeKind, ChargeRefund, Command, Details, Discount, Event,
    LinePrice, NewCharge, Order, OrderPrice, Place, Policy, PriceError, Priced, Rejection, Tax,
    TaxMode, TaxRate, decide, evolve, price,
};
use proptest::prelude::*;
use shared_events::contract::{CancelReason, Currency, Money, Quantity};

use super::support::*;

fn discount(amount: Money) -> Discount {
    Discount { label: "SPRING".to_owned(), amount }
}

fn vat(amount: Money) -> Tax {
    Tax { name: "VAT".to_owned(), rate: Some("20".parse().unwrap()), amount }
}

/// What an order may have beside its lines: charges, discounts, taxes.
pub fn extras() -> impl Strategy<Value = Place> {
    let amount = prop_oneof![3 => 0_i64..2_000, 1 => Just(-1), 1 => Just(i64::MAX)];
    let charge = (amount.clone(), 0_i64..300).prop_map(|(amount, tax)| NewCharge {
        kind: ChargeKind::Shipping,
        label: "Royal Mail".to_owned(),
        amount: gbp(amount),
        taxes: vec![vat(gbp(tax))],
    });
    let plain = Just(a_place());
    let with = (
        prop::collection::vec(charge, 0..3),
        prop::collection::vec(amount.prop_map(|amount| discount(gbp(amount))), 0..3),
        prop::sample::select(vec![TaxMode::OnTop, TaxMode::Included]),
    );
    let with = with.prop_map(|(charges, discounts, tax_mode)| Place {
        charges,
        discounts,
        tax_mode,
        ..a_place()
    });
    prop_oneof![2 => plain, 1 => with]
}

/// Discounts and taxes of a line; most of them fit it.
pub fn of_line() -> impl Strategy<Value = (Vec<Discount>, Vec<Tax>)> {
    let some = |max| prop::collection::vec(0..max, 0..3);
    (some(200_i64), some(100_i64)).prop_map(|(discounts, taxes)| {
        let discounts = discounts.into_iter().map(|amount| discount(gbp(amount))).collect();
        let taxes = taxes.into_iter().map(|amount| vat(gbp(amount))).collect();
        (discounts, taxes)
    })
}

struct Line {
    unit_price: Money,
    units: u32,
    discounts: Vec<Discount>,
    taxes: Vec<Tax>,
}

fn priced(
    lines: &[Line],
    charges: &[Charge],
    discounts: &[Discount],
    tax_mode: TaxMode,
) -> Result<Priced, PriceError> {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| LinePrice {
            unit_price: line.unit_price,
            quantity: Quantity::new(line.units).unwrap(),
            discounts: &line.discounts,
            taxes: &line.taxes,
        })
        .collect();
    price(&lines, OrderPrice { charges, discounts, tax_mode })
}

fn line(price: i64, units: u32, discounts: &[i64], taxes: &[i64]) -> Line {
    Line {
        unit_price: gbp(price),
        units,
        discounts: discounts.iter().map(|amount| discount(gbp(*amount))).collect(),
        taxes: taxes.iter().map(|amount| vat(gbp(*amount))).collect(),
    }
}

fn shipping(amount: i64, taxes: &[i64]) -> Charge {
    Charge {
        number: 1,
        kind: ChargeKind::Shipping,
        label: String::new(),
        amount: gbp(amount),
        taxes: taxes.iter().map(|amount| vat(gbp(*amount))).collect(),
    }
}

#[test]
fn a_total_is_goods_less_discounts_with_charges_and_tax_on_top() {
    let lines = [line(1_000, 2, &[100], &[361]), line(500, 1, &[], &[95])];
    let priced =
        priced(&lines, &[shipping(499, &[99])], &[discount(gbp(125))], TaxMode::OnTop).unwrap();
    let totals = priced.totals;
    let sums = [totals.goods, totals.discounts, totals.charges, totals.tax, totals.total];
    assert_eq!(sums, [2_500, 225, 499, 555, 3_329].map(gbp));
    // 125 off 19.00 and 5.00: 98 and 27.
    let all = [(1_900 - 98 + 361, 361), (500 - 27 + 95, 95)];
    assert_eq!(priced.lines, all.map(|(total, tax)| Amount { total, tax }));
    assert_eq!(priced.charges, [Amount { total: 598, tax: 99 }]);
}

#[test]
fn an_included_tax_is_in_the_price_already() {
    let lines = [line(1_190, 1, &[], &[190])];
    let priced = priced(&lines, &[shipping(119, &[19])], &[], TaxMode::Included).unwrap();
    assert_eq!((priced.totals.tax, priced.totals.total), (gbp(209), gbp(1_309)));
    assert_eq!(priced.lines, [Amount { total: 1_190, tax: 190 }]);
}

#[test]
fn an_amount_that_cannot_be_is_named() {
    let of = |lines: &[Line], charges: &[Charge], discounts: &[Discount], mode| match priced(
        lines, charges, discounts, mode,
    )
    .unwrap_err()
    {
        PriceError::Amount { at, .. } => at,
        error => error.to_string(),
    };
    let on_top = TaxMode::OnTop;
    assert_eq!(of(&[line(1, 1, &[2], &[])], &[], &[], on_top), "lines[0].discounts");
    assert_eq!(of(&[line(1, 1, &[-1], &[])], &[], &[], on_top), "lines[0].discounts[0].amount");
    assert_eq!(of(&[line(1, 1, &[], &[-1])], &[], &[], on_top), "lines[0].taxes[0].amount");
    assert_eq!(of(&[line(1, 1, &[], &[2])], &[], &[], TaxMode::Included), "lines[0].taxes");
    assert_eq!(of(&[line(1, 1, &[], &[])], &[], &[discount(gbp(2))], on_top), "discounts");
    assert_eq!(of(&[line(1, 1, &[], &[])], &[shipping(-1, &[])], &[], on_top), "charges[0].amount");
    let euro = discount(Money::new(0, "EUR".parse().unwrap()));
    let mixed = of(&[line(1, 1, &[], &[])], &[], &[euro], on_top);
    assert_eq!(mixed, "all amounts of an order have one currency");
    let large = of(&[line(i64::MAX, 2, &[], &[])], &[], &[], on_top);
    assert_eq!(large, "the total is too large");
}

#[test]
fn a_rate_is_read_and_shown_in_percent() {
    for (text, shown) in
        [("19", "19"), ("8.875", "8.875"), ("0", "0"), ("20.0", "20"), ("1000", "1000")]
    {
        assert_eq!(text.parse::<TaxRate>().unwrap().to_string(), shown);
    }
    assert_eq!("8.875".parse::<TaxRate>().unwrap().millionths(), 88_750);
    for text in ["", "-1", "1000.0001", "1,5", "0.00001", "19%", ".5", "5."] {
        assert!(text.parse::<TaxRate>().is_err(), "{text}");
    }
}

#[test]
fn what_is_expected_must_be_what_it_comes_to() {
    let mut place = a_place();
    place.expected.total = Some(gbp(3_500));
    given([]).when(&Command::from(place.clone()), &by_owner(), 0).then(placed());
    place.expected.goods = Some(gbp(3_499));
    let mismatch = Rejection::TotalsMismatch { field: "goods", is: gbp(3_500) };
    given([]).when(&Command::from(place), &by_owner(), 0).then_rejected(&mismatch);
}

/// A currency with 0, 2 and 3 decimals.
fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["JPY", "GBP", "KWD"]).prop_map(|code| code.parse().unwrap())
}

fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0_i64..10_000, 1 => 0_i64..1_000_000_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parts_add_up_however_a_line_is_taken_apart(
        total in amounts(),
        tax in amounts(),
        units in 1_u32..200,
        takes in prop::collection::vec(1_u32..20, 1..200),
    ) {
        let whole = Amount { total, tax: tax.min(total) };
        let (mut left, mut open, mut sum) = (whole, units, Amount::default());
        for take in takes.into_iter().chain([u32::MAX]) {
            let take = take.min(open);
            let part = left.part(take, open);
            prop_assert!(part.total >= 0 && part.tax >= 0 && part.tax <= part.total);
            sum = sum.plus(part);
            left = left.minus(part);
            open -= take;
            if open == 0 {
                break;
            }
        }
        prop_assert_eq!((sum, left, open), (whole, Amount::default(), 0));
    }

    #[test]
    fn lines_and_charges_add_up_to_the_total(
        currency in currency(),
        lines in prop::collection::vec((amounts(), 1_u32..50, 0_u32..=100, amounts()), 1..20),
        off in 0_u32..=100,
        shipping in amounts(),
        included in any::<bool>(),
    ) {
        let money = |minor| Money::new(minor, currency);
        let percent = |of: i64, percent: u32| of * i64::from(percent) / 100;
        let mut base = 0;
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|(price, units, off, tax)| {
                let own = percent(price * i64::from(units), off);
                base += price * i64::from(units) - own;
                Line {
                    unit_price: money(price),
                    units,
                    discounts: vec![discount(money(own))],
                    // Zero where it must fit into what a discount may have left.
                    taxes: vec![vat(money(if included { 0 } else { tax }))],
                }
            })
            .collect();
        let discounts = [discount(money(percent(base, off)))];
        let charge = Charge {
            number: 1,
            kind: ChargeKind::Other,
            label: String::new(),
            amount: money(shipping),
            taxes: Vec::new(),
        };
        let mode = if included { TaxMode::Included } else { TaxMode::OnTop };
        let priced = priced(&lines, &[charge], &discounts, mode).unwrap();
        let sum: i64 = priced.lines.iter().chain(&priced.charges).map(|one| one.total).sum();
        prop_assert_eq!(money(sum), priced.totals.total);
        prop_assert!(priced.lines.iter().all(|line| line.total >= 0));
        let tax: i64 = priced.lines.iter().chain(&priced.charges).map(|one| one.tax).sum();
        prop_assert_eq!(money(tax), priced.totals.tax);
    }
}

/// An order with every kind of amount: 3 at 3.33 with a discount of 0.50 and 1.90 of tax, one at 5.00,
/// 4.99 for shipping with 1.00 of tax, and 1.25 off the whole.
fn an_order() -> Place {
    let mut place = a_place();
    place.lines = vec![new_line("MUG", 3, gbp(333)), new_line("PLATE", 1, gbp(500))];
    place.lines[0].discounts = vec![discount(gbp(50))];
    place.lines[0].taxes = vec![vat(gbp(190))];
    place.charges = vec![NewCharge {
        kind: ChargeKind::Shipping,
        label: "Royal Mail".to_owned(),
        amount: gbp(499),
        taxes: vec![vat(gbp(100))],
    }];
    place.discounts = vec![discount(gbp(125))];
    place
}

struct Life {
    order: Order,
    seconds: u64,
}

impl Life {
    fn of(place: Place) -> Self {
        let mut life = Self { order: Order::Absent, seconds: 0 };
        life.says(&Command::from(place), &by_owner()).unwrap();
        life.says(&confirm(1), &by_engine()).unwrap();
        life
    }

    fn says(&mut self, command: &Command, by: &By) -> Result<Vec<Event>, Rejection> {
        self.seconds += 1;
        let now = after(self.seconds);
        let events = decide(&self.order, command, by, now, &Policy::default())?;
        for event in &events {
            self.order = evolve(std::mem::take(&mut self.order), event).unwrap();
        }
        Ok(events)
    }

    fn details(&self) -> &Details {
        self.order.details().unwrap()
    }
}

fn refund_of(events: &[Event]) -> Money {
    match events {
        [Event::ReturnApproved { refund, .. }] => *refund,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_return_is_refunded_what_its_units_cost_and_the_charges_that_are_named() {
    let mut life = Life::of(an_order());
    // Goods 14.99 less 0.50 and 1.25; the mugs' share of the 1.25 is 0.81.
    assert_eq!(life.details().totals.total, gbp(1_499 - 175 + 499 + 290));
    let mugs = 999 - 50 - 81 + 190;
    assert_eq!(life.details().lines[0].amounts.ordered, Amount { total: mugs, tax: 190 });
    life.says(&fulfill(1, &[]), &by_service()).unwrap();
    life.says(&request_return(1, &[(1, 1)]), &by_owner()).unwrap();
    assert_eq!(refund_of(&life.says(&approve(1), &by_ops()).unwrap()), gbp(mugs / 3));
    life.says(&request_return(2, &[(1, 2)]), &by_owner()).unwrap();
    let of_charge = |amount| {
        Command::ApproveReturn(ApproveReturn {
            charges: vec![ChargeRefund { charge: 1, amount: gbp(amount) }],
            ..an_approval()
        })
    };
    let too_much = life.says(&of_charge(600), &by_ops()).unwrap_err();
    assert_eq!(too_much.code(), "INVALID_AMOUNT");
    let with = |amount: Money, refund| {
        let charges = vec![ChargeRefund { charge: 1, amount }];
        Command::ApproveReturn(ApproveReturn { charges, refund, ..an_approval() })
    };
    let euros = Money::new(599, "EUR".parse().unwrap());
    let other = life.says(&with(euros, None), &by_ops()).unwrap_err();
    let at = "charges[0].amount.currency_code".to_owned();
    assert_eq!(other, Rejection::InvalidAmount { at, detail: "in the order's currency" });
    let below = life.says(&with(gbp(599), Some(gbp(598))), &by_ops()).unwrap_err();
    assert_eq!(below, Rejection::RefundBelowCharges { charges: gbp(599) });
    let rest = life.says(&of_charge(599), &by_ops()).unwrap();
    assert_eq!(refund_of(&rest), gbp(mugs - mugs / 3 + 599));
    assert_eq!(life.details().charges[0].refunded, 599);
    life.says(&request_return(3, &[(2, 1)]), &by_owner()).unwrap();
    assert_eq!(life.says(&of_charge(1), &by_ops()).unwrap_err().code(), "INVALID_AMOUNT");
    life.says(&approve(3), &by_ops()).unwrap();
    assert_eq!(life.details().refunded, life.details().totals.total);
}

#[test]
fn what_is_cancelled_is_not_refunded() {
    let mut life = Life::of(an_order());
    life.says(&cancel(CancelReason::CustomerRequest, &[(1, 2)]), &by_owner()).unwrap();
    let cancelled = life.details().lines[0].amounts.cancelled;
    assert_eq!(cancelled.total, (999 - 50 - 81 + 190) * 2 / 3);
    let total = life.details().totals.total;
    // What is open may still be cancelled.
    assert_eq!(life.details().refundable(), gbp(599));
    life.says(&fulfill(1, &[]), &by_service()).unwrap();
    assert_eq!(life.details().refundable(), gbp(total.minor - cancelled.total));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..Default::default() })]

    /// Cancelled, shipped and returned in any portions, refunded by default each time.
    #[test]
    fn an_order_that_all_comes_back_was_paid_back_to_the_last_cent(
        currency in currency(),
        lines in prop::collection::vec((1_i64..5_000, 1_u32..6, 0_i64..300, 0_i64..300), 1..4),
        spread in 0_i64..500,
        shipping in 0_i64..1_000,
        portions in prop::collection::vec((0_u8..3, 1_u32..4), 0..12),
        returns in prop::collection::vec(1_u32..4, 0..12),
    ) {
        let money = |minor| Money::new(minor, currency);
        let mut place = a_place();
        place.lines = lines
            .iter()
            .map(|(price, units, off, tax)| {
                let mut line = new_line("MUG", *units, money(*price));
                line.discounts = vec![discount(money((*off).min(price * i64::from(*units))))];
                line.taxes = vec![vat(money(*tax))];
                line
            })
            .collect();
        let base: i64 = place
            .lines
            .iter()
            .map(|line| {
                let goods = line.unit_price.minor * i64::from(line.quantity.get());
                goods - line.discounts[0].amount.minor
            })
            .sum();
        place.discounts = vec![discount(money(spread.min(base)))];
        place.charges = vec![NewCharge {
            kind: ChargeKind::Shipping,
            label: String::new(),
            amount: money(shipping),
            taxes: Vec::new(),
        }];
        let mut life = Life::of(place);
        let mut parcels = 0;
        // Something stays to be shipped at the end.
        for (what, units) in portions {
            let open: u32 = life.details().lines.iter().map(order_actor::domain::Line::open).sum();
            let line = life.details().lines.iter().find(|line| line.open() > 0).unwrap();
            let units = units.min(line.open());
            if open <= units {
                break;
            }
            let named = [(line.number, units)];
            if what == 0 {
                life.says(&cancel(CancelReason::Ops, &named), &by_ops()).unwrap();
            } else {
                parcels += 1;
                life.says(&fulfill(parcels, &named), &by_service()).unwrap();
            }
        }
        life.says(&fulfill(100, &[]), &by_service()).unwrap();
        let mut n = 0;
        for units in returns.into_iter().chain(std::iter::repeat(u32::MAX)) {
            let kept = life.details().lines.iter().find(|line| line.kept() > 0);
            let Some(line) = kept else { break };
            let named = [(line.number, units.min(line.kept()))];
            n += 1;
            life.says(&request_return(n, &named), &by_ops()).unwrap();
            let events = life.says(&approve(n), &by_ops()).unwrap();
            prop_assert!(refund_of(&events).minor >= 0);
        }
        let details = life.details();
        let sum = |of: fn(&order_actor::domain::Line) -> i64| details.lines.iter().map(of).sum::<i64>();
        let delivered = sum(|line| line.amounts.fulfilled.total);
        prop_assert_eq!(details.refunded, money(delivered));
        prop_assert_eq!(sum(|line| line.amounts.returned.total), delivered);
        let all = sum(|line| line.amounts.cancelled.total) + delivered + shipping;
        prop_assert_eq!(money(all), details.totals.total);
        // What is left is what was charged beside the goods.
        prop_assert_eq!(details.refundable(), money(shipping));
    }
}
