use redis::Value;
use serde::Deserialize;

use crate::contract::{Fact, Mark, Timestamp};

/// The field that holds the fact, in CloudEvents' JSON format.
pub(super) const FACT: &str = "fact";
/// The field that holds the position of the fact before it in its shard.
pub(super) const PREV: &str = "prev";
/// The field that holds the mark of that position, where it is known.
pub(super) const PREV_MARK: &str = "prevmark";

/// An entry of a stream: a fact, with the position of the fact before it in its shard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) fact: Fact,
    pub(super) prev: u64,
    pub(super) prev_mark: Option<Mark>,
}

/// The id of an entry: the position and index of its fact.
pub(super) fn id(position: u64, index: u16) -> String {
    format!("{position}-{index}")
}

/// Position and index of an entry; none where the id is not one of ours.
pub(super) fn place(id: &str) -> Option<(u64, u16)> {
    let (position, index) = id.split_once('-')?;
    Some((position.parse().ok()?, index.parse().ok()?))
}

/// Parses an entry from its fields; additional fields are ignored.
pub(super) fn read(id: &str, fields: &[(&str, &str)]) -> Result<Entry, String> {
    let place = place(id).ok_or("its id is not a position")?;
    let field = |name: &str| {
        let found = fields.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| *text).ok_or_else(|| format!("it has no {name}"))
    };
    let prev = field(PREV)?.parse().map_err(|_| format!("its {PREV} is not a position"))?;
    // Entries from before there were marks have none.
    let prev_mark = match field(PREV_MARK) {
        Err(_) | Ok("") => None,
        Ok(mark) => Some(mark.parse().map_err(|_| format!("its {PREV_MARK} is not a mark"))?),
    };
    let fact = Fact::from_json(field(FACT)?).map_err(|error| error.to_string())?;
    if (fact.position, fact.index) != place {
        return Err(format!("its fact is of {}", self::id(fact.position, fact.index)));
    }
    Ok(Entry { fact, prev, prev_mark })
}

/// When a fact happened, without parsing all of it.
pub(super) fn time(fact: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Happened {
        time: Timestamp,
    }
    serde_json::from_str(fact).ok().map(|Happened { time }| time)
}

/// The streams of a reply to XREAD, each with its key and the argument for [`entries`]; none where
/// Redis answered something else.
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

/// The entries of a stream, each with its id and its fields, as XREAD and XRANGE return them.
/// Fields that are not text are ignored.
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
    use crate::contract::{FactBody, FactId, InventoryFact, OrderId, Origin, Timestamp};

    fn entry() -> Entry {
        let order_id: OrderId = "018f6f3e-0000-7000-8000-00000000000a".parse().unwrap();
        let reservation_id = "018f6f3e-0000-7000-8000-00000000000b".parse().unwrap();
        let (lines, backordered) = (Vec::new(), Vec::new());
        let body = InventoryFact::Reserved { order_id, reservation_id, lines, backordered };
        let (id, time) = (
            FactId::at(Origin::Inventory, 3, 17, 1),
            Timestamp::from_micros(1_800_000_000_123_456),
        );
        let fact = Fact::new(id, (3, 17, 1), 42, time, FactBody::Inventory(body))
            .caused(Some("say \"why\"".to_owned()), None);
        Entry { fact, prev: 12, prev_mark: Some(Mark::from_bits(7)) }
    }

    fn reply(fields: &[(&str, &str)]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
        let entries = Value::Array(vec![Value::Array(vec![text("17-1"), Value::Array(fields)])]);
        Value::Array(vec![Value::Array(vec![text("stream"), entries])])
    }

    #[test]
    fn a_fact_survives_a_stream_entry() {
        let entry = entry();
        let mark = entry.prev_mark.unwrap().to_string();
        let reply =
            reply(&[(PREV, "12"), (PREV_MARK, &mark), (FACT, &entry.fact.to_json().unwrap())]);
        let streams = streams(&reply).unwrap();
        let [(key, there)] = streams.as_slice() else { panic!("{streams:?}") };
        let there = entries(there).unwrap();
        assert_eq!((*key, there.len()), ("stream", 1));
        assert_eq!(read(there[0].0, &there[0].1), Ok(entry));
    }

    #[test]
    fn resp3_replies_are_read() {
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
    fn an_empty_reply_has_no_streams_and_an_unknown_one_is_refused() {
        assert_eq!(streams(&Value::Nil), Some(Vec::new()));
        assert_eq!(streams(&Value::Int(7)), None);
        assert_eq!(entries(&Value::Array(vec![Value::Int(7)])), None);
    }

    /// A reader logs why an entry is refused, and what does not fit may be what a person wrote.
    #[test]
    fn an_entry_is_refused_without_its_values() {
        let good = include_str!("../../../tests/golden/order.created.v1.json");
        assert!(read("17-0", &[(PREV, "16"), (FACT, good)]).is_ok());
        let contact = r#"{"email":"ada@example.org","phone":"+442071838750","locale":"en-GB"}"#;
        let word = r#""MARKER""#;
        let cases = [(contact, word, true), ("1530", word, true), ("17,", "17,!", false)];
        for (what, marker, in_data) in cases {
            let bad = good.replace(what, marker);
            assert_ne!(bad, good, "{what}");
            let refused = read("17-0", &[(PREV, "16"), (FACT, &bad)]).unwrap_err();
            let place = "not a known fact: it does not fit at line 1 column ";
            assert!(refused.starts_with(place) && !refused.contains("MARKER"), "{refused}");
            assert_eq!(refused.ends_with(" in its data"), in_data, "{refused}");
            // Nor where it is read as part of something else.
            let refused = serde_json::from_str::<Fact>(&bad).unwrap_err().to_string();
            assert!(!refused.contains("MARKER"), "{refused}");
        }
    }

    #[test]
    fn an_entry_that_is_not_a_fact_is_refused() {
        let good = entry().fact.to_json().unwrap();
        fn fields(fact: &str) -> [(&str, &str); 3] {
            [("added", "by others"), (PREV, "12"), (FACT, fact)]
        }
        assert_eq!(read("17-1", &fields(&good)).unwrap().prev_mark, None);
        let bad_mark = [(PREV, "12"), (PREV_MARK, "7"), (FACT, good.as_str())];
        assert_eq!(read("17-1", &bad_mark), Err(format!("its {PREV_MARK} is not a mark")));
        for elsewhere in ["17", "x-1", "18-1", "17-0"] {
            assert!(read(elsewhere, &fields(&good)).is_err(), "{elsewhere}");
        }
        for missing in [PREV, FACT] {
            let without: Vec<_> =
                fields(&good).into_iter().filter(|(name, _)| *name != missing).collect();
            assert_eq!(read("17-1", &without), Err(format!("it has no {missing}")));
        }
        assert!(read("17-1", &[(PREV, "-1"), (FACT, &good)]).is_err());
        for (what, otherwise) in [
            ("inventory.reserved.v1", "inventory.burnt.v9"),
            ("inventory.reserved.v1", "order.confirmed.v1"),
            (r#""specversion":"1.0""#, r#""specversion":"2.0""#),
            ("/ordinal/inventory", "/ordinal/weather"),
            (r#""sequence":"00000000000000000042""#, r#""sequence":-1"#),
            (r#""sequence":"00000000000000000042""#, r#""sequence":"+42""#),
            (r#""subject""#, r#""about""#),
            (r#""data":{"#, r#""data":["#),
        ] {
            let bad = good.replace(what, otherwise);
            assert_ne!(bad, good, "{what}");
            assert!(read("17-1", &fields(&bad)).is_err(), "{bad}");
        }
    }
}
