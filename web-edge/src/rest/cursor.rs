use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::bytes::{Buf as _, BufMut as _};
use prost::encoding::{decode_varint, encode_varint};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

/// More than the shards of any log.
const SHARDS_MAX: usize = 2_048;
/// Written first, so that another form can be told from it.
const FORM: u8 = 1;

/// Positions of a stream, one for each shard: what a client sends to continue after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor(BTreeMap<u32, Place>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    position: u64,
    /// Identifies what is there, if it is known.
    mark: Option<u64>,
}

impl Cursor {
    /// From its text, or from one position as people write it: `SHARD:POSITION`, perhaps with
    /// `:MARK`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return one(text).ok_or_else(|| "not SHARD:POSITION, such as 0:17".to_owned());
        }
        decode(text).ok_or_else(|| "no cursor that a stream has given".to_owned())
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut bytes = vec![FORM];
        for (shard, Place { position, mark }) in &self.0 {
            // The lowest bit says whether a mark follows.
            encode_varint(u64::from(*shard) << 1 | u64::from(mark.is_some()), &mut bytes);
            encode_varint(*position, &mut bytes);
            if let Some(mark) = mark {
                bytes.put_u64(*mark);
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// As positions in the JSON of a request.
    pub(crate) fn to_json(&self) -> Vec<Value> {
        let place = |(shard, Place { position, mark }): (&u32, &Place)| {
            let mut json = json!({ "shard": shard, "position": position });
            if let Some(mark) = mark {
                json["mark"] = Value::from(*mark);
            }
            json
        };
        self.0.iter().map(place).collect()
    }

    /// Moves to a position that a stream has reached.
    pub(crate) fn reach(&mut self, position: &DynamicMessage) {
        let number = |name: &str| {
            let value = position.get_field_by_name(name);
            value.and_then(|value| value.as_u64().or(value.as_u32().map(u64::from)))
        };
        let shard = number("shard").and_then(|shard| u32::try_from(shard).ok());
        let (Some(shard), Some(at)) = (shard, number("position")) else { return };
        let mark = number("mark").filter(|_| position.has_field_by_name("mark"));
        if self.0.len() < SHARDS_MAX || self.0.contains_key(&shard) {
            self.0.insert(shard, Place { position: at, mark });
        }
    }
}

fn one(text: &str) -> Option<Cursor> {
    let mut parts = text.split(':');
    let shard = parts.next()?.parse().ok()?;
    let position = parts.next()?.parse().ok()?;
    let mark = match parts.next() {
        Some(mark) => Some(mark.parse().ok()?),
        None => None,
    };
    let complete = parts.next().is_none();
    complete.then(|| Cursor(BTreeMap::from([(shard, Place { position, mark })])))
}

fn decode(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (form, mut rest) = bytes.split_first()?;
    let mut places = BTreeMap::new();
    while *form == FORM && !rest.is_empty() && places.len() < SHARDS_MAX {
        let first = decode_varint(&mut rest).ok()?;
        let shard = u32::try_from(first >> 1).ok()?;
        let position = decode_varint(&mut rest).ok()?;
        let mark = match first & 1 {
            0 => None,
            _ if rest.len() >= 8 => Some(rest.get_u64()),
            _ => return None,
        };
        places.insert(shard, Place { position, mark });
    }
    (*form == FORM && rest.is_empty()).then_some(Cursor(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let places = [(0, 0, None), (3, u64::MAX, Some(7)), (1_023, 300, Some(u64::MAX))];
        let places = places.map(|(shard, position, mark)| (shard, Place { position, mark }));
        let cursor = Cursor(places.into_iter().collect());
        assert_eq!(Cursor::read(&cursor.text()).unwrap(), cursor);
        assert_eq!(Cursor::read(&Cursor::default().text()).unwrap(), Cursor::default());
        let sixteen = (0..16).map(|shard| (shard, Place { position: 1_000_000, mark: None }));
        assert!(Cursor(sixteen.collect()).text().len() < 90);
    }

    #[test]
    fn people_write_one_position() {
        let cursor = Cursor::read("3:17").unwrap();
        assert_eq!(cursor.to_json(), [json!({ "shard": 3, "position": 17 })]);
        let with_mark = Cursor::read("0:1:9").unwrap();
        assert_eq!(with_mark.to_json(), [json!({ "shard": 0, "position": 1, "mark": 9 })]);
        for wrong in ["", "x", "1:", ":1", "1:2:3:4", "-1:2", "AQ==", "Ag", "AQE", "AQEB"] {
            assert!(Cursor::read(wrong).is_err(), "{wrong}");
        }
    }
}
