use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use shared_events::contract::{Contact, Locale, Money, OrderFact, OrderHeader};

use super::kind::Kind;
use super::lines;

/// Lines of an order that a message can list; an order may have 2,000.
pub(super) const LINES_MAX: usize = 100;

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

/// Formatters that a thread keeps: customers of a shop have few locales.
const FORMATTERS_MAX: usize = 64;

thread_local! {
    /// Formatters by locale; none where the CLDR does not know it. To make one costs more than to
    /// write the amounts of a mail.
    static FORMATTERS: RefCell<HashMap<Arc<str>, Option<DecimalFormatter>>> = RefCell::default();
}

/// How numbers are written in a locale, by the data of the CLDR.
#[derive(Clone, Debug)]
pub(super) struct Numbers(Arc<str>);

impl Numbers {
    pub(super) fn of(locale: &str) -> Self {
        Self(locale.into())
    }

    fn formatter(&self) -> Option<DecimalFormatter> {
        let locale = self.0.parse::<icu_locale_core::Locale>().ok()?;
        DecimalFormatter::try_new(locale.into(), <_>::default()).ok()
    }

    fn amount(&self, money: Money) -> String {
        let exponent = i16::try_from(money.currency.exponent()).unwrap_or_default();
        let mut decimal = Decimal::from(money.minor);
        decimal.multiply_pow10(-exponent);
        FORMATTERS.with_borrow_mut(|known| {
            if known.len() >= FORMATTERS_MAX && !known.contains_key(&self.0) {
                known.clear();
            }
            match known.entry(Arc::clone(&self.0)).or_insert_with(|| self.formatter()) {
                Some(formatter) => formatter.format(&decimal).to_string(),
                None => decimal.to_string(),
            }
        })
    }

    pub(super) fn money(&self, money: Money) -> Value {
        Value::from_object(MoneyValue { money, numbers: self.clone() })
    }
}

/// An amount as templates see it: text, with attributes. Written only where a template shows it.
#[derive(Debug)]
struct MoneyValue {
    money: Money,
    numbers: Numbers,
}

impl Object for MoneyValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "amount" => Some(Value::from(self.numbers.amount(self.money))),
            "currency" => Some(Value::from(self.money.currency.code())),
            "minor" => Some(Value::from(self.money.minor)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["amount", "currency", "minor"])
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.numbers.amount(self.money), self.money.currency.code())
    }
}

/// The variables of a message, by name.
pub(super) type Values = BTreeMap<String, Value>;

fn order_values(order: &OrderHeader, numbers: &Numbers) -> Value {
    object([
        ("id", order.order_id.to_string().into()),
        ("number", order.order_number().into()),
        ("total", numbers.money(order.total)),
    ])
}

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
    set("kind", Kind::of(fact).map_or("", Kind::code).into());
    set("language", language.into());
    set("shop", object([("name", shop.name.clone().unwrap_or_default().into())]));
    set("order", order_values(order, numbers));
    set(
        "customer",
        object([
            ("email", email.as_deref().unwrap_or_default().into()),
            ("phone", phone.as_deref().unwrap_or_default().into()),
            ("locale", locale.as_str().into()),
        ]),
    );
    values.extend(lines::values(fact, numbers));
    values.extend(further(fact, shop, numbers));
    values
}

/// The variables that only some kinds have.
fn further(fact: &OrderFact, shop: &Shop, numbers: &Numbers) -> Values {
    let mut values = Values::new();
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    match fact {
        OrderFact::LinesCancelled { reason, text, .. } => {
            set("reason", reason.code().into());
            set("text", text.as_str().into());
        }
        OrderFact::Cancelled { reason, skus, text, .. } => {
            set("reason", reason.code().into());
            set("text", text.as_str().into());
            if Kind::of(fact) == Some(Kind::OutOfStock) {
                let missing = skus.iter().take(LINES_MAX).map(|sku| Value::from(sku.to_string()));
                set("missing", missing.collect::<Vec<_>>().into());
                set("more_missing", skus.len().saturating_sub(LINES_MAX).into());
            }
        }
        OrderFact::LinesFulfilled { carrier, tracking, .. }
        | OrderFact::ShipmentCorrected { carrier, tracking, .. }
        | OrderFact::Fulfilled { carrier, tracking, .. } => {
            set("parcel", parcel(carrier, tracking, shop));
        }
        OrderFact::ReturnRequested { return_id, reason, return_reference, .. }
        | OrderFact::ReturnRejected { return_id, reason, return_reference, .. } => {
            set("return_id", return_id.to_string().into());
            set("return_reference", return_reference.as_str().into());
            set("reason", reason.as_str().into());
        }
        OrderFact::ReturnOverdue { return_id, .. } => {
            set("return_id", return_id.to_string().into());
        }
        OrderFact::ReturnApproved { .. }
        | OrderFact::Returned { .. }
        | OrderFact::RefundRequested { .. } => values.extend(of_a_return(fact, numbers)),
        OrderFact::PaymentSecured { .. }
        | OrderFact::RefundSettled { .. }
        | OrderFact::RefundFailed { .. } => values.extend(of_money(fact, numbers)),
        OrderFact::Confirmed { backordered, .. }
        | OrderFact::LinesAllocated { backordered, .. } => {
            values.extend(lines::backordered(backordered, numbers));
        }
        OrderFact::Edited { cancelled, backordered, .. } => {
            values.extend(lines::cancelled(cancelled));
            values.extend(lines::backordered(backordered, numbers));
        }
        OrderFact::Created { .. }
        | OrderFact::EditRequested { .. }
        | OrderFact::EditRefused { .. }
        | OrderFact::Held { .. }
        | OrderFact::HoldReleased { .. }
        | OrderFact::Corrected { .. }
        | OrderFact::Delivered { .. }
        | OrderFact::ShipmentUndone { .. }
        | OrderFact::ShipmentFound { .. }
        | OrderFact::PaymentRequested { .. }
        | OrderFact::PaymentLost { .. }
        | OrderFact::Compensated { .. } => {}
    }
    values
}

fn parcel(carrier: &str, tracking: &str, shop: &Shop) -> Value {
    let link = shop.tracking_link(carrier, tracking);
    object([("carrier", carrier.into()), ("tracking", tracking.into()), ("link", link.into())])
}

/// The variables of what was paid or paid back.
fn of_money(fact: &OrderFact, numbers: &Numbers) -> Values {
    let mut values = Values::new();
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    match fact {
        OrderFact::PaymentSecured { amount, .. } => {
            set("paid", numbers.money(*amount));
        }
        OrderFact::RefundSettled { amount, .. } => {
            set("refund", numbers.money(*amount));
        }
        OrderFact::RefundFailed { refund_id, amount, code, .. } => {
            set("refund", numbers.money(*amount));
            set("refund_id", refund_id.to_string().into());
            set("code", code.as_str().into());
        }
        _ => {}
    }
    values
}

/// The variables of a return that is approved or was received.
fn of_a_return(fact: &OrderFact, numbers: &Numbers) -> Values {
    let mut values = Values::new();
    let (OrderFact::ReturnApproved { return_id, return_reference, kept, rejected_reason, .. }
    | OrderFact::Returned { return_id, return_reference, kept, rejected_reason, .. }
    | OrderFact::RefundRequested { return_id, return_reference, kept, rejected_reason, .. }) = fact
    else {
        return values;
    };
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    set("return_id", return_id.to_string().into());
    set("return_reference", return_reference.as_str().into());
    let units = kept.iter().take(LINES_MAX).map(|units| {
        object([
            ("number", units.line.into()),
            ("sku", units.sku.to_string().into()),
            ("quantity", units.quantity.get().into()),
            ("outcome", units.outcome.as_str().into()),
        ])
    });
    set("kept", units.collect::<Vec<_>>().into());
    set("more_kept", kept.len().saturating_sub(LINES_MAX).into());
    set("rejected_reason", rejected_reason.as_str().into());
    if let (
        OrderFact::ReturnApproved { refund, .. } | OrderFact::RefundRequested { refund, .. },
        Some(Kind::Refund | Kind::ReturnApproved),
    ) = (fact, Kind::of(fact))
    {
        set("refund", numbers.money(*refund));
    }
    values
}

pub(super) fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::from(BTreeMap::from(fields))
}
