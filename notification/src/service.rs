use std::sync::Arc;

use include_dir::{Dir, include_dir};
use shared_events::chance::Chance;
use shared_events::contract::Timestamp;
use shared_events::stream::{Database, Dialect, Outbox, migrations};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

use crate::channel::{ChannelError, Channels};
use crate::delivery::{Delivery, Due};
use crate::grpc::NotificationEdge;
use crate::grpc::proto::notification_service_server::NotificationServiceServer;
use crate::{Config, NotificationFollower};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables of the message service.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

/// The message service over its own database.
#[derive(Clone)]
pub struct Notifications {
    database: Database,
    outbox: Outbox,
    config: Arc<Config>,
    channels: Arc<Channels>,
    due: Arc<Due>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    chance: Chance,
}

impl Notifications {
    /// Over a database that has its tables.
    ///
    /// # Errors
    /// [`ChannelError`] where nothing could be sent with this configuration.
    pub fn new(
        database: Database,
        config: Config,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, ChannelError> {
        let channels = Arc::new(Channels::new(config.clone())?);
        let (outbox, config) = (Outbox::new(database.clone()), Arc::new(config));
        let (due, chance) = (Arc::new(Due::new(&config)), Chance::system());
        Ok(Self { database, outbox, config, channels, due, now, chance })
    }

    /// Replaces the source of random delays and ids.
    #[must_use]
    pub fn drawing_from(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// The follower of order facts.
    #[must_use]
    pub fn follower(&self) -> NotificationFollower {
        NotificationFollower::new(
            self.database.clone(),
            Arc::clone(&self.config),
            Arc::clone(&self.due),
            Arc::clone(&self.now),
        )
    }

    /// Its database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The facts that it publishes.
    #[must_use]
    pub fn facts(&self) -> Arc<Outbox> {
        Arc::new(self.outbox.clone())
    }

    /// Sends due messages until stopped.
    pub async fn run_delivery(&self, stop: CancellationToken) {
        let delivery = Delivery {
            database: self.database.clone(),
            outbox: self.outbox.clone(),
            config: Arc::clone(&self.config),
            channels: Arc::clone(&self.channels),
            due: Arc::clone(&self.due),
            now: Arc::clone(&self.now),
            chance: self.chance.clone(),
        };
        delivery.run(stop).await;
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> NotificationServiceServer<NotificationEdge> {
        let edge = NotificationEdge::new(
            self.database.clone(),
            Arc::clone(&self.config),
            Arc::clone(&self.due),
            Arc::clone(&self.now),
            self.chance.clone(),
        );
        NotificationServiceServer::new(edge).max_decoding_message_size(64 * 1024)
    }
}
