use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::connection::{Connection, Redis, RedisError, answered};
use super::entries::{StreamError, chained, facts, no_reply};
use super::entry::{self, Entry};
use super::state::State;
use crate::contract::{Fact, Origin, Timestamp};
use crate::stream::{Batch, Comparison, Cursors, Place, Reader, Scope, Source, SourceError};

/// How long one blocking read for entries lasts; less than a follower's own poll.
const WAIT: Duration = Duration::from_millis(400);
/// How often a cluster is polled: one command cannot block for several slots.
const CLUSTER_POLL: Duration = Duration::from_millis(25);
/// How often the heads of the source are compared with the reader, and readers report themselves.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How long Redis is not used after it failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Entries of one shard per read, at least; the facts of a position always fit.
const PER_SHARD_MIN: usize = 32;

/// Facts from the streams; from the source behind them where the streams have a gap, are behind, or
/// do not answer. Only the reader's cursor says where it is, so it gets the same facts either way.
pub struct RedisSource {
    redis: Redis,
    origin: Origin,
    /// The log that the facts are published from.
    source: Arc<dyn Source<Fact>>,
    /// The reader's name, so that the streams keep what it needs.
    reader: String,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
    /// For blocking reads; taken out while in use, so that a cancelled read closes it.
    waiting: Mutex<Option<Connection>>,
}

impl RedisSource {
    /// Facts of this service from the streams; `source` is the log that publishes them.
    #[must_use]
    pub fn new(
        redis: Redis,
        origin: Origin,
        source: Arc<dyn Source<Fact>>,
        reader: &str,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self {
            redis,
            origin,
            source,
            reader: reader.to_owned(),
            now,
            state: Mutex::new(State::new()),
            waiting: Mutex::default(),
        }
    }

    /// The streams to read: those in scope where the reader names them, otherwise all known ones.
    fn shards(state: &State, after: &Cursors) -> Vec<u16> {
        if let Scope::Only(shards) = after.scope() {
            return shards.iter().copied().collect();
        }
        let known = after.iter().map(|(shard, _)| shard).chain(state.shards.iter().copied());
        known.collect::<BTreeSet<u16>>().into_iter().collect()
    }

    /// Once a second: compares the source's heads with the reader, and reports the reader's
    /// position to the streams. Returns the shards whose streams should have facts now: facts new
    /// in the source are on their way, but those of the comparison before should have arrived.
    ///
    /// # Errors
    /// [`SourceError::Forked`] where the source does not have what the reader has read.
    async fn compare_heads(
        &self,
        state: &mut State,
        after: &Cursors,
    ) -> Result<BTreeSet<u16>, SourceError> {
        let mut suspects = BTreeSet::new();
        if state.compared.is_some_and(|at| at.elapsed() < COMPARE_EVERY) {
            return Ok(suspects);
        }
        state.compared = Some(Instant::now());
        // An unavailable source publishes nothing to the streams for now.
        if let Ok(heads) = self.source.heads().await {
            state.shards.extend(heads.iter().map(|(shard, _)| shard));
            self.check_history(&heads, after).await?;
            let source_heads = std::mem::replace(&mut state.source_heads, heads);
            let behind_source =
                |(shard, head): &(u16, u64)| after.reads(*shard) && after.get(*shard) < *head;
            suspects.extend(source_heads.iter().filter(behind_source).map(|(shard, _)| shard));
        }
        if state.failed.is_none()
            && let Err(error) = self.report(&Self::shards(state, after), after).await
        {
            tracing::debug!(%error, "reader not reported");
        }
        Ok(suspects)
    }

    /// Checks that the reader is not ahead of the source and saw the same at its heads.
    async fn check_history(&self, heads: &Cursors, after: &Cursors) -> Result<(), SourceError> {
        let odd = |place: &Place| {
            let (head, mark) = (heads.get(place.shard), heads.mark(place.shard));
            let other = mark.is_some_and(|mark| mark != place.mark);
            place.position > head || (place.position == head && other)
        };
        let odd: Vec<Place> = after.places().filter(odd).collect();
        if odd.is_empty() {
            return Ok(());
        }
        let compared = self.source.compare(&odd, 0).await?;
        let Some((Place { shard, position, .. }, _)) = compared.differing(&odd).next() else {
            return Ok(());
        };
        let detail = format!("the fact read at position {position} is not there");
        Err(SourceError::Forked { shard, position, detail })
    }

    /// Adds facts missing in the streams from the source, without delaying other shards.
    async fn add_missing(
        &self,
        state: &mut State,
        suspects: BTreeSet<u16>,
        batch: &mut Batch<Fact>,
        after: &Cursors,
        limit: usize,
    ) -> Result<(), SourceError> {
        let given = |shard: &u16| batch.through.get(*shard) > after.get(*shard);
        let missing: BTreeSet<u16> = suspects.into_iter().filter(|shard| !given(shard)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let at = after.clone().scoped(Scope::Only(missing));
        let read = self.source.read_after(&at, limit).await;
        self.source.pause().await;
        let lacked = match read {
            Err(SourceError::Unavailable(error)) if !batch.is_empty() => {
                tracing::debug!(reader = self.reader, error, "facts may be missing in the streams");
                return Ok(());
            }
            read => read?,
        };
        if !lacked.is_empty() {
            tracing::info!(
                reader = self.reader,
                facts = lacked.items.len(),
                "facts are missing in the streams"
            );
            if lacked.more || lacked.items.len() >= limit / 2 {
                state.compared = None;
            }
        }
        batch.items.extend(lacked.items);
        batch.through.merge(&lacked.through);
        batch.more |= lacked.more;
        Ok(())
    }

    /// Whether every non-empty stream of these is of this incarnation of the log, or a later one.
    async fn all_current(&self, shards: &[u16], incarnation: u64) -> bool {
        let asked = shards.iter().flat_map(|shard| {
            let (mut of, mut there) = (redis::cmd("GET"), redis::cmd("EXISTS"));
            of.arg(self.redis.incarnation(self.origin, *shard));
            there.arg(self.redis.stream(self.origin, *shard));
            [of, there]
        });
        let Ok(answers) = self.redis.all::<Option<u64>>(asked.collect()).await else {
            return false;
        };
        let answers: Vec<Option<u64>> =
            answers.into_iter().map(|answer| answer.ok().flatten()).collect();
        answers.chunks(2).all(|of_shard| match of_shard {
            [of, there] => *there == Some(0) || of.unwrap_or(0) >= incarnation,
            _ => false,
        })
    }

    async fn report(&self, shards: &[u16], after: &Cursors) -> Result<(), RedisError> {
        let millis = (self.now)().micros() / 1_000;
        let reports = shards.iter().map(|shard| {
            let mut report = redis::cmd("HSET");
            report.arg(self.redis.readers(self.origin, *shard)).arg(&self.reader);
            report.arg(format!("{} {millis}", after.get(*shard)));
            report
        });
        let answers = self.redis.all::<u64>(reports.collect()).await?;
        Ok(answers.into_iter().try_for_each(|answer| answer.map(drop))?)
    }

    fn command(&self, shards: &[u16], after: &Cursors, count: usize, wait: bool) -> Cmd {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(count);
        if wait {
            read.arg("BLOCK").arg(u64::try_from(WAIT.as_millis()).unwrap_or(u64::MAX));
        }
        read.arg("STREAMS");
        for shard in shards {
            read.arg(self.redis.stream(self.origin, *shard));
        }
        for shard in shards {
            // After the last fact of the position.
            read.arg(format!("{}-{}", after.get(*shard), u64::MAX));
        }
        read
    }

    /// The facts in the streams after these cursors, complete positions only.
    async fn read(
        &self,
        shards: &[u16],
        after: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, StreamError> {
        let count = limit.div_ceil(shards.len().max(1)).max(PER_SHARD_MIN);
        let reads = if self.redis.reads_shards_together() {
            vec![self.command(shards, after, count, false)]
        } else {
            shards.iter().map(|shard| self.command(&[*shard], after, count, false)).collect()
        };
        let replies = self.redis.all::<redis::Value>(reads).await?;
        let mut batch = Batch::default();
        for reply in replies {
            let reply = reply.map_err(RedisError::Server)?;
            for (key, stream) in entry::streams(&reply).ok_or_else(no_reply)? {
                let mut entries = facts(key, stream)?;
                if entries.len() >= count {
                    batch.more = true;
                    // The rest of its last position may not be in it.
                    let last = entries.last().map(|entry| entry.fact.position);
                    entries.retain(|entry| Some(entry.fact.position) != last);
                }
                chained(&entries, after)?;
                for Entry { fact, .. } in entries {
                    batch.through.advance_to(fact.shard, fact.position, fact.mark());
                    batch.items.push(fact);
                }
            }
        }
        Ok(batch)
    }

    /// Blocks for entries after the cursors, for a while.
    async fn wait(&self, shards: &[u16], after: &Cursors) -> Result<(), RedisError> {
        if shards.is_empty() || !self.redis.reads_shards_together() {
            sleep(CLUSTER_POLL).await;
            return Ok(());
        }
        let idle = self.waiting.lock().await.take();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.redis.connect().await?,
        };
        let read = self.command(shards, after, 1, true);
        answered::<redis::Value>(read.query_async(&mut connection)).await?;
        *self.waiting.lock().await = Some(connection);
        Ok(())
    }
}

#[async_trait]
impl Source<Fact> for RedisSource {
    #[expect(clippy::too_many_lines, reason = "one decision, between streams and log")]
    async fn read_after(&self, after: &Cursors, limit: usize) -> Result<Batch<Fact>, SourceError> {
        let mut state = self.state.lock().await;
        let suspects = self.compare_heads(&mut state, after).await?;
        let rests = state.failed.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE);
        // A reader that is behind a busy source would never catch up there: the streams continue
        // without a gap from here, or will once the relay has come as far.
        let again = state.behind && state.streams_read.elapsed() >= COMPARE_EVERY;
        if !state.streams_current && (again || !state.behind) && !rests {
            let shards = Self::shards(&state, after);
            state.streams_current = self.all_current(&shards, state.incarnation).await;
            state.behind |= !state.streams_current;
            if !state.streams_current {
                state.streams_read = Instant::now();
            }
        }
        let rests = rests || !state.streams_current;
        if (again || !state.behind) && !rests {
            state.streams_read = Instant::now();
            let shards = Self::shards(&state, after);
            let read = if shards.is_empty() {
                Ok(Batch::default())
            } else {
                self.read(&shards, after, limit).await
            };
            match read {
                Ok(mut batch) => {
                    let elsewhere = std::mem::take(&mut state.behind);
                    if state.failed.take().is_some() || elsewhere {
                        tracing::info!(reader = self.reader, "reads from the streams again");
                        self.source.pause().await;
                    }
                    self.add_missing(&mut state, suspects, &mut batch, after, limit).await?;
                    return Ok(batch);
                }
                // Either the log was set back and this reader knows more, or the stream holds
                // another history than its log: the source shows which.
                Err(StreamError::Forked { shard, position }) => {
                    let reader = &self.reader;
                    tracing::warn!(reader, shard, position, "a stream has another history");
                    state.behind = true;
                    let places: Vec<Place> =
                        after.places().filter(|place| place.shard == shard).collect();
                    let compared = self.source.compare(&places, 0).await?;
                    if compared.differing(&places).next().is_some() {
                        let detail = format!("the fact read at position {position} is not there");
                        return Err(SourceError::Forked { shard, position, detail });
                    }
                }
                Err(StreamError::Gap { .. }) if state.behind => {}
                Err(StreamError::Gap { shard, after, next }) => {
                    tracing::info!(reader = self.reader, shard, after, next, "gap in a stream");
                    state.behind = true;
                }
                Err(StreamError::Redis(error)) => {
                    if state.failed.is_none() {
                        tracing::warn!(reader = self.reader, %error, "reads from the source");
                    }
                    state.failed = Some(Instant::now());
                }
            }
        }
        let batch = self.source.read_after(after, limit).await?;
        if batch.is_empty()
            && state.behind
            && state.streams_current
            && after.covers(&self.source.heads().await?)
        {
            self.source.pause().await;
            tracing::info!(reader = self.reader, "caught up; reads from the streams again");
            state.behind = false;
        }
        Ok(batch)
    }

    async fn changed(&self, after: &Cursors) {
        let (shards, elsewhere) = {
            let state = self.state.lock().await;
            (Self::shards(&state, after), state.failed.is_some() || state.behind)
        };
        if elsewhere {
            self.source.changed(after).await;
        } else if let Err(error) = self.wait(&shards, after).await {
            tracing::debug!(%error, "waiting for the streams");
            sleep(CLUSTER_POLL).await;
        }
    }

    async fn compare(&self, places: &[Place], incarnation: u64) -> Result<Comparison, SourceError> {
        let compared = self.source.compare(places, incarnation).await?;
        let now = compared.history.map_or(0, |history| history.incarnation);
        let mut state = self.state.lock().await;
        if now > 1 && now != state.incarnation {
            (state.incarnation, state.streams_current) = (now, false);
        }
        Ok(compared)
    }

    async fn meet(&self, reader: &Reader) -> Result<bool, SourceError> {
        self.source.meet(reader).await
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        self.source.heads().await
    }

    async fn ends(&self) -> Result<Cursors, SourceError> {
        self.source.ends().await
    }

    async fn oldest_after(&self, cursors: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        self.source.oldest_after(cursors).await
    }
}
