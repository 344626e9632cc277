use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::{Redis, RedisError};
use super::entry::{self, place};
use crate::contract::{Fact, Origin, Timestamp};
use crate::metric::table::STREAM_ENTRIES;
use crate::stream::{Scope, Source};

/// Entries checked per call.
const PAGE: u64 = 1_000;
/// The facts that a follower needs are kept no longer than this after its last report.
const ACTIVE_WITHIN: Duration = Duration::from_secs(60);

/// The retention of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Facts in excess of this number are dropped, oldest first.
    pub entries: u64,
    /// Facts older than this are dropped.
    pub age: Duration,
    /// Facts that an active follower has not read yet are kept, but no more than this number.
    pub at_most: u64,
    /// How often streams are shortened.
    pub every: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let (age, every) = (Duration::from_secs(24 * 3600), Duration::from_secs(5));
        Self { entries: 100_000, age, at_most: 1_000_000, every }
    }
}

/// Shortens the streams of the shards in scope until `stop`.
pub async fn retain(
    redis: Redis,
    origin: Origin,
    source: Arc<dyn Source<Fact>>,
    scope: watch::Receiver<Scope>,
    keep: Keep,
    now: impl Fn() -> Timestamp + Send + 'static,
    stop: CancellationToken,
) {
    while tokio::time::timeout(keep.every, stop.cancelled()).await.is_err() {
        let scope = scope.borrow().clone();
        let Ok(heads) = source.heads().await else {
            STREAM_ENTRIES.set([origin.uri()], None);
            continue;
        };
        let mut entries = Some(0_u64);
        for (shard, _) in heads.iter().filter(|(shard, _)| scope.includes(*shard)) {
            let stream = Stream { redis: &redis, origin, shard };
            match stream.trim(keep, now()).await {
                Ok(left) => entries = entries.map(|entries| entries.saturating_add(left)),
                Err(error) => {
                    tracing::debug!(shard, %error, "a stream was not shortened");
                    entries = None;
                    break;
                }
            }
        }
        STREAM_ENTRIES.set([origin.uri()], entries.filter(|_| !scope.is_nothing()));
    }
}

struct Stream<'a> {
    redis: &'a Redis,
    origin: Origin,
    shard: u16,
}

/// An entry's id, and when its fact happened.
type Oldest = (String, Option<Timestamp>);

fn too_old((_, time): &Oldest, keep: Keep, now: Timestamp) -> bool {
    time.is_some_and(|time| now.since(time) > keep.age)
}

impl Stream<'_> {
    fn key(&self) -> String {
        self.redis.stream(self.origin, self.shard)
    }

    /// The first entries.
    async fn oldest(&self, count: u64) -> Result<Vec<Oldest>, RedisError> {
        let mut oldest = redis::cmd("XRANGE");
        oldest.arg(self.key()).arg("-").arg("+").arg("COUNT").arg(count);
        let entries: Vec<(String, HashMap<String, String>)> = self.redis.query(&oldest).await?;
        let time = |fields: &HashMap<String, String>| entry::time(fields.get(entry::FACT)?);
        Ok(entries.into_iter().map(|(id, fields)| (id, time(&fields))).collect())
    }

    /// Drops entries that are too many or too old, except those that an active follower still
    /// needs, unless there are far too many. Returns how many there were when it looked last.
    async fn trim(&self, keep: Keep, now: Timestamp) -> Result<u64, RedisError> {
        loop {
            let length: u64 = self.redis.query(redis::cmd("XLEN").arg(self.key())).await?;
            if length == 0 {
                return Ok(0);
            }
            // Entries are long. Mostly none has to be dropped, and the first one shows it.
            let surplus = length.saturating_sub(keep.entries.min(keep.at_most));
            let aged = self.oldest(1).await?.iter().any(|entry| too_old(entry, keep, now));
            if surplus == 0 && !aged {
                return Ok(length);
            }
            let look_at = if aged { PAGE } else { PAGE.min(surplus + 1) };
            let oldest = self.oldest(look_at).await?;
            let looked = u64::try_from(oldest.len()).unwrap_or(u64::MAX);
            let too_many = length.saturating_sub(keep.entries);
            let too_many_by_far = length.saturating_sub(keep.at_most);
            let needed_after = self.needed_after(now).await?;
            let goes = |(nth, entry): (u64, &Oldest)| {
                let position = place(&entry.0).map_or(0, |(position, _)| position);
                let wanted = needed_after.is_some_and(|after| position > after);
                let too_much = nth < too_many || too_old(entry, keep, now);
                (nth < too_many_by_far) || (too_much && !wanted)
            };
            let going = (0..).zip(&oldest).take_while(|entry| goes(*entry)).count();
            let Some((first_kept, _)) = oldest.get(going).or(oldest.last()) else {
                return Ok(length);
            };
            if going > 0 {
                let mut trim = redis::cmd("XTRIM");
                trim.arg(self.key()).arg("MINID").arg(first_kept);
                self.redis.query::<u64>(&trim).await?;
            }
            if u64::try_from(going).unwrap_or(u64::MAX) < looked || looked < look_at {
                return Ok(length.saturating_sub(u64::try_from(going).unwrap_or(u64::MAX)));
            }
        }
    }

    /// The position up to which every active follower has read; none where there is none.
    async fn needed_after(&self, now: Timestamp) -> Result<Option<u64>, RedisError> {
        let key = self.redis.readers(self.origin, self.shard);
        let readers: HashMap<String, String> =
            self.redis.query(redis::cmd("HGETALL").arg(key)).await?;
        let active = readers.values().filter_map(|report| {
            let (position, millis) = report.split_once(' ')?;
            let at = Timestamp::from_micros(millis.parse::<i64>().ok()?.saturating_mul(1_000));
            (now.since(at) <= ACTIVE_WITHIN).then_some(position.parse::<u64>().ok()?)
        });
        Ok(active.min())
    }
}
