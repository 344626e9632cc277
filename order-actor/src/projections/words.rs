//! Words by which lists find orders: of the whole order, or of one of its lines, parcels and returns,
//! never of its state.
//! Never here: the SQL that looks for them (`order_summaries`).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use event_journal::Fingerprints;
use shared_events::contract::{RequestId, ReturnId, ShipmentId, Sku, composed};

use crate::domain::{Details, Shipment};

/// A word of an order. Two orders with the same tag share a word. May be personal data: `Debug` shows
/// its kind only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word {
    kind: &'static str,
    text: String,
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What orders can be searched by in addition to what a client says of them: every order has these,
/// and pays for their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SearchBy {
    /// The products of its lines.
    Sku,
    /// The customer's e-mail address.
    Email,
    /// The request ids of its commands. They are looked up, and no list has them.
    Request,
}

impl FromStr for SearchBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sku" => Ok(Self::Sku),
            "email" => Ok(Self::Email),
            "request" => Ok(Self::Request),
            _ => Err("is none of sku, email and request"),
        }
    }
}

impl fmt::Display for SearchBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sku => Word::SKU,
            Self::Email => Word::EMAIL,
            Self::Request => Word::REQUEST,
        })
    }
}

impl Word {
    const SKU: &'static str = "sku";
    const EMAIL: &'static str = "email";
    const TRACKING: &'static str = "tracking";
    pub(super) const REQUEST: &'static str = "request";

    fn new(kind: &'static str, text: &str) -> Self {
        // Composed, as newer versions store what older ones kept as it was sent.
        Self { kind, text: format!("{kind}:{}", composed(text)) }
    }

    /// Of an order with this id in the client's own system.
    #[must_use]
    pub fn external_id(external_id: &str) -> Self {
        Self::new("external_id", external_id)
    }

    /// Of an order to which its client gave this number.
    #[must_use]
    pub fn order_number(order_number: &str) -> Self {
        Self::new("order_number", order_number)
    }

    /// Of an order with this parcel.
    #[must_use]
    pub fn shipment(shipment: ShipmentId) -> Self {
        Self::new("shipment", &shipment.to_string())
    }

    /// Of an order with this return.
    #[must_use]
    pub fn returned(id: ReturnId) -> Self {
        Self::new("return", &id.to_string())
    }

    /// Of an order that a command with this request id changed.
    #[must_use]
    pub fn request(id: RequestId) -> Self {
        Self::new(Self::REQUEST, &id.to_string())
    }

    /// Of an order of this shop.
    #[must_use]
    pub fn shop(shop: &str) -> Self {
        Self::new("shop", shop)
    }

    /// Of an order with this tag.
    #[must_use]
    pub fn tag(tag: &str) -> Self {
        Self::new("tag", tag)
    }

    /// Of an order with this value under this key of its metadata.
    #[must_use]
    pub fn metadata(key: &str, value: &str) -> Self {
        // No key has a line break.
        Self::new("metadata", &format!("{}\n{}", composed(key), composed(value)))
    }

    /// Of an order with a parcel that has this id of the warehouse's own.
    #[must_use]
    pub fn shipment_reference(reference: &str) -> Self {
        Self::new("shipment_reference", reference)
    }

    /// Of an order with a return that has this id of the warehouse's own.
    #[must_use]
    pub fn return_reference(reference: &str) -> Self {
        Self::new("return_reference", reference)
    }

    /// Of an order with a parcel that has this tracking number now.
    #[must_use]
    pub fn tracking(tracking: &str) -> Self {
        Self::new(Self::TRACKING, tracking)
    }

    /// Of an order with a line of this product.
    #[must_use]
    pub fn sku(sku: &Sku) -> Self {
        Self::new(Self::SKU, sku.as_str())
    }

    /// Of an order of a customer with this e-mail address, in whatever case.
    #[must_use]
    pub fn email(email: &str) -> Self {
        Self::new(Self::EMAIL, &email.to_lowercase())
    }

    /// The text, which no word of another kind has. Of an e-mail address or a tracking number it is
    /// that.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the list stores for it. A fingerprint stands for an e-mail address or a tracking number:
    /// the list shows none, and without the keys of the journal nobody can confirm a guessed one.
    #[must_use]
    pub(super) fn stored(&self, keys: &Fingerprints) -> Cow<'_, str> {
        match self.kind {
            Self::EMAIL | Self::TRACKING => self.keyed(&keys.of(self.text.as_bytes())).into(),
            _ => self.as_str().into(),
        }
    }

    /// What the list may have stored for it: one text for each key of the journal.
    #[must_use]
    pub(super) fn sought(&self, keys: &Fingerprints) -> Vec<String> {
        match self.kind {
            Self::EMAIL | Self::TRACKING => {
                keys.all_of(self.text.as_bytes()).iter().map(|text| self.keyed(text)).collect()
            }
            _ => vec![self.text.clone()],
        }
    }

    fn keyed(&self, fingerprint: &str) -> String {
        format!("{}:{fingerprint}", self.kind)
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// What must be switched on to find it, if anything.
    #[must_use]
    pub fn needs(&self) -> Option<SearchBy> {
        self.kind.parse().ok()
    }

    /// All words of an order, as lists have them.
    #[must_use]
    pub fn all_of(details: &Details, search_by: &BTreeSet<SearchBy>) -> BTreeSet<Self> {
        let mut words = BTreeSet::new();
        words.extend(details.terms.tags.iter().map(|tag| Self::tag(tag)));
        words.extend(details.terms.metadata.iter().map(|(key, value)| Self::metadata(key, value)));
        let given = |text: &&str| !text.is_empty();
        let parcels = || details.shipments.iter().map(Arc::as_ref);
        let references = parcels().map(|parcel| parcel.reference.as_str());
        words.extend(references.filter(given).map(Self::shipment_reference));
        words.extend(parcels().map(Shipment::tracking).filter(given).map(Self::tracking));
        let judged = details.judged.iter().map(|judged| &judged.request);
        let returns = details.waiting.iter().chain(judged).map(|one| one.reference.as_str());
        words.extend(returns.filter(given).map(Self::return_reference));
        if let Some(names) = &details.terms.names {
            let external_id = Some(names.external_id.as_str()).filter(given);
            let shop = Some(names.shop.as_str()).filter(given);
            words.extend(external_id.map(Self::external_id));
            words.extend(shop.map(Self::shop));
        }
        if search_by.contains(&SearchBy::Sku) {
            words.extend(details.lines.iter().map(|line| Self::sku(&line.sku)));
        }
        if search_by.contains(&SearchBy::Email) {
            words.extend(details.person.contact.email.as_deref().map(Self::email));
        }
        words
    }
}
