//! Events as `COPY … TO STDOUT (FORMAT binary)` returns them, which for a whole table costs the
//! server and us far less than query rows. The format is that of the PostgreSQL manual, "COPY",
//! "Binary Format": a header, then for each row the number of its fields and each field with its
//! length, all numbers in network byte order; -1 fields at the end.

use shared_events::contract::Timestamp;

use super::types::EPOCH_2000;
use crate::error::JournalError;
use crate::event::{ChainedEvent, EventRef};
use crate::id::{AGGREGATE_TYPE, StreamId};
use crate::store::rows::{impossible, unavailable};

/// The statement that returns the whole table.
pub(crate) const COPY: &str = "
COPY events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
             shard, position, recorded_at, hash) TO STDOUT (FORMAT binary)";

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The fields of a row, as [`COPY`] asks for them.
const FIELDS: u16 = 11;
/// The number of fields that marks the end.
const END: u16 = u16::MAX;

/// An event that was copied, with its hash in the chain.
pub(crate) struct Copied<'a> {
    pub(crate) event: EventRef<'a>,
    pub(crate) hash: [u8; 32],
}

impl Copied<'_> {
    pub(crate) fn to_owned(&self) -> ChainedEvent {
        ChainedEvent { event: self.event.to_owned(), hash: self.hash }
    }
}

/// Parses a copy piece by piece, wherever the pieces are cut.
#[derive(Default)]
pub(crate) struct Rows {
    /// The beginning of a row, or of the header, that is not complete yet.
    rest: Vec<u8>,
    began: bool,
    ended: bool,
}

impl Rows {
    /// Parses the next piece of the copy; every complete row goes to `each`.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where a row is not an event, [`JournalError::Unavailable`] where
    /// the server deviates from the manual.
    pub(crate) fn piece(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&Copied<'_>),
    ) -> Result<(), JournalError> {
        self.rest.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.rest);
        let mut here = bytes.as_slice();
        while !self.ended {
            // An incomplete row is parsed again with the next piece.
            let mut row = Row(here);
            let whole = if self.began { self.row(&mut row, &mut each) } else { row.header() };
            match whole {
                Ok(()) => self.began = true,
                Err(Cut::Short) => break,
                Err(Cut::Wrong(error)) => return Err(error),
            }
            here = row.0;
        }
        self.rest = here.to_vec();
        Ok(())
    }

    fn row(&mut self, row: &mut Row<'_>, each: &mut impl FnMut(&Copied<'_>)) -> Result<(), Cut> {
        match u16::from_be_bytes(row.array()?) {
            END => self.ended = true,
            FIELDS => {
                if let Some(copied) = row.event()? {
                    each(&copied);
                }
            }
            fields => {
                return Err(Cut::Wrong(unavailable(format!("a copied row of {fields} fields"))));
            }
        }
        Ok(())
    }
}

/// Why something could not be parsed.
enum Cut {
    /// The data is incomplete.
    Short,
    Wrong(JournalError),
}

fn wrong(what: &str) -> Cut {
    Cut::Wrong(impossible(what))
}

struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Cut> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Cut::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        self.take(N)?.try_into().map_err(|_| Cut::Short)
    }

    /// The length of the next field; NULL, which does not occur here, has a negative one.
    fn length(&mut self) -> Result<usize, Cut> {
        usize::try_from(i32::from_be_bytes(self.array()?)).map_err(|_| wrong("NULL"))
    }

    fn header(&mut self) -> Result<(), Cut> {
        if self.take(SIGNATURE.len())? != SIGNATURE {
            return Err(Cut::Wrong(unavailable("not a binary copy")));
        }
        let _flags: [u8; 4] = self.array()?;
        let extension = self.length()?;
        self.take(extension)?;
        Ok(())
    }

    fn field(&mut self) -> Result<&'a [u8], Cut> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self, what: &str) -> Result<&'a str, Cut> {
        std::str::from_utf8(self.field()?).map_err(|_| wrong(what))
    }

    fn fixed<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Cut> {
        self.field()?.try_into().map_err(|_| wrong(what))
    }

    fn count(&mut self, what: &str) -> Result<u64, Cut> {
        let count = i64::from_be_bytes(self.fixed(what)?);
        u64::try_from(count).map_err(|_| wrong(what))
    }

    /// None where it belongs to another aggregate type.
    fn event(&mut self) -> Result<Option<Copied<'a>>, Cut> {
        if self.field()? != AGGREGATE_TYPE.as_bytes() {
            for _ in 1..FIELDS {
                self.field()?;
            }
            return Ok(None);
        }
        let stream_id = StreamId::recorded(self.text("order id")?);
        let sequence = self.count("sequence")?;
        let (event_type, event_version) = (self.text("event type")?, self.text("event version")?);
        let (payload, metadata) = (self.text("payload")?, self.text("metadata")?);
        let shard = i32::from_be_bytes(self.fixed("shard")?);
        let position = self.count("position")?;
        let since_2000 = i64::from_be_bytes(self.fixed("instant")?);
        let hash = self.fixed("hash")?;
        let event = EventRef {
            stream_id: stream_id.map_err(|_| wrong("order id"))?,
            sequence,
            shard: u16::try_from(shard).map_err(|_| wrong("shard"))?,
            position,
            recorded_at: Timestamp::from_micros(since_2000.saturating_add(EPOCH_2000)),
            event_type,
            event_version,
            payload,
            metadata,
        };
        Ok(Some(Copied { event, hash }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(aggregate: &str, stream_id: &str, sequence: i64) -> Vec<u8> {
        let fields: [&[u8]; FIELDS as usize] = [
            aggregate.as_bytes(),
            stream_id.as_bytes(),
            &sequence.to_be_bytes(),
            b"OrderPlaced",
            b"1",
            br#"{"a":1}"#,
            b"{}",
            &3_i32.to_be_bytes(),
            &7_i64.to_be_bytes(),
            &(-1_i64).to_be_bytes(),
            &[9; 32],
        ];
        let mut row = FIELDS.to_be_bytes().to_vec();
        for field in fields {
            row.extend(i32::try_from(field.len()).unwrap().to_be_bytes());
            row.extend(field);
        }
        row
    }

    fn copy(rows: &[Vec<u8>]) -> Vec<u8> {
        [[SIGNATURE, &[0; 8]].concat(), rows.concat(), END.to_be_bytes().to_vec()].concat()
    }

    const ID: &str = "018f2f5e-0000-7000-8000-000000000001";

    #[test]
    fn copied_rows_are_parsed_wherever_they_are_cut() {
        let copied = copy(&[row("order", ID, 1), row("basket", "7", 1), row("order", ID, 2)]);
        for size in 1..=copied.len() {
            let (mut rows, mut events) = (Rows::default(), Vec::new());
            for piece in copied.chunks(size) {
                assert!(!rows.ended);
                rows.piece(piece, |copied| events.push(copied.to_owned())).unwrap();
            }
            assert!(rows.ended);
            let sequences: Vec<u64> = events.iter().map(|chained| chained.event.sequence).collect();
            assert_eq!(sequences, [1, 2]);
            let ChainedEvent { event, hash } = &events[0];
            assert_eq!((event.stream_id.to_string().as_str(), hash), (ID, &[9; 32]));
            assert_eq!((event.shard, event.position, event.payload.as_str()), (3, 7, r#"{"a":1}"#));
            assert_eq!(event.recorded_at.to_string(), "1999-12-31T23:59:59.999999Z");
        }
    }

    #[test]
    fn a_copy_with_an_invalid_row_or_header_is_refused() {
        for row in [row("order", "nobody", 1), row("order", ID, -1)] {
            let broken = Rows::default().piece(&copy(&[row]), |_| ());
            assert!(matches!(broken, Err(JournalError::Broken { .. })));
        }
        let none = Rows::default().piece(b"order\t1\tOrderPlaced\n", |_| ());
        assert!(matches!(none, Err(JournalError::Unavailable(_))));
    }
}
