use std::fmt;

use shared_events::contract::{
    CancelReason, Contact, Fact, FactBody, FactId, LineUnits, Locale, Money, NotificationId,
    OrderFact, OrderId, OrderLineFact, ReturnedUnits, Sku,
};
use uuid::Uuid;

use crate::Config;

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// E-mail.
    Email,
    /// A text to a phone.
    Sms,
    /// A signed HTTP call.
    Webhook,
}

impl Channel {
    /// Every channel: the first one, and what stands after each.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Email), |channel| channel.next())
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Email => Some(Self::Sms),
            Self::Sms => Some(Self::Webhook),
            Self::Webhook => None,
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Sms => "SMS",
            Self::Webhook => "WEBHOOK",
        }
    }
}

/// Something to be said to somebody. Personal data: `Debug` shows neither recipient nor text.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The same for the same fact and channel, so that saying it again is recognised.
    pub id: NotificationId,
    /// The fact it tells.
    pub fact_id: FactId,
    /// Where that stands: shard and position.
    pub place: (u16, u64),
    /// The order it is about.
    pub order_id: OrderId,
    /// Which way out.
    pub channel: Channel,
    /// What it says: `RECEIVED`, `CONFIRMED` …
    pub kind: &'static str,
    /// To whom.
    pub recipient: String,
    /// Subject line; the fact's type for webhooks.
    pub subject: String,
    /// The text, or the fact's JSON for webhooks.
    pub body: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What is said of facts in the order of their log, those of one event together. Pure: the same
/// facts and configuration always give the same messages.
///
/// Unlike [`compose()`] it sees that a return has no refund, and says so much of it.
#[must_use]
pub fn compose_all(facts: &[Fact], config: &Config) -> Vec<Message> {
    let nexts = facts.iter().skip(1).map(Some).chain([None]);
    let said = facts.iter().zip(nexts).map(|(fact, next)| {
        let refunded = next.is_some_and(|next| {
            let one_event = (next.shard, next.position) == (fact.shard, fact.position);
            one_event && matches!(next.body, FactBody::Order(OrderFact::RefundRequested { .. }))
        });
        say(fact, config, !refunded)
    });
    said.flatten().collect()
}

/// What is said of one fact, on every channel that is open; empty for silence. Units that came back
/// are told by their refund.
#[must_use]
pub fn compose(fact: &Fact, config: &Config) -> Vec<Message> {
    say(fact, config, false)
}

fn say(fact: &Fact, config: &Config, returns: bool) -> Vec<Message> {
    let FactBody::Order(order) = &fact.body else { return Vec::new() };
    let contact = &order.order().contact;
    let mut messages = Vec::new();
    let mut say = |channel: Channel, kind, recipient: &str, subject: String, body: String| {
        messages.push(Message {
            id: notification_id(fact.id, channel),
            fact_id: fact.id,
            place: (fact.shard, fact.position),
            order_id: order.order().order_id,
            channel,
            kind,
            recipient: recipient.to_owned(),
            subject,
            body,
        });
    };
    if let OrderFact::ReturnOverdue { order, return_id } = order {
        if let Some(ops) = &config.ops {
            let subject = format!("Return {return_id} waits for judgement");
            let body = format!(
                "Nobody has judged return {return_id} of order {} in time.\n",
                order.order_id
            );
            say(Channel::Email, "RETURN_OVERDUE", ops, subject, body);
        }
    } else if let Some((kind, subject, mut body)) = text(order, contact)
        && (returns || !matches!(order, OrderFact::Returned { .. }))
    {
        if let Some(shop) = &config.shop {
            body.push_str(&format!("\n{shop}\n"));
        }
        // Who has no address hears everything by phone.
        let by_phone = matches!(order, OrderFact::Confirmed { .. }) || contact.email.is_none();
        let phone = contact.phone.as_ref().filter(|_| by_phone && config.sends_sms());
        if let Some(email) = &contact.email {
            say(Channel::Email, kind, email, subject.clone(), body);
        }
        if let Some(phone) = phone {
            say(Channel::Sms, kind, phone, subject.clone(), subject);
        }
    }
    if let Some(webhook) = &config.webhook
        && let Ok(json) = fact.to_json()
    {
        let kind = fact.body.kind();
        say(Channel::Webhook, "FACT", &webhook.url, kind.to_owned(), json);
    }
    messages
}

fn notification_id(fact_id: FactId, channel: Channel) -> NotificationId {
    NotificationId::from_uuid(Uuid::new_v5(&fact_id.uuid(), channel.code().as_bytes()))
}

/// Kind, subject and text in the customer's language.
fn text(order: &OrderFact, contact: &Contact) -> Option<(&'static str, String, String)> {
    let words = Words::of(&contact.locale);
    let id = order.order().order_id;
    let total = order.order().total;
    let (kind, what, more) = match order {
        OrderFact::Created { lines, .. } => {
            ("RECEIVED", words.received, words.bought(lines) + &words.total(total))
        }
        OrderFact::Confirmed { .. } => ("CONFIRMED", words.confirmed, words.total(total)),
        OrderFact::LinesCancelled { lines, reason, .. } => {
            ("LINES_CANCELLED", words.lines_cancelled(*reason), words.units(units(lines)))
        }
        OrderFact::Cancelled { reason, skus, .. } => {
            let (kind, what) = words.cancelled(*reason);
            (kind, what, words.missing(skus))
        }
        OrderFact::LinesFulfilled { lines, carrier, tracking, .. } => {
            ("PARCEL_SHIPPED", words.parcel, words.parcel(lines, carrier, tracking))
        }
        OrderFact::Fulfilled { lines, carrier, tracking, .. } => {
            ("SHIPPED", words.shipped, words.parcel(lines, carrier, tracking))
        }
        OrderFact::ReturnRequested { lines, .. } => {
            ("RETURN_RECEIVED", words.return_received, words.units(units(lines)))
        }
        OrderFact::ReturnRejected { reason, .. } => {
            ("RETURN_REFUSED", words.return_refused, format!("{reason}\n"))
        }
        OrderFact::Returned { lines, .. } => {
            ("RETURNED", words.returned, words.units(returned(lines)))
        }
        // There were some, and nothing is on its way.
        OrderFact::RefundRequested { refund, .. } if refund.minor <= 0 => {
            ("RETURNED", words.returned, String::new())
        }
        OrderFact::RefundRequested { refund, .. } => {
            ("REFUND", words.refund, format!("{}\n", words.money(*refund)))
        }
        OrderFact::ReturnOverdue { .. } => return None,
    };
    let subject = format!("{} {id}: {what}", words.order);
    let body = match more.as_str() {
        "" => format!("{} {id}: {what}.\n", words.order),
        more => format!("{} {id}: {what}.\n\n{more}", words.order),
    };
    Some((kind, subject, body))
}

fn units(lines: &[LineUnits]) -> impl ExactSizeIterator<Item = String> {
    lines.iter().map(|units| format!("{} x {}", units.quantity, units.sku))
}

fn returned(lines: &[ReturnedUnits]) -> impl ExactSizeIterator<Item = String> {
    lines.iter().map(|units| format!("{} x {}", units.quantity, units.sku))
}

/// Lines of an order that a mail names: nobody reads more of them, and an order may have 2,000.
const LINES_NAMED: usize = 100;

/// The phrases of a language.
struct Words {
    order: &'static str,
    total: &'static str,
    /// In front of the price of one.
    each: (&'static str, &'static str),
    /// Behind the number of lines that are not named.
    more_lines: &'static str,
    /// Between the parts of an amount.
    decimal: &'static str,
    not_on_stock: &'static str,
    received: &'static str,
    confirmed: &'static str,
    lines_cancelled: &'static str,
    lines_cancelled_as_asked: &'static str,
    lines_out_of_stock: &'static str,
    cancelled_as_asked: &'static str,
    cancelled_by_us: &'static str,
    out_of_stock: &'static str,
    expired: &'static str,
    payment_failed: &'static str,
    parcel: &'static str,
    shipped: &'static str,
    return_received: &'static str,
    return_refused: &'static str,
    returned: &'static str,
    refund: &'static str,
}

const ENGLISH: Words = Words {
    order: "Order",
    total: "Total",
    each: ("", " each"),
    more_lines: "more lines",
    decimal: ".",
    not_on_stock: "Out of stock",
    received: "we have received it",
    confirmed: "it is confirmed",
    lines_cancelled: "these units will not be delivered",
    lines_cancelled_as_asked: "these units are cancelled, as you asked",
    lines_out_of_stock: "these units are out of stock and will not be delivered",
    cancelled_as_asked: "it is cancelled, as you asked",
    cancelled_by_us: "it is cancelled, because we cannot deliver it",
    out_of_stock: "it is cancelled because something is out of stock",
    expired: "it is cancelled because we could not confirm it in time",
    payment_failed: "it is cancelled because the payment failed",
    parcel: "a parcel is on its way",
    shipped: "the last parcel is on its way",
    return_received: "we have received your wish to return",
    return_refused: "your return is refused",
    returned: "your return is accepted",
    refund: "your refund is on its way",
};

const GERMAN: Words = Words {
    order: "Bestellung",
    total: "Summe",
    each: ("je ", ""),
    more_lines: "weitere Positionen",
    decimal: ",",
    not_on_stock: "Nicht auf Lager",
    received: "wir haben sie erhalten",
    confirmed: "sie ist bestätigt",
    lines_cancelled: "diese Stücke werden nicht geliefert",
    lines_cancelled_as_asked: "diese Stücke sind storniert, wie Sie es wünschten",
    lines_out_of_stock: "diese Stücke sind nicht auf Lager und werden nicht geliefert",
    cancelled_as_asked: "sie ist storniert, wie Sie es wünschten",
    cancelled_by_us: "sie ist storniert, weil wir sie nicht liefern können",
    out_of_stock: "sie ist storniert, weil etwas nicht auf Lager ist",
    expired: "sie ist storniert, weil wir sie nicht rechtzeitig bestätigen konnten",
    payment_failed: "sie ist storniert, weil die Zahlung fehlschlug",
    parcel: "ein Paket ist unterwegs",
    shipped: "das letzte Paket ist unterwegs",
    return_received: "wir haben Ihren Rückgabewunsch erhalten",
    return_refused: "Ihre Rückgabe ist abgelehnt",
    returned: "Ihre Rückgabe ist angenommen",
    refund: "Ihre Erstattung ist unterwegs",
};

impl Words {
    /// English where there is no other.
    fn of(locale: &Locale) -> &'static Self {
        match locale.language() {
            "de" => &GERMAN,
            _ => &ENGLISH,
        }
    }

    fn money(&self, money: Money) -> String {
        money.to_string().replace('.', self.decimal)
    }

    fn total(&self, total: Money) -> String {
        format!("{}: {}\n", self.total, self.money(total))
    }

    /// A line for each, as far as they are named.
    fn units(&self, lines: impl ExactSizeIterator<Item = String>) -> String {
        let more = lines.len().saturating_sub(LINES_NAMED);
        let mut text: String = lines.take(LINES_NAMED).map(|line| line + "\n").collect();
        if more > 0 {
            text.push_str(&format!("… {more} {}\n", self.more_lines));
        }
        text
    }

    /// What was ordered, and an empty line.
    fn bought(&self, lines: &[OrderLineFact]) -> String {
        if lines.is_empty() {
            return String::new();
        }
        let (before, behind) = self.each;
        self.units(lines.iter().map(|line| {
            let price = self.money(line.unit_price);
            format!("{} x {}, {before}{price}{behind}", line.quantity, line.sku)
        })) + "\n"
    }

    fn missing(&self, skus: &[Sku]) -> String {
        match skus {
            [] => String::new(),
            skus => {
                format!("{}:\n{}", self.not_on_stock, self.units(skus.iter().map(Sku::to_string)))
            }
        }
    }

    const fn lines_cancelled(&self, reason: CancelReason) -> &'static str {
        match reason {
            CancelReason::CustomerRequest => self.lines_cancelled_as_asked,
            CancelReason::InsufficientStock => self.lines_out_of_stock,
            CancelReason::Ops | CancelReason::SlaTimeout | CancelReason::PaymentFailed => {
                self.lines_cancelled
            }
        }
    }

    const fn cancelled(&self, reason: CancelReason) -> (&'static str, &'static str) {
        match reason {
            CancelReason::InsufficientStock => ("OUT_OF_STOCK", self.out_of_stock),
            CancelReason::SlaTimeout => ("EXPIRED", self.expired),
            CancelReason::PaymentFailed => ("PAYMENT_FAILED", self.payment_failed),
            CancelReason::CustomerRequest => ("CANCELLED", self.cancelled_as_asked),
            CancelReason::Ops => ("CANCELLED", self.cancelled_by_us),
        }
    }

    fn parcel(&self, lines: &[LineUnits], carrier: &str, tracking: &str) -> String {
        let mut text = self.units(units(lines));
        if !(carrier.is_empty() && tracking.is_empty()) {
            text.push_str(&format!("\n{carrier} {tracking}\n"));
        }
        text
    }
}
