//! The loop: effect and cursor happen together, once, whatever fails on the way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared_events::contract::{Subject, Timestamp};
use shared_events::stream::{
    ActionsAsked, AskedBy, Batch, Blame, Candidacy, Cursors, Database, DeadLetterState,
    DeadLetters, FollowStatus, Handler, Item, LETTERS_COUNTED, OperatorAction, Pace, Pacing, Scope,
    Sink, Source, SourceError, Transactional, Tx, Verb, everything, follow, follow_paced,
};
use sqlx::Row as _;
use sqlx::migrate::Migrator;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Level;
use uuid::Uuid;

/// An operator's action.
fn action(verb: Verb) -> OperatorAction {
    let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
    OperatorAction::new(&by, verb, "writer", "", Timestamp::default())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Thing {
    shard: u16,
    position: u64,
    subject: Subject,
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
        self.subject
    }

    fn kind(&self) -> &str {
        "thing.v1"
    }
}

#[derive(Default)]
struct Log {
    things: Mutex<Vec<Thing>>,
    more: Notify,
}

impl Log {
    fn push(&self, shard: u16, subject: Subject) {
        let mut things = self.things.lock().unwrap();
        let position = 1 + things.iter().filter(|thing| thing.shard == shard).count() as u64;
        things.push(Thing { shard, position, subject });
        drop(things);
        self.more.notify_waiters();
    }
}

#[async_trait]
impl Source<Thing> for Log {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Thing>, SourceError> {
        let things = self.things.lock().unwrap();
        let mut items: Vec<Thing> = things
            .iter()
            .filter(|thing| thing.position > cursors.get(thing.shard))
            .cloned()
            .collect();
        let most = limit.min(3);
        let more = items.len() > most;
        items.truncate(most);
        let through = items.iter().map(|thing| (thing.shard, thing.position)).collect();
        Ok(Batch { items, through, more })
    }

    async fn changed(&self, _cursors: &Cursors) {
        self.more.notified().await;
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        Ok(self.things.lock().unwrap().iter().map(|thing| (thing.shard, thing.position)).collect())
    }
}

/// Writes a row per thing; fails as configured.
struct Writer {
    poison: Arc<Mutex<Vec<Subject>>>,
    outages: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
}

#[async_trait]
impl Handler<Thing> for Writer {
    async fn handle(&mut self, tx: &mut Tx, things: &[Thing]) -> Result<(), Blame> {
        let mut wrong = Vec::new();
        for (index, thing) in things.iter().enumerate() {
            sqlx::query("INSERT INTO effects (at, order_id) VALUES ($1, $2)")
                .bind(format!("{}/{}", thing.shard, thing.position))
                .bind(thing.subject.to_string())
                .execute(&mut **tx)
                .await?;
            if self.poison.lock().unwrap().contains(&thing.subject) {
                wrong.push((index, "cannot be handled".to_owned()));
            }
        }
        Blame::of_items(wrong)?;
        let outage = self
            .outages
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if outage.is_ok() { Err(Blame::World("away".to_owned())) } else { Ok(()) }
    }

    fn failed_with(&mut self) -> Vec<String> {
        let gone = self.gone.load(Ordering::SeqCst);
        gone.then(|| "cannot be handled".to_owned()).into_iter().collect()
    }

    fn retried(&mut self, _: u64) {
        self.gone.store(false, Ordering::SeqCst);
    }
}

struct Bench {
    database: Database,
    log: Arc<Log>,
    poison: Arc<Mutex<Vec<Subject>>>,
    outages: Arc<AtomicU64>,
    /// Whether the cause of letters is gone.
    gone: Arc<AtomicBool>,
    status: FollowStatus,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    async fn on(backend: &str) -> Self {
        let migrations = Migrator { migrations: vec![].into(), ..Migrator::DEFAULT };
        let (database, folder) = if backend == "sqlite" {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("follow % test?.db");
            (Database::sqlite(&path, &migrations).await.unwrap(), Some(folder))
        } else {
            let url = std::env::var("ORDINAL_TEST_POSTGRES").expect(
                "ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one",
            );
            let schema = format!("t_{}", Uuid::now_v7().simple());
            (Database::postgres(&url, &schema, &migrations).await.unwrap(), None)
        };
        let mut tx = database.begin().await.unwrap();
        sqlx::query("CREATE TABLE effects (at TEXT PRIMARY KEY, order_id TEXT NOT NULL)")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        Self {
            database,
            log: Arc::default(),
            poison: Arc::default(),
            outages: Arc::default(),
            gone: Arc::default(),
            status: FollowStatus::new("writer"),
            stop: CancellationToken::new(),
            task: None,
            _folder: folder,
        }
    }

    fn start(&mut self) {
        let handler = Writer {
            poison: Arc::clone(&self.poison),
            outages: Arc::clone(&self.outages),
            gone: Arc::clone(&self.gone),
        };
        let now = Arc::new(Timestamp::default);
        let mut sink = Transactional::new("writer", self.database.clone(), handler, now);
        let (log, status) = (Arc::clone(&self.log), self.status.clone());
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        self.task = Some(tokio::spawn(async move {
            follow(log.as_ref(), &mut sink, everything(), &status, &stop).await.unwrap();
        }));
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    /// Returns once the cursor has reached the head of the log.
    async fn caught_up(&self) {
        let heads = self.log.heads().await.unwrap();
        self.until(async || Cursors::load(&self.database, "writer").await.unwrap().covers(&heads))
            .await;
    }

    async fn until(&self, reached: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("not reached in 60 s");
    }

    async fn effects(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT at FROM effects ORDER BY at")
            .fetch_all(self.database.reader())
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn outages_and_restarts_change_nothing(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let orders: Vec<Subject> = (0..4).map(|_| Subject::mint()).collect();
    bench.outages.store(3, Ordering::SeqCst);
    for round in 0..10_u16 {
        bench.log.push(round % 2, orders[usize::from(round % 4)]);
    }
    bench.start();
    bench.caught_up().await;
    bench.stop().await;
    for round in 0..10_u16 {
        bench.log.push(round % 2, orders[usize::from(round % 4)]);
    }
    bench.start();
    bench.caught_up().await;
    bench.stop().await;
    // The table's key refuses a second effect, so each of these happened once.
    assert_eq!(bench.effects().await.len(), 20);
}

async fn poison_stops_only_its_order(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let (good, bad) = (Subject::mint(), Subject::mint());
    bench.poison.lock().unwrap().push(bad);
    for subject in [good, bad, good, bad, good] {
        bench.log.push(0, subject);
    }
    bench.start();
    bench.caught_up().await;
    bench.log.push(0, bad);
    bench.log.push(0, good);
    bench.caught_up().await;
    assert_eq!(bench.effects().await, ["0/1", "0/3", "0/5", "0/7"]);
    let letters = DeadLetters::new(bench.database.clone());
    let parked = letters.list(Some("writer"), None, 10).await.unwrap();
    let states: Vec<_> = parked.iter().map(|letter| (letter.position, letter.state)).collect();
    assert_eq!(
        states,
        [(2, DeadLetterState::Poison), (4, DeadLetterState::Behind), (6, DeadLetterState::Behind)]
    );
    assert_eq!(parked[0].error, "cannot be handled");
    let waiting = letters.waiting("writer").await.unwrap().unwrap();
    assert_eq!((waiting.letters, waiting.first.position), (3, 2));
    let counted = letters.by_state("writer").await.unwrap();
    let counted = counted.map(|(state, counted)| (state, counted.map(|(letters, _)| letters)));
    assert_eq!(
        counted,
        [
            (DeadLetterState::Poison, Some(1)),
            (DeadLetterState::Behind, Some(2)),
            (DeadLetterState::Retry, None),
        ]
    );

    // Put back before it is fixed: it is poison again, one try later, and nothing was lost.
    letters.put_back("writer", bad, action(Verb::PutBackDeadLetters)).await.unwrap();
    bench.until(async || letters.of_subject("writer", bad).await.unwrap()[0].attempts == 2).await;
    assert_eq!(letters.of_subject("writer", bad).await.unwrap().len(), 3);

    bench.poison.lock().unwrap().clear();
    letters.put_back("writer", bad, action(Verb::PutBackDeadLetters)).await.unwrap();
    bench.until(async || letters.of_subject("writer", bad).await.unwrap().is_empty()).await;
    assert_eq!(bench.effects().await, ["0/1", "0/2", "0/3", "0/4", "0/5", "0/6", "0/7"]);
    bench.log.push(0, bad);
    bench.caught_up().await;
    assert_eq!(bench.effects().await.len(), 8);
    bench.stop().await;
}

/// A hundred letters wait behind one, and those of other subjects are counted all the same.
async fn letters_of_each_state_are_counted(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let subjects: Vec<Subject> = (0..4).map(|_| Subject::mint()).collect();
    bench.poison.lock().unwrap().extend(&subjects);
    for _ in 0..=LETTERS_COUNTED {
        bench.log.push(0, subjects[0]);
    }
    subjects[1..].iter().for_each(|subject| bench.log.push(1, *subject));
    bench.start();
    bench.caught_up().await;
    bench.stop().await;
    let letters = DeadLetters::new(bench.database.clone());
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query("UPDATE dead_letters SET parked_at = shard + 10 * position")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let counted = letters.by_state("writer").await.unwrap();
    let at = Timestamp::from_micros;
    assert_eq!(
        counted,
        [
            (DeadLetterState::Poison, Some((4, at(10)))),
            (DeadLetterState::Behind, Some((LETTERS_COUNTED, at(20)))),
            (DeadLetterState::Retry, None),
        ]
    );
}

/// Nothing new comes, and letters whose cause is gone are handled.
async fn letters_whose_cause_is_gone_are_retried_without_a_new_item(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let subject = Subject::mint();
    bench.poison.lock().unwrap().push(subject);
    bench.log.push(0, subject);
    bench.log.push(0, subject);
    bench.start();
    bench.caught_up().await;
    assert_eq!(bench.effects().await.len(), 0);
    bench.poison.lock().unwrap().clear();
    bench.gone.store(true, Ordering::SeqCst);
    let letters = DeadLetters::new(bench.database.clone());
    bench.until(async || letters.of_subject("writer", subject).await.unwrap().is_empty()).await;
    assert_eq!(bench.effects().await, ["0/1", "0/2"]);
    // Said once, and done once.
    assert!(!bench.gone.load(Ordering::SeqCst));
    bench.stop().await;
}

/// Two followers of one name at the same time, as when the first one slept past its lease: neither
/// repeats the other's effects. The effects' key would refuse a repetition, and the follower would
/// then never finish.
async fn followers_of_one_name_have_no_effect_twice(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let subject = Subject::mint();
    bench.start();
    let (first, stop_first) = (bench.task.take(), bench.stop.clone());
    bench.start();
    for round in 0..60_u16 {
        bench.log.push(round % 3, subject);
        if round % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    bench.caught_up().await;
    stop_first.cancel();
    first.unwrap().await.unwrap();
    bench.stop().await;
    assert_eq!(bench.effects().await.len(), 60);
}

#[tokio::test]
async fn one_candidate_follows_and_the_next_takes_over() {
    let bench = Bench::on("postgres").await;
    let (first, first_scope) = Candidacy::new(bench.database.clone(), "writer");
    let stops = [CancellationToken::new(), CancellationToken::new(), CancellationToken::new()];
    let first = tokio::spawn(first.run(stops[0].clone()));
    bench.until(async || *first_scope.borrow() == Scope::All).await;

    let url = std::env::var("ORDINAL_TEST_POSTGRES").unwrap();
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(bench.database.reader())
        .await
        .unwrap();
    let migrations = Migrator { migrations: vec![].into(), ..Migrator::DEFAULT };
    let other = Database::postgres(&url, &schema, &migrations).await.unwrap();
    let (second, mut second_scope) = Candidacy::new(other.clone(), "writer");
    let second = tokio::spawn(second.run(stops[1].clone()));
    // It stands by for as long as the first one lives and renews.
    let follows = second_scope.wait_for(|scope| *scope == Scope::All);
    assert!(tokio::time::timeout(Duration::from_secs(3), follows).await.is_err());
    assert_eq!(*first_scope.borrow(), Scope::All);

    stops[0].cancel();
    first.await.unwrap();
    assert!(first_scope.borrow().is_nothing(), "who gives up follows no more");
    bench.until(async || *second_scope.borrow() == Scope::All).await;

    // A holder that was killed has no session; its lease is free.
    stops[1].cancel();
    second.await.unwrap();
    sqlx::query(
        "INSERT INTO follower_leases VALUES ('writer', 'killed', now() + interval '1 hour')",
    )
    .execute(bench.database.reader())
    .await
    .unwrap();
    let (third, third_scope) = Candidacy::new(other, "writer");
    let third = tokio::spawn(third.run(stops[2].clone()));
    bench.until(async || *third_scope.borrow() == Scope::All).await;
    stops[2].cancel();
    third.await.unwrap();
}

async fn a_dropped_letter_lets_the_next_ones_pass(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let subject = Subject::mint();
    bench.poison.lock().unwrap().push(subject);
    bench.log.push(0, subject);
    bench.log.push(0, subject);
    bench.start();
    bench.caught_up().await;
    bench.poison.lock().unwrap().clear();
    let letters = DeadLetters::new(bench.database.clone());
    let dropped =
        letters.drop_first("writer", subject, action(Verb::DropDeadLetter)).await.unwrap();
    assert_eq!(dropped.position, 1);
    bench.until(async || letters.of_subject("writer", subject).await.unwrap().is_empty()).await;
    assert_eq!(bench.effects().await, ["0/2"]);
    assert!(letters.put_back("writer", subject, action(Verb::PutBackDeadLetters)).await.is_err());
    assert!(letters.drop_first("writer", subject, action(Verb::DropDeadLetter)).await.is_err());
    // Executed actions are recorded, refused ones are not, and no record can be changed.
    let asked = ActionsAsked { limit: 10, ..ActionsAsked::default() };
    let done = OperatorAction::list(&bench.database, &asked).await.unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!((done[0].by.subject.as_str(), done[0].verb.as_str()), ("anna", "DROP_DEAD_LETTER"));
    assert_eq!(done[0].after, "dropped, 1 behind it RETRY");
    assert!(done[0].before.ends_with("at 0:1, tried 1 times: cannot be handled"), "{done:?}");
    for change in ["DELETE FROM operator_actions", "UPDATE operator_actions SET subject = 'bob'"] {
        let mut tx = bench.database.begin().await.unwrap();
        let refused = sqlx::query(change).execute(&mut *tx).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    assert_eq!(OperatorAction::list(&bench.database, &asked).await.unwrap(), done);
    bench.stop().await;
}

/// Its error is logged and shown, and what cannot be read may be what a person wrote.
async fn an_unreadable_letter_is_named_without_its_values(backend: &str) {
    let mut bench = Bench::on(backend).await;
    let subject = Subject::mint();
    bench.poison.lock().unwrap().push(subject);
    bench.log.push(0, subject);
    bench.start();
    bench.caught_up().await;
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query("UPDATE dead_letters SET item = $1")
        .bind(r#"{"shard":"MARKER","position":1}"#)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let letters = DeadLetters::new(bench.database.clone());
    letters.put_back("writer", subject, action(Verb::PutBackDeadLetters)).await.unwrap();
    let attempts = async || letters.of_subject("writer", subject).await.unwrap()[0].attempts;
    bench.until(async || attempts().await == 2).await;
    let error = letters.of_subject("writer", subject).await.unwrap().remove(0).error;
    assert_eq!(error, "it cannot be read at line 1 column 17");
    bench.stop().await;
}

#[tokio::test]
async fn an_unreadable_letter_is_named_without_its_values_on_sqlite() {
    an_unreadable_letter_is_named_without_its_values("sqlite").await;
}

#[tokio::test]
async fn an_unreadable_letter_is_named_without_its_values_on_postgres() {
    an_unreadable_letter_is_named_without_its_values("postgres").await;
}

#[tokio::test]
async fn outages_and_restarts_change_nothing_on_sqlite() {
    outages_and_restarts_change_nothing("sqlite").await;
}

#[tokio::test]
async fn outages_and_restarts_change_nothing_on_postgres() {
    outages_and_restarts_change_nothing("postgres").await;
}

#[tokio::test]
async fn poison_stops_only_its_order_on_sqlite() {
    poison_stops_only_its_order("sqlite").await;
}

#[tokio::test]
async fn poison_stops_only_its_order_on_postgres() {
    poison_stops_only_its_order("postgres").await;
}

#[tokio::test]
async fn letters_of_each_state_are_counted_on_sqlite() {
    letters_of_each_state_are_counted("sqlite").await;
}

#[tokio::test]
async fn letters_of_each_state_are_counted_on_postgres() {
    letters_of_each_state_are_counted("postgres").await;
}

#[tokio::test]
async fn letters_whose_cause_is_gone_are_retried_without_a_new_item_on_sqlite() {
    letters_whose_cause_is_gone_are_retried_without_a_new_item("sqlite").await;
}

#[tokio::test]
async fn letters_whose_cause_is_gone_are_retried_without_a_new_item_on_postgres() {
    letters_whose_cause_is_gone_are_retried_without_a_new_item("postgres").await;
}

#[tokio::test]
async fn a_dropped_letter_lets_the_next_ones_pass_on_sqlite() {
    a_dropped_letter_lets_the_next_ones_pass("sqlite").await;
}

#[tokio::test]
async fn a_dropped_letter_lets_the_next_ones_pass_on_postgres() {
    a_dropped_letter_lets_the_next_ones_pass("postgres").await;
}

#[tokio::test]
async fn followers_of_one_name_have_no_effect_twice_on_sqlite() {
    followers_of_one_name_have_no_effect_twice("sqlite").await;
}

#[tokio::test]
async fn followers_of_one_name_have_no_effect_twice_on_postgres() {
    followers_of_one_name_have_no_effect_twice("postgres").await;
}

/// Returns a thing when it is asked after that instant, in order, and whether it has more.
struct Portions(Mutex<VecDeque<(Duration, bool)>>, tokio::time::Instant);

#[async_trait]
impl Source<Thing> for Portions {
    async fn read_after(&self, cursors: &Cursors, _: usize) -> Result<Batch<Thing>, SourceError> {
        let mut portions = self.0.lock().unwrap();
        let due = portions.front().is_some_and(|(due, _)| self.1.elapsed() >= *due);
        if !due {
            return Ok(Batch::default());
        }
        let (_, more) = portions.pop_front().unwrap();
        let thing = Thing { shard: 0, position: cursors.get(0) + 1, subject: Subject::mint() };
        let through = [(0, thing.position)].into_iter().collect();
        Ok(Batch { items: vec![thing], through, more })
    }

    async fn changed(&self, _: &Cursors) {
        let due = self.0.lock().unwrap().front().map(|(due, _)| *due);
        match due {
            Some(due) => tokio::time::sleep_until(self.1 + due).await,
            None => std::future::pending().await,
        }
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        Ok(Cursors::default())
    }
}

/// Records when each batch came.
struct Paced(Arc<Mutex<Vec<u128>>>, tokio::time::Instant);

#[async_trait]
impl Sink<Thing> for Paced {
    async fn set_back(&mut self, _: &Cursors, _: &Cursors, _: u64) -> Result<(), Blame> {
        Err(Blame::World("this log is never set back".to_owned()))
    }

    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        Ok(Cursors::default())
    }

    async fn apply(&mut self, _: &Batch<Thing>) -> Result<(), Blame> {
        self.0.lock().unwrap().push(self.1.elapsed().as_millis());
        Ok(())
    }
}

/// When the batches came that became known at these times, in milliseconds.
async fn came_at(pacing: &Pacing) -> Vec<u128> {
    let (began, came) = (tokio::time::Instant::now(), Arc::default());
    let caught_up = |millis| (Duration::from_millis(millis), false);
    let more = |millis| (Duration::from_millis(millis), true);
    let portions =
        [caught_up(0), caught_up(0), more(0), caught_up(0), caught_up(0), caught_up(1_000)];
    let source = Portions(Mutex::new(portions.into()), began);
    let mut sink = Paced(Arc::clone(&came), began);
    let (status, stop) = (FollowStatus::new("paced"), CancellationToken::new());
    let following = follow_paced(&source, &mut sink, pacing, everything(), &status, &stop);
    let ending = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.cancel();
    };
    let (followed, ()) = tokio::join!(following, ending);
    followed.unwrap();
    came.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_caught_up_follower_is_paced_but_not_after_a_pause() {
    let every = Pacing::new(Pace::Every(Duration::from_millis(20)), Arc::new(|| 0));
    assert_eq!(came_at(&every).await, [0, 20, 40, 40, 60, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_waiting_orders_is_paced_only_where_cores_are_busy() {
    let busy = Arc::new(AtomicU32::new(1_000));
    let asked = Arc::clone(&busy);
    let cores = Arc::new(move || asked.load(Ordering::Relaxed));
    let pacing = Pacing::new(Pace::WhileBusy(Duration::from_millis(20)), cores);
    assert_eq!(came_at(&pacing).await, [0, 20, 40, 40, 60, 1_000]);
    busy.store(500, Ordering::Relaxed);
    assert_eq!(came_at(&pacing).await, [0, 0, 0, 0, 0, 1_000]);
}

/// Fails every other time, while it is to.
struct Flaky(Arc<AtomicBool>, u64);

#[async_trait]
impl Sink<Thing> for Flaky {
    async fn set_back(&mut self, _: &Cursors, _: &Cursors, _: u64) -> Result<(), Blame> {
        Err(Blame::World("this log is never set back".to_owned()))
    }

    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        Ok(Cursors::default())
    }

    async fn apply(&mut self, _: &Batch<Thing>) -> Result<(), Blame> {
        self.1 += 1;
        let fails = self.0.load(Ordering::SeqCst) && self.1 % 2 == 1;
        if fails { Err(Blame::World("away".to_owned())) } else { Ok(()) }
    }
}

/// The levels of the lines that followers write.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Level>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, line: &tracing::Metadata<'_>) -> bool {
        *line.level() <= Level::INFO && line.target().starts_with("shared_events::stream::follow")
    }

    fn event(&self, line: &tracing::Event<'_>) {
        self.0.lock().unwrap().push(*line.metadata().level());
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_fails_every_other_time_says_so_once() {
    let lines = Lines::default();
    let _log = tracing::subscriber::set_default(lines.clone());
    let began = tokio::time::Instant::now();
    let portions = (0..600).map(|second| (Duration::from_secs(second), false)).collect();
    let source = Portions(Mutex::new(portions), began);
    let fails = Arc::new(AtomicBool::new(true));
    let mut sink = Flaky(Arc::clone(&fails), 0);
    let (status, stop) = (FollowStatus::new("flaky"), CancellationToken::new());
    let following = follow(&source, &mut sink, everything(), &status, &stop);
    let looking = async {
        let levels_at = async |second| {
            tokio::time::sleep_until(began + Duration::from_secs(second)).await;
            lines.0.lock().unwrap().clone()
        };
        assert_eq!(levels_at(200).await, [Level::WARN]);
        fails.store(false, Ordering::SeqCst);
        assert_eq!(levels_at(250).await, [Level::WARN]);
        assert_eq!(levels_at(300).await, [Level::WARN, Level::INFO]);
        fails.store(true, Ordering::SeqCst);
        assert_eq!(levels_at(400).await, [Level::WARN, Level::INFO, Level::WARN]);
        stop.cancel();
    };
    let (followed, ()) = tokio::join!(following, looking);
    followed.unwrap();
}

/// sqlx counts a transaction once its BEGIN was answered; a caller cancelled before that must leave
/// none open, in which the next user of the session would work, uncommitted for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_cancelled_during_begin_leaves_no_open_transaction() {
    let url = std::env::var("ORDINAL_TEST_POSTGRES").unwrap();
    let schema = format!("t_{}", Uuid::new_v4().simple());
    let migrations = Migrator { migrations: vec![].into(), ..Migrator::DEFAULT };
    let database = Database::postgres(&url, &schema, &migrations).await.unwrap();
    for n in 0..400 {
        let mut begin = Box::pin(database.begin());
        for _ in 0..n % 8 {
            if futures::poll!(begin.as_mut()).is_ready() {
                break;
            }
            // Cancelled at every step of it: before it is sent, while it is answered, afterwards.
            tokio::time::sleep(Duration::from_micros(n % 7 * 40)).await;
        }
        drop(begin);
        // A statement outside a transaction is committed.
        let pause = format!("p{n}");
        sqlx::query("INSERT INTO cursors (follower, shard, position) VALUES ($1, 0, 1)")
            .bind(&pause)
            .execute(database.reader())
            .await
            .unwrap();
    }
    let other = sqlx::PgPool::connect(&url).await.unwrap();
    let idle = "SELECT count(*) FROM pg_stat_activity
                WHERE application_name = $1 AND state LIKE 'idle in transaction%'";
    let none_left = async {
        loop {
            let left: i64 = sqlx::query_scalar(idle)
                .bind(database.session_name())
                .fetch_one(&other)
                .await
                .unwrap();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), none_left).await.expect("a transaction is open");
    let there: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM {schema}.cursors"))
        .fetch_one(&other)
        .await
        .unwrap();
    assert_eq!(there, 400);
    database.close().await;
}
