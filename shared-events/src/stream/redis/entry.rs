use std::borrow::Cow;

use redis::Value;

use crate::contract::{Fact, FactBody, FactError, FactSource, SpecVersion};

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
pub(super) fn fields(
    fact: &Fact,
    prev: u64,
) -> Result<Vec<(&'static str, Cow<'_, str>)>, FactError> {
    let order = fact.subject.to_string();
    let SpecVersion::V1 = fact.specversion;
    let mut fields = vec![
        ("specversion", "1.0".into()),
        ("id", fact.id.to_string().into()),
        ("source", fact.source.uri().into()),
        ("type", fact.body.kind().into()),
        ("subject", order.clone().into()),
        ("time", fact.time.to_string().into()),
        ("datacontenttype", "application/json".into()),
        ("partitionkey", order.clone().into()),
        ("correlationid", order.into()),
        ("sequence", fact.sequence.to_string().into()),
        ("shard", fact.shard.to_string().into()),
        ("prev", prev.to_string().into()),
        ("data", fact.body.data()?.into()),
    ];
    let known = [("causationid", &fact.causationid), ("traceparent", &fact.traceparent)];
    fields
        .extend(known.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?.into()))));
    Ok(fields)
}

/// What [`fields`] made, with whatever others have added.
pub(super) fn read(id: &str, fields: &[(&str, &str)]) -> Result<Entry, String> {
    let (position, index) = place(id).ok_or("its id is no position")?;
    let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let needed = |name: &str| field(name).ok_or_else(|| format!("it has no {name}"));
    let prev = needed("prev")?.parse().map_err(|_| "it has no prev")?;
    let wrong = |name: &'static str| move |_| format!("its {name} is none");
    if needed("specversion")? != "1.0" {
        return Err("its specversion is unknown".to_owned());
    }
    let source = needed("source")?;
    let source = FactSource::ALL.into_iter().find(|known| known.uri() == source);
    let source = source.ok_or("its source is unknown")?;
    let body = FactBody::read(source, needed("type")?, needed("data")?);
    let fact = Fact {
        specversion: SpecVersion::V1,
        id: needed("id")?.parse().map_err(|_| "its id is none")?,
        source,
        time: needed("time")?.parse().map_err(|_| "its time is none")?,
        subject: needed("subject")?.parse().map_err(|_| "its subject is no order")?,
        sequence: needed("sequence")?.parse().map_err(wrong("sequence"))?,
        shard: needed("shard")?.parse().map_err(wrong("shard"))?,
        position,
        index,
        causationid: field("causationid").map(str::to_owned),
        traceparent: field("traceparent").map(str::to_owned),
        body: body.map_err(|error| error.to_string())?,
    };
    Ok(Entry { fact, prev })
}

/// The streams of a reply to XREAD, each with its key and what [`entries`] takes; none where Redis
/// answered something else.
pub(super) fn streams(reply: &Value) -> Option<Vec<(&str, &Value)>> {
    if let Value::Map(streams) = reply {
        // RESP3
        return streams.iter().map(|(key, entries)| Some((text(key)?, entries))).collect();
    }
    let mut streams = Vec::new();
    for stream in reply.as_sequence()? {
        let [key, entries] = stream.as_sequence()? else { return None };
        streams.push((text(key)?, entries));
    }
    Some(streams)
}

/// Name and text of each field of an entry.
type Fields<'a> = Vec<(&'a str, &'a str)>;

/// The entries of a stream, each with its id and its fields, as XREAD and XRANGE give them. Fields that
/// are no text are none of ours.
pub(super) fn entries(reply: &Value) -> Option<Vec<(&str, Fields<'_>)>> {
    let mut entries = Vec::new();
    for entry in reply.as_sequence()? {
        let [id, fields] = entry.as_sequence()? else { return None };
        let fields = fields.as_map_iter()?;
        let fields = fields.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        entries.push((text(id)?, fields.collect()));
    }
    Some(entries)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
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

    fn reply(fields: &[(&str, &str)]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        let entries = Value::Array(vec![Value::Array(vec![text("17-1"), Value::Array(fields)])]);
        Value::Array(vec![Value::Array(vec![text("stream"), entries])])
    }

    #[test]
    fn a_fact_comes_out_of_a_stream_as_it_went_in() {
        let entry = entry();
        let made = fields(&entry.fact, entry.prev).unwrap();
        let made: Vec<(&str, &str)> = made.iter().map(|(name, text)| (*name, &**text)).collect();
        for (name, text) in [
            ("type", "inventory.reserved.v1"),
            ("partitionkey", "018f6f3e-0000-7000-8000-00000000000a"),
            ("sequence", "42"),
        ] {
            assert!(made.contains(&(name, text)), "{name}");
        }
        assert!(!made.iter().any(|(name, _)| *name == "position"), "that is the id");
        let reply = reply(&made);
        let streams = streams(&reply).unwrap();
        let [(key, there)] = streams.as_slice() else { panic!("{streams:?}") };
        let there = entries(there).unwrap();
        assert_eq!((*key, there.len()), ("stream", 1));
        assert_eq!(read(there[0].0, &there[0].1), Ok(entry));
    }

    #[test]
    fn the_newer_protocol_names_streams_in_a_map() {
        let Value::Array(older) = reply(&[("prev", "1")]) else { panic!("no array") };
        let pairs = older.iter().map(|stream| {
            let [key, entries] = stream.as_sequence().unwrap() else { panic!("{stream:?}") };
            (key.clone(), entries.clone())
        });
        let (newer, older) = (Value::Map(pairs.collect()), Value::Array(older.clone()));
        assert_eq!(streams(&newer), streams(&older));
        assert_eq!(streams(&newer).map(|streams| streams.len()), Some(1));
    }

    #[test]
    fn a_reply_without_streams_has_none_and_another_reply_is_no_reply() {
        assert_eq!(streams(&Value::Nil), Some(Vec::new()));
        assert_eq!(streams(&Value::Int(7)), None);
        assert_eq!(entries(&Value::Array(vec![Value::Int(7)])), None);
    }

    #[test]
    fn what_is_no_fact_is_refused() {
        let Entry { fact, prev } = entry();
        let made = fields(&fact, prev).unwrap();
        let good: Vec<(&str, &str)> = made.iter().map(|(name, text)| (*name, &**text)).collect();
        assert!(read("17", &good).is_err());
        assert!(read("x-1", &good).is_err());
        let without = |name: &str| -> Vec<(&str, &str)> {
            good.iter().copied().filter(|(known, _)| *known != name).collect()
        };
        for (missing, _) in &good {
            // What repeats others need not be there.
            let repeats = ["datacontenttype", "partitionkey", "correlationid", "causationid"];
            let refused = read("17-1", &without(missing)).is_err();
            assert_eq!(refused, !repeats.contains(missing), "{missing}");
        }
        for (name, text) in [
            ("type", "inventory.burnt.v9"),
            ("type", "order.confirmed.v1"),
            ("data", "{"),
            ("data", r#"{},"data":{}"#),
            ("specversion", "2.0"),
            ("source", "/ordinal/weather"),
            ("sequence", "-1"),
        ] {
            let mut fields = without(name);
            fields.push((name, text));
            assert!(read("17-1", &fields).is_err(), "{name} {text}");
        }
    }
}
