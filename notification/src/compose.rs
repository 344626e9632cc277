use std::fmt;

use shared_events::contract::{
    CancelReason, Contact, Fact, FactBody, FactId, LineUnits, Locale, NotificationId, OrderFact,
    OrderId,
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
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Email, Self::Sms, Self::Webhook];

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

/// What is said of a fact, on every channel that is open; empty for silence. Pure: the same fact
/// and configuration always give the same messages.
#[must_use]
pub fn compose(fact: &Fact, config: &Config) -> Vec<Message> {
    let FactBody::Order(order) = &fact.body else { return Vec::new() };
    let contact = &order.order().contact;
    let mut messages = Vec::new();
    let mut say = |channel: Channel, kind, recipient: &str, subject: String, body: String| {
        messages.push(Message {
            id: notification_id(fact.id, channel),
            fact_id: fact.id,
            place: (fact.shard, fact.position),
            order_id: fact.subject,
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
    } else if let Some((kind, subject, body)) = text(order, contact) {
        if let Some(email) = &contact.email {
            say(Channel::Email, kind, email, subject.clone(), body);
        }
        if let (OrderFact::Confirmed { .. }, Some(phone)) = (order, &contact.phone) {
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
        OrderFact::Created { .. } => ("RECEIVED", words.received, words.total(&total.to_string())),
        OrderFact::Confirmed { .. } => {
            ("CONFIRMED", words.confirmed, words.total(&total.to_string()))
        }
        OrderFact::LinesCancelled { lines, .. } => {
            ("LINES_CANCELLED", words.lines_cancelled, units(lines))
        }
        OrderFact::Cancelled { reason, .. } => match reason {
            CancelReason::InsufficientStock => ("OUT_OF_STOCK", words.out_of_stock, String::new()),
            CancelReason::SlaTimeout => ("EXPIRED", words.expired, String::new()),
            CancelReason::PaymentFailed => ("PAYMENT_FAILED", words.payment_failed, String::new()),
            CancelReason::CustomerRequest | CancelReason::Ops => {
                ("CANCELLED", words.cancelled, String::new())
            }
        },
        OrderFact::LinesFulfilled { lines, carrier, tracking, .. } => {
            ("PARCEL_SHIPPED", words.parcel, parcel(lines, carrier, tracking))
        }
        OrderFact::Fulfilled { lines, carrier, tracking, .. } => {
            ("SHIPPED", words.shipped, parcel(lines, carrier, tracking))
        }
        OrderFact::ReturnRequested { lines, .. } => {
            ("RETURN_RECEIVED", words.return_received, units(lines))
        }
        OrderFact::ReturnRejected { reason, .. } => {
            ("RETURN_REFUSED", words.return_refused, format!("{reason}\n"))
        }
        OrderFact::RefundRequested { refund, .. } => {
            ("REFUND", words.refund, format!("{refund}\n"))
        }
        // The refund's own message tells that the units came back.
        OrderFact::Returned { .. } | OrderFact::ReturnOverdue { .. } => return None,
    };
    let subject = format!("{} {id}: {what}", words.order);
    let body = format!("{} {id}: {what}.\n\n{more}", words.order);
    Some((kind, subject, body))
}

fn units(lines: &[LineUnits]) -> String {
    lines.iter().map(|units| format!("{} x {}\n", units.quantity, units.sku)).collect()
}

fn parcel(lines: &[LineUnits], carrier: &str, tracking: &str) -> String {
    let mut text = units(lines);
    if !(carrier.is_empty() && tracking.is_empty()) {
        text.push_str(&format!("\n{carrier} {tracking}\n"));
    }
    text
}

/// The phrases of a language.
struct Words {
    order: &'static str,
    total: &'static str,
    received: &'static str,
    confirmed: &'static str,
    lines_cancelled: &'static str,
    cancelled: &'static str,
    out_of_stock: &'static str,
    expired: &'static str,
    payment_failed: &'static str,
    parcel: &'static str,
    shipped: &'static str,
    return_received: &'static str,
    return_refused: &'static str,
    refund: &'static str,
}

const ENGLISH: Words = Words {
    order: "Order",
    total: "Total",
    received: "we have received it",
    confirmed: "it is confirmed",
    lines_cancelled: "these units will not be delivered",
    cancelled: "it is cancelled",
    out_of_stock: "it is cancelled because something is out of stock",
    expired: "it is cancelled because we could not confirm it in time",
    payment_failed: "it is cancelled because the payment failed",
    parcel: "a parcel is on its way",
    shipped: "the last parcel is on its way",
    return_received: "we have received your wish to return",
    return_refused: "your return is refused",
    refund: "your refund is on its way",
};

const GERMAN: Words = Words {
    order: "Bestellung",
    total: "Summe",
    received: "wir haben sie erhalten",
    confirmed: "sie ist bestätigt",
    lines_cancelled: "diese Stücke werden nicht geliefert",
    cancelled: "sie ist storniert",
    out_of_stock: "sie ist storniert, weil etwas nicht auf Lager ist",
    expired: "sie ist storniert, weil wir sie nicht rechtzeitig bestätigen konnten",
    payment_failed: "sie ist storniert, weil die Zahlung fehlschlug",
    parcel: "ein Paket ist unterwegs",
    shipped: "das letzte Paket ist unterwegs",
    return_received: "wir haben Ihren Rückgabewunsch erhalten",
    return_refused: "Ihre Rückgabe ist abgelehnt",
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

    fn total(&self, total: &str) -> String {
        format!("{}: {total}\n", self.total)
    }
}
