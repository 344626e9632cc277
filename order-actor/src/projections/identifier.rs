//! What names an order or a part of it, as people and other systems say it, and its row.
//! Never here: the SQL that looks for it (`order_identifiers`).

use std::sync::Arc;

use event_journal::Fingerprints;
use serde::Serialize;
use shared_events::contract::{OrderId, RequestId, ReturnId, ShipmentId};
use shared_events::stream::DatabaseError;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::words::Word;
use crate::domain::{Details, Return, Shipment};

/// What an identifier names, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// An order, by the number that its client gave it.
    OrderNumber,
    /// An order, by its id in the client's own system.
    ExternalId,
    /// A parcel, by its id.
    Shipment,
    /// A parcel, by the warehouse's own id of it.
    ShipmentReference,
    /// A parcel, by the tracking number that it has now.
    Tracking,
    /// A return, by its id.
    Return,
    /// A return, by the warehouse's own id of it.
    ReturnReference,
    /// A command to an order, by its request id.
    Request,
}

impl Named {
    const ALL: [Self; 8] = [
        Self::OrderNumber,
        Self::ExternalId,
        Self::Shipment,
        Self::ShipmentReference,
        Self::Tracking,
        Self::Return,
        Self::ReturnReference,
        Self::Request,
    ];

    /// The kind of its word, with which its name in the table begins.
    const fn code(self) -> &'static str {
        match self {
            Self::OrderNumber => "order_number",
            Self::ExternalId => "external_id",
            Self::Shipment => "shipment",
            Self::ShipmentReference => "shipment_reference",
            Self::Tracking => "tracking",
            Self::Return => "return",
            Self::ReturnReference => "return_reference",
            Self::Request => Word::REQUEST,
        }
    }
}

/// An identifier that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    /// Its order.
    pub order_id: OrderId,
    /// What it names.
    pub named: Named,
    /// The id of the parcel or of the return; none where it names the order or a command.
    pub part: Option<Uuid>,
    /// As it is stored: of a tracking number a fingerprint.
    pub(super) name: String,
}

/// An identifier as a row, by column names.
#[derive(Serialize)]
pub(super) struct Row {
    order_id: OrderId,
    name: String,
    /// Empty for none.
    part: String,
    version: u64,
}

/// Words that a text may be, in whatever way it names something.
pub(super) fn sought(text: &str) -> Vec<Word> {
    let mut words = vec![
        Word::order_number(text),
        Word::external_id(text),
        Word::shipment_reference(text),
        Word::return_reference(text),
        Word::tracking(text),
    ];
    if let Ok(id) = Uuid::try_parse(text) {
        words.push(Word::shipment(ShipmentId::from_uuid(id)));
        words.push(Word::returned(ReturnId::from_uuid(id)));
        words.push(Word::request(RequestId::from_uuid(id)));
    }
    words
}

/// What names an order and its parts, as it is now: words, each with the part that it names.
pub(super) fn all_of(details: &Details) -> Vec<(Word, Option<Uuid>)> {
    let mut all = Vec::new();
    if let Some(names) = &details.terms.names {
        let number = Some(names.order_number.as_str()).filter(given).map(Word::order_number);
        let external_id = Some(names.external_id.as_str()).filter(given).map(Word::external_id);
        all.extend([number, external_id].into_iter().flatten().map(|word| (word, None)));
    }
    for parcel in details.shipments.iter().map(Arc::as_ref) {
        all.extend(of_parcel(parcel));
    }
    let judged = details.judged.iter().map(|judged| &judged.request);
    for one in details.waiting.iter().chain(judged).map(Arc::as_ref) {
        all.extend(of_return(one));
    }
    all
}

const fn given(text: &&str) -> bool {
    !text.is_empty()
}

fn of_parcel(parcel: &Shipment) -> Vec<(Word, Option<Uuid>)> {
    let reference = Some(parcel.reference.as_str()).filter(given).map(Word::shipment_reference);
    let tracking = Some(parcel.tracking()).filter(given).map(Word::tracking);
    let words = [Some(Word::shipment(parcel.shipment_id)), reference, tracking];
    let part = Some(parcel.shipment_id.uuid());
    words.into_iter().flatten().map(|word| (word, part)).collect()
}

fn of_return(one: &Return) -> Vec<(Word, Option<Uuid>)> {
    let reference = Some(one.reference.as_str()).filter(given).map(Word::return_reference);
    let words = [Some(Word::returned(one.return_id)), reference];
    let part = Some(one.return_id.uuid());
    words.into_iter().flatten().map(|word| (word, part)).collect()
}

impl Row {
    pub(super) fn of(
        order_id: OrderId,
        (word, part): &(Word, Option<Uuid>),
        version: u64,
        keys: &Fingerprints,
    ) -> Self {
        let part = part.map(|part| part.to_string()).unwrap_or_default();
        Self { order_id, name: word.stored(keys).into_owned(), part, version }
    }
}

pub(super) fn order_of(row: &AnyRow) -> Result<OrderId, DatabaseError> {
    let text: String = row.try_get("order_id")?;
    OrderId::recorded(&text).map_err(|_| DatabaseError::Corrupt("order of an identifier"))
}

pub(super) fn identifier(row: &AnyRow) -> Result<Identifier, DatabaseError> {
    let (name, part): (String, String) = (row.try_get("name")?, row.try_get("part")?);
    let kind = name.split_once(':').map(|(kind, _)| kind);
    let named = Named::ALL.into_iter().find(|named| Some(named.code()) == kind);
    let part = Some(part.as_str()).filter(given).map(Uuid::try_parse).transpose();
    let part = part.map_err(|_| DatabaseError::Corrupt("part of an identifier"))?;
    Ok(Identifier {
        order_id: order_of(row)?,
        named: named.ok_or(DatabaseError::Corrupt("kind of an identifier"))?,
        part,
        name,
    })
}
