use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use payment::grpc::FILE_DESCRIPTOR_SET;
use payment::store::{self, Count};
use payment::{NotReceived, Payments, Psps, Runner, WebhookDoor};
use service_edge::feed;
use shared_events::contract::{Money, OperationId, Origin, PaymentId, PayoutId, PspName};
use shared_events::metric::{Page, table};
use shared_events::stream::{Database, Outbox, Pace};
use tonic::service::interceptor::InterceptedService;

use crate::edge::admin::{Find, Found, FoundBy, Sought, Thing};
use crate::edge::calls::Rpc;
use crate::edge::health::Reason;
use crate::edge::{Receipt, Receive, with_caller};
use crate::engine::building::Building;
use crate::engine::clock::Now;
use crate::engine::health::Alarm;
use crate::engine::metrics::Sample;
use crate::engine::payouts::Sellers;
use crate::engine::service::{Follow, Follower, Log, Process, Published, Runs, Service, Store};
use crate::engine::wallets::Wallets;

/// Payments.
pub static SERVICE: Service = Service {
    name: "payments",
    keeps: "payments",
    runs: "Payments of orders",
    answers: "The payment service, for the other roles",
    has_journal: false,
    store: Store {
        migrator: payment::migrator,
        exchanged: &[],
        kept_in: &["cursors", "cases"],
        // A new file would lose what was charged.
        anew: None,
        added_later: true,
    },
    descriptors: FILE_DESCRIPTOR_SET,
    path: "/ordinal.payments.",
    rpcs: &[
        Rpc { name: "ordinal.payments.v1.PaymentService", message_bytes_max: 64 * 1024 },
        Rpc { name: "ordinal.payments.v1.PayoutService", message_bytes_max: 64 * 1024 },
        Rpc { name: "ordinal.payments.v1.SettlementService", message_bytes_max: 1024 * 1024 },
    ],
    published: Some(PUBLISHED),
    told: true,
    followers: &[PAYMENTS],
    processes: &[Process { name: "payments", port: 40, flags: &[] }],
    open: |building| Box::pin(open(building)),
};

const PUBLISHED: Published = Published {
    source: Origin::Payments,
    relay: "relay-payments",
    log: |stores| Ok(Arc::new(Outbox::new(stores.of(&SERVICE)?.clone()))),
};

/// What orders ask for, deliver, cancel and refund.
pub const PAYMENTS: Follower = Follower {
    name: "payments",
    follows: Log::Facts(Origin::Orders),
    // An order waits for it.
    pace: Pace::WhileBusy(Duration::from_millis(20)),
    scope: Runs::Once,
    contacts: false,
};

/// How often it is looked which providers are not called. An alert needs a few answers.
const BREAKERS_EVERY: Duration = Duration::from_secs(5);

/// How often webhooks, disputes and stuck operations are counted.
const NUMBERS_EVERY: Duration = Duration::from_secs(15);

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let database = building.database(&SERVICE).await?;
    let (wallets, sellers) = (Wallets::default(), Sellers::default());
    let psps = Psps::new(building.settings.psps.psps(&wallets));
    let payouts = building.settings.psps.payouts(building.settings.policy.return_within);
    let now = building.clock_beside(store::newest(&database).await?);
    let payments = Payments::new(database, psps, now).paying_out(payouts);
    let door = payments.door(building.settings.psps.verifiers(), Arc::clone(&building.now));
    if door.is_open() {
        building.told = Some(receive(door));
    }
    let facts = payments.clone();
    let log: feed::Log = Arc::new(move || facts.facts());
    building.publish_once(PUBLISHED, log, payments.database());
    building.routes.add_service(InterceptedService::new(payments.grpc(), with_caller));
    building.routes.add_service(InterceptedService::new(payments.payout_grpc(), with_caller));
    let reports = payments.settlement_grpc();
    building.routes.add_service(InterceptedService::new(reports, with_caller));
    let database = payments.database();
    building.finders.push((SERVICE.name, find(database.clone())));
    building.alarms.push(stuck(database.clone()));
    building.alarms.push(parked(database.clone()));
    building.alarms.push(disputed(database.clone()));
    building.alarms.push(stuck_payouts(database.clone()));
    building.alarms.push(debts(database.clone()));
    let runner = payments.runner(building.settings.chance.of_part("payments"));
    building.samples.push(numbers(database.clone(), Arc::clone(&building.now)));
    building.samples.push(held_back(runner.clone()));
    Ok(Box::new(move |building| {
        let has_ledger = connect(building, &wallets, &sellers)?;
        building.follow_facts(&PAYMENTS, payments.follower())?;
        if has_ledger {
            let payouts = payments.payout_runner(&runner, Arc::new(sellers));
            building.followers.run(|stop| payouts.run(stop));
        }
        // Every process calls providers: an operation is taken up by one at a time. Webhooks are
        // left to the processes that can ask their provider.
        let webhooks = runner.clone();
        building.followers.run(|stop| webhooks.run_webhooks(stop));
        building.followers.run(|stop| runner.run(stop));
        Ok(())
    }))
}

/// What payments have by an identifier.
fn find(database: Database) -> Find {
    Arc::new(move |sought: Arc<Sought>| {
        let database = database.clone();
        Box::pin(async move { found(&database, &sought).await })
    })
}

/// Payments, operations and payouts with this identifier.
async fn found(database: &Database, sought: &Sought) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    if let Some(id) = sought.id() {
        if let Some(known) = store::payment(database, PaymentId::from_uuid(id)).await? {
            found.push(Found::by_id(Thing::Payment, known.id).of(known.order_id));
        }
        if let Some(known) = store::operation(database, OperationId::from_uuid(id)).await? {
            found.push(Found::by_id(Thing::Operation, known.id).of(known.order_id));
        }
        if let Some(known) = store::payout(database, PayoutId::from_uuid(id)).await? {
            found.push(Found::by_id(Thing::Payout, known.payout.id));
        }
    }
    for (payment, order, _) in store::referred(database, sought.text(), Found::MOST).await? {
        found.push(Found::new(Thing::Payment, FoundBy::PspReference, payment).of(order));
    }
    for payout in store::payouts_referred(database, sought.text(), Found::MOST).await? {
        found.push(Found::new(Thing::Payout, FoundBy::PspReference, payout));
    }
    Ok(found)
}

/// Wallets and sellers' accounts are reached at the ledger of this process, or of another; returns
/// whether there is one.
fn connect(building: &Building, wallets: &Wallets, sellers: &Sellers) -> anyhow::Result<bool> {
    let elsewhere = || building.channels.to(&super::ledger::SERVICE).map(|ledger| ledger.wire());
    let settings = &building.settings;
    if let Some(ledger) = building.ledger.clone().or_else(elsewhere) {
        wallets.connect(ledger.clone(), settings.peers.identity.clone());
        sellers.connect(ledger, settings.peers.identity.clone());
        return Ok(true);
    }
    anyhow::ensure!(
        !settings.psps.have_wallets(),
        "the provider {} is the wallets of the ledger: --ledger-at must say where it is",
        crate::engine::wallets::NAME
    );
    anyhow::ensure!(
        settings.psps.payouts(settings.policy.return_within).is_none(),
        "payouts are from sellers' accounts of the ledger: --ledger-at must say where it is"
    );
    Ok(false)
}

/// How many, in words: "1 webhook waits", "7 webhooks wait", "1000 webhooks or more wait".
fn many(count: u64, (one, all): (&str, &str), (does, do_): (&str, &str)) -> String {
    match count {
        1 => format!("1 {one} {does}"),
        store::COUNTED => format!("{count} {all} or more {do_}"),
        _ => format!("{count} {all} {do_}"),
    }
}

/// An alarm while operations wait for a person.
fn stuck(database: Database) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let database = database.clone();
        Box::pin(async move {
            let Some(first) = store::stuck_longest(&database).await.ok()? else {
                return Some(None);
            };
            let count = store::count(&database, Count::OperationsStuck).await.ok()?;
            let text = format!(
                "{} (ordinal payment stuck); the first is {}: {}",
                many(count, ("operation", "operations"), ("is stuck", "are stuck")),
                first.id,
                first.schedule.note
            );
            Some(Some(Reason { text, since: first.since() }))
        })
    };
    Alarm { part: "payments", look: Box::new(look) }
}

/// An alarm while payouts wait for a person.
fn stuck_payouts(database: Database) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let database = database.clone();
        Box::pin(async move {
            let stuck = store::stuck_payouts(&database).await.ok()?;
            let Some((first, count)) = stuck else { return Some(None) };
            let text = format!(
                "{} (ordinal payout list --state stuck); the first is {} to {}: {}",
                many(count, ("payout", "payouts"), ("is stuck", "are stuck")),
                first.payout.id,
                first.payout.seller,
                first.payout.code
            );
            Some(Some(Reason { text, since: first.updated_at }))
        })
    };
    Alarm { part: "payouts", look: Box::new(look) }
}

/// Sellers who owe too much that are counted at most.
const DEBTS_MAX: u32 = 100;

/// An alarm while sellers owe more than they may.
fn debts(database: Database) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let database = database.clone();
        Box::pin(async move {
            let owed = store::debts(&database, DEBTS_MAX).await.ok()?;
            let Some(first) = owed.first() else { return Some(None) };
            let text = format!(
                "{} more than they may; the first is {} with {}",
                many(
                    u64::try_from(owed.len()).unwrap_or_default(),
                    ("seller", "sellers"),
                    ("owes", "owe")
                ),
                first.seller,
                Money::new(first.owed, first.currency)
            );
            Some(Some(Reason { text, since: first.since }))
        })
    };
    Alarm { part: "debts of sellers", look: Box::new(look) }
}

/// The door for webhooks of providers.
fn receive(door: WebhookDoor) -> Receive {
    Arc::new(move |psp: PspName, headers: HeaderMap, body: Bytes| {
        let door = door.clone();
        Box::pin(async move {
            match door.receive(&psp, &headers, &body).await {
                Ok(_) => Receipt::Taken,
                Err(NotReceived::ProviderUnknown) => Receipt::NoProvider,
                Err(NotReceived::Unverified(why)) => Receipt::NotGenuine(why.to_string()),
                Err(NotReceived::Database(error)) => {
                    tracing::warn!(%error, "webhooks of providers");
                    Receipt::Away
                }
            }
        })
    })
}

/// An alarm while webhooks wait for a person.
fn parked(database: Database) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let database = database.clone();
        Box::pin(async move {
            let Some(first) = store::parked_longest(&database).await.ok()? else {
                return Some(None);
            };
            let count = store::count(&database, Count::WebhooksParked).await.ok()?;
            let text = format!(
                "{} for a person (ordinal payment webhooks); the first is {} of {}: {}",
                many(count, ("webhook", "webhooks"), ("waits", "wait")),
                first.event_id,
                first.psp,
                first.note
            );
            Some(Some(Reason { text, since: first.settled_at.unwrap_or(first.received_at) }))
        })
    };
    Alarm { part: "webhooks of providers", look: Box::new(look) }
}

/// An alarm while disputes are open.
fn disputed(database: Database) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let database = database.clone();
        Box::pin(async move {
            let open = store::open_disputes(&database, 1).await.ok()?;
            let Some(first) = open.first() else { return Some(None) };
            let count = store::count(&database, Count::DisputesOpen).await.ok()?;
            let since = store::disputed_since(&database).await.ok()?;
            let until = first.respond_by.map(|at| format!(" until {at}")).unwrap_or_default();
            let text = format!(
                "{}; the first to be answered{until} is {} of payment {} at {}",
                many(count, ("dispute", "disputes"), ("is open", "are open")),
                first.dispute_id,
                first.payment_id,
                first.psp
            );
            Some(Some(Reason { text, since: since.unwrap_or(first.opened_at) }))
        })
    };
    Alarm { part: "disputes", look: Box::new(look) }
}

/// How many webhooks wait, disputes are open and operations are stuck, and for how long.
fn numbers(database: Database, now: Now) -> Sample {
    let look = move || -> BoxFuture<'static, Page> {
        let (database, now) = (database.clone(), Arc::clone(&now));
        Box::pin(async move {
            let mut page = Page::default();
            for (what, name) in
                [(Count::WebhooksWaiting, "waiting"), (Count::WebhooksParked, "parked")]
            {
                if let Ok(count) = store::count(&database, what).await {
                    table::PSP_WEBHOOKS_WAITING.is(&mut page, [name], count);
                }
            }
            if let Ok(open) = store::count(&database, Count::DisputesOpen).await {
                table::DISPUTES_OPEN.is(&mut page, [], open);
            }
            let payouts = store::stuck_payouts(&database).await.ok().flatten();
            if let Ok(count) = store::count(&database, Count::OperationsStuck).await {
                let payouts = payouts.as_ref().map_or(0, |(_, count)| *count);
                table::PSP_STUCK.is(&mut page, [], count.saturating_add(payouts));
            }
            if let Ok(first) = store::stuck_longest(&database).await {
                let first = first.map(|first| first.since());
                let longest = first.into_iter().chain(payouts.map(|(one, _)| one.updated_at)).min();
                let age = longest.map_or(Duration::ZERO, |since| now().since(since));
                table::PSP_STUCK_AGE.is(&mut page, [], age);
            }
            page
        })
    };
    Sample { every: NUMBERS_EVERY, look: Box::new(look) }
}

/// Which providers do not answer, so that calls of them are held back.
fn held_back(runner: Runner) -> Sample {
    let look = move || -> BoxFuture<'static, Page> {
        let mut page = Page::default();
        for (psp, is_held) in runner.held_back() {
            table::PSP_BREAKER_OPEN.is(&mut page, [psp.as_str()], is_held);
        }
        Box::pin(std::future::ready(page))
    };
    Sample { every: BREAKERS_EVERY, look: Box::new(look) }
}
