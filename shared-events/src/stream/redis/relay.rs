use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;
use tokio::time::Instant;

use super::connection::{Redis, RedisError};
use super::entry;
use crate::contract::{Fact, FactSource as Promiser};
use crate::stream::{Batch, Blame, Cursors, Scope, Sink, Source, SourceError};

/// Appends entries behind the id that the stream must end with, all or none; otherwise says with
/// what it does end. Where the last entry has that id nothing else need be asked.
const APPEND: &str = r"
    local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if not entry or entry[1] ~= ARGV[1] then
        local last = '0-0'
        if redis.call('EXISTS', KEYS[1]) == 1 then
            local info = redis.call('XINFO', 'STREAM', KEYS[1])
            for i = 1, #info, 2 do
                if info[i] == 'last-generated-id' then last = info[i + 1] end
            end
        end
        if last ~= ARGV[1] then return last end
    end
    for i = 4, #ARGV, 3 do
        redis.call('XADD', KEYS[1], ARGV[i], ARGV[2], ARGV[i + 1], ARGV[3], ARGV[i + 2])
    end
    return 'appended'
";

/// The id of a stream that holds and held nothing.
const EMPTY: &str = "0-0";
/// Bytes of one call, and of calls that go together, about; a stream takes no call half.
const CALL_BYTES: usize = 1024 * 1024;
/// How often it is looked whether the streams are still as they were left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Puts facts into the streams of their shards. Where a relay was killed the next one goes on
/// behind the last id; two at once do no harm, because each append names the id that it follows.
pub struct Relay {
    redis: Redis,
    promiser: Promiser,
    source: Arc<dyn Source<Fact>>,
    refill: u64,
    /// Where the streams stood when they were last seen.
    at: Cursors,
    last_ids: BTreeMap<u16, String>,
    looked: Instant,
}

impl Relay {
    /// Of what this service promises. A stream that is found empty is filled with the last
    /// `refill` positions of its shard; readers that need more have the source.
    #[must_use]
    pub fn new(
        redis: Redis,
        promiser: Promiser,
        source: Arc<dyn Source<Fact>>,
        refill: u64,
    ) -> Self {
        let (at, last_ids, looked) = (Cursors::default(), BTreeMap::new(), Instant::now());
        Self { redis, promiser, source, refill, at, last_ids, looked }
    }

    /// The ids with which the streams of these shards end.
    async fn last_ids(&self, shards: &[u16]) -> Result<BTreeMap<u16, String>, RedisError> {
        let asked = shards.iter().map(|shard| {
            let mut info = redis::cmd("XINFO");
            info.arg("STREAM").arg(self.redis.stream(self.promiser, *shard));
            info
        });
        let infos = self.redis.all::<HashMap<String, redis::Value>>(asked.collect()).await?;
        let last_id = |info: Result<HashMap<String, redis::Value>, redis::RedisError>| match info {
            Ok(info) => Ok(info
                .get("last-generated-id")
                .and_then(|id| redis::from_redis_value_ref(id).ok())
                .unwrap_or_else(|| EMPTY.to_owned())),
            // The only way in which Redis says that there is no such stream.
            Err(error) if error.detail() == Some("no such key") => Ok(EMPTY.to_owned()),
            Err(error) => Err(RedisError::Server(error)),
        };
        shards.iter().zip(infos).map(|(shard, info)| Ok((*shard, last_id(info)?))).collect()
    }

    /// The streams of these shards as they are.
    async fn look(&mut self, heads: &Cursors, begins_after: &Cursors) -> Result<(), RedisError> {
        let shards: Vec<u16> = heads.iter().map(|(shard, _)| shard).collect();
        let last_ids = self.last_ids(&shards).await?;
        let mut at = Cursors::default();
        for (shard, head) in heads.iter() {
            let position = match last_ids.get(&shard).and_then(|last| entry::place(last)) {
                Some((0, _)) | None => head.saturating_sub(self.refill),
                Some((position, _)) => position,
            };
            // What is archived is passed over; the next entry says so by the one before it.
            let position = position.max(begins_after.get(shard));
            if position > 0 {
                at.advance(shard, position);
            }
        }
        (self.at, self.last_ids, self.looked) = (at, last_ids, Instant::now());
        Ok(())
    }

    /// What appends the facts of one shard.
    fn calls(&self, shard: u16, facts: &[&Fact]) -> Result<Vec<Call>, Blame> {
        let stream = self.redis.stream(self.promiser, shard);
        let behind = self.last_ids.get(&shard).map_or(EMPTY, String::as_str);
        let mut calls = vec![Call::new(&stream, shard, behind)];
        let (mut prev, mut here) = (self.at.get(shard), self.at.get(shard));
        for fact in facts {
            if fact.position != here {
                // A position is never split over two calls.
                if let Some(full) = calls.last().filter(|call| call.bytes >= CALL_BYTES) {
                    calls.push(Call::new(&stream, shard, &full.last));
                }
                (prev, here) = (here, fact.position);
            }
            let json = fact.to_json().map_err(|error| Blame::World(error.to_string()))?;
            if let Some(call) = calls.last_mut() {
                call.entry(entry::id(fact.position, fact.index), prev, &json);
            }
        }
        Ok(calls)
    }

    /// Has them done, in their order.
    async fn invoke(&mut self, calls: Vec<Call>) -> Result<(), Blame> {
        let (ends, cmds): (Vec<_>, Vec<_>) =
            calls.into_iter().map(|call| ((call.shard, call.last), call.cmd)).unzip();
        let said = self.redis.all::<String>(cmds).await?;
        for ((shard, last), said) in ends.into_iter().zip(said) {
            let said = said.map_err(RedisError::Server)?;
            if said != "appended" {
                return Err(Blame::World(format!("the stream of shard {shard} ends with {said}")));
            }
            self.last_ids.insert(shard, last);
        }
        Ok(())
    }
}

/// Entries for one stream.
struct Call {
    shard: u16,
    cmd: Cmd,
    /// With what the stream ends afterwards.
    last: String,
    bytes: usize,
}

impl Call {
    fn new(stream: &str, shard: u16, behind: &str) -> Self {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(APPEND).arg(1).arg(stream).arg(behind).arg(entry::PREV).arg(entry::FACT);
        Self { shard, cmd, last: behind.to_owned(), bytes: 0 }
    }

    fn entry(&mut self, id: String, prev: u64, fact: &str) {
        self.bytes += fact.len();
        self.cmd.arg(&id).arg(prev).arg(fact);
        self.last = id;
    }
}

#[async_trait]
impl Sink<Fact> for Relay {
    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        let away = |error: SourceError| Blame::World(error.to_string());
        let heads = self.source.heads().await.map_err(away)?;
        let begins_after = self.source.begins_after().await.map_err(away)?;
        self.look(&heads, &begins_after).await?;
        Ok(self.at.clone())
    }

    async fn apply(&mut self, batch: &Batch<Fact>) -> Result<(), Blame> {
        let mut by_shard: BTreeMap<u16, Vec<&Fact>> = BTreeMap::new();
        for fact in &batch.items {
            by_shard.entry(fact.shard).or_default().push(fact);
        }
        let (mut calls, mut bytes) = (Vec::new(), 0);
        for (shard, facts) in &by_shard {
            for call in self.calls(*shard, facts)? {
                bytes += call.bytes;
                calls.push(call);
                if bytes >= CALL_BYTES {
                    self.invoke(std::mem::take(&mut calls)).await?;
                    bytes = 0;
                }
            }
        }
        self.invoke(calls).await?;
        for (shard, facts) in by_shard {
            if let Some(last) = facts.last() {
                self.at.advance(shard, last.position);
            }
        }
        Ok(())
    }

    /// Redis may have been emptied, restarted or restored while there was nothing to say.
    async fn retry_parked(&mut self, scope: &Scope) -> Result<bool, Blame> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(false);
        }
        self.looked = Instant::now();
        let shards: Vec<u16> =
            self.last_ids.keys().copied().filter(|shard| scope.includes(*shard)).collect();
        for (shard, last) in self.last_ids(&shards).await? {
            if self.last_ids.get(&shard) != Some(&last) {
                return Err(Blame::World(format!("the stream of shard {shard} was changed")));
            }
        }
        Ok(false)
    }
}

impl From<RedisError> for Blame {
    fn from(error: RedisError) -> Self {
        Self::World(error.to_string())
    }
}
