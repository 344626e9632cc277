use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, Timestamp};
use shared_events::stream::{Blame, Cursors, Database, Handler, Tx};

use crate::delivery::Due;
use crate::{Config, compose_all, ledger};

/// Writes messages about order facts into the ledger. Nothing is sent here.
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
        // All facts of a position come in one batch.
        ledger::write_contacts(&self.database, tx, facts).await?;
        let messages = compose_all(facts, &self.config);
        ledger::write(&self.database, tx, &messages, (self.now)()).await?;
        ledger::write_traces(&self.database, tx, &messages, facts).await?;
        Ok(())
    }

    fn committed(&mut self) {
        self.due.wake();
    }

    /// Sent messages cannot be recalled; those that wait are dropped.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        for (shard, _) in from.iter() {
            let dropped = ledger::drop_unsent(&self.database, tx, shard, to.get(shard)).await?;
            if dropped > 0 {
                tracing::warn!(
                    shard,
                    messages = dropped,
                    "the journal was set back: unsent messages dropped"
                );
            }
        }
        Ok(to.clone())
    }
}
