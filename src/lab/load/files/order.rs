//! An order of a file: the request that places it, and what happens to it then.

use std::collections::HashMap;

use order_actor::grpc::{proto, render};
use shared_events::contract::{Currency, Money, Reason, Sku, Timestamp};
use uuid::Uuid;

use super::fields::Field;
use super::prices::{Charge, For, Line, Prices, Tax, prices};
use super::rows::{Raw, Row};
use super::states::{Course, Facts, course};
use super::{NotKept, Reading, names, people, said};
use crate::lab::load::plan::{Problem, derived};

/// Of the engine.
const TITLE_MAX: usize = 200;
const VALUE_MAX: usize = 500;
const LABEL_MAX: usize = 100;

/// An order of a file.
#[derive(Clone, Debug)]
pub struct FileOrder {
    /// Its number in the file.
    pub number: String,
    /// Number of its rows.
    pub lines: u64,
    /// The line of the file that it begins on.
    pub first: u64,
    /// Lines of the file that its lines were made from, in their order.
    pub rows: Vec<u64>,
    /// Its customer.
    pub customer: Uuid,
    /// The request that places it, or what is wrong.
    pub request: Result<Box<proto::PlaceOrderRequest>, Vec<Problem>>,
    /// What happens to it then.
    pub course: Course,
    /// What of it cannot be kept.
    pub not_kept: Vec<NotKept>,
    /// Its time, where it has one.
    pub at: Option<Timestamp>,
    /// What it costs by the file, and its currency.
    pub total: Option<Money>,
}

impl FileOrder {
    /// Products with their units.
    pub fn products(&self) -> impl Iterator<Item = (&str, i64)> {
        let lines = self.request.iter().flat_map(|request| &request.lines);
        lines.map(|line| (line.sku.as_str(), i64::from(line.quantity)))
    }
}

/// The order that these rows are.
pub fn order(raw: &Raw, reading: &Reading) -> FileOrder {
    let customer = [raw.get(Field::Customer), raw.get(Field::Email)];
    // 0 is how WooCommerce writes a guest.
    let customer = customer.into_iter().find(|text| !matches!(*text, "" | "0"));
    let customer = match customer {
        Some(text) => derived(&format!("customer/{}", text.to_lowercase())),
        None => derived(&format!("guest/{}/{}", reading.name, raw.number)),
    };
    let mut order = FileOrder {
        number: raw.number.clone(),
        lines: u64::try_from(raw.rows.len()).unwrap_or(u64::MAX).saturating_add(raw.more),
        first: raw.first(),
        rows: Vec::new(),
        customer,
        request: Err(Vec::new()),
        course: Course::default(),
        not_kept: raw.not_kept.clone(),
        at: reading.times.instant(raw.get(Field::OrderedAt)),
        total: None,
    };
    if let Err(problems) = fill(&mut order, raw, reading) {
        order.request = Err(problems);
    }
    order
}

fn fill(order: &mut FileOrder, raw: &Raw, reading: &Reading) -> Result<(), Vec<Problem>> {
    let one = |code: &str, detail: String| vec![Problem::at(raw.first(), code, detail)];
    let faults: Vec<Problem> = raw.rows.iter().filter_map(fault).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    if raw.number.is_empty() {
        return Err(one("NUMBER_MISSING", "the row names no order".to_owned()));
    }
    if raw.is_repeated {
        let detail = "an order of this number came before, with other rows between".to_owned();
        return Err(one("ORDER_REPEATED", detail));
    }
    if let Some(field) = raw.mixed() {
        let field = super::mapping::name(field);
        return Err(one("ORDER_MIXED", format!("its rows say different things of {field}")));
    }
    if raw.more > 0 {
        return Err(one(Reason::TooManyLines.code(), format!("it has {} rows more", raw.more)));
    }
    let time = raw.get(Field::OrderedAt);
    if order.at.is_none() && !time.is_empty() {
        let detail = format!(
            "{time:?} is not a time such as 2010-12-01 08:26:00; another way of writing it is said \
             with --date-pattern"
        );
        return Err(one("TIME_UNREADABLE", detail));
    }
    let currency = raw.get(Field::Currency);
    let currency = if currency.is_empty() { reading.currency.code() } else { currency };
    let currency: Currency = currency.to_uppercase().parse().map_err(|_| {
        one("CURRENCY_UNREADABLE", format!("{currency:?} is no currency code such as GBP"))
    })?;
    let rows = lines(raw, &mut order.not_kept);
    if rows.is_empty() {
        return Err(one("LINES_MISSING", "it has no line with units".to_owned()));
    }
    let prices = prices(raw, &rows, currency)?;
    let total = prices.total.unwrap_or_else(|| prices.sum());
    let refunded = amount(raw, Field::Refunded, currency);
    let units: Vec<u32> = prices.lines.iter().map(|line| line.units).collect();
    let facts = Facts { rows: &rows, units: &units, total, refunded };
    let (course, not_kept) = course(raw, facts);
    order.course = course;
    order.not_kept.extend(not_kept);
    order.rows = rows.iter().map(|row| row.line).collect();
    order.total = Some(Money::new(total, currency));
    order.request = Ok(Box::new(request(order, raw, reading, (&rows, &prices), currency)));
    Ok(())
}

fn fault(row: &Row) -> Option<Problem> {
    let fault = row.fault.as_ref()?;
    Some(Problem { line: row.line, code: fault.code.to_owned(), detail: fault.detail.clone() })
}

/// The rows that are lines. Where others have units, those without are none.
fn lines<'a>(raw: &'a Raw, not_kept: &mut Vec<NotKept>) -> Vec<&'a Row> {
    let mark = raw.mapping.decimal_mark;
    let is_empty = |row: &Row| {
        let units = super::cells::Decimal::parse(raw.of_row(row, Field::Quantity), mark);
        units.and_then(super::cells::Decimal::whole) == Some(0)
    };
    let (empty, rows): (Vec<_>, Vec<_>) =
        raw.rows.iter().filter(|row| row.is_line()).partition(|row| is_empty(row));
    for row in &empty {
        not_kept.push(said(&format!("line {}", row.line), "it has 0 units"));
    }
    rows
}

fn amount(raw: &Raw, field: Field, currency: Currency) -> Option<i64> {
    let amount = super::cells::Decimal::parse(raw.get(field), raw.mapping.decimal_mark)?;
    amount.minor(currency).map(|(minor, _)| minor)
}

fn request(
    order: &mut FileOrder,
    raw: &Raw,
    reading: &Reading,
    (rows, prices): (&[&Row], &Prices),
    currency: Currency,
) -> proto::PlaceOrderRequest {
    let money = |minor: i64| Some(render::money(Money::new(minor, currency)));
    let (address, billing_address) = people::addresses(raw, &mut order.not_kept);
    let contact = people::contact(raw, &address.country, &mut order.not_kept);
    let discounts = prices.discounts.iter().map(|(label, amount)| proto::Discount {
        label: label.chars().take(LABEL_MAX).collect(),
        amount: money(*amount),
    });
    let lines = rows.iter().zip(&prices.lines);
    let lines = lines.map(|(row, line)| new_line(raw, row, line, currency, &mut order.not_kept));
    let mut request = proto::PlaceOrderRequest {
        order_id: derived(&format!("order/{}/{}", reading.name, raw.number)).to_string(),
        customer_id: order.customer.to_string(),
        lines: lines.collect(),
        address: Some(Box::new(address)),
        billing_address: billing_address.map(Box::new),
        contact: Some(contact),
        ordered_at: order.at.map(render::time),
        charges: prices.charges.iter().map(|charge| new_charge(raw, charge, currency)).collect(),
        discounts: discounts.collect(),
        tax_mode: if prices.included { proto::TaxMode::Included } else { proto::TaxMode::OnTop }
            .into(),
        expected: Some(Box::new(proto::Totals {
            tax: prices.tax.and_then(money),
            total: prices.total.and_then(money),
            ..proto::Totals::default()
        })),
        ..proto::PlaceOrderRequest::default()
    };
    names::name(&mut request, raw, reading.own_numbers, &mut order.not_kept);
    request
}

fn new_line(
    raw: &Raw,
    row: &Row,
    line: &Line,
    currency: Currency,
    not_kept: &mut Vec<NotKept>,
) -> proto::NewLine {
    let money = |minor: i64| Some(render::money(Money::new(minor, currency)));
    let title = raw.of_row(row, Field::Title);
    let mut attributes = HashMap::new();
    for (key, text) in &row.attributes {
        if text.chars().count() > VALUE_MAX {
            let why = format!("it is longer than {VALUE_MAX} characters");
            not_kept.push(said(&format!("{key} of line {}", row.line), &why));
        } else {
            attributes.insert(key.clone(), text.clone());
        }
    }
    if title.chars().count() > TITLE_MAX {
        let why = format!("it is longer than {TITLE_MAX} characters; they are kept");
        not_kept.push(said(&format!("title of line {}", row.line), &why));
    }
    proto::NewLine {
        sku: sku(raw.of_row(row, Field::Sku), title),
        quantity: line.units,
        unit_price: money(line.unit),
        seller_id: raw.of_row(row, Field::Seller).to_owned(),
        title: title.chars().take(TITLE_MAX).collect(),
        attributes: attributes.into_iter().collect(),
        discounts: line
            .discounts
            .iter()
            .map(|(label, amount)| proto::Discount {
                label: (*label).to_owned(),
                amount: money(*amount),
            })
            .collect(),
        taxes: line.taxes.iter().map(|tax| new_tax(tax, currency)).collect(),
        image_url: String::new(),
    }
}

fn new_charge(raw: &Raw, charge: &Charge, currency: Currency) -> proto::NewCharge {
    let kind = match charge.kind {
        For::Shipping => proto::ChargeKind::Shipping,
        For::GiftWrap => proto::ChargeKind::GiftWrap,
        For::Other => proto::ChargeKind::Other,
    };
    let tax = Tax { name: raw.mapping.tax_label.clone(), amount: charge.tax };
    let taxes = if charge.tax == 0 { Vec::new() } else { vec![new_tax(&tax, currency)] };
    proto::NewCharge {
        kind: kind.into(),
        label: charge.label.chars().take(LABEL_MAX).collect(),
        amount: Some(render::money(Money::new(charge.amount, currency))),
        taxes,
    }
}

/// A tax; a name such as `VAT 20%` or `GST (10%)` has its rate in it.
fn new_tax(tax: &Tax, currency: Currency) -> proto::Tax {
    let rate = tax.name.rsplit_once('%').and_then(|(before, _)| {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let rate = before.trim_end();
        let rate = &rate[rate.trim_end_matches(digits).len()..];
        let decimals = rate.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let is_rate = rate.starts_with(|c: char| c.is_ascii_digit()) && rate.len() <= 8;
        (is_rate && decimals <= 4 && !rate.ends_with('.')).then(|| rate.to_owned())
    });
    proto::Tax {
        name: tax.name.chars().take(LABEL_MAX).collect(),
        rate_percent: rate.unwrap_or_default(),
        amount: Some(render::money(Money::new(tax.amount, currency))),
    }
}

/// The product; where the file has none it is made of its name, the same for the same name.
fn sku(text: &str, title: &str) -> String {
    if !text.is_empty() {
        return text.to_owned();
    }
    let slug: Vec<&str> =
        title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let slug = slug.join("-").to_uppercase();
    if title.is_ascii() && slug.parse::<Sku>().is_ok() {
        return slug;
    }
    // Letters are missing: what tells names apart is added.
    let id = derived(&format!("product/{title}")).simple().to_string();
    let [slug, id] = [(slug.as_str(), 50), (id.as_str(), 12)]
        .map(|(text, length)| text.chars().take(length).collect::<String>());
    if slug.is_empty() { id } else { format!("{slug}-{id}") }
}
