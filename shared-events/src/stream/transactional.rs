use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;

use super::back::move_back;
use super::dead_letter::{DeadLetter, DeadLetterState, blocked_subjects, park, remove};
use super::follow::Sink;
use super::places::Places;
use super::{
    Batch, Blame, Cursors, Database, DeadLetters, Handler, History, Item, Place, Reader, Scope, Tx,
    cursor,
};
use crate::contract::{Subject, Timestamp, json_place, trace_id};
use crate::metric::table::FACTS;

/// A [`Sink`] over a database: effect, cursor and dead letters commit together.
pub struct Transactional<H> {
    follower: String,
    database: Database,
    letters: DeadLetters,
    handler: H,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The stored cursors, as far as we know.
    at: Cursors,
    /// Earlier places of the cursors.
    places: Places,
    /// The incarnation of the log that is read.
    incarnation: u64,
    /// The shards in which the handler is in doubt, where it was asked.
    doubted: Option<BTreeSet<u16>>,
    /// Where those ended when that was first asked for since the log was set back.
    ends: BTreeMap<u16, u64>,
    seen: Pending,
}

/// Pending work beside new items, when it was last checked.
#[derive(Clone, Copy)]
struct Pending {
    /// There are dead letters. No other process adds one behind this follower's cursor.
    letters: bool,
    /// Some of them were put back by an operator.
    put_back: bool,
}

impl<H> Transactional<H> {
    /// A follower of this name, with its cursor and effect in this database. `now` dates dead
    /// letters.
    pub fn new(
        follower: &str,
        database: Database,
        handler: H,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        let letters = DeadLetters::new(database.clone());
        Self {
            follower: follower.to_owned(),
            database,
            letters,
            handler,
            now,
            at: Cursors::default(),
            places: Places::default(),
            incarnation: 0,
            doubted: None,
            ends: BTreeMap::new(),
            seen: Pending { letters: true, put_back: true },
        }
    }

    /// Whether an operator paused it; and whether there are dead letters.
    async fn refresh(&mut self) -> Result<bool, Blame> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM paused_followers WHERE follower = $1),
                    (SELECT COUNT(*) FROM
                         (SELECT 1 FROM dead_letters WHERE follower = $1 LIMIT 1) AS letters),
                    (SELECT COUNT(*) FROM
                         (SELECT 1 FROM dead_letters
                          WHERE follower = $1 AND state = 'RETRY' LIMIT 1) AS put_back)",
        )
        .bind(&self.follower)
        .fetch_one(self.database.reader())
        .await?;
        let there = |column| -> Result<bool, Blame> { Ok(row.try_get::<i64, _>(column)? > 0) };
        self.seen = Pending { letters: there(1)?, put_back: there(2)? };
        there(0)
    }

    /// Retries the letters that were put back, a subject at a time and in order, each in its own
    /// transaction; one that fails again stops its subject again.
    async fn retry<T: Item>(&mut self, scope: &Scope) -> Result<bool, Blame>
    where
        H: Handler<T>,
    {
        let letters = self.letters.to_retry(&self.follower, scope).await?;
        let mut blocked: Option<String> = None;
        for letter in &letters {
            let item = match (&blocked, serde_json::from_str::<T>(&letter.item)) {
                (_, Err(error)) => {
                    let error = format!("it cannot be read at {}", json_place(&error));
                    self.park_unreadable(letter, &error).await?;
                    blocked = Some(error);
                    continue;
                }
                (Some(_), Ok(item)) => {
                    let mut tx = self.database.begin().await?;
                    let (state, error) = (DeadLetterState::Behind, "waits behind an earlier item");
                    let now = (self.now)();
                    park(&mut tx, &self.follower, &item, state, error, letter.attempts, now)
                        .await?;
                    tx.commit().await?;
                    continue;
                }
                (None, Ok(item)) => item,
            };
            let mut tx = self.begin(&self.cursor_of(letter.shard)).await?;
            match self.handler.handle(&mut tx, std::slice::from_ref(&item)).await {
                Ok(()) => {
                    remove(&mut tx, letter).await?;
                    tx.commit().await?;
                    self.handler.committed();
                }
                Err(blame) => {
                    let (_, error) = blame.into_items()?.swap_remove(0);
                    tx.rollback().await?;
                    let mut tx = self.database.begin().await?;
                    let (state, attempts) = (DeadLetterState::Poison, letter.attempts + 1);
                    let now = (self.now)();
                    park(&mut tx, &self.follower, &item, state, &error, attempts, now).await?;
                    tx.commit().await?;
                    blocked = Some(error);
                }
            }
        }
        if let (Some(letter), None) = (letters.first(), &blocked) {
            tracing::warn!(
                follower = self.follower, subject = %letter.subject, letters = letters.len(),
                "all dead letters of this subject are handled"
            );
        }
        Ok(!letters.is_empty())
    }

    /// Begins a transaction that excludes other followers of this name for these shards.
    async fn begin(&self, through: &Cursors) -> Result<Tx, Blame> {
        let mut tx = self.database.begin().await?;
        let incarnation = self.incarnation;
        self.at.store(&self.database, &mut tx, &self.follower, through, incarnation).await?;
        Ok(tx)
    }

    /// What is in doubt, and where the log ends, is asked anew.
    fn forget_doubts(&mut self) {
        self.doubted = None;
        self.ends.clear();
    }

    /// The cursor of one shard.
    fn cursor_of(&self, shard: u16) -> Cursors {
        [(shard, self.at.get(shard))].into_iter().collect()
    }

    async fn park_unreadable(&self, letter: &DeadLetter, error: &str) -> Result<(), Blame> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE dead_letters SET state = 'POISON', error = $1, attempts = attempts + 1
             WHERE follower = $2 AND shard = $3 AND position = $4 AND idx = $5",
        )
        .bind(error)
        .bind(&self.follower)
        .bind(i64::from(letter.shard))
        .bind(i64::try_from(letter.position).unwrap_or(i64::MAX))
        .bind(i64::from(letter.index))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

#[async_trait]
impl<T: Item, H: Handler<T>> Sink<T> for Transactional<H> {
    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        let loaded = Cursors::load(&self.database, &self.follower).await?;
        if loaded != self.at {
            self.forget_doubts();
            self.handler.resumes();
        }
        self.at = loaded;
        self.places = Places::load(&self.database, &self.follower).await?;
        Ok(self.at.clone())
    }

    async fn reader(&mut self) -> Result<Option<Reader>, Blame> {
        let has_read = self.at.iter().any(|(_, position)| position > 0);
        Ok(Some(Reader::of(&self.database, &self.follower, has_read).await?))
    }

    async fn read_in(&mut self, shards: &[u16], history: Option<History>) -> Result<(), Blame> {
        self.incarnation = history.map_or(0, |history| history.incarnation);
        if let Some(history) = history.filter(|_| !shards.is_empty()) {
            let mut tx = self.database.begin().await?;
            cursor::read_in(&mut tx, &self.follower, shards, history).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn store_marks(&mut self, here: &[Place]) -> Result<(), Blame> {
        let mut tx = self.database.begin().await?;
        cursor::store_marks(&mut tx, &self.follower, here).await?;
        Ok(tx.commit().await?)
    }

    async fn places(&mut self, shard: u16) -> Result<Vec<Place>, Blame> {
        Ok(self.places.back(shard).collect())
    }

    async fn set_back(
        &mut self,
        from: &Cursors,
        to: &Cursors,
        incarnation: u64,
    ) -> Result<(), Blame> {
        let mut tx = self.database.begin().await?;
        // Locks first, before the handler's tables: a second follower of this name fails here.
        cursor::set_back(&mut tx, &self.follower, from, to, incarnation).await?;
        let begins = self.handler.set_back(&mut tx, from, to).await?;
        // `to` has the marks.
        let begins = if begins == *to { to } else { &begins };
        move_back(&mut tx, &self.follower, (&to.filled(from), begins), incarnation).await?;
        tx.commit().await?;
        self.forget_doubts();
        self.handler.committed();
        Ok(())
    }

    fn reads_again(&self) -> bool {
        self.handler.is_in_doubt()
    }

    async fn lacks_ends(&mut self, at: &Cursors) -> Result<bool, Blame> {
        let doubted = match self.doubted.take() {
            Some(doubted) => doubted,
            None => self.handler.shards_in_doubt().await?,
        };
        let lacks = |shard: &u16| at.reads(*shard) && !self.ends.contains_key(shard);
        Ok(self.doubted.insert(doubted).iter().any(lacks))
    }

    async fn read_to(&mut self, at: &Cursors, ends: &Cursors) -> Result<bool, Blame> {
        let Some(doubted) = &self.doubted else { return Ok(false) };
        // A reader that is ahead of its log is set back before anything is decided.
        let known = ends.iter().filter(|(shard, end)| at.get(*shard) <= *end);
        for (shard, end) in known.filter(|(shard, _)| doubted.contains(shard)) {
            self.ends.entry(shard).or_insert(end);
        }
        let is_read = |shard: &u16| {
            at.reads(*shard) && self.ends.get(shard).is_some_and(|end| at.get(*shard) >= *end)
        };
        let there: BTreeSet<u16> = doubted.iter().copied().filter(is_read).collect();
        if there.is_empty() && !doubted.is_empty() {
            return Ok(false);
        }
        // Where nothing was read there is no cursor to hold.
        let held = there.iter().map(|shard| (*shard, self.at.get(*shard)));
        let held: Cursors = held.filter(|(_, position)| *position > 0).collect();
        let mut tx = self.begin(&held).await?;
        let anew = self.handler.read_again(&mut tx, &there).await?;
        let from = held.iter().filter(|(shard, _)| anew.contains(shard));
        let from: Cursors = from.collect();
        let moves = !from.is_empty();
        if moves {
            let to = Cursors::default();
            move_back(&mut tx, &self.follower, (&from, &to), self.incarnation).await?;
        }
        tx.commit().await?;
        self.doubted = None;
        self.handler.committed();
        Ok(moves)
    }

    async fn paused(&mut self) -> Result<bool, Blame> {
        self.refresh().await
    }

    #[expect(clippy::too_many_lines, reason = "one transaction, from its begin to its commit")]
    async fn apply(&mut self, batch: &Batch<T>) -> Result<(), Blame> {
        // Why each subject is blocked: it had letters before, or an item of this batch is poison.
        let mut poison: BTreeMap<usize, String> = BTreeMap::new();
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("cursor-before-effect") {
            self.begin(&batch.through).await?.commit().await?;
            self.at.merge(&batch.through);
        }
        loop {
            let mut tx = self.begin(&batch.through).await?;
            let mut blocked: BTreeSet<Subject> = match self.seen.letters {
                true => blocked_subjects(&mut tx, &self.follower).await?,
                false => BTreeSet::new(),
            };
            let mut live: Vec<T> = Vec::with_capacity(batch.items.len());
            let mut live_at: Vec<usize> = Vec::with_capacity(batch.items.len());
            let mut parked: Vec<(usize, DeadLetterState)> = Vec::new();
            for (at, item) in batch.items.iter().enumerate() {
                if blocked.contains(&item.subject()) {
                    parked.push((at, DeadLetterState::Behind));
                } else if poison.contains_key(&at) {
                    blocked.insert(item.subject());
                    parked.push((at, DeadLetterState::Poison));
                } else {
                    live.push(item.clone());
                    live_at.push(at);
                }
            }
            let handled =
                if live.is_empty() { Ok(()) } else { self.handler.handle(&mut tx, &live).await };
            match handled {
                Ok(()) => {
                    let (now, set_aside) = ((self.now)(), parked.len());
                    for (at, state) in &parked {
                        let error = poison.get(at).map_or("waits behind an earlier item", |e| e);
                        park(&mut tx, &self.follower, &batch.items[*at], *state, error, 1, now)
                            .await?;
                    }
                    let places = self
                        .places
                        .remember(&self.database, &mut tx, &self.follower, &batch.through)
                        .await?;
                    tx.commit().await?;
                    if let Some(places) = places {
                        self.places = places;
                    }
                    self.seen.letters |= set_aside > 0;
                    let set_aside = u64::try_from(set_aside).unwrap_or(u64::MAX);
                    FACTS.add([&self.follower, "parked"], set_aside);
                    self.at.merge(&batch.through);
                    self.handler.committed();
                    // Logged now, and once: a try that was rolled back set nothing aside, and what
                    // failed in it may wait behind an earlier item that failed later.
                    parked.retain(|(_, state)| *state == DeadLetterState::Poison);
                    for (at, _) in parked {
                        let (item, error) = (&batch.items[at], poison.get(&at));
                        tracing::error!(
                            follower = self.follower, subject = %item.subject(),
                            shard = item.shard(), position = item.position(),
                            trace_id = item.traceparent().and_then(trace_id),
                            error, "dead letter"
                        );
                    }
                    return Ok(());
                }
                Err(blame) => {
                    let items = blame.into_items()?;
                    tx.rollback().await?;
                    for (index, error) in items {
                        let Some(at) = live_at.get(index) else {
                            let error = format!("no item {index} in the batch: {error}");
                            return Err(Blame::World(error));
                        };
                        poison.insert(*at, error);
                    }
                }
            }
        }
    }

    async fn retry_parked(&mut self, scope: &Scope) -> Result<bool, Blame> {
        let errors = self.handler.failed_with();
        if !errors.is_empty() {
            let mut tx = self.database.begin().await?;
            let mut letters = 0_u64;
            for error in &errors {
                let retried =
                    DeadLetters::retry_failed_with(&mut tx, &self.follower, error).await?;
                letters = letters.saturating_add(retried);
            }
            tx.commit().await?;
            self.handler.retried(letters);
            self.seen.put_back |= letters > 0;
        }
        if !self.seen.put_back {
            return Ok(false);
        }
        self.retry::<T>(scope).await
    }
}
