use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;
use tokio::time::Instant;

use super::connection::{Redis, RedisError};
use super::entry;
use crate::contract::{Fact, Mark, Origin};
use crate::stream::{Batch, Blame, Cursors, History, Scope, Sink, Source, SourceError};

/// Appends entries after the id that the stream must end with, all or none; otherwise returns the
/// id that it does end with. Where the last entry has that id, no other check is needed.
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
    for i = 5, #ARGV, 4 do
        redis.call('XADD', KEYS[1], ARGV[i], ARGV[2], ARGV[i + 1], ARGV[3], ARGV[i + 2],
            ARGV[4], ARGV[i + 3])
    end
    return 'appended'
";

/// The last id of a stream that never held an entry.
const EMPTY: &str = "0-0";
/// Approximate bytes of one call, and of calls sent together; a stream executes a call completely
/// or not at all.
const CALL_BYTES: usize = 1024 * 1024;
/// How often the streams are checked for outside changes.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Publishes facts into the streams of their shards. After a killed relay the next one resumes
/// after the last id; two at the same time do no harm, because each append names the id that it
/// follows.
pub struct Relay {
    redis: Redis,
    origin: Origin,
    source: Arc<dyn Source<Fact>>,
    refill: u64,
    /// The positions of the streams when they were last read.
    at: Cursors,
    last_ids: BTreeMap<u16, String>,
    looked: Instant,
    /// The incarnation of the log that the streams are filled from.
    incarnation: u64,
}

impl Relay {
    /// A relay of this service's facts. A stream that is found empty is filled with the last
    /// `refill` positions of its shard; readers that need more read from the source.
    #[must_use]
    pub fn new(redis: Redis, origin: Origin, source: Arc<dyn Source<Fact>>, refill: u64) -> Self {
        let (at, last_ids, looked) = (Cursors::default(), BTreeMap::new(), Instant::now());
        Self { redis, origin, source, refill, at, last_ids, looked, incarnation: 0 }
    }

    /// The last ids of the streams of these shards.
    async fn last_ids(&self, shards: &[u16]) -> Result<BTreeMap<u16, String>, RedisError> {
        let asked = shards.iter().map(|shard| {
            let mut info = redis::cmd("XINFO");
            info.arg("STREAM").arg(self.redis.stream(self.origin, *shard));
            info
        });
        let infos = self.redis.all::<HashMap<String, redis::Value>>(asked.collect()).await?;
        let last_id = |info: Result<HashMap<String, redis::Value>, redis::RedisError>| match info {
            Ok(info) => Ok(info
                .get("last-generated-id")
                .and_then(|id| redis::from_redis_value_ref(id).ok())
                .unwrap_or_else(|| EMPTY.to_owned())),
            // The only way in which Redis reports a missing stream.
            Err(error) if error.detail() == Some("no such key") => Ok(EMPTY.to_owned()),
            Err(error) => Err(RedisError::Server(error)),
        };
        shards.iter().zip(infos).map(|(shard, info)| Ok((*shard, last_id(info)?))).collect()
    }

    /// The incarnation of the log that these shards' streams are filled from; 0 where it is not
    /// stored.
    async fn incarnations(&self, shards: &[u16]) -> Result<BTreeMap<u16, u64>, RedisError> {
        let asked = shards.iter().map(|shard| {
            let mut get = redis::cmd("GET");
            get.arg(self.redis.incarnation(self.origin, *shard));
            get
        });
        let known = self.redis.all::<Option<u64>>(asked.collect()).await?;
        let known = shards.iter().zip(known);
        known
            .map(|(shard, known)| Ok((*shard, known.map_err(RedisError::Server)?.unwrap_or(0))))
            .collect()
    }

    /// Position and mark of the last entry of these shards' streams, where it has one.
    async fn last_marks(&self, shards: &[u16]) -> Result<BTreeMap<u16, (u64, Mark)>, RedisError> {
        let asked = shards.iter().map(|shard| {
            let mut last = redis::cmd("XREVRANGE");
            last.arg(self.redis.stream(self.origin, *shard)).arg("+").arg("-");
            last.arg("COUNT").arg(1);
            last
        });
        let replies = self.redis.all::<redis::Value>(asked.collect()).await?;
        let mut marks = BTreeMap::new();
        for (shard, reply) in shards.iter().zip(replies) {
            let reply = reply.map_err(RedisError::Server)?;
            // An entry that is not one of our facts has no mark, and is detected elsewhere.
            let last = entry::entries(&reply).unwrap_or_default().into_iter().next();
            let last = last.and_then(|(id, fields)| entry::read(id, &fields).ok());
            if let Some(entry::Entry { fact, .. }) = last
                && (fact.index == 0 || fact.source == Origin::Orders)
                && let Some(mark) = fact.mark()
            {
                marks.insert(*shard, (fact.position, mark));
            }
        }
        Ok(marks)
    }

    /// Reads the positions of the streams of these shards.
    async fn read_streams(
        &mut self,
        heads: &Cursors,
        begins_after: &Cursors,
    ) -> Result<(), RedisError> {
        let shards: Vec<u16> = heads.iter().map(|(shard, _)| shard).collect();
        let last_ids = self.last_ids(&shards).await?;
        let mut marks = self.last_marks(&shards).await?;
        let mut at = Cursors::default();
        for (shard, head) in heads.iter() {
            let position = match last_ids.get(&shard).and_then(|last| entry::place(last)) {
                Some((0, _)) | None => {
                    marks.remove(&shard);
                    head.saturating_sub(self.refill)
                }
                Some((position, _)) => position,
            };
            // Archived positions are passed over; the next entry records the gap by its previous
            // position.
            let position = position.max(begins_after.get(shard));
            let mark = marks.get(&shard).filter(|(of, _)| *of == position).map(|(_, mark)| *mark);
            if position > 0 {
                at.advance_to(shard, position, mark);
            }
        }
        for (shard, incarnation) in self.incarnations(&shards).await? {
            at.read_in(shard, incarnation);
        }
        (self.at, self.last_ids, self.looked) = (at, last_ids, Instant::now());
        Ok(())
    }

    /// The calls that append the facts of one shard.
    fn calls(&self, shard: u16, facts: &[&Fact]) -> Result<Vec<Call>, Blame> {
        let stream = self.redis.stream(self.origin, shard);
        let behind = self.last_ids.get(&shard).map_or(EMPTY, String::as_str);
        let mut calls = vec![Call::new(&stream, shard, behind)];
        let (mut prev, mut here) = (self.at.get(shard), self.at.get(shard));
        let (mut prev_mark, mut mark) = (self.at.mark(shard), self.at.mark(shard));
        for fact in facts {
            if fact.position != here {
                // A position is never split over two calls.
                if let Some(full) = calls.last().filter(|call| call.bytes >= CALL_BYTES) {
                    calls.push(Call::new(&stream, shard, &full.last));
                }
                (prev, here) = (here, fact.position);
                (prev_mark, mark) = (mark, fact.mark());
            }
            let json = fact.to_json().map_err(|error| Blame::World(error.to_string()))?;
            if let Some(call) = calls.last_mut() {
                call.entry(entry::id(fact.position, fact.index), prev, prev_mark, &json);
            }
        }
        Ok(calls)
    }

    /// Stores the incarnation of the log that the streams of these shards are filled from.
    async fn store_incarnation(&self, shards: &[u16], incarnation: u64) -> Result<(), Blame> {
        let noted = shards.iter().map(|shard| {
            let mut set = redis::cmd("SET");
            set.arg(self.redis.incarnation(self.origin, *shard)).arg(incarnation);
            set
        });
        for answer in self.redis.all::<String>(noted.collect()).await? {
            answer.map_err(RedisError::Server)?;
        }
        Ok(())
    }

    /// Executes them, in their order.
    async fn execute(&mut self, calls: Vec<Call>) -> Result<(), Blame> {
        let (ends, cmds): (Vec<_>, Vec<_>) =
            calls.into_iter().map(|call| ((call.shard, call.last), call.cmd)).unzip();
        let answer = self.redis.all::<String>(cmds).await?;
        for ((shard, last), answer) in ends.into_iter().zip(answer) {
            let answer = answer.map_err(RedisError::Server)?;
            if answer != "appended" {
                return Err(Blame::World(format!(
                    "the stream of shard {shard} ends with {answer}"
                )));
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
    /// The last id of the stream afterwards.
    last: String,
    bytes: usize,
}

impl Call {
    fn new(stream: &str, shard: u16, behind: &str) -> Self {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(APPEND).arg(1).arg(stream).arg(behind).arg(entry::PREV).arg(entry::FACT);
        cmd.arg(entry::PREV_MARK);
        Self { shard, cmd, last: behind.to_owned(), bytes: 0 }
    }

    fn entry(&mut self, id: String, prev: u64, prev_mark: Option<Mark>, fact: &str) {
        self.bytes += fact.len();
        self.cmd.arg(&id).arg(prev).arg(fact);
        self.cmd.arg(prev_mark.map(|mark| mark.to_string()).unwrap_or_default());
        self.last = id;
    }
}

#[async_trait]
impl Sink<Fact> for Relay {
    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        let unavailable = |error: SourceError| Blame::World(error.to_string());
        let heads = self.source.heads().await.map_err(unavailable)?;
        let begins_after = self.source.begins_after().await.map_err(unavailable)?;
        self.read_streams(&heads, &begins_after).await?;
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
                    self.execute(std::mem::take(&mut calls)).await?;
                    bytes = 0;
                }
            }
        }
        self.execute(calls).await?;
        let mut begun = Vec::new();
        for (shard, facts) in by_shard {
            if let Some(last) = facts.last() {
                // A position has the mark of its first fact.
                let first = facts.iter().find(|fact| fact.position == last.position);
                let mark = first.and_then(|first| first.mark());
                self.at.advance_to(shard, last.position, mark);
            }
            if self.at.incarnation(shard) < self.incarnation {
                self.at.read_in(shard, self.incarnation);
                begun.push(shard);
            }
        }
        if begun.is_empty() {
            Ok(())
        } else {
            self.store_incarnation(&begun, self.incarnation).await
        }
    }

    async fn read_in(&mut self, shards: &[u16], history: Option<History>) -> Result<(), Blame> {
        self.incarnation = history.map_or(0, |history| history.incarnation);
        let older = |shard: &u16| self.at.incarnation(*shard) < self.incarnation;
        let older: Vec<u16> = shards.iter().copied().filter(older).collect();
        self.store_incarnation(&older, self.incarnation).await
    }

    /// A stream cannot be shortened at its end: it is emptied, and filled with the last of the
    /// log's current facts. Readers that need more read from the source.
    async fn set_back(
        &mut self,
        from: &Cursors,
        _to: &Cursors,
        incarnation: u64,
    ) -> Result<(), Blame> {
        let shards: Vec<u16> = from.iter().map(|(shard, _)| shard).collect();
        let gone = shards.iter().map(|shard| {
            let mut del = redis::cmd("DEL");
            del.arg(self.redis.stream(self.origin, *shard));
            del
        });
        for answer in self.redis.all::<u64>(gone.collect()).await? {
            answer.map_err(RedisError::Server)?;
        }
        self.store_incarnation(&shards, incarnation).await
    }

    /// Redis may have been emptied, restarted or restored while there were no new facts.
    async fn retry_parked(&mut self, scope: &Scope) -> Result<bool, Blame> {
        if self.looked.elapsed() < CHECK_EVERY {
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
