use std::fmt;

use shared_events::contract::{Fact, FactBody, FactId, Locale, NotificationId, OrderFact, OrderId};
use uuid::Uuid;

use crate::templates::Kind;
use crate::{Config, Route};

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// E-mail.
    Email,
    /// A text message to a phone.
    Sms,
    /// A signed HTTP call.
    Webhook,
}

impl Channel {
    /// Every channel.
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

/// A message to be sent. Personal data: `Debug` shows neither recipient nor text.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The same for the same fact and route, so that a repeated fact makes no second message.
    pub id: NotificationId,
    /// The fact that it reports.
    pub fact_id: FactId,
    /// The shard and position of that fact.
    pub place: (u16, u64),
    /// The order it is about.
    pub order_id: OrderId,
    /// How it is sent.
    pub channel: Channel,
    /// The channel and, of webhooks, the endpoint.
    pub route: Route,
    /// Its kind: `RECEIVED`, `CONFIRMED` …; `FACT` for webhooks.
    pub kind: &'static str,
    /// The recipient.
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

/// A message that a fact leads to, before its text is composed.
struct Planned<'a> {
    route: Route,
    /// None for webhooks, which get the fact itself.
    kind: Option<Kind>,
    recipient: &'a str,
}

/// Composes the messages about facts, which come in the order of their log with those of one event
/// together. Pure: the same facts and configuration always give the same messages.
///
/// Unlike [`compose()`] it sees whether a return has a refund; one without is a message of its own.
#[must_use]
pub fn compose_all(facts: &[Fact], config: &Config) -> Vec<Message> {
    let planned = with_refunds(facts)
        .flat_map(|(fact, refunded)| compose_planned(fact, plan(fact, config, !refunded), config));
    planned.collect()
}

/// The facts and routes of the messages that [`compose_all()`] makes of the same.
#[must_use]
pub fn planned_all(facts: &[Fact], config: &Config) -> Vec<(FactId, Route)> {
    let planned = with_refunds(facts).flat_map(|(fact, refunded)| {
        let planned = plan(fact, config, !refunded);
        planned.into_iter().map(|planned| (fact.id, planned.route))
    });
    planned.collect()
}

/// Composes the messages about one fact. Returned units are reported by their refund.
#[must_use]
pub fn compose(fact: &Fact, config: &Config) -> Vec<Message> {
    compose_planned(fact, plan(fact, config, false), config)
}

/// Each fact, and whether the next is the refund of the same event.
fn with_refunds(facts: &[Fact]) -> impl Iterator<Item = (&Fact, bool)> {
    let nexts = facts.iter().skip(1).map(Some).chain([None]);
    facts.iter().zip(nexts).map(|(fact, next)| {
        let refunded = next.is_some_and(|next| {
            let one_event = (next.shard, next.position) == (fact.shard, fact.position);
            one_event && matches!(next.body, FactBody::Order(OrderFact::RefundRequested { .. }))
        });
        (fact, refunded)
    })
}

/// Who gets a message about a fact; `returns` where returned units are a message of their own.
fn plan<'a>(fact: &'a Fact, config: &'a Config, returns: bool) -> Vec<Planned<'a>> {
    let FactBody::Order(order) = &fact.body else { return Vec::new() };
    let contact = &order.order().contact;
    let mut planned = Vec::new();
    let kind = Kind::of(order);
    let mut add = |channel: Channel, recipient| {
        planned.push(Planned { route: channel.into(), kind, recipient })
    };
    if kind.is_some_and(Kind::is_for_operators) {
        if let Some(ops) = &config.ops {
            add(Channel::Email, ops);
        }
    } else if kind.is_some() && (returns || !matches!(order, OrderFact::Returned { .. })) {
        // A customer without an e-mail address gets every message by phone.
        let by_phone = matches!(order, OrderFact::Confirmed { .. }) || contact.email.is_none();
        if let Some(email) = &contact.email {
            add(Channel::Email, email);
        }
        if let Some(phone) = contact.phone.as_ref().filter(|_| by_phone && config.sends_sms()) {
            add(Channel::Sms, phone);
        }
    }
    for webhook in config.webhooks.iter().filter(|one| one.wants(fact.body.kind())) {
        let route = Route::webhook(&webhook.name);
        planned.push(Planned { route, kind: None, recipient: &webhook.url });
    }
    planned
}

fn compose_planned(fact: &Fact, planned: Vec<Planned<'_>>, config: &Config) -> Vec<Message> {
    let FactBody::Order(order) = &fact.body else { return Vec::new() };
    let message = |planned: Planned<'_>| {
        let (kind, subject, body) = match planned.kind {
            Some(kind) => {
                // Operators read the default language.
                let locale = if kind.is_for_operators() {
                    Locale::default()
                } else {
                    order.order().contact.locale.clone()
                };
                let text =
                    config.templates.text(order, planned.route.channel(), &config.shop, &locale);
                (kind.code(), text.subject, text.body)
            }
            None => ("FACT", fact.body.kind().to_owned(), fact.to_json().ok()?),
        };
        Some(Message {
            id: notification_id(fact.id.uuid(), &planned.route),
            fact_id: fact.id,
            place: (fact.shard, fact.position),
            order_id: order.order().order_id,
            channel: planned.route.channel(),
            route: planned.route,
            kind,
            recipient: planned.recipient.to_owned(),
            subject,
            body,
        })
    };
    planned.into_iter().filter_map(message).collect()
}

/// The id of the message about a fact by a route.
pub(crate) fn notification_id(fact_id: Uuid, route: &Route) -> NotificationId {
    NotificationId::from_uuid(Uuid::new_v5(&fact_id, route.code().as_bytes()))
}
