use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use payment::grpc::FILE_DESCRIPTOR_SET;
use payment::{Payments, Psps, store};
use service_edge::feed;
use shared_events::chance::Chance;
use shared_events::contract::{Origin, Timestamp};
use shared_events::stream::{Database, Outbox, Pace};
use tonic::service::interceptor::InterceptedService;

use crate::edge::calls::Rpc;
use crate::edge::health::Reason;
use crate::edge::with_caller;
use crate::engine::building::Building;
use crate::engine::health::Alarm;
use crate::engine::service::{Follow, Follower, Log, Process, Published, Runs, Service, Store};

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
    rpcs: &[Rpc { name: "ordinal.payments.v1.PaymentService", message_bytes_max: 64 * 1024 }],
    published: Some(PUBLISHED),
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
};

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let database = building.database(&SERVICE).await?;
    let psps = Psps::new(building.settings.psps.psps());
    let payments = Payments::new(database, psps, Arc::clone(&building.now));
    let facts = payments.clone();
    let log: feed::Log = Arc::new(move || facts.facts());
    building.publish_once(PUBLISHED, log, payments.database());
    building.routes.add_service(InterceptedService::new(payments.grpc(), with_caller));
    building.alarms.push(stuck(payments.database().clone(), Arc::clone(&building.now)));
    Ok(Box::new(move |building| {
        building.follow_facts(&PAYMENTS, payments.follower())?;
        // Every process calls providers: an operation is taken up by one at a time.
        let runner = payments.runner(Chance::system());
        building.followers.run(|stop| runner.run(stop));
        Ok(())
    }))
}

/// An alarm while operations wait for a person.
fn stuck(database: Database, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Alarm {
    let look = move || -> BoxFuture<'static, Option<Option<Reason>>> {
        let (database, now) = (database.clone(), now());
        Box::pin(async move {
            let stuck = store::stuck(&database, "", 100).await.ok()?;
            let first = stuck.first();
            Some(first.map(|first| {
                let count = stuck.len();
                let text = format!(
                    "{count} operations are stuck (ordinal payment stuck); the first is {}: {}",
                    first.id, first.schedule.note
                );
                Reason { text, since: first.schedule.last_call.unwrap_or(now) }
            }))
        })
    };
    Alarm { part: "payments", look: Box::new(look) }
}
