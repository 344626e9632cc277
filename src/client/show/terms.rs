//! What an order has beside the units of its lines: who gets it, what it was placed with, and what
//! of its sums is for what.

use std::collections::BTreeMap;

use serde_json::Value;
use shared_events::contract::Money;

use super::{amount, code, items, text};
use crate::client::Output;

/// Who gets it, where the address says so, and who pays where that is somebody else.
pub(super) fn people(order: &Value) -> [(&'static str, String); 5] {
    let address = &order["address"];
    let recipient = joined(address, &["name", "company"]);
    // Where nobody is named the parts of the address are for programs.
    let address_of = if recipient.is_empty() { String::new() } else { place(address) };
    let billing = &order["billing_address"];
    let payer = [joined(billing, &["name", "company"]), place(billing)];
    [
        ("recipient", recipient),
        ("address", address_of),
        ("door phone", text(address, "phone")),
        ("instructions", text(address, "instructions")),
        (
            "billing address",
            payer.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        ),
    ]
}

fn place(address: &Value) -> String {
    joined(address, &["street", "street_line2", "city", "region", "postal_code", "country"])
}

fn joined(value: &Value, fields: &[&str]) -> String {
    let parts = fields.iter().map(|field| text(value, field)).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

/// Keys with their values, such as metadata of an order or attributes of a line.
pub(super) fn keys(value: &Value) -> String {
    let keys = value.as_object().into_iter().flatten();
    let shown = keys.map(|(key, held)| format!("{key}={}", super::plain(held)));
    shown.collect::<Vec<_>>().join(", ")
}

/// Discounts by what they are for, taxes by name and rate, and charges, in tables of their own.
pub(super) fn sums(out: &Output, order: &Value) {
    let of_lines =
        |field: &'static str| items(&order["lines"]).flat_map(move |line| items(&line[field]));
    let of_charges = items(&order["charges"]).flat_map(|charge| items(&charge["taxes"]));
    let discounts = of_lines("discounts").chain(items(&order["discounts"]));
    let discounts = summed(discounts.map(|one| ((text(one, "label"), String::new()), one)));
    table(out, &["discount", "", "amount"], discounts);
    let taxes = of_lines("taxes").chain(of_charges);
    let taxes = summed(taxes.map(|one| ((text(one, "name"), rate(one)), one)));
    table(out, &["tax", "rate", "amount"], taxes);
    if items(&order["charges"]).next().is_some() {
        out.table(
            &["charge", "kind", "label", "total", "refunded"],
            items(&order["charges"]).map(|charge| {
                vec![
                    text(charge, "charge"),
                    code(charge, "kind", "CHARGE_KIND_"),
                    text(charge, "label"),
                    text(charge, "total"),
                    text(charge, "refunded"),
                ]
            }),
        );
    }
}

fn rate(tax: &Value) -> String {
    let rate = text(tax, "rate_percent");
    if rate.is_empty() { rate } else { format!("{rate} %") }
}

/// Amounts of one name and rate, added up.
fn summed<'a>(
    parts: impl Iterator<Item = ((String, String), &'a Value)>,
) -> BTreeMap<(String, String), Money> {
    let mut sums = BTreeMap::new();
    for (name, part) in parts {
        let Some(part) = amount(&part["amount"]) else { continue };
        let sum = sums.entry(name).or_insert_with(|| Money::zero(part.currency));
        // Parts of the order's sums, which fit.
        *sum = sum.plus(part).unwrap_or(*sum);
    }
    sums
}

fn table(out: &Output, head: &[&str], sums: BTreeMap<(String, String), Money>) {
    if !sums.is_empty() {
        let row =
            |((name, rate), sum): ((String, String), Money)| vec![name, rate, sum.to_string()];
        out.list(head, sums.into_iter().map(row), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_address_is_shown_where_it_names_who_gets_it() {
        let mut order = json!({ "address": {
            "street": "1 High Street", "city": "London", "postal_code": "W1", "country": "GB",
        } });
        let shown = |order: &Value| people(order).map(|(_, text)| text);
        assert_eq!(shown(&order), [const { String::new() }; 5]);
        order["address"]["name"] = json!("Ada");
        order["address"]["street_line2"] = json!("Flat 2");
        order["billing_address"] = json!({ "company": "Engines", "city": "Leeds" });
        let [recipient, address, _, _, billing] = shown(&order);
        assert_eq!(recipient, "Ada");
        assert_eq!(address, "1 High Street, Flat 2, London, W1, GB");
        assert_eq!(billing, "Engines, Leeds");
    }

    #[test]
    fn amounts_of_one_name_and_rate_are_added_up() {
        let tax = |rate: &str, pence: i64| {
            let nanos = pence * 10_000_000;
            let amount = json!({ "currency_code": "GBP", "units": 0, "nanos": nanos });
            json!({ "name": "VAT", "rate_percent": rate, "amount": amount })
        };
        let taxes = [tax("20", 5), tax("5", 1), tax("20", 7)];
        let sums = summed(taxes.iter().map(|one| ((text(one, "name"), rate(one)), one)));
        let shown: Vec<_> = sums.iter().map(|((_, rate), sum)| format!("{rate}: {sum}")).collect();
        assert_eq!(shown, ["20 %: 0.12 GBP", "5 %: 0.01 GBP"]);
    }
}
