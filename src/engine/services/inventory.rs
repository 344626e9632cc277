use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use inventory_stream::grpc::FILE_DESCRIPTOR_SET;
use inventory_stream::{DISCREPANCIES_KEPT, Inventory, Reconciled};
use service_edge::feed;
use shared_events::contract::Origin;
use shared_events::stream::redis::Redis;
use shared_events::stream::{Database, Outbox, Pace};
use tonic::service::interceptor::InterceptedService;

use crate::edge::calls::Rpc;
use crate::edge::health::Reason;
use crate::edge::with_caller;
use crate::engine::building::Building;
use crate::engine::health::Alarm;
use crate::engine::reconcile::Reconcile;
use crate::engine::service::{Follow, Follower, Log, Process, Published, Runs, Service, Store};

/// Stock.
pub static SERVICE: Service = Service {
    name: "inventory",
    keeps: "stock",
    runs: "Stock",
    answers: "The stock service, for the other roles",
    has_journal: false,
    store: Store {
        migrator: inventory_stream::migrator,
        exchanged: &[],
        kept_in: &["cursors", "stock", "reservations"],
        // A new file would lose the reservations of confirmed orders.
        anew: None,
        added_later: false,
    },
    descriptors: FILE_DESCRIPTOR_SET,
    path: "/ordinal.inventory.",
    rpcs: &[Rpc { name: "ordinal.inventory.v1.InventoryService", message_bytes_max: 1024 * 1024 }],
    published: Some(PUBLISHED),
    told: false,
    followers: &[STOCK],
    processes: &[Process { name: "inventory", port: 10, flags: &[] }],
    open: |building| Box::pin(open(building)),
};

const PUBLISHED: Published = Published {
    source: Origin::Inventory,
    relay: "relay-inventory",
    log: |stores| Ok(Arc::new(Outbox::new(stores.of(&SERVICE)?.clone()))),
};

/// Reserves stock for orders, releases it, and counts deliveries and returns.
pub const STOCK: Follower = Follower {
    name: "stock",
    follows: Log::Facts(Origin::Orders),
    // An order waits for it, and a batch is a dozen statements.
    pace: Pace::WhileBusy(Duration::from_millis(20)),
    scope: Runs::Once,
    contacts: false,
};

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let database = building.database(&SERVICE).await?;
    let mut inventory = Inventory::new(database, Arc::clone(&building.now));
    if let Some(streams) = building.settings.streams.as_ref()
        && !streams.stock_cache_for.is_zero()
    {
        // Its own connection: calls do not wait for stream reads.
        let redis = Redis::new(&streams.redis)?;
        inventory = inventory.cached(redis, streams.stock_cache_for);
    }
    if let Some(cache) = inventory.cache() {
        building.followers.run(|stop| cache.run(stop));
    }
    let inventory_facts = inventory.clone();
    let log: feed::Log = Arc::new(move || inventory_facts.facts());
    building.publish_once(PUBLISHED, log, inventory.database());
    building.routes.add_service(InterceptedService::new(inventory.grpc(), with_caller));
    building.alarms.push(sums(inventory.database().clone()));
    Ok(Box::new(move |building| follow(building, &inventory)))
}

fn follow(building: &mut Building, inventory: &Inventory) -> anyhow::Result<()> {
    if !building.settings.stock_follower {
        return Ok(());
    }
    let scope = building.follow_facts(&STOCK, inventory.follower())?;
    let every = building.settings.reconcile_every;
    if !every.is_zero() {
        let backend = building.settings.backend.clone();
        let clock = Arc::clone(&building.settings.clock);
        let chance = building.settings.chance.of_part("stock");
        let reconcile = Reconcile { inventory: inventory.clone(), backend, clock, chance, every };
        building.followers.run(|stop| reconcile.run(scope, stop));
    }
    Ok(())
}

/// An alarm while stock's sums do not match.
fn sums(database: Database) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let database = database.clone();
        Box::pin(async move {
            let reconciled = Reconciled::load(&database).await.ok()?;
            let differs = reconciled.filter(|found| !found.discrepancies.is_empty());
            Some(differs.as_ref().map(sums_differ))
        })
    };
    Alarm { part: "stock", look: Box::new(look) }
}

fn sums_differ(reconciled: &Reconciled) -> Reason {
    let (count, more) = match reconciled.discrepancies.len() {
        DISCREPANCIES_KEPT => (DISCREPANCIES_KEPT, " or more"),
        count => (count, ""),
    };
    let first = reconciled.discrepancies.first();
    let first = first.map(ToString::to_string).unwrap_or_default();
    let text =
        format!("{count}{more} sums do not match (ordinal verify lists all); the first is {first}");
    Reason { text, since: reconciled.at }
}
