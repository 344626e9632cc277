//! What an identifier belongs to: each service says what it has, and the answers are put together.
//! Never here: how a service finds anything.

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use shared_events::contract::{Contact, OrderId, TextRule};
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::followers::STORES_ANSWER_WITHIN;
use super::peers::{Peer, forwarded_for_merge};
use super::{AdminEdge, proto};
use crate::edge::refusal::violation;

/// Things that one answer has at most.
const FOUND_MAX: usize = 50;
/// Characters of an identifier: more than any that there are.
const TEXT_MAX: usize = 200;

/// Finds what a service has; many are cut by [`Found::MOST`]. Who asks says how long to wait.
pub(crate) type Find =
    Arc<dyn Fn(Arc<Sought>) -> BoxFuture<'static, anyhow::Result<Vec<Found>>> + Send + Sync>;

/// An identifier that is looked up.
pub(crate) struct Sought {
    text: String,
    id: Option<Uuid>,
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Order,
    Customer,
    Shipment,
    Return,
    /// A command to an order.
    Request,
    Payment,
    /// What is done at a payment provider.
    Operation,
    /// To a seller.
    Payout,
    Message,
    /// Of the ledger.
    Entry,
    /// Of the ledger.
    Hold,
    /// Of the ledger.
    Account,
    /// Of a customer.
    Wallet,
}

/// What the identifier is of the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundBy {
    Id,
    OrderNumber,
    ExternalId,
    TrackingNumber,
    /// The warehouse's own id.
    Reference,
    /// The payment provider's own name.
    PspReference,
}

/// A thing that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    thing: Thing,
    by: FoundBy,
    id: String,
    order_id: Option<OrderId>,
}

impl Sought {
    /// From a request. Addresses and phone numbers of people are refused: they are no identifiers,
    /// and what is asked for stands in addresses of HTTP.
    fn parse(text: &str) -> Result<Self, Status> {
        let stored = TextRule::line(TEXT_MAX).stored(text.trim());
        let text = stored.map_err(|error| violation("id", &error.to_string()))?;
        if text.is_empty() {
            return Err(violation("id", "required: an identifier of 1 to 200 characters"));
        }
        let is_email = Contact::new(&text, "", "").is_ok();
        let is_phone = text.starts_with('+') && Contact::new("", &text, "").is_ok();
        if is_email || is_phone {
            let why = "an e-mail address or a phone number is no identifier: ask for the order, \
                       the parcel, the return, the payment or the message";
            return Err(violation("id", why));
        }
        let id = Uuid::try_parse(&text).ok().filter(|id| !id.is_nil());
        Ok(Self { text, id })
    }

    /// As it was written, composed and without blanks at its ends.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// As a UUID, if it is one.
    pub(crate) const fn id(&self) -> Option<Uuid> {
        self.id
    }
}

impl FoundBy {
    const fn code(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::OrderNumber => "ORDER_NUMBER",
            Self::ExternalId => "EXTERNAL_ID",
            Self::TrackingNumber => "TRACKING_NUMBER",
            Self::Reference => "REFERENCE",
            Self::PspReference => "PSP_REFERENCE",
        }
    }
}

impl Found {
    /// What a service looks for at most in one way: one more than fits, so that it is seen.
    pub(crate) const MOST: u32 = 51;

    /// A thing by its own id.
    pub(crate) fn by_id(thing: Thing, id: impl ToString) -> Self {
        Self::new(thing, FoundBy::Id, id)
    }

    /// A thing with this id.
    pub(crate) fn new(thing: Thing, by: FoundBy, id: impl ToString) -> Self {
        Self { thing, by, id: id.to_string(), order_id: None }
    }

    /// The order that it belongs to.
    pub(crate) fn of(self, order_id: OrderId) -> Self {
        Self { order_id: Some(order_id), ..self }
    }

    /// Its kind, its resource name, and the verb that shows it.
    fn shown(&self) -> (&'static str, String, String) {
        let id = &self.id;
        let order = self.order_id.map(|order| order.to_string()).unwrap_or_default();
        match self.thing {
            Thing::Order => ("ORDER", format!("orders/{id}"), format!("order get {id}")),
            Thing::Customer => {
                ("CUSTOMER", format!("customers/{id}"), format!("order list --customer {id}"))
            }
            Thing::Shipment => {
                let name = format!("orders/{order}/shipments/{id}");
                ("SHIPMENT", name, format!("order parcel list {order}"))
            }
            Thing::Return => {
                ("RETURN", format!("orders/{order}/returns/{id}"), format!("order get {order}"))
            }
            Thing::Request => {
                let name = format!("orders/{order}/requests/{id}");
                ("REQUEST", name, format!("order history {order}"))
            }
            Thing::Payment => ("PAYMENT", format!("payments/{id}"), format!("payment show {id}")),
            Thing::Operation => {
                let name = format!("payment-operations/{id}");
                ("PAYMENT_OPERATION", name, format!("payment operation {id}"))
            }
            Thing::Payout => ("PAYOUT", format!("payouts/{id}"), format!("payout get {id}")),
            Thing::Message => {
                ("MESSAGE", format!("notifications/{id}"), format!("notification get {id}"))
            }
            Thing::Entry => {
                ("LEDGER_ENTRY", format!("ledger/entries/{id}"), format!("ledger entry {id}"))
            }
            Thing::Hold => {
                ("LEDGER_HOLD", format!("ledger/holds/{id}"), format!("ledger hold {id}"))
            }
            Thing::Account => {
                let name = format!("ledger/accounts/{id}");
                ("LEDGER_ACCOUNT", name, format!("ledger balance {id}"))
            }
            Thing::Wallet => ("WALLET", format!("wallets/{id}"), format!("wallet show {id}")),
        }
    }
}

impl AdminEdge {
    /// `Lookup`. An order node asks the processes of all services; the others ask it.
    pub(super) async fn lookup(
        &self,
        request: Request<proto::LookupRequest>,
    ) -> Result<Response<proto::LookupResponse>, Status> {
        let sought = Arc::new(Sought::parse(&request.get_ref().id)?);
        let mut away = Vec::new();
        let ask = |mut peer: Peer, asked| async move { peer.lookup(asked).await };
        if let Some(answer) = self.order_node(&request, &mut away, ask).await {
            return Ok(answer);
        }
        let there = join_all(self.peers(&request).into_iter().map(|(name, mut peer)| {
            let asked = forwarded_for_merge(&request, request.get_ref().clone());
            async move { (name, peer.lookup(asked).await) }
        }));
        // At the same time: one after the other would take as long as the caller waits at most.
        let ((mut found, silent), there) = tokio::join!(self.found_here(&sought), there);
        away.extend(silent);
        let mut or_more = false;
        for (name, answer) in there {
            match answer {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    or_more |= answer.or_more;
                    found.extend(answer.found);
                    away.extend(answer.away);
                }
                Err(status) => {
                    tracing::debug!(name, %status, "its process did not answer");
                    away.push(name.to_owned());
                }
            }
        }
        Ok(Response::new(together(found, away, or_more)))
    }

    /// What the services of this process have, and those whose store does not answer.
    async fn found_here(&self, sought: &Arc<Sought>) -> (Vec<proto::Found>, Vec<String>) {
        let there = self.parts.finders.iter().map(|(name, find)| {
            let looking = timeout(STORES_ANSWER_WITHIN, find(Arc::clone(sought)));
            async move { (*name, looking.await) }
        });
        let (mut found, mut away) = (Vec::new(), Vec::new());
        for (name, answer) in join_all(there).await {
            match answer {
                Ok(Ok(known)) => found.extend(known.into_iter().map(message)),
                Ok(Err(error)) => {
                    tracing::warn!(%error, name, "what it has cannot be looked up");
                    away.push(format!("{name}: its database"));
                }
                Err(_) => away.push(format!("{name}: its database")),
            }
        }
        (found, away)
    }
}

fn message(found: Found) -> proto::Found {
    let (kind, name, verb) = found.shown();
    proto::Found {
        kind: kind.to_owned(),
        found_by: found.by.code().to_owned(),
        id: found.id,
        order_id: found.order_id.map(|order| order.to_string()).unwrap_or_default(),
        name,
        command: format!("ordinal {verb}"),
    }
}

/// One answer, in one order whoever answered first.
fn together(
    mut found: Vec<proto::Found>,
    mut away: Vec<String>,
    or_more: bool,
) -> proto::LookupResponse {
    let place = |one: &proto::Found| (one.name.clone(), one.found_by.clone());
    found.sort_by_cached_key(place);
    found.dedup();
    let or_more = or_more || found.len() > FOUND_MAX;
    found.truncate(FOUND_MAX);
    away.sort();
    away.dedup();
    proto::LookupResponse { found, or_more, away }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_personal_datum_is_no_identifier() {
        for text in ["anna@example.com", "+442071838750", "", "  ", "two\nlines"] {
            let Err(status) = Sought::parse(text) else { panic!("{text} was accepted") };
            let violations = status.get_details_bad_request().unwrap().field_violations;
            assert_eq!(violations[0].field, "id", "{text}");
            assert!(text.trim().is_empty() || !status.message().contains(text), "{text}");
        }
        for text in ["1Z999AA10123456784", "00340434161094042557", "R-17/a", "acme:4711@web"] {
            assert!(Sought::parse(text).is_ok(), "{text}");
        }
        let id = Sought::parse(" 018F6F3E-0000-7000-8000-00000000000A ").unwrap().id().unwrap();
        assert_eq!(id.to_string(), "018f6f3e-0000-7000-8000-00000000000a");
    }

    #[test]
    fn an_answer_has_each_thing_once_and_says_where_it_was_cut() {
        let one = |nth: usize| message(Found::by_id(Thing::Order, format!("{nth:02}")));
        let away = vec!["payments".to_owned(), "payments".to_owned()];
        let few = together(vec![one(2), one(1), one(2)], away, false);
        let ids: Vec<&str> = few.found.iter().map(|found| found.id.as_str()).collect();
        assert_eq!(
            (ids, few.or_more, few.away),
            (vec!["01", "02"], false, vec!["payments".to_owned()])
        );
        let many = together((0..=FOUND_MAX).map(one).collect(), Vec::new(), false);
        assert_eq!((many.found.len(), many.or_more), (FOUND_MAX, true));
        assert!(together(Vec::new(), Vec::new(), true).or_more);
        assert!(usize::try_from(Found::MOST).unwrap() > FOUND_MAX);
    }
}
