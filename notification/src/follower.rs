use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, Timestamp};
use shared_events::stream::{Blame, Cursors, Database, Handler, Tx};

use crate::delivery::Due;
use crate::{Config, compose_all, ledger};

/// Follows order facts into the ledger. Nothing leaves here: what is written is sent later.
pub struct NotificationFollower {
    database: Database,
    config: Arc<Config>,
    due: Arc<Due>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl NotificationFollower {
    pub(crate) const fn new(
        database: Database,
        config: Arc<Config>,
        due: Arc<Due>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { database, config, due, now }
    }
}

#[async_trait]
impl Handler<Fact> for NotificationFollower {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        // A position's facts always come together.
        let messages = compose_all(facts, &self.config);
        ledger::write(&self.database, tx, &messages, (self.now)()).await?;
        Ok(())
    }

    fn committed(&mut self) {
        self.due.wake();
    }

    /// What has left cannot be taken back; what waits to be sent can.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        for (shard, _) in from.iter() {
            let gone = ledger::drop_unsent(&self.database, tx, shard, to.get(shard)).await?;
            if gone > 0 {
                tracing::warn!(shard, messages = gone, "messages of another history are not sent");
            }
        }
        Ok(to.clone())
    }
}
