use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use order_actor::actor::Registry;
use order_actor::clock::Clock;
use order_actor::domain::{DeadlineKind, Status};
use order_actor::grpc::{FILE_DESCRIPTOR_SET, OrdersEdge, Payers};
use order_actor::inbox::{MoneyAnswers, StockAnswers};
use order_actor::journal::Journal;
use order_actor::limits::IDLE_SWEEP;
use order_actor::outbox::OrderFacts;
use order_actor::projections::{
    self, Deadlines, Named, OrderIdentifiers, OrderReturns, OrderSummaries, ReturnState,
    SummaryFilter,
};
use order_actor::replay::JournalSource;
use order_actor::timers::Alarm;
use shared_events::contract::{CustomerId, OrderId, OrderNumber, Origin, PspName};
use shared_events::metric::{Page, table};
use shared_events::stream::Pace;
use tokio_util::sync::CancellationToken;

use crate::edge::admin::{Find, Found, FoundBy, Sought, Thing};
use crate::edge::calls::Rpc;
use crate::edge::commands::CommandSlots;
use crate::engine::building::Building;
use crate::engine::followers::SOON;
use crate::engine::metrics::Sample;
use crate::engine::service::{Follow, Follower, Log, Process, Published, Runs, Service, Store};
use crate::engine::settings::Backend;
use crate::engine::{Orders, stores};
use service_edge::feed;

/// Orders: the journal, its actors and timers, the read models.
pub static SERVICE: Service = Service {
    name: "orders",
    keeps: "orders",
    runs: "Orders: the journal, its actors and timers, the read models",
    answers: "Order nodes, for the other roles; several separated by commas",
    has_journal: true,
    store: Store {
        migrator: projections::migrator,
        exchanged: &projections::TABLES,
        kept_in: &["cursors", "order_summaries"],
        anew: Some("it is rebuilt from the journal"),
        added_later: false,
    },
    descriptors: FILE_DESCRIPTOR_SET,
    path: "/ordinal.orders.",
    rpcs: &[
        Rpc { name: "ordinal.orders.v1.OrderService", message_bytes_max: 1024 * 1024 },
        Rpc { name: "ordinal.orders.v1.JournalService", message_bytes_max: 1024 * 1024 },
    ],
    published: Some(PUBLISHED),
    told: false,
    followers: &[SUMMARIES, RETURNS, IDENTIFIERS, DEADLINES, STOCK_ANSWERS, MONEY_ANSWERS],
    processes: &[
        Process { name: "orders-a", port: 0, flags: &["--node-name", "a"] },
        Process { name: "orders-b", port: 1, flags: &["--node-name", "b"] },
    ],
    open: |building| Box::pin(open(building)),
};

const PUBLISHED: Published = Published {
    source: Origin::Orders,
    relay: "relay-orders",
    log: |stores| Ok(Arc::new(OrderFacts::new(stores.journal.clone()))),
};

/// Maintains the list of orders.
pub const SUMMARIES: Follower = Follower {
    name: OrderSummaries::FOLLOWER,
    follows: Log::Journal,
    // People read it.
    pace: Pace::Every(Duration::from_millis(100)),
    scope: Runs::ByShard,
    contacts: false,
};

/// Maintains the list of returns.
pub const RETURNS: Follower = Follower {
    name: OrderReturns::FOLLOWER,
    follows: Log::Journal,
    // People read it. Most batches have nothing about returns in them.
    pace: Pace::Every(Duration::from_millis(250)),
    scope: Runs::ByShard,
    contacts: false,
};

/// Maintains what orders, parcels and returns are looked up by.
pub const IDENTIFIERS: Follower = Follower {
    name: OrderIdentifiers::FOLLOWER,
    follows: Log::Journal,
    // People look things up. Most batches have few identifiers in them.
    pace: Pace::Every(Duration::from_millis(250)),
    scope: Runs::ByShard,
    contacts: false,
};

/// Maintains the list of open deadlines.
pub const DEADLINES: Follower = Follower {
    name: Deadlines::FOLLOWER,
    follows: Log::Journal,
    // Deadlines are minutes away. Those that open and close within one batch are never written.
    pace: Pace::Every(Duration::from_millis(250)),
    scope: Runs::ByShard,
    contacts: false,
};

/// Forwards stock's answers to orders.
pub const STOCK_ANSWERS: Follower = Follower {
    name: StockAnswers::FOLLOWER,
    follows: Log::Facts(Origin::Inventory),
    // An order waits for it.
    pace: Pace::WhileBusy(SOON),
    scope: Runs::ByShard,
    contacts: false,
};

/// Forwards what payments answer to orders.
pub const MONEY_ANSWERS: Follower = Follower {
    name: MoneyAnswers::FOLLOWER,
    follows: Log::Facts(Origin::Payments),
    // An order waits for it.
    pace: Pace::WhileBusy(SOON),
    scope: Runs::ByShard,
    contacts: false,
};

/// How often orders are counted, and how many of a kind at most.
const NUMBERS_EVERY: Duration = Duration::from_secs(15);
const COUNTED_MAX: u32 = 10_000;
const DUE_COUNTED_MAX: u32 = 1_000;

/// Opens the journal, its actors and their published facts.
async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let node = building.settings.node(building.address);
    let journal = stores::journal(&building.settings, node).await?;
    let database = building.database(&SERVICE).await?;
    let clock = Arc::clone(&building.settings.clock);
    let (policy, limits) = (building.settings.policy, building.settings.limits);
    let registry = Registry::start(journal.clone(), clock, policy, limits).await?;
    let (told, readers) = (journal.clone(), database.clone());
    let log: feed::Log =
        Arc::new(move || Arc::new(OrderFacts::new(told.clone()).remembering_in(readers.clone())));
    building.publish(PUBLISHED, log, journal.scope());
    // All databases of the journal share one list: it has the keys of one of them.
    let keys = journal.fingerprints(0).await?.clone();
    let search_by = || building.settings.search_by.iter().copied();
    let lists = Lists {
        summaries: OrderSummaries::new(database.clone()).searched_by(search_by(), keys.clone()),
        returns: OrderReturns::new(database.clone()),
        identifiers: OrderIdentifiers::new(database.clone()).searched_by(search_by(), keys),
        deadlines: Deadlines::new(database.clone()),
    };
    let (summaries, returns) = (lists.summaries.clone(), lists.returns.clone());
    building.finders.push((SERVICE.name, find(lists.clone(), journal.clone())));
    let (to_registry, to_journal) = (registry.clone(), journal.clone());
    let edge = OrdersEdge::new(to_registry, summaries.clone(), returns.clone(), to_journal)
        .stopping_with(building.stop_edge.clone())
        .drawing_from(building.settings.chance.of_part("orders"));
    let edge = match building.settings.backend {
        Backend::Postgres(_) => edge.among(Arc::new(building.nodes.clone())),
        Backend::Sqlite(_) | Backend::Nothing => edge,
    };
    let edge = match payers(building) {
        Some(payers) => edge.paid_by(payers),
        None => edge,
    };
    let (slots, limits) = (building.slots.clone(), building.limits.clone());
    let slots = CommandSlots { slots, limits };
    let (orders, events) = edge.taking_slots(Arc::new(slots)).into_services();
    building.routes.add_service(orders);
    building.routes.add_service(events);
    let clock = building.clock_of(&journal).await;
    building.samples.push(numbers(lists.clone(), &journal, &building.settings.clock));
    let identifiers = lists.identifiers.clone();
    building.orders =
        Some(Orders { journal, registry, database, summaries, returns, identifiers, clock });
    Ok(Box::new(move |building| follow(building, lists)))
}

/// What orders have by an identifier.
fn find(lists: Lists, journal: Journal) -> Find {
    Arc::new(move |sought: Arc<Sought>| {
        let (lists, journal) = (lists.clone(), journal.clone());
        Box::pin(async move { found(&lists, &journal, &sought).await })
    })
}

/// Orders, customers, parcels, returns and commands with this identifier.
async fn found(lists: &Lists, journal: &Journal, sought: &Sought) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for known in lists.identifiers.find(sought.text(), Found::MOST).await? {
        let order = known.order_id;
        let (thing, by) = match known.named {
            Named::OrderNumber => (Thing::Order, FoundBy::OrderNumber),
            Named::ExternalId => (Thing::Order, FoundBy::ExternalId),
            Named::Shipment => (Thing::Shipment, FoundBy::Id),
            Named::ShipmentReference => (Thing::Shipment, FoundBy::Reference),
            Named::Tracking => (Thing::Shipment, FoundBy::TrackingNumber),
            Named::Return => (Thing::Return, FoundBy::Id),
            Named::ReturnReference => (Thing::Return, FoundBy::Reference),
            Named::Request => (Thing::Request, FoundBy::Id),
        };
        let asked = sought.id().filter(|_| thing == Thing::Request);
        let id = known.part.or(asked).unwrap_or_else(|| order.uuid());
        found.push(Found::new(thing, by, id).of(order));
    }
    if let Ok(number) = sought.text().parse::<OrderNumber>() {
        let numbered = lists.summaries.numbered(number).await?;
        let most = usize::try_from(Found::MOST).unwrap_or(usize::MAX);
        let orders = numbered.iter().map(|known| known.order_id).take(most);
        found.extend(orders.map(|id| Found::new(Thing::Order, FoundBy::OrderNumber, id).of(id)));
    }
    if let Some(id) = sought.id() {
        let order = OrderId::from_uuid(id);
        if journal.versions(&[order]).await?.contains_key(&order.into()) {
            found.push(Found::by_id(Thing::Order, order).of(order));
        }
        let customer_id = Some(CustomerId::from_uuid(id));
        let of_customer = SummaryFilter { customer_id, ..SummaryFilter::default() };
        if !lists.summaries.list(&of_customer, None, 1).await?.is_empty() {
            found.push(Found::by_id(Thing::Customer, id));
        }
    }
    Ok(found)
}

/// Who can pay what, where this process calls the providers itself.
fn payers(building: &Building) -> Option<Payers> {
    let psps = building.settings.psps.clone();
    let known = building.settings.role.runs(&super::payments::SERVICE) && !psps.is_empty();
    known.then(|| Arc::new(move |psp: &PspName, currency| psps.wrong(psp, currency)) as Payers)
}

/// Numbers of orders and of what they wait for.
fn numbers(lists: Lists, journal: &Journal, clock: &Arc<dyn Clock>) -> Sample {
    let (journal, clock) = (journal.clone(), Arc::clone(clock));
    let look = move || -> BoxFuture<'static, Page> {
        let Lists { summaries, returns, deadlines, .. } = lists.clone();
        let (journal, clock) = (journal.clone(), Arc::clone(&clock));
        Box::pin(async move {
            let (mut page, now) = (Page::default(), clock.now());
            for status in Status::all() {
                if let Ok(orders) = summaries.count(status, COUNTED_MAX).await {
                    table::ORDERS.is(&mut page, [status.code()], orders);
                }
            }
            let waiting = returns.count(ReturnState::Requested, COUNTED_MAX).await;
            if let Ok((waiting, oldest)) = waiting {
                table::RETURNS_WAITING.is(&mut page, [], waiting);
                let wait = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
                table::RETURN_WAIT.is(&mut page, [], wait);
            }
            if let Ok(due) = deadlines.due(now, None, DUE_COUNTED_MAX).await {
                for kind in DeadlineKind::all() {
                    let mut due = due.iter().filter(|one| one.kind == kind).peekable();
                    let late = due.peek().map_or(Duration::ZERO, |first| now.since(first.due));
                    table::DEADLINES_DUE.is(&mut page, [kind.code()], due.count());
                    table::DEADLINE_LATE.is(&mut page, [kind.code()], late);
                }
            }
            if let Ok(quarantined) = journal.count_quarantined().await {
                table::QUARANTINED.is(&mut page, [], quarantined);
            }
            page
        })
    };
    Sample { every: NUMBERS_EVERY, look: Box::new(look) }
}

/// The read models of orders.
#[derive(Clone)]
struct Lists {
    summaries: OrderSummaries,
    returns: OrderReturns,
    identifiers: OrderIdentifiers,
    deadlines: Deadlines,
}

/// Each order node follows for the shards that it owns.
fn follow(building: &mut Building, lists: Lists) -> anyhow::Result<()> {
    let Some(Orders { journal, registry, clock, .. }) = building.orders.clone() else {
        return Ok(());
    };
    let Lists { summaries, returns, identifiers, deadlines } = lists;
    let events = Arc::new(JournalSource::new(journal.clone()));
    let handler = summaries.handler(journal.clone());
    building.follow_events(&SUMMARIES, events.clone(), handler)?;
    let handler = returns.handler(journal.clone());
    building.follow_events(&RETURNS, events.clone(), handler)?;
    let handler = identifiers.handler(journal.clone());
    building.follow_events(&IDENTIFIERS, events.clone(), handler)?;
    let handler = deadlines.handler(journal);
    building.follow_events(&DEADLINES, events, handler)?;
    let handler = StockAnswers::new(registry.clone());
    if building.publishes(Origin::Payments) {
        building.follow_facts(&STOCK_ANSWERS, handler.and_compensates())?;
        building.follow_facts(&MONEY_ANSWERS, MoneyAnswers::new(registry.clone()))?;
    } else {
        building.follow_facts(&STOCK_ANSWERS, handler)?;
    }
    let alarm = Alarm::new(deadlines, registry.clone(), Arc::clone(&building.settings.clock));
    let chance = building.settings.chance.of_part("timers");
    let alarm = alarm.held(clock.timers().held()).drawing_from(chance);
    building.followers.run(|stop| alarm.run(stop));
    building.followers.run(|stop| sweep(registry, stop));
    Ok(())
}

async fn sweep(registry: Registry, stop: CancellationToken) {
    while tokio::time::timeout(IDLE_SWEEP, stop.cancelled()).await.is_err() {
        registry.sweep();
    }
}
