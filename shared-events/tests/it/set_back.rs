//! A log with another history than was followed: no reader continues or goes back before that has
//! been accepted, and a reader that may go back does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared_events::contract::{Mark, Subject, Timestamp};
use shared_events::stream::{
    Batch, Blame, Comparison, Cursors, Database, Finding, FollowStatus, Handler, History, Item,
    Place, Sink, Source, SourceError, Transactional, Tx, everything, follow,
};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const FOLLOWER: &str = "reader";
/// The deadline for what must happen soon; reaching it fails the test.
const SOON: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Thing {
    shard: u16,
    position: u64,
}

impl Item for Thing {
    fn shard(&self) -> u16 {
        self.shard
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn index(&self) -> u16 {
        0
    }

    fn subject(&self) -> Subject {
        Subject::from_uuid(Uuid::nil())
    }

    fn kind(&self) -> &str {
        "thing.v1"
    }
}

#[derive(Default)]
struct State {
    history: Option<History>,
    shards: BTreeMap<u16, Vec<u64>>,
    /// How often it was asked where shards end.
    ends_asked: u32,
    /// The incarnations that readers had read who remember what is not here.
    doubts: Vec<u64>,
}

/// Marks by shard, in the order of their positions.
#[derive(Default)]
struct Log(Mutex<State>);

impl Log {
    fn set(&self, history: Option<History>, shards: &[(u16, &[u64])]) {
        let mut state = self.0.lock().unwrap();
        state.history = history;
        state.shards = shards.iter().map(|(shard, marks)| (*shard, marks.to_vec())).collect();
    }

    fn accepted(&self, incarnation: u64) {
        self.0.lock().unwrap().history.as_mut().unwrap().incarnation = incarnation;
    }

    fn doubts(&self) -> Vec<u64> {
        self.0.lock().unwrap().doubts.clone()
    }
}

impl State {
    fn finding(&self, place: &Place) -> Finding {
        let marks = self.shards.get(&place.shard).map(Vec::as_slice).unwrap_or_default();
        match marks.get(usize::try_from(place.position).unwrap() - 1) {
            None => Finding::Ahead,
            Some(mark) if Mark::from_bits(*mark) == place.mark => Finding::Same,
            Some(_) => Finding::Other,
        }
    }
}

#[async_trait]
impl Source<Thing> for Log {
    async fn read_after(&self, cursors: &Cursors, _: usize) -> Result<Batch<Thing>, SourceError> {
        let state = self.0.lock().unwrap();
        let forked = |shard, position| {
            let detail = "not what was read".to_owned();
            Err(SourceError::Forked { shard, position, detail })
        };
        for place in cursors.places() {
            if state.finding(&place) != Finding::Same {
                return forked(place.shard, place.position);
            }
        }
        let mut batch = Batch::default();
        for (shard, marks) in &state.shards {
            let after = usize::try_from(cursors.get(*shard)).unwrap();
            if after > marks.len() {
                return forked(*shard, cursors.get(*shard));
            }
            for (mark, position) in marks.iter().zip(1_u64..).skip(after) {
                batch.through.advance_to(*shard, position, Some(Mark::from_bits(*mark)));
                batch.items.push(Thing { shard: *shard, position });
            }
        }
        Ok(batch)
    }

    async fn changed(&self, _: &Cursors) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    async fn compare(&self, places: &[Place], then: u64) -> Result<Comparison, SourceError> {
        let mut state = self.0.lock().unwrap();
        let findings = places.iter().map(|place| state.finding(place)).collect();
        let compared = Comparison { history: state.history, findings };
        let doubted = state.history.is_some_and(|history| then >= history.incarnation);
        if doubted && compared.differing(places).next().is_some() {
            state.doubts.push(then);
        }
        Ok(compared)
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        let state = self.0.lock().unwrap();
        // As the journal's: nothing of a shard that is empty.
        let head = |(shard, marks): (&u16, &Vec<u64>)| {
            let mark = Mark::from_bits(*marks.last()?);
            Some(Place { shard: *shard, position: marks.len() as u64, mark })
        };
        Ok(state.shards.iter().filter_map(head).collect())
    }

    async fn ends(&self) -> Result<Cursors, SourceError> {
        let mut ends = self.heads().await?;
        let mut state = self.0.lock().unwrap();
        state.ends_asked += 1;
        for shard in state.shards.keys() {
            ends.advance(*shard, 0);
        }
        Ok(ends)
    }
}

/// Records the positions it was set back from.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<Vec<Places>>>);

/// Positions by shard.
type Places = Vec<(u16, u64)>;

#[async_trait]
impl Handler<Thing> for Effects {
    async fn handle(&mut self, _: &mut Tx, _: &[Thing]) -> Result<(), Blame> {
        Ok(())
    }

    async fn set_back(
        &mut self,
        _: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.0.lock().unwrap().push(from.iter().collect());
        Ok(to.clone())
    }
}

/// How much it had read, and the shards.
type Told = (usize, Vec<u16>);

/// Is in doubt about these shards until it was told that each was read again; notes what it had
/// read then.
struct Doubting {
    shards: BTreeSet<u16>,
    is_in_doubt: bool,
    read: usize,
    told: Arc<Mutex<Vec<Told>>>,
}

#[async_trait]
impl Handler<Thing> for Doubting {
    async fn handle(&mut self, _: &mut Tx, things: &[Thing]) -> Result<(), Blame> {
        self.read += things.len();
        Ok(())
    }

    fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    async fn shards_in_doubt(&mut self) -> Result<BTreeSet<u16>, Blame> {
        Ok(self.shards.clone())
    }

    async fn read_again(
        &mut self,
        _: &mut Tx,
        shards: &BTreeSet<u16>,
    ) -> Result<BTreeSet<u16>, Blame> {
        self.is_in_doubt = !self.shards.is_empty();
        self.shards.retain(|shard| !shards.contains(shard));
        self.told.lock().unwrap().push((self.read, shards.iter().copied().collect()));
        Ok(BTreeSet::new())
    }
}

/// Has shard 0 read from its beginning, once; notes what it handles.
#[derive(Clone, Default)]
struct Anew {
    is_done: bool,
    handled: Arc<Mutex<Places>>,
}

#[async_trait]
impl Handler<Thing> for Anew {
    async fn handle(&mut self, _: &mut Tx, things: &[Thing]) -> Result<(), Blame> {
        let places = things.iter().map(|thing| (thing.shard, thing.position));
        self.handled.lock().unwrap().extend(places);
        Ok(())
    }

    fn is_in_doubt(&self) -> bool {
        !self.is_done
    }

    async fn shards_in_doubt(&mut self) -> Result<BTreeSet<u16>, Blame> {
        Ok(BTreeSet::from([0]))
    }

    async fn read_again(
        &mut self,
        _: &mut Tx,
        shards: &BTreeSet<u16>,
    ) -> Result<BTreeSet<u16>, Blame> {
        self.is_done = true;
        Ok(shards.clone())
    }
}

struct Bench {
    database: Database,
    log: Arc<Log>,
    effects: Effects,
    stop: CancellationToken,
    status: FollowStatus,
    task: Option<tokio::task::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(history: Option<History>, shards: &[(u16, &[u64])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let migrations = Migrator { migrations: vec![].into(), ..Migrator::DEFAULT };
        let path = folder.path().join("reader.db");
        let database = Database::sqlite(&path, &migrations).await.unwrap();
        let log = Arc::new(Log::default());
        log.set(history, shards);
        let (stop, status) = (CancellationToken::new(), FollowStatus::new(FOLLOWER));
        let effects = Effects::default();
        Self { database, log, effects, stop, status, task: None, _folder: folder }
    }

    fn start(&mut self) {
        let now = Arc::new(|| Timestamp::from_micros(1));
        let handler = self.effects.clone();
        let mut sink = Transactional::new(FOLLOWER, self.database.clone(), handler, now);
        self.stop = CancellationToken::new();
        self.status = FollowStatus::new(FOLLOWER);
        let (log, status, stop) = (Arc::clone(&self.log), self.status.clone(), self.stop.clone());
        self.task = Some(tokio::spawn(async move {
            follow(&*log, &mut sink, everything(), &status, &stop).await.unwrap();
        }));
    }

    async fn end(&mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !so(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let what = || format!("{what}: {:?} {:?}", self.status.cursors(), self.status.failure());
        tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{}", what()));
    }

    async fn comes_to(&self, shard: u16, position: u64) {
        let here = |bench: &Self| {
            bench.status.cursors().get(shard) == position && bench.status.failure().is_none()
        };
        self.until(&format!("it comes to {position}"), here).await;
    }

    async fn doubts(&self, doubts: &[u64]) {
        self.until("it doubts", |bench| {
            bench.status.failure().is_some() && bench.log.doubts().starts_with(doubts)
        })
        .await;
    }

    fn set_backs(&self) -> usize {
        self.effects.0.lock().unwrap().len()
    }

    /// The cursor that an earlier process stored.
    async fn stored(&self, shard: u16, position: i64, mark: Option<i64>, incarnation: i64) {
        sqlx::query(
            "INSERT INTO cursors (follower, shard, position, mark, incarnation)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(FOLLOWER)
        .bind(i64::from(shard))
        .bind(position)
        .bind(mark)
        .bind(incarnation)
        .execute(self.database.reader())
        .await
        .unwrap();
    }
}

fn history(log: u128, incarnation: u64) -> Option<History> {
    Some(History { log: Uuid::from_u128(log), incarnation })
}

#[tokio::test]
async fn a_log_that_is_set_back_twice_is_accepted_twice() {
    let mut bench = Bench::new(history(1, 1), &[(0, &[1, 2, 3])]).await;
    bench.start();
    bench.comes_to(0, 3).await;
    bench.log.set(history(1, 1), &[(0, &[1, 22])]);
    bench.doubts(&[1]).await;
    assert_eq!(bench.set_backs(), 0);
    bench.log.accepted(2);
    bench.comes_to(0, 2).await;
    assert_eq!(bench.set_backs(), 1);
    let before = bench.log.doubts().len();

    bench.log.set(history(1, 2), &[(0, &[1, 222, 223, 224])]);
    bench.until("it doubts anew", |bench| bench.log.doubts().len() > before).await;
    assert_eq!(bench.log.doubts().last(), Some(&2));
    assert_eq!(bench.set_backs(), 1, "nobody has accepted it");
    bench.log.accepted(3);
    bench.comes_to(0, 4).await;
    assert_eq!(bench.set_backs(), 2);
    bench.end().await;
}

#[tokio::test]
async fn accepting_one_shard_does_not_accept_another() {
    let mut bench = Bench::new(history(1, 2), &[(0, &[1]), (1, &[1])]).await;
    bench.stored(0, 1, Some(7), 1).await;
    bench.stored(1, 1, Some(8), 2).await;
    bench.start();
    bench.doubts(&[2]).await;
    assert_eq!(bench.set_backs(), 0);
    bench.log.accepted(3);
    bench.comes_to(1, 1).await;
    assert_eq!(*bench.effects.0.lock().unwrap(), [[(0, 1), (1, 1)]]);
    bench.end().await;
}

#[tokio::test]
async fn a_reader_ahead_without_a_mark_is_set_back_too() {
    let mut bench = Bench::new(history(1, 1), &[(0, &[1, 2])]).await;
    bench.stored(0, 5, None, 1).await;
    bench.start();
    bench.doubts(&[1]).await;
    bench.log.accepted(2);
    bench.comes_to(0, 2).await;
    assert_eq!(*bench.effects.0.lock().unwrap(), [[(0, 5)]]);
    bench.end().await;
}

#[tokio::test]
async fn a_caught_up_reader_without_a_mark_learns_it() {
    let mut bench = Bench::new(history(1, 1), &[(0, &[1, 2])]).await;
    bench.stored(0, 2, None, 1).await;
    bench.start();
    bench.comes_to(0, 2).await;
    bench.end().await;
    // No reader is running while it continues from an earlier position, past the old end.
    bench.log.set(history(1, 1), &[(0, &[1, 22, 23, 24])]);
    bench.start();
    bench.doubts(&[1]).await;
    bench.log.accepted(2);
    bench.comes_to(0, 4).await;
    assert_eq!(*bench.effects.0.lock().unwrap(), [[(0, 2)]]);
    bench.end().await;
}

#[tokio::test]
async fn a_log_without_a_history_that_lost_its_end_is_followed_on() {
    let mut bench = Bench::new(None, &[(0, &[1, 2, 3]), (1, &[1])]).await;
    bench.start();
    bench.comes_to(0, 3).await;
    bench.log.set(None, &[(0, &[1, 22]), (1, &[1])]);
    bench.comes_to(0, 2).await;
    assert_eq!(*bench.effects.0.lock().unwrap(), [[(0, 3)]]);
    bench.end().await;
}

#[tokio::test]
async fn accepting_one_log_does_not_accept_another() {
    let mut bench = Bench::new(history(1, 1), &[(0, &[1, 2])]).await;
    bench.start();
    bench.comes_to(0, 2).await;
    bench.end().await;
    // Which log it is, is stored where it agrees with what was read.
    bench.start();
    bench.comes_to(0, 2).await;
    bench.log.set(history(2, 5), &[(0, &[11, 12, 13])]);
    bench.doubts(&[5]).await;
    bench.end().await;
    bench.start();
    bench.doubts(&[5]).await;
    assert_eq!(bench.set_backs(), 0);
    bench.log.accepted(6);
    bench.comes_to(0, 3).await;
    assert_eq!(bench.set_backs(), 1);
    bench.end().await;
}

/// What a handler that is in doubt about these shards was told until it is no more, and how often
/// the log was asked where it ends.
async fn told_of(bench: &Bench, doubted: &[u16]) -> (Vec<Told>, u32) {
    let told = Arc::default();
    let shards = doubted.iter().copied().collect();
    let handler = Doubting { shards, is_in_doubt: true, read: 0, told: Arc::clone(&told) };
    let now = Arc::new(|| Timestamp::from_micros(1));
    let mut sink = Transactional::new(FOLLOWER, bench.database.clone(), handler, now);
    let (log, status, stop) = (Arc::clone(&bench.log), bench.status.clone(), bench.stop.clone());
    let following = tokio::spawn(async move {
        follow(&*log, &mut sink, everything(), &status, &stop).await.unwrap();
    });
    let nothing_left = |(_, shards): &Told| shards.is_empty();
    bench.until("it is decided", |_| told.lock().unwrap().last().is_some_and(nothing_left)).await;
    bench.stop.cancel();
    following.await.unwrap();
    let told = told.lock().unwrap().clone();
    let asked = bench.log.0.lock().unwrap().ends_asked;
    (told, asked)
}

#[tokio::test]
async fn what_is_in_doubt_is_decided_where_the_log_ended() {
    let bench = Bench::new(history(1, 1), &[(0, &[1, 2, 3]), (1, &[1]), (2, &[1])]).await;
    let (told, asked) = told_of(&bench, &[0, 1]).await;
    let (first, last) = ((5, vec![0, 1]), (5, vec![]));
    assert_eq!(told, [first, last], "not before everything was read, nor of other shards");
    assert_eq!(asked, 1, "where it ends is known after that");
}

#[tokio::test]
async fn what_is_in_doubt_of_an_emptied_shard_is_decided() {
    let bench = Bench::new(history(1, 1), &[(0, &[1, 2, 3]), (1, &[])]).await;
    let (told, _) = told_of(&bench, &[1]).await;
    assert_eq!(told, [(0, vec![1]), (3, vec![])]);
}

#[tokio::test]
async fn a_handler_without_doubts_is_told_so_and_the_log_is_not_asked() {
    let bench = Bench::new(history(1, 1), &[(0, &[1, 2, 3])]).await;
    assert_eq!(told_of(&bench, &[]).await, (vec![(0, vec![])], 0));
}

#[tokio::test]
async fn a_shard_that_begins_anew_is_read_from_there() {
    let bench = Bench::new(history(1, 1), &[(0, &[1, 2, 3]), (1, &[1])]).await;
    let (handler, now) = (Anew::default(), Arc::new(|| Timestamp::from_micros(1)));
    let handled = Arc::clone(&handler.handled);
    let mut sink = Transactional::new(FOLLOWER, bench.database.clone(), handler, now);
    let (log, status, stop) = (Arc::clone(&bench.log), bench.status.clone(), bench.stop.clone());
    let following = tokio::spawn(async move {
        follow(&*log, &mut sink, everything(), &status, &stop).await.unwrap();
    });
    let all = [(0, 1), (0, 2), (0, 3), (1, 1), (0, 1), (0, 2), (0, 3)];
    bench.until("it is read twice", |_| handled.lock().unwrap().len() >= all.len()).await;
    bench.comes_to(0, 3).await;
    bench.stop.cancel();
    following.await.unwrap();
    assert_eq!(*handled.lock().unwrap(), all);
}

/// Who follows learns at once that its cursors are not those that it knows.
#[tokio::test]
async fn a_follower_is_told_that_a_shard_begins_anew() {
    let bench = Bench::new(history(1, 1), &[(0, &[1, 2, 3]), (1, &[1])]).await;
    let now = Arc::new(|| Timestamp::from_micros(1));
    let mut sink = Transactional::new(FOLLOWER, bench.database.clone(), Anew::default(), now);
    let sink: &mut dyn Sink<Thing> = &mut sink;
    sink.cursors().await.unwrap();
    let batch = bench.log.read_after(&Cursors::default(), 1_000).await.unwrap();
    sink.apply(&batch).await.unwrap();
    let at = sink.cursors().await.unwrap();
    assert_eq!(at.iter().collect::<Places>(), [(0, 3), (1, 1)]);
    assert!(sink.reads_again() && sink.lacks_ends(&at).await.unwrap());
    let behind: Cursors = [(0, 4)].into_iter().collect();
    assert!(!sink.read_to(&at, &behind).await.unwrap(), "it is not at the end");
    let mut further = at.clone();
    further.advance(0, 4);
    let batch = Batch { through: further.clone(), ..Batch::default() };
    sink.apply(&batch).await.unwrap();
    assert!(sink.read_to(&further, &Cursors::default()).await.unwrap());
    let at = sink.cursors().await.unwrap();
    assert_eq!(at.iter().collect::<Places>(), [(0, 0), (1, 1)]);
    assert!(!sink.reads_again());
}
