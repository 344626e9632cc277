use std::collections::HashMap;

use super::connection::{Redis, RedisError};
use super::entry::{self, Entry};
use crate::contract::{Fact, Mark, Origin};
use crate::stream::Cursors;

/// Why the streams cannot provide the next entries.
pub(super) enum StreamError {
    Gap {
        shard: u16,
        after: u64,
        next: u64,
    },
    /// The stream continues from another item than the one that the reader saw there.
    Forked {
        shard: u16,
        position: u64,
    },
    Redis(RedisError),
}

impl From<RedisError> for StreamError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// A page of a stream, from the first entry after an id on: each fact with the position that its
/// entry names as the one before.
///
/// # Errors
/// [`RedisError`] where Redis does not answer, or an entry is not a fact.
pub async fn page(
    redis: &Redis,
    origin: Origin,
    shard: u16,
    behind: Option<&Fact>,
    count: u32,
) -> Result<Vec<(Fact, u64)>, RedisError> {
    let key = redis.stream(origin, shard);
    let from = match behind {
        Some(fact) => format!("({}", entry::id(fact.position, fact.index)),
        None => "-".to_owned(),
    };
    let mut range = redis::cmd("XRANGE");
    range.arg(&key).arg(from).arg("+").arg("COUNT").arg(count);
    let found: redis::Value = redis.query(&range).await?;
    let entries = facts(&key, &found)?;
    Ok(entries.into_iter().map(|entry| (entry.fact, entry.prev)).collect())
}

/// The entries of the stream with this key.
pub(super) fn facts(key: &str, stream: &redis::Value) -> Result<Vec<Entry>, RedisError> {
    let of = |detail| RedisError::Entry { key: key.to_owned(), detail };
    let entries = entry::entries(stream).ok_or_else(no_reply)?;
    entries.iter().map(|(id, fields)| entry::read(id, fields).map_err(of)).collect()
}

pub(super) fn no_reply() -> RedisError {
    RedisError::Server((redis::ErrorKind::UnexpectedReturnType, "no reply of a stream").into())
}

/// Checks that each entry follows the one before it, and the first one the cursor.
pub(super) fn chained(entries: &[Entry], after: &Cursors) -> Result<(), StreamError> {
    let mut at: HashMap<u16, (u64, Option<Mark>)> = HashMap::new();
    for Entry { fact, prev, prev_mark } in entries {
        let shard = fact.shard;
        let (here, mark) = at.entry(shard).or_insert_with(|| (after.get(shard), after.mark(shard)));
        let differ = mark.zip(*prev_mark).is_some_and(|(mark, prev_mark)| mark != prev_mark);
        if *prev == *here && differ {
            return Err(StreamError::Forked { shard, position: *here });
        }
        if *prev > *here && fact.position != *here {
            return Err(StreamError::Gap { shard, after: *here, next: fact.position });
        }
        if fact.position != *here {
            // A position has the mark of its first fact.
            (*here, *mark) = (fact.position, fact.mark());
        }
    }
    Ok(())
}
