use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Cmd;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::connection::{Connection, Redis, RedisError, answered};
use super::entries::{Trouble, chained, facts, no_reply};
use super::entry::{self, Entry};
use crate::contract::{Fact, Origin, Timestamp};
use crate::stream::{Batch, Comparison, Cursors, Place, Scope, Source, SourceError};

/// How long one wait for entries lasts; less than a follower's own look.
const WAIT: Duration = Duration::from_millis(400);
/// How often a cluster is asked while nothing comes: one command cannot wait for several slots.
const CLUSTER_POLL: Duration = Duration::from_millis(25);
/// How often the heads of the source are compared with the reader, and readers report themselves.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How long Redis is left alone after it failed.
const REST: Duration = Duration::from_secs(5);
/// Entries of one shard read at a time, at least; the facts of a position always fit.
const PER_SHARD_MIN: usize = 32;

/// Facts from the streams; from the source behind them where the streams have a gap, are behind, or
/// do not answer. The reader's cursor alone says where it is, so either way gives it the same facts.
pub struct RedisSource {
    redis: Redis,
    origin: Origin,
    /// Who promises the facts.
    source: Arc<dyn Source<Fact>>,
    /// What the reader is called, so that the streams keep what it needs.
    reader: String,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
    /// For waiting; taken out while in use, so that a wait that is given up takes it along.
    waiting: Mutex<Option<Connection>>,
}

struct State {
    /// The shards that hold something, as far as known.
    shards: BTreeSet<u16>,
    compared: Option<Instant>,
    /// Where the source stood when it was last compared.
    stood: Cursors,
    /// Behind a gap: reads from the source until it has nothing more, or the streams go on from here.
    behind: bool,
    /// When the streams were last read.
    tried: Instant,
    /// When Redis failed last.
    failed: Option<Instant>,
    /// Which incarnation of the log is read; streams of an earlier one are not read, until they are
    /// filled anew.
    incarnation: u64,
    /// Whether all streams have been seen to be of it.
    streams_of_it: bool,
}

impl RedisSource {
    /// Of what this service promises; `source` is where it is promised.
    #[must_use]
    pub fn new(
        redis: Redis,
        origin: Origin,
        source: Arc<dyn Source<Fact>>,
        reader: &str,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        let state = State {
            shards: BTreeSet::new(),
            compared: None,
            stood: Cursors::default(),
            behind: false,
            tried: Instant::now(),
            failed: None,
            incarnation: 0,
            streams_of_it: true,
        };
        Self {
            redis,
            origin,
            source,
            reader: reader.to_owned(),
            now,
            state: Mutex::new(state),
            waiting: Mutex::default(),
        }
    }

    /// The streams to read: those in scope where the reader names them, else all that are known.
    fn shards(state: &State, after: &Cursors) -> Vec<u16> {
        if let Scope::Only(shards) = after.scope() {
            return shards.iter().copied().collect();
        }
        let known = after.iter().map(|(shard, _)| shard).chain(state.shards.iter().copied());
        known.collect::<BTreeSet<u16>>().into_iter().collect()
    }

    /// Once a second: what has the source, what do we have; and the streams are told what we need.
    /// The shards of which the streams should give something now: what the source has only since is on
    /// its way, but what it had at the comparison before should have come.
    ///
    /// # Errors
    /// [`SourceError::Forked`] where the source does not have what the reader has read.
    async fn look(&self, state: &mut State, after: &Cursors) -> Result<BTreeSet<u16>, SourceError> {
        let mut suspects = BTreeSet::new();
        if state.compared.is_some_and(|at| at.elapsed() < COMPARE_EVERY) {
            return Ok(suspects);
        }
        state.compared = Some(Instant::now());
        // A source that is away has told the streams all they will have for now.
        if let Ok(heads) = self.source.heads().await {
            state.shards.extend(heads.iter().map(|(shard, _)| shard));
            self.has_what_was_read(&heads, after).await?;
            let stood = std::mem::replace(&mut state.stood, heads);
            let lacks =
                |(shard, head): &(u16, u64)| after.reads(*shard) && after.get(*shard) < *head;
            suspects.extend(stood.iter().filter(lacks).map(|(shard, _)| shard));
        }
        if state.failed.is_none()
            && let Err(error) = self.report(&Self::shards(state, after), after).await
        {
            tracing::debug!(%error, "reader not reported");
        }
        Ok(suspects)
    }

    /// A reader that is ahead of the source's heads, or saw something else there, read another history.
    async fn has_what_was_read(&self, heads: &Cursors, after: &Cursors) -> Result<(), SourceError> {
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
        let detail = format!("what was read at position {position} is not there");
        Err(SourceError::Forked { shard, position, detail })
    }

    /// Adds what the streams lack of these shards, whoever should have put it there. Others are not
    /// kept waiting for it where they have something.
    async fn add_lacking(
        &self,
        state: &mut State,
        suspects: BTreeSet<u16>,
        batch: &mut Batch<Fact>,
        after: &Cursors,
        limit: usize,
    ) -> Result<(), SourceError> {
        let given = |shard: &u16| batch.through.get(*shard) > after.get(*shard);
        let lacking: BTreeSet<u16> = suspects.into_iter().filter(|shard| !given(shard)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let at = after.clone().scoped(Scope::Only(lacking));
        let read = self.source.read_after(&at, limit).await;
        self.source.rest().await;
        let lacked = match read {
            Err(SourceError::Unavailable(error)) if !batch.is_empty() => {
                tracing::debug!(reader = self.reader, error, "the streams may lack something");
                return Ok(());
            }
            read => read?,
        };
        if !lacked.is_empty() {
            tracing::info!(
                reader = self.reader,
                facts = lacked.items.len(),
                "the streams lack something"
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

    /// Whether every stream of these that holds something is of this incarnation of the log, or a later
    /// one.
    async fn all_of(&self, shards: &[u16], incarnation: u64) -> bool {
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
            // Behind the last fact of the position.
            read.arg(format!("{}-{}", after.get(*shard), u64::MAX));
        }
        read
    }

    /// What the streams have after these cursors, whole positions only.
    async fn read(
        &self,
        shards: &[u16],
        after: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, Trouble> {
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

    /// Waits for anything after the cursors, for a while.
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
    async fn read_after(&self, after: &Cursors, limit: usize) -> Result<Batch<Fact>, SourceError> {
        let mut state = self.state.lock().await;
        let suspects = self.look(&mut state, after).await?;
        let rests = state.failed.is_some_and(|at| at.elapsed() < REST);
        // Who is behind, and the source goes on, would never be level: the streams go on without a gap
        // from here, or will as soon as the relay is as far.
        let again = state.behind && state.tried.elapsed() >= COMPARE_EVERY;
        if !state.streams_of_it && (again || !state.behind) && !rests {
            let shards = Self::shards(&state, after);
            state.streams_of_it = self.all_of(&shards, state.incarnation).await;
            state.behind |= !state.streams_of_it;
            if !state.streams_of_it {
                state.tried = Instant::now();
            }
        }
        let rests = rests || !state.streams_of_it;
        if (again || !state.behind) && !rests {
            state.tried = Instant::now();
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
                        self.source.rest().await;
                    }
                    self.add_lacking(&mut state, suspects, &mut batch, after, limit).await?;
                    return Ok(batch);
                }
                // Either the log was set back and this reader knows more, or the stream holds another
                // history than its log: the source says which.
                Err(Trouble::Forked { shard, position }) => {
                    tracing::warn!(
                        reader = self.reader,
                        shard,
                        position,
                        "a stream goes on otherwise"
                    );
                    state.behind = true;
                    let places: Vec<Place> =
                        after.places().filter(|place| place.shard == shard).collect();
                    let compared = self.source.compare(&places, 0).await?;
                    if compared.differing(&places).next().is_some() {
                        let detail = format!("what was read at position {position} is not there");
                        return Err(SourceError::Forked { shard, position, detail });
                    }
                }
                Err(Trouble::Gap { .. }) if state.behind => {}
                Err(Trouble::Gap { shard, after, next }) => {
                    tracing::info!(reader = self.reader, shard, after, next, "gap in a stream");
                    state.behind = true;
                }
                Err(Trouble::Redis(error)) => {
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
            && state.streams_of_it
            && after.covers(&self.source.heads().await?)
        {
            self.source.rest().await;
            tracing::info!(reader = self.reader, "level; reads from the streams again");
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
            (state.incarnation, state.streams_of_it) = (now, false);
        }
        Ok(compared)
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        self.source.heads().await
    }
}
