use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::{Database, Dialect, Outbox};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

use crate::channel::{ChannelError, Channels};
use crate::delivery::{Delivery, Due};
use crate::grpc::NotificationEdge;
use crate::grpc::proto::notification_service_server::NotificationServiceServer;
use crate::{Config, NotificationFollower};

/// The tables of the message service.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    match dialect {
        Dialect::Postgres => sqlx::migrate!("migrations/postgres"),
        Dialect::Sqlite => sqlx::migrate!("migrations/sqlite"),
    }
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
}

impl Notifications {
    /// Over a database with its tables.
    ///
    /// # Errors
    /// [`ChannelError`] where the configuration opens no way out.
    pub fn new(
        database: Database,
        config: Config,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, ChannelError> {
        let channels = Arc::new(Channels::new(config.clone())?);
        let (outbox, config) = (Outbox::new(database.clone()), Arc::new(config));
        Ok(Self { database, outbox, config, channels, due: Arc::default(), now })
    }

    /// What follows order facts.
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

    /// What it tells others.
    #[must_use]
    pub fn facts(&self) -> Arc<Outbox> {
        Arc::new(self.outbox.clone())
    }

    /// Sends what is due until told to stop.
    pub async fn run_delivery(&self, stop: CancellationToken) {
        let delivery = Delivery {
            database: self.database.clone(),
            outbox: self.outbox.clone(),
            config: Arc::clone(&self.config),
            channels: Arc::clone(&self.channels),
            due: Arc::clone(&self.due),
            now: Arc::clone(&self.now),
        };
        delivery.run(stop).await;
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> NotificationServiceServer<NotificationEdge> {
        let edge = NotificationEdge::new(
            self.database.clone(),
            Arc::clone(&self.due),
            Arc::clone(&self.now),
        );
        NotificationServiceServer::new(edge).max_decoding_message_size(64 * 1024)
    }
}
