use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use notification::grpc::FILE_DESCRIPTOR_SET;
use notification::{Notifications, ledger};
use service_edge::feed;
use shared_events::contract::{NotificationId, Origin};
use shared_events::metric::{Page, table};
use shared_events::stream::{Database, Outbox, Pace};
use tonic::service::interceptor::InterceptedService;

use crate::edge::admin::{Find, Found, Sought, Thing};
use crate::edge::calls::Rpc;
use crate::edge::with_caller;
use crate::engine::building::Building;
use crate::engine::metrics::Sample;
use crate::engine::service::{Follow, Follower, Log, Process, Published, Runs, Service, Store};

/// Messages to customers.
pub static SERVICE: Service = Service {
    name: "notifications",
    keeps: "messages",
    runs: "Messages to customers",
    answers: "The message service, for the other roles",
    has_journal: false,
    store: Store {
        migrator: notification::migrator,
        exchanged: &[],
        kept_in: &["cursors", "notifications"],
        anew: Some("every message ever sent is sent again"),
        added_later: false,
    },
    descriptors: FILE_DESCRIPTOR_SET,
    path: "/ordinal.notifications.",
    rpcs: &[Rpc {
        name: "ordinal.notifications.v1.NotificationService",
        message_bytes_max: 64 * 1024,
    }],
    published: Some(PUBLISHED),
    told: false,
    followers: &[NOTIFICATIONS],
    processes: &[Process { name: "notifications", port: 20, flags: &["--mail-dir", "{dir}/mail"] }],
    open: |building| Box::pin(open(building)),
};

const PUBLISHED: Published = Published {
    source: Origin::Notifications,
    relay: "relay-notifications",
    log: |stores| Ok(Arc::new(Outbox::new(stores.of(&SERVICE)?.clone()))),
};

/// Composes messages.
pub const NOTIFICATIONS: Follower = Follower {
    name: "notifications",
    follows: Log::Facts(Origin::Orders),
    // Messages go to other systems.
    pace: Pace::Every(Duration::from_millis(250)),
    scope: Runs::Once,
    contacts: true,
};

/// How often messages are counted, and how many at most.
const NUMBERS_EVERY: Duration = Duration::from_secs(15);
const COUNTED_MAX: u32 = 10_000;

/// How many messages wait.
fn numbers(database: Database) -> Sample {
    let look = move || -> BoxFuture<'static, Page> {
        let database = database.clone();
        Box::pin(async move {
            let mut page = Page::default();
            if let Ok(waiting) = ledger::waiting(&database, COUNTED_MAX).await {
                table::MESSAGES.is(&mut page, ["queued"], waiting);
            }
            page
        })
    };
    Sample { every: NUMBERS_EVERY, look: Box::new(look) }
}

/// What messages have by an identifier.
fn find(database: Database) -> Find {
    Arc::new(move |sought: Arc<Sought>| {
        let database = database.clone();
        Box::pin(async move { found(&database, &sought).await })
    })
}

/// The message with this identifier.
async fn found(database: &Database, sought: &Sought) -> anyhow::Result<Vec<Found>> {
    let Some(id) = sought.id() else { return Ok(Vec::new()) };
    let known = ledger::get(database.reader(), NotificationId::from_uuid(id)).await?;
    let known = known.map(|known| Found::by_id(Thing::Message, known.id).of(known.order_id));
    Ok(known.into_iter().collect())
}

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let database = building.database(&SERVICE).await?;
    let config = building.settings.notifications.clone();
    let now = Arc::clone(&building.now);
    let chance = building.settings.chance.of_part("messages");
    let notifications = Notifications::new(database.clone(), config, now)?.drawing_from(chance);
    let notification_facts = notifications.clone();
    let log: feed::Log = Arc::new(move || notification_facts.facts());
    building.publish_once(PUBLISHED, log, &database);
    building.finders.push((SERVICE.name, find(database.clone())));
    building.samples.push(numbers(database));
    building.routes.add_service(InterceptedService::new(notifications.grpc(), with_caller));
    Ok(Box::new(move |building| {
        let follower = notifications.follower();
        building.follow_facts(&NOTIFICATIONS, follower)?;
        // Every process delivers: a message is claimed in the ledger before it is sent.
        let delivery = notifications;
        building.followers.run(|stop| async move { delivery.run_delivery(stop).await });
        Ok(())
    }))
}
