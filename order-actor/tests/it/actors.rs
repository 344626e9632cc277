//! One mailbox per order: the guarantees for callers, whatever happens to the actor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use order_actor::actor::{Context, Executed, Limits, Refusal, Registry};
use order_actor::clock::{Clock, ManualClock};
use order_actor::domain::{
    AddNote, Address, By, Cancel, Command, Component, Confirm, Existing, Fulfill, LineQuantity,
    NewLine, NoteText, Place, Policy, Rejection, RequestReturn, Status,
};
use order_actor::journal::{
    Fault, Journal, MemoryDisk, NewEvent, Options, open_memory, open_memory_on, open_sqlite,
};
use order_actor::projections::{
    Deadlines, OrderReturns, OrderSummaries, ReturnState, SummaryFilter, migrator,
};
use order_actor::record::decode;
use order_actor::replay::JournalSource;
use order_actor::timers::Alarm;
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Money, OrderId, Quantity, RequestId, ReservationId,
    ReturnId, ShipmentId, Timestamp,
};
use shared_events::stream::{Database, Dialect, FollowStatus, Transactional, everything, follow};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

fn start() -> Timestamp {
    "2010-12-01T08:26:00Z".parse().unwrap()
}

fn options(clock: &ManualClock) -> Options {
    let clock = clock.clone();
    Options { shards: 4, ..Options::new(Arc::new(move || clock.now())) }
}

pub async fn in_memory(limits: Limits) -> (Registry, Journal, ManualClock) {
    let clock = ManualClock::new(start());
    let journal = open_memory(options(&clock)).await.unwrap();
    let registry = registry(&journal, &clock, limits).await;
    (registry, journal, clock)
}

/// An engine whose journal has one shard: in this file, or in memory.
pub async fn of_one_shard(file: Option<&Path>) -> (Registry, Journal) {
    let clock = ManualClock::new(start());
    let options = Options { shards: 1, ..options(&clock) };
    let journal = match file {
        Some(file) => open_sqlite(file, options).await.unwrap(),
        None => open_memory(options).await.unwrap(),
    };
    let registry = registry(&journal, &clock, Limits::default()).await;
    (registry, journal)
}

async fn registry(journal: &Journal, clock: &ManualClock, limits: Limits) -> Registry {
    let clock = Arc::new(clock.clone());
    Registry::start(journal.clone(), clock, Policy::default(), limits).await.unwrap()
}

fn place(order_id: OrderId, customer_id: CustomerId) -> Command {
    let price = Money::new(255, "GBP".parse().unwrap());
    let line = NewLine::plain("85123A".parse().unwrap(), Quantity::new(6).unwrap(), price);
    let address = Address {
        street: "1 High Street".to_owned(),
        city: "London".to_owned(),
        postal_code: "N1 1AA".to_owned(),
        country: "GB".to_owned(),
        ..Address::default()
    };
    let contact = Contact::new("ada@example.org", "", "en").unwrap();
    Command::from(Place::plain((order_id, customer_id), vec![line], (address, contact)))
}

fn cancel() -> Command {
    Command::Cancel(Cancel {
        reason: CancelReason::Ops,
        text: String::new(),
        lines: Vec::new(),
        skus: Vec::new(),
    })
}

pub fn ops() -> Context {
    Context::new(By::ops("anna"), Instant::now() + Duration::from_secs(60))
}

pub async fn placed(registry: &Registry) -> (OrderId, Executed) {
    placed_as(registry, ops()).await
}

pub async fn placed_as(registry: &Registry, context: Context) -> (OrderId, Executed) {
    let (order_id, customer_id) = (OrderId::mint(), CustomerId::mint());
    let executed = registry.execute(order_id, place(order_id, customer_id), context).await.unwrap();
    (order_id, executed)
}

#[tokio::test]
async fn a_hundred_concurrent_placements_of_one_id_make_one_order() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (order_id, customer_id) = (OrderId::mint(), CustomerId::mint());
    let all =
        join_all((0..100).map(|_| registry.execute(order_id, place(order_id, customer_id), ops())))
            .await;
    for executed in all {
        let executed = executed.unwrap();
        assert_eq!((executed.version, executed.order.status()), (1, Some(Status::Pending)));
    }
    assert_eq!(journal.load(order_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reused_order_id_reveals_nothing_of_the_order() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let other_customer = CustomerId::mint();
    let mut context = ops();
    context.by = By::customer(other_customer);
    let again = registry.execute(order_id, place(order_id, other_customer), context.clone()).await;
    let hidden = Rejection::AlreadyExists { existing: Existing::Order, differs: Vec::new() };
    assert_eq!(again.unwrap_err(), Refusal::Rejected(hidden));
    let seen = registry.view(order_id, &context.by).await;
    assert_eq!(seen.unwrap_err(), Refusal::Rejected(Rejection::NotFound));
    context.expected_version = Some(77);
    let cancelled = registry.execute(order_id, cancel(), context).await;
    assert_eq!(cancelled.unwrap_err(), Refusal::Rejected(Rejection::NotFound));
    assert_eq!(journal.load(order_id).await.unwrap().len(), 1);
}

/// Only the journal knows the earlier order, not the memory of any process.
#[tokio::test]
async fn an_earlier_order_is_not_placed_again_and_its_batch_is_accepted() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(start()));
    let file = folder.path().join("journal.db");
    let customer_id = CustomerId::mint();
    let orders: Vec<OrderId> = (0..40).map(|_| OrderId::mint()).collect();
    for fresh in [&orders[..20], &orders[20..]] {
        let journal = open_sqlite(&file, options(&clock)).await.unwrap();
        let registry = self::registry(&journal, &clock, Limits::default()).await;
        // Earlier and new orders together, so that they share a batch.
        let known = orders.iter().position(|id| *id == fresh[0]).unwrap();
        let all = orders[..known].iter().chain(fresh);
        let all = join_all(all.map(|id| registry.execute(*id, place(*id, customer_id), ops())));
        for (index, executed) in all.await.into_iter().enumerate() {
            let executed = executed.unwrap();
            assert_eq!((executed.version, executed.events.is_empty()), (1, index < known));
        }
        let other_customer =
            registry.execute(orders[0], place(orders[0], CustomerId::mint()), ops());
        let exists =
            Rejection::AlreadyExists { existing: Existing::Order, differs: vec!["customer_id"] };
        assert_eq!(other_customer.await.unwrap_err(), Refusal::Rejected(exists));
        for id in &orders[..known] {
            assert_eq!(journal.load(*id).await.unwrap().len(), 1);
        }
        registry.stop();
        journal.close().await;
    }
}

#[tokio::test]
async fn an_unknown_order_costs_no_memory() {
    let (registry, _, _) = in_memory(Limits::default()).await;
    for _ in 0..50 {
        let refused = registry.execute(OrderId::mint(), cancel(), ops()).await;
        assert_eq!(refused.unwrap_err(), Refusal::Rejected(Rejection::NotFound));
    }
    let asleep = tokio::time::timeout(Duration::from_secs(60), async {
        while registry.awake() > 0 {
            tokio::task::yield_now().await;
        }
    });
    asleep.await.expect("unknown orders stayed awake");
}

#[tokio::test]
async fn a_repeated_request_is_recognised_after_the_order_was_rebuilt() {
    let (registry, journal, clock) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let mut context = ops();
    context.request_id = Some(RequestId::mint());
    let first = registry.execute(order_id, cancel(), context.clone()).await.unwrap();
    assert_eq!((first.version, first.events.len(), first.replayed), (2, 1, false));
    registry.stop();

    let rebuilt = self::registry(&journal, &clock, Limits::default()).await;
    let again = rebuilt.execute(order_id, cancel(), context.clone()).await.unwrap();
    assert_eq!((again.version, again.events.len(), again.replayed), (2, 0, true));
    let other = Command::Fulfill(Fulfill {
        shipment_id: ShipmentId::mint(),
        lines: Vec::new(),
        carrier: String::new(),
        tracking: String::new(),
        reference: String::new(),
        location: None,
    });
    let other = rebuilt.execute(order_id, other, context).await;
    assert_eq!(other.unwrap_err(), Refusal::RequestIdReused);
    assert_eq!(journal.load(order_id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_repeated_request_may_name_its_lines_in_another_order() {
    let (registry, _, _) = in_memory(Limits::default()).await;
    let (order_id, customer_id) = (OrderId::mint(), CustomerId::mint());
    let mut placing = place(order_id, customer_id);
    if let Command::Place(place) = &mut placing {
        let price = Money::new(100, "GBP".parse().unwrap());
        place.lines.push(NewLine::plain(
            "71053".parse().unwrap(),
            Quantity::new(6).unwrap(),
            price,
        ));
    }
    registry.execute(order_id, placing, ops()).await.unwrap();
    let cancelling = |lines: [(u32, u32); 2]| {
        let one = |(line, units)| LineQuantity { line, quantity: Quantity::new(units).unwrap() };
        let lines = lines.map(one).into();
        let (reason, text, skus) = (CancelReason::Ops, String::new(), Vec::new());
        Command::Cancel(Cancel { reason, text, lines, skus })
    };
    let mut context = ops();
    context.request_id = Some(RequestId::mint());
    let mut said = Vec::new();
    for lines in [[(2, 6), (1, 6)], [(1, 6), (2, 6)]] {
        let done = registry.execute(order_id, cancelling(lines), context.clone()).await.unwrap();
        said.push((done.version, done.replayed));
    }
    assert_eq!(said, [(2, false), (2, true)]);
    let other = registry.execute(order_id, cancelling([(1, 6), (2, 5)]), context).await;
    assert_eq!(other.unwrap_err(), Refusal::RequestIdReused);
}

/// A hash without a secret key could be used to confirm a guessed address.
#[tokio::test]
async fn request_fingerprints_are_keyed_by_their_journal() {
    let clock = ManualClock::new(start());
    let (order_id, customer_id) = (OrderId::mint(), CustomerId::mint());
    let mut context = ops();
    context.request_id = Some(RequestId::mint());
    let mut kept = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        for opened in 0..2 {
            let journal = open_sqlite(&file, options(&clock)).await.unwrap();
            let registry = self::registry(&journal, &clock, Limits::default()).await;
            let placed = place(order_id, customer_id);
            let executed = registry.execute(order_id, placed, context.clone()).await.unwrap();
            assert_eq!((executed.version, executed.replayed), (1, opened > 0));
            let other = registry.execute(order_id, cancel(), context.clone()).await;
            assert_eq!(other.unwrap_err(), Refusal::RequestIdReused);
            let stored = journal.load(order_id).await.unwrap();
            let fingerprint = decode(&stored[0]).unwrap().metadata.fingerprint.clone().unwrap();
            let (key, hash) = fingerprint.split_once(':').unwrap();
            assert_eq!((key.len(), hash.len()), (8, 32));
            kept.push(hash.to_owned());
            registry.stop();
            journal.close().await;
        }
    }
    assert_eq!(kept[0], kept[1]);
    assert_ne!(kept[0], kept[2], "another journal has another key");
}

/// A connection is lost during an append, which is then retried in a new epoch. A read meanwhile
/// must not wake a second actor that misses the append of the first one.
#[tokio::test(start_paused = true)]
async fn an_append_that_succeeds_on_retry_is_visible_to_later_reads() {
    let disk = MemoryDisk::default();
    let clock = ManualClock::new(start());
    let journal = open_memory_on(&disk, options(&clock)).await.unwrap();
    let registry = self::registry(&journal, &clock, Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    disk.inject(Fault::LostBefore);
    disk.inject(Fault::Slow(Duration::from_millis(100)));
    let by = ops().by;
    let (done, ()) = tokio::join!(registry.execute(order_id, cancel(), ops()), async {
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let seen = tokio::time::timeout(Duration::from_millis(1), registry.view(order_id, &by));
            // It waits behind the command, or is refused.
            if let Ok(Ok(seen)) = seen.await {
                assert_eq!(seen.version, 1);
            }
        }
    });
    assert_eq!(done.unwrap().version, 2);
    assert_eq!(registry.view(order_id, &by).await.unwrap().version, 2);
}

#[tokio::test]
async fn a_wrong_expected_version_is_refused() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let mut context = ops();
    context.expected_version = Some(5);
    let refused = registry.execute(order_id, cancel(), context).await;
    assert_eq!(refused.unwrap_err(), Refusal::VersionMismatch { expected: 5, actual: 1 });
    assert_eq!(journal.load(order_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn validate_only_answers_the_outcome_and_appends_nothing() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let mut context = ops();
    context.validate_only = true;
    let would = registry.execute(order_id, cancel(), context).await.unwrap();
    assert_eq!(would.events.len(), 1);
    assert_eq!(would.order.status(), Some(Status::Cancelled));
    let view = registry.view(order_id, &By::ops("anna")).await.unwrap();
    assert_eq!((view.version, view.order.status()), (1, Some(Status::Pending)));
    assert_eq!(journal.load(order_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_command_past_its_deadline_does_nothing() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let late = Context::new(By::ops("anna"), Instant::now());
    let refused = registry.execute(order_id, cancel(), late).await;
    assert_eq!(refused.unwrap_err(), Refusal::DeadlineExceeded);
    // The actor has handled the command before it answers this.
    let view = registry.view(order_id, &By::ops("anna")).await.unwrap();
    assert_eq!(view.version, 1);
    assert_eq!(journal.load(order_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_engine_puts_idle_orders_to_sleep_and_finds_them_again() {
    let limits = Limits { awake_max: 3, ..Limits::default() };
    let (registry, _, _) = in_memory(limits).await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(placed(&registry).await.0);
        assert!(registry.awake() <= 3);
    }
    for order_id in orders {
        let view = registry.view(order_id, &By::ops("anna")).await.unwrap();
        assert_eq!(view.version, 1);
    }
}

#[tokio::test]
async fn too_many_commands_for_one_order_are_refused_before_its_mailbox() {
    let limits = Limits { waiting_max: 4, ..Limits::default() };
    let (registry, journal, _) = in_memory(limits).await;
    let (order_id, customer_id) = (OrderId::mint(), CustomerId::mint());
    let all =
        join_all((0..50).map(|_| registry.execute(order_id, place(order_id, customer_id), ops())))
            .await;
    let refused = all.iter().filter(|one| matches!(one, Err(Refusal::Overloaded))).count();
    assert!(refused > 0 && refused < 50, "{refused} refused");
    assert!(all.iter().all(|one| matches!(one, Ok(_) | Err(Refusal::Overloaded))));
    assert_eq!(journal.load(order_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn calls_are_limited_in_total_and_customers_leave_room_for_others() {
    let disk = MemoryDisk::default();
    let clock = ManualClock::new(start());
    let journal = open_memory_on(&disk, options(&clock)).await.unwrap();
    let limits = Limits { calls_max: 16, awake_max: 16, ..Limits::default() };
    let registry = self::registry(&journal, &clock, limits).await;
    for round in 0..3 {
        disk.inject(Fault::Slow(Duration::from_millis(50)));
        let place_as = |by: fn(CustomerId) -> By| {
            let (order_id, customer_id) = (OrderId::mint(), CustomerId::mint());
            let context = Context { by: by(customer_id), ..ops() };
            registry.execute(order_id, place(order_id, customer_id), context)
        };
        let customers = join_all((0..20).map(|_| place_as(By::customer)));
        let others = join_all((0..5).map(|_| place_as(|_| By::service("shop"))));
        // Each call starts when it is first polled: customers first.
        let (customers, others) = tokio::join!(customers, others);
        let overloaded = |answers: &[Result<Executed, Refusal>]| {
            answers.iter().filter(|answer| matches!(answer, Err(Refusal::Overloaded))).count()
        };
        assert_eq!((overloaded(&customers), overloaded(&others)), (6, 3), "round {round}");
        assert_eq!(customers.iter().chain(&others).filter(|answer| answer.is_ok()).count(), 16);
        // No order was woken for a refused call.
        assert!(registry.awake() <= 16);
    }
}

#[tokio::test]
async fn an_impossible_history_quarantines_only_its_order() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (good, _) = placed(&registry).await;
    let bad = OrderId::mint();
    let nonsense = "{\"OrderTeleported\":{}}";
    let nonsense = NewEvent::from_json("OrderConfirmed", "1", nonsense, "{}").unwrap();
    journal.append(bad, 0, vec![nonsense]).await.unwrap();
    let refused = registry.execute(bad, cancel(), ops()).await.unwrap_err();
    assert!(matches!(refused, Refusal::Quarantined(_)), "{refused:?}");
    let quarantined = journal.quarantined().await.unwrap();
    assert_eq!(quarantined.iter().map(|one| one.stream_id).collect::<Vec<_>>(), [bad.into()]);
    assert_eq!(journal.count_quarantined().await.unwrap(), 1);
    assert!(registry.execute(good, cancel(), ops()).await.is_ok());
}

#[tokio::test]
async fn confirm_and_lapse_in_the_same_instant_have_one_winner() {
    let (registry, journal, clock) = in_memory(Limits::default()).await;
    for _ in 0..20 {
        let (order_id, _) = placed(&registry).await;
        clock.advance(Duration::from_secs(15 * 60));
        let mut engine = ops();
        engine.by = By::Engine(Component::STOCK);
        let confirm = Command::Confirm(Confirm {
            reservation_id: ReservationId::mint(),
            backordered: Vec::new(),
        });
        let (confirmed, lapsed) = tokio::join!(
            registry.execute(order_id, confirm, engine.clone()),
            registry.execute(order_id, Command::Lapse, engine),
        );
        let happened = [&confirmed, &lapsed]
            .iter()
            .filter(|one| one.as_ref().is_ok_and(|executed| !executed.events.is_empty()))
            .count();
        assert_eq!(happened, 1, "{confirmed:?} {lapsed:?}");
        assert_eq!(journal.load(order_id).await.unwrap().len(), 2);
    }
}

/// Read models, deadlines and alarm over an SQLite journal, assembled as in the engine.
struct Engine {
    registry: Registry,
    journal: Journal,
    summaries: OrderSummaries,
    returns: OrderReturns,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Engine {
    async fn start(folder: &std::path::Path, clock: &ManualClock) -> Self {
        let journal =
            open_sqlite(&folder.join("journal.db"), Options { shards: 1, ..options(clock) })
                .await
                .unwrap();
        let database =
            Database::sqlite(&folder.join("orders.db"), &migrator(Dialect::Sqlite)).await.unwrap();
        let registry = registry(&journal, clock, Limits::default()).await;
        let summaries = OrderSummaries::new(database.clone());
        let returns = OrderReturns::new(database.clone());
        let deadlines = Deadlines::new(database.clone());
        let stop = CancellationToken::new();
        let mut tasks = Vec::new();
        let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(Timestamp::default);
        let source = Arc::new(JournalSource::new(journal.clone()));
        let mut sink = Transactional::new(
            OrderSummaries::FOLLOWER,
            database.clone(),
            summaries.handler(journal.clone()),
            Arc::clone(&now),
        );
        let (events, token) = (Arc::clone(&source), stop.clone());
        tasks.push(shared_events::stream::spawn(async move {
            let status = FollowStatus::new("summaries");
            follow(events.as_ref(), &mut sink, everything(), &status, &token).await.unwrap();
        }));
        let mut sink = Transactional::new(
            OrderReturns::FOLLOWER,
            database.clone(),
            returns.handler(journal.clone()),
            Arc::clone(&now),
        );
        let (events, token) = (Arc::clone(&source), stop.clone());
        tasks.push(shared_events::stream::spawn(async move {
            let status = FollowStatus::new("returns");
            follow(events.as_ref(), &mut sink, everything(), &status, &token).await.unwrap();
        }));
        let mut sink = Transactional::new(
            Deadlines::FOLLOWER,
            database,
            deadlines.handler(journal.clone()),
            now,
        );
        let token = stop.clone();
        tasks.push(shared_events::stream::spawn(async move {
            let status = FollowStatus::new("deadlines");
            follow(source.as_ref(), &mut sink, everything(), &status, &token).await.unwrap();
        }));
        let alarm = Alarm::new(deadlines, registry.clone(), Arc::new(clock.clone()));
        tasks.push(shared_events::stream::spawn(alarm.run(stop.clone())));
        Self { registry, journal, summaries, returns, stop, tasks }
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.registry.stop();
        self.journal.close().await;
    }

    async fn until_status(&self, order_id: OrderId, status: Status) {
        let reached = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let all = self.summaries.list(&SummaryFilter::default(), None, 100).await.unwrap();
                if all.iter().any(|one| one.order_id == order_id && one.status == status) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        reached.await.unwrap_or_else(|_| panic!("not {} within 60 s", status.code()));
    }
}

#[tokio::test]
async fn an_unconfirmed_order_is_cancelled_on_time_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let engine = Engine::start(folder.path(), &clock).await;
    let (order_id, executed) = placed(&engine.registry).await;
    let soon = Instant::now() + Duration::from_secs(60);
    assert!(engine.summaries.includes(executed.shard, executed.position, soon).await);
    clock.advance(Duration::from_secs(15 * 60 - 1));
    let view = engine.registry.view(order_id, &By::ops("anna")).await.unwrap();
    assert_eq!(view.order.status(), Some(Status::Pending));
    clock.advance(Duration::from_secs(1));
    engine.until_status(order_id, Status::Cancelled).await;
    assert_eq!(engine.journal.load(order_id).await.unwrap().len(), 2);
    engine.stop().await;
}

#[tokio::test]
async fn a_deadline_passed_while_the_engine_was_down_is_handled_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let engine = Engine::start(folder.path(), &clock).await;
    let (order_id, _) = placed(&engine.registry).await;
    engine.stop().await;
    clock.advance(Duration::from_secs(20 * 60));
    let engine = Engine::start(folder.path(), &clock).await;
    engine.until_status(order_id, Status::Cancelled).await;
    assert_eq!(engine.journal.load(order_id).await.unwrap().len(), 2);
    engine.stop().await;
    // The next start does not handle it again.
    clock.advance(Duration::from_secs(20 * 60));
    let engine = Engine::start(folder.path(), &clock).await;
    engine.until_status(order_id, Status::Cancelled).await;
    assert_eq!(engine.journal.load(order_id).await.unwrap().len(), 2);
    engine.stop().await;
}

/// Notes and whatever else is said of an order later do not begin the time of its return anew.
#[tokio::test]
async fn a_return_is_unjudged_since_it_was_requested() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(start());
    let engine = Engine::start(folder.path(), &clock).await;
    let (order_id, _) = placed(&engine.registry).await;
    let mut stock = ops();
    stock.by = By::Engine(Component::STOCK);
    let reservation_id = ReservationId::mint();
    let confirm = Command::Confirm(Confirm { reservation_id, backordered: Vec::new() });
    engine.registry.execute(order_id, confirm, stock).await.unwrap();
    let requested = Command::RequestReturn(RequestReturn {
        return_id: ReturnId::mint(),
        lines: vec![LineQuantity { line: 1, quantity: Quantity::new(1).unwrap() }],
        reason: "chipped".to_owned(),
        reference: String::new(),
        exchange_order_id: None,
    });
    let note = NoteText { text: "ring first".to_owned() };
    let note = Command::AddNote(AddNote { public: false, note });
    let fulfilled = Command::Fulfill(Fulfill {
        shipment_id: ShipmentId::mint(),
        lines: Vec::new(),
        carrier: String::new(),
        tracking: String::new(),
        reference: String::new(),
        location: None,
    });
    let hour = Duration::from_secs(3_600);
    let mut last = None;
    for command in [fulfilled, requested, note] {
        clock.advance(hour);
        last = Some(engine.registry.execute(order_id, command, ops()).await.unwrap());
    }
    let (last, soon) = (last.unwrap(), Instant::now() + Duration::from_secs(60));
    assert!(engine.returns.includes(last.shard, last.position, soon).await);
    let since = start().plus(2 * hour);
    let unjudged = engine.returns.count(ReturnState::Requested, 10).await.unwrap();
    assert_eq!(unjudged, (1, Some(since)));
    engine.stop().await;
}
