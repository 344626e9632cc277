//! A journal that continues from an earlier state, and lists that do not, on both databases: orders
//! that lost events hear again what others were answered, and their deadlines wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use order_actor::actor::Registry;
use order_actor::domain::{AddNote, Command, NoteText, Place};
use order_actor::inbox::MoneyAnswers;
use order_actor::journal::Journal;
use order_actor::projections::{Deadlines, OrderSummaries, migrator};
use order_actor::replay::JournalSource;
use shared_events::contract::{CustomerId, Fact, OrderId, Timestamp};
use shared_events::stream::{
    Batch, Cursors, Database, DeadLetters, Dialect, FollowStatus, Handler, Item, Source,
    SourceError, Transactional, everything, follow,
};
use tokio_util::sync::CancellationToken;

use crate::actors::{of_one_shard, ops};
use crate::domain::payments::a_plan;
use crate::domain::support::{address, contact, gbp, new_line};
use crate::money_answers::{order, secured};
use crate::on_both::on_both;
use crate::postgres;

/// The deadline for what must happen soon; reaching it fails the test.
const SOON: Duration = Duration::from_secs(60);

/// What payments said, in the only shard.
struct Said(Vec<Fact>);

#[async_trait]
impl Source<Fact> for Said {
    async fn read_after(&self, cursors: &Cursors, _: usize) -> Result<Batch<Fact>, SourceError> {
        let after = cursors.get(0);
        let items: Vec<Fact> =
            self.0.iter().filter(|fact| fact.position > after).cloned().collect();
        let through = items.last().map(|fact| (0, fact.position)).into_iter().collect();
        Ok(Batch { items, through, more: false })
    }

    async fn changed(&self, _: &Cursors) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        Ok(self.0.last().map(|fact| (0, fact.position)).into_iter().collect())
    }
}

/// Follows until this is so.
async fn follow_until<T: Item>(
    source: &dyn Source<T>,
    (name, database): (&str, &Database),
    handler: impl Handler<T>,
    so: impl AsyncFn(&FollowStatus) -> bool,
) {
    let now = Arc::new(|| Timestamp::from_micros(1));
    let mut sink = Transactional::new(name, database.clone(), handler, now);
    let (status, stop) = (FollowStatus::new(name), CancellationToken::new());
    let until = async {
        let waits = async {
            while !so(&status).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, waits).await;
        stop.cancel();
        waited.unwrap_or_else(|_| panic!("{name}: {:?} {:?}", status.cursors(), status.failure()));
    };
    let following = follow(source, &mut sink, everything(), &status, &stop);
    let (followed, ()) = tokio::join!(following, until);
    followed.unwrap();
}

fn is_at(status: &FollowStatus, end: u64) -> bool {
    status.cursors().get(0) == end && status.failure().is_none()
}

/// Three orders whose answers were read to their end, and a journal that was restored to before
/// that: there `lost` has nothing of its answer, `other` is as far as it was, and `parked` takes an
/// answer that it had refused.
struct Restored {
    lost: OrderId,
    other: OrderId,
    parked: OrderId,
    said: Said,
    database: Database,
    before: Journal,
    registry: Registry,
    journal: Journal,
    _folder: tempfile::TempDir,
}

impl Restored {
    async fn on(dialect: Dialect) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, migrations) = (folder.path().join("orders.db"), migrator(dialect));
        let database = match dialect {
            Dialect::Sqlite => Database::sqlite(&path, &migrations).await.unwrap(),
            Dialect::Postgres => {
                let (url, schema) = (postgres::server(), postgres::schema());
                Database::postgres(&url, &schema, &migrations).await.unwrap()
            }
        };
        let [lost, other, parked] = [(); 3].map(|()| OrderId::mint());
        let answers = [(lost, 2_000), (other, 2_000), (parked, 1_999)];
        let facts = (1..).zip(answers).map(|(at, (order_id, minor))| secured(at, order_id, minor));
        let said = Said(facts.collect());
        let (registry, before) = of_one_shard(None).await;
        for order_id in [lost, other, parked] {
            place(&registry, order_id, 2_000).await;
        }
        let follower = (MoneyAnswers::FOLLOWER, &database);
        let so = async |status: &FollowStatus| is_at(status, 3);
        follow_until(&said, follower, MoneyAnswers::new(registry), so).await;

        let file = folder.path().join("journal.db");
        let (registry, journal) = of_one_shard(Some(&file)).await;
        for (order_id, minor) in answers {
            place(&registry, order_id, minor).await;
        }
        let note = NoteText { text: "ring first".to_owned() };
        let note = Command::AddNote(AddNote { public: false, note });
        registry.execute(other, note, ops()).await.unwrap();
        journal.accept("restored", "ops", None).await.unwrap();
        let shop = Self {
            lost,
            other,
            parked,
            said,
            database,
            before,
            registry,
            journal,
            _folder: folder,
        };
        let letters = shop.letters().await;
        assert_eq!(letters, [parked.to_string()], "what it was to take was too little");
        shop
    }

    /// A list of orders follows a journal to its end.
    async fn list_orders(&self, journal: &Journal) {
        let (source, end) = ends(journal).await;
        let handler = OrderSummaries::new(self.database.clone()).handler(journal.clone());
        let so = async |status: &FollowStatus| is_at(status, end);
        follow_until(&source, (OrderSummaries::FOLLOWER, &self.database), handler, so).await;
    }

    /// As the list of deadlines does.
    async fn list_deadlines(&self, journal: &Journal) {
        let (source, end) = ends(journal).await;
        let handler = Deadlines::new(self.database.clone()).handler(journal.clone());
        let so = async |status: &FollowStatus| is_at(status, end);
        follow_until(&source, (Deadlines::FOLLOWER, &self.database), handler, so).await;
    }

    /// The orders with dead letters of the answers of payments.
    async fn letters(&self) -> Vec<String> {
        let letters = DeadLetters::new(self.database.clone());
        let letters = letters.list(Some(MoneyAnswers::FOLLOWER), None, 10).await.unwrap();
        letters.iter().map(|letter| letter.subject.to_string()).collect()
    }

    async fn due(&self) -> BTreeSet<OrderId> {
        let far = Timestamp::from_micros(i64::MAX);
        let due = Deadlines::new(self.database.clone()).due(far, None, 10).await.unwrap();
        due.iter().map(|due| due.order_id).collect()
    }

    /// How many events the restored journal has of an order.
    async fn events(&self, order_id: OrderId) -> u64 {
        order(&self.registry, order_id).await.details().unwrap().events
    }

    /// The shards that a follower of answers is to read again, as it finds them.
    async fn to_begin(&self, handler: &mut MoneyAnswers) -> BTreeSet<u16> {
        let mut tx = self.database.begin().await.unwrap();
        assert_eq!(handler.read_again(&mut tx, &BTreeSet::new()).await.unwrap(), BTreeSet::new());
        tx.commit().await.unwrap();
        handler.shards_in_doubt().await.unwrap()
    }

    async fn begins(&self, handler: &mut MoneyAnswers) {
        let shards = BTreeSet::from([0]);
        assert_eq!(self.to_begin(handler).await, shards);
        let mut tx = self.database.begin().await.unwrap();
        assert_eq!(handler.read_again(&mut tx, &shards).await.unwrap(), shards);
        tx.commit().await.unwrap();
    }
}

async fn place(registry: &Registry, order_id: OrderId, minor: i64) {
    let lines = vec![new_line("MUG", 1, gbp(minor))];
    let place = Place {
        payment: Some(Box::new(a_plan())),
        ..Place::plain((order_id, CustomerId::mint()), lines, (address(), contact()))
    };
    registry.execute(order_id, Command::from(place), ops()).await.unwrap();
}

async fn ends(journal: &Journal) -> (JournalSource, u64) {
    let source = JournalSource::new(journal.clone());
    let end = source.heads().await.unwrap().get(0);
    (source, end)
}

async fn left(database: &Database) -> i64 {
    let sql = "SELECT COUNT(*) FROM answers_again";
    sqlx::query_scalar(sql).fetch_one(database.reader()).await.unwrap()
}

async fn an_order_that_lost_its_answer_hears_it_before_its_deadline(dialect: Dialect) {
    let shop = Restored::on(dialect).await;
    for journal in [&shop.before, &shop.journal] {
        shop.list_orders(journal).await;
        shop.list_deadlines(journal).await;
    }
    // Payments alone were read; stock has nothing to tell again.
    assert_eq!(left(&shop.database).await, 1);
    assert_eq!(shop.due().await, BTreeSet::from([shop.other, shop.parked]));

    let handler = MoneyAnswers::new(shop.registry.clone());
    let follower = (MoneyAnswers::FOLLOWER, &shop.database);
    let so = async |status: &FollowStatus| left(&shop.database).await == 0 && is_at(status, 3);
    follow_until(&shop.said, follower, handler, so).await;
    assert_eq!(shop.events(shop.lost).await, 2);
    assert_eq!(shop.events(shop.other).await, 2, "it was not told again");
    assert_eq!(shop.events(shop.parked).await, 2, "what was set aside is tried again");
    assert_eq!(shop.letters().await, [""; 0]);
    assert_eq!(shop.due().await, BTreeSet::from([shop.lost, shop.other, shop.parked]));
}

async fn nothing_begins_before_every_list_agrees(dialect: Dialect) {
    let shop = Restored::on(dialect).await;
    shop.list_orders(&shop.before).await;
    shop.list_deadlines(&shop.before).await;
    let mut handler = MoneyAnswers::new(shop.registry.clone());
    assert!(handler.is_in_doubt());
    shop.list_orders(&shop.journal).await;
    assert_eq!(shop.to_begin(&mut handler).await, BTreeSet::new());
    assert!(handler.is_in_doubt(), "the deadlines may know of more");
    shop.list_deadlines(&shop.journal).await;
    assert_eq!(shop.to_begin(&mut handler).await, BTreeSet::from([0]));
}

async fn an_order_that_is_found_meanwhile_is_heard_from_the_beginning(dialect: Dialect) {
    let shop = Restored::on(dialect).await;
    shop.list_orders(&shop.before).await;
    // The other list has not read on its own yet, and so holds up nobody.
    let list = Deadlines::new(shop.database.clone());
    let events = JournalSource::new(shop.before.clone());
    let events = events.read_after(&Cursors::default(), 100).await.unwrap().items;
    let mut tx = shop.database.begin().await.unwrap();
    list.handler(shop.before.clone()).handle(&mut tx, &events).await.unwrap();
    tx.commit().await.unwrap();
    shop.list_orders(&shop.journal).await;
    let mut handler = MoneyAnswers::new(shop.registry.clone());
    shop.begins(&mut handler).await;
    assert_eq!(shop.to_begin(&mut handler).await, BTreeSet::new());
    assert!(!handler.is_in_doubt());

    let (from, to): (Cursors, _) = ([(0, 5)].into_iter().collect(), Cursors::default());
    let mut tx = shop.database.begin().await.unwrap();
    list.handler(shop.journal.clone()).set_back(&mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    handler.resumes();
    shop.begins(&mut handler).await;
}

async fn answers_behind_where_their_log_was_set_back_were_never_heard(dialect: Dialect) {
    let shop = Restored::on(dialect).await;
    for journal in [&shop.before, &shop.journal] {
        shop.list_orders(journal).await;
        shop.list_deadlines(journal).await;
    }
    let mut handler = MoneyAnswers::new(shop.registry.clone());
    shop.begins(&mut handler).await;
    let (from, to): (Cursors, Cursors) =
        ([(0, 3)].into_iter().collect(), [(0, 1)].into_iter().collect());
    let mut tx = shop.database.begin().await.unwrap();
    assert_eq!(handler.set_back(&mut tx, &from, &to).await.unwrap(), to);
    tx.commit().await.unwrap();
    let mut tx = shop.database.begin().await.unwrap();
    handler.handle(&mut tx, &shop.said.0[..2]).await.unwrap();
    tx.commit().await.unwrap();
    handler.committed();
    assert_eq!(shop.events(shop.lost).await, 2);
    assert_eq!(shop.events(shop.other).await, 3);
    assert_eq!(left(&shop.database).await, 0);
}

on_both! {
    an_order_that_lost_its_answer_hears_it_before_its_deadline,
    nothing_begins_before_every_list_agrees,
    an_order_that_is_found_meanwhile_is_heard_from_the_beginning,
    answers_behind_where_their_log_was_set_back_were_never_heard,
}
