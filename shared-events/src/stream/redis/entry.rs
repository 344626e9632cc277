use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::contract::{Fact, FactError};

/// Attributes that are numbers in JSON; in a stream everything is text.
const NUMBERS: [&str; 2] = ["sequence", "shard"];

/// A fact as it stands in a stream, with the position of the fact before it in its shard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) fact: Fact,
    pub(super) prev: u64,
}

/// The id of an entry: where its fact stands.
pub(super) fn id(position: u64, index: u16) -> String {
    format!("{position}-{index}")
}

/// Position and index of an entry; None where the id is none of ours.
pub(super) fn place(id: &str) -> Option<(u64, u16)> {
    let (position, index) = id.split_once('-')?;
    Some((position.parse().ok()?, index.parse().ok()?))
}

/// CloudEvents attributes by name, `data` as JSON, and `prev`. Position and index are the id.
pub(super) fn fields(fact: &Fact, prev: u64) -> Result<Vec<(String, String)>, FactError> {
    let order = fact.subject.to_string();
    let mut fields = vec![
        ("datacontenttype".to_owned(), "application/json".to_owned()),
        ("partitionkey".to_owned(), order.clone()),
        ("correlationid".to_owned(), order),
        ("prev".to_owned(), prev.to_string()),
    ];
    if let Value::Object(attributes) = serde_json::to_value(fact)? {
        for (name, value) in attributes {
            if matches!(name.as_str(), "position" | "index") {
                continue;
            }
            fields.push(match value {
                Value::String(text) => (name, text),
                other => (name, other.to_string()),
            });
        }
    }
    Ok(fields)
}

/// What [`fields`] made.
pub(super) fn read(id: &str, fields: &HashMap<String, String>) -> Result<Entry, String> {
    let (position, index) = place(id).ok_or("its id is no position")?;
    let prev = fields.get("prev").and_then(|prev| prev.parse().ok()).ok_or("it has no prev")?;
    let mut json = Map::new();
    json.insert("position".to_owned(), position.into());
    json.insert("index".to_owned(), index.into());
    for (name, text) in fields {
        let value = match name.as_str() {
            "data" => serde_json::from_str(text).map_err(|error| error.to_string())?,
            name if NUMBERS.contains(&name) => {
                Value::from(text.parse::<u64>().map_err(|error| error.to_string())?)
            }
            "prev" | "datacontenttype" | "partitionkey" | "correlationid" => continue,
            _ => Value::String(text.clone()),
        };
        json.insert(name.clone(), value);
    }
    let fact = serde_json::from_value(Value::Object(json)).map_err(|error| error.to_string())?;
    Ok(Entry { fact, prev })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{
        FactBody, FactId, FactSource, InventoryFact, OrderId, SpecVersion, Timestamp,
    };

    fn entry() -> Entry {
        let order_id: OrderId = "018f6f3e-0000-7000-8000-00000000000a".parse().unwrap();
        let reservation_id = "018f6f3e-0000-7000-8000-00000000000b".parse().unwrap();
        let fact = Fact {
            specversion: SpecVersion::V1,
            id: FactId::at(FactSource::Inventory, 3, 17, 1),
            source: FactSource::Inventory,
            time: Timestamp::from_micros(1_800_000_000_123_456),
            subject: order_id,
            sequence: 42,
            shard: 3,
            position: 17,
            index: 1,
            causationid: Some("say \"why\"".to_owned()),
            traceparent: None,
            body: FactBody::Inventory(InventoryFact::Reserved {
                order_id,
                reservation_id,
                lines: Vec::new(),
            }),
        };
        Entry { fact, prev: 12 }
    }

    #[test]
    fn a_fact_comes_out_of_a_stream_as_it_went_in() {
        let entry = entry();
        let fields: HashMap<String, String> =
            fields(&entry.fact, entry.prev).unwrap().into_iter().collect();
        assert_eq!(fields["type"], "inventory.reserved.v1");
        assert_eq!(fields["partitionkey"], "018f6f3e-0000-7000-8000-00000000000a");
        assert_eq!(fields["sequence"], "42");
        assert!(!fields.contains_key("position"), "that is the id");
        assert_eq!(read(&id(17, 1), &fields), Ok(entry));
    }

    #[test]
    fn what_is_no_fact_is_refused() {
        let Entry { fact, prev } = entry();
        let good: HashMap<String, String> = fields(&fact, prev).unwrap().into_iter().collect();
        assert!(read("17", &good).is_err());
        assert!(read("x-1", &good).is_err());
        for missing in ["prev", "data", "type", "id", "sequence", "shard"] {
            let mut fields = good.clone();
            fields.remove(missing);
            assert!(read("17-1", &fields).is_err(), "{missing}");
        }
        let mut fields = good;
        fields.insert("type".to_owned(), "inventory.burnt.v9".to_owned());
        assert!(read("17-1", &fields).is_err());
    }
}
