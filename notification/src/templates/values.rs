use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use shared_events::contract::{Contact, Locale, Money, OrderFact, Quantity, Sku};

use super::kind::Kind;

/// Lines of an order that a message can list; an order may have 2,000.
const LINES_MAX: usize = 100;

/// What messages show of the shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shop {
    /// Its name, if it is set.
    pub name: Option<String>,
    /// Addresses at which parcels are tracked.
    pub tracking: Vec<TrackingUrl>,
}

/// The address at which a carrier's parcels are tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingUrl {
    /// The carrier's name, as shipments have it; upper or lower case.
    pub carrier: String,
    /// The address, with `{tracking}` in the place of the tracking number.
    pub url: String,
}

impl Shop {
    /// The address of a parcel; empty where the carrier has none.
    fn tracking_link(&self, carrier: &str, tracking: &str) -> String {
        let known = self.tracking.iter().find(|one| one.carrier.eq_ignore_ascii_case(carrier));
        match known {
            Some(known) if !tracking.is_empty() => {
                known.url.replace(TrackingUrl::PLACE, &percent_encoded(tracking))
            }
            _ => String::new(),
        }
    }
}

impl TrackingUrl {
    /// Stands for the tracking number.
    pub const PLACE: &str = "{tracking}";
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// How numbers are written in a locale, by the data of the CLDR.
pub(super) struct Numbers(Option<DecimalFormatter>);

impl Numbers {
    pub(super) fn of(locale: &str) -> Self {
        let locale = locale.parse::<icu_locale_core::Locale>().ok();
        let formatter =
            locale.and_then(|locale| DecimalFormatter::try_new(locale.into(), <_>::default()).ok());
        Self(formatter)
    }

    fn amount(&self, money: Money) -> String {
        let exponent = i16::try_from(money.currency.exponent()).unwrap_or_default();
        let mut decimal = Decimal::from(money.minor);
        decimal.multiply_pow10(-exponent);
        match &self.0 {
            Some(formatter) => formatter.format(&decimal).to_string(),
            None => decimal.to_string(),
        }
    }

    fn money(&self, money: Money) -> Value {
        Value::from_object(MoneyValue { amount: self.amount(money), money })
    }
}

/// An amount as templates see it: text, with attributes.
#[derive(Debug)]
struct MoneyValue {
    amount: String,
    money: Money,
}

impl Object for MoneyValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "amount" => Some(Value::from(self.amount.as_str())),
            "currency" => Some(Value::from(self.money.currency.code())),
            "minor" => Some(Value::from(self.money.minor)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["amount", "currency", "minor"])
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.money.currency.code())
    }
}

/// The variables of a message, by name.
pub(super) type Values = BTreeMap<String, Value>;

/// The variables of the message about a fact. Which there are depends on the kind alone.
pub(super) fn values(
    fact: &OrderFact,
    shop: &Shop,
    language: &str,
    locale: &Locale,
    numbers: &Numbers,
) -> Values {
    let order = fact.order();
    let Contact { email, phone, .. } = &order.contact;
    let mut values = Values::new();
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    set("kind", Kind::of(fact).code().into());
    set("language", language.into());
    set("shop", object([("name", shop.name.clone().unwrap_or_default().into())]));
    set(
        "order",
        object([("id", order.order_id.to_string().into()), ("total", numbers.money(order.total))]),
    );
    set(
        "customer",
        object([
            ("email", email.as_deref().unwrap_or_default().into()),
            ("phone", phone.as_deref().unwrap_or_default().into()),
            ("locale", locale.as_str().into()),
        ]),
    );
    let mut set_lines = |lines: Vec<Value>, count: usize| {
        set("lines", lines.into());
        set("more_lines", count.saturating_sub(LINES_MAX).into());
    };
    match fact {
        OrderFact::Created { lines, .. } => {
            let priced = lines.iter().take(LINES_MAX).map(|line| {
                // What the customer pays for it, where that is not units times the price.
                let total = line.total.or_else(|| line.unit_price.times(line.quantity).ok());
                let prices = Some((line.unit_price, total, numbers));
                line_of(line.line, &line.sku, line.quantity, prices)
            });
            set_lines(priced.collect(), lines.len());
        }
        OrderFact::LinesCancelled { lines, .. }
        | OrderFact::LinesFulfilled { lines, .. }
        | OrderFact::Fulfilled { lines, .. }
        | OrderFact::ReturnRequested { lines, .. } => {
            let units = lines.iter().take(LINES_MAX);
            let units = units.map(|units| line_of(units.line, &units.sku, units.quantity, None));
            set_lines(units.collect(), lines.len());
        }
        OrderFact::Returned { lines, .. } => {
            let units = lines.iter().take(LINES_MAX);
            let units = units.map(|units| line_of(units.line, &units.sku, units.quantity, None));
            set_lines(units.collect(), lines.len());
        }
        OrderFact::RefundRequested { refund, .. } if refund.minor <= 0 => set_lines(Vec::new(), 0),
        _ => {}
    }
    values.extend(further(fact, shop, numbers));
    values
}

/// The variables that only some kinds have.
fn further(fact: &OrderFact, shop: &Shop, numbers: &Numbers) -> Values {
    let mut values = Values::new();
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    match fact {
        OrderFact::LinesCancelled { reason, .. } => {
            set("reason", reason.code().into());
        }
        OrderFact::Cancelled { reason, skus, .. } => {
            set("reason", reason.code().into());
            if Kind::of(fact) == Kind::OutOfStock {
                let missing = skus.iter().take(LINES_MAX).map(|sku| Value::from(sku.to_string()));
                set("missing", missing.collect::<Vec<_>>().into());
                set("more_missing", skus.len().saturating_sub(LINES_MAX).into());
            }
        }
        OrderFact::LinesFulfilled { carrier, tracking, .. }
        | OrderFact::Fulfilled { carrier, tracking, .. } => {
            let link = shop.tracking_link(carrier, tracking);
            let parcel = [
                ("carrier", carrier.as_str().into()),
                ("tracking", tracking.as_str().into()),
                ("link", link.into()),
            ];
            set("parcel", object(parcel));
        }
        OrderFact::ReturnRequested { return_id, reason, .. }
        | OrderFact::ReturnRejected { return_id, reason, .. } => {
            set("return_id", return_id.to_string().into());
            set("reason", reason.as_str().into());
        }
        OrderFact::Returned { return_id, .. } | OrderFact::ReturnOverdue { return_id, .. } => {
            set("return_id", return_id.to_string().into());
        }
        OrderFact::RefundRequested { return_id, refund, .. } => {
            set("return_id", return_id.to_string().into());
            if Kind::of(fact) == Kind::Refund {
                set("refund", numbers.money(*refund));
            }
        }
        OrderFact::Confirmed { backordered, .. } => {
            let units = backordered.iter().take(LINES_MAX);
            let units = units.map(|units| line_of(units.line, &units.sku, units.quantity, None));
            set("backordered", units.collect::<Vec<_>>().into());
            set("more_backordered", backordered.len().saturating_sub(LINES_MAX).into());
        }
        OrderFact::Created { .. } => {}
    }
    values
}

/// Units of a line, with the price of one and of all where the fact has them.
fn line_of(
    number: u32,
    sku: &Sku,
    quantity: Quantity,
    prices: Option<(Money, Option<Money>, &Numbers)>,
) -> Value {
    let none = || Value::from(());
    let unit_price = prices.map_or_else(none, |(price, _, numbers)| numbers.money(price));
    let total = prices.and_then(|(_, total, numbers)| total.map(|total| numbers.money(total)));
    object([
        ("number", number.into()),
        ("sku", sku.to_string().into()),
        ("quantity", quantity.get().into()),
        ("unit_price", unit_price),
        ("total", total.unwrap_or_else(none)),
    ])
}

fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::from(BTreeMap::from(fields))
}
