//! What operators ask and do: who has which shard, closing one, moving one, and what was done.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use shared_events::stream::{ActionsAsked, OperatorAction};

use super::handle::Journal;
use crate::error::JournalError;
use crate::options::Node;
use crate::spread::{ANSWERS_WITHIN, Database, within};
use crate::store::{SharedStore, Sight};
use crate::write::ShardState;

impl Journal {
    /// Closes a shard to everybody, or opens it again; false where there is no such shard.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the store has one writer only,
    /// [`JournalError::Unavailable`].
    pub async fn freeze(
        &self,
        shard: u16,
        reason: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let [first, ..] = self.databases() else { return Ok(false) };
        among_others(self.database(shard).unwrap_or(first))?.freeze(shard, reason, action).await
    }

    /// Says which node, by name, is to have a shard, or that any may; false where there is no such
    /// shard.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub async fn pin(
        &self,
        shard: u16,
        node: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let [first, ..] = self.databases() else { return Ok(false) };
        among_others(self.database(shard).unwrap_or(first))?.pin(shard, node, action).await
    }

    /// Who has which shard, by number. A shard whose database does not answer is closed to
    /// everybody for that reason.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the store has one writer only, [`JournalError::Unavailable`]
    /// where no database answers.
    pub async fn shard_states(&self) -> Result<Vec<ShardState>, JournalError> {
        let known = self.shared.committed.borrow().clone();
        let mut states = Vec::new();
        for (database, sight) in self.sights().await? {
            states.extend(match sight {
                Ok(sight) => ShardState::of(sight),
                Err(why) => {
                    let unknown = |shard| ShardState::unknown(shard, known.get(shard), &why);
                    database.holds.iter().map(unknown).collect()
                }
            });
        }
        states.sort_by_key(|state| state.shard);
        Ok(states)
    }

    /// The nodes that live.
    ///
    /// # Errors
    /// As [`Self::shard_states`].
    pub async fn nodes(&self) -> Result<Vec<Node>, JournalError> {
        let mut nodes: Vec<Node> = Vec::new();
        let sights = self.sights().await?.into_iter().filter_map(|(_, sight)| sight.ok());
        for seen in sights.flat_map(|sight| sight.nodes) {
            // Each node is announced in every database.
            if !nodes.iter().any(|node| node.name == seen.name) {
                nodes.push(Node { name: seen.name, address: seen.address });
            }
        }
        Ok(nodes)
    }

    /// What is seen in each database; an error where that is nothing.
    async fn sights(&self) -> Result<Vec<(&Database, Result<Sight, JournalError>)>, JournalError> {
        let options = &self.shared.options;
        let grace = options.lease.saturating_sub(options.self_stop);
        let looks = self.databases().iter().map(|database| async move {
            let sight = match (among_others(database)?, database.away()) {
                (_, Some(away)) => Err(away),
                (shared, None) => shared.look(grace).await,
            };
            Ok((database, sight))
        });
        let sights: Vec<(&Database, Result<Sight, JournalError>)> = try_join_all(looks).await?;
        match sights.iter().all(|(_, sight)| sight.is_err()) {
            true => {
                Err(sights.into_iter().find_map(|(_, sight)| sight.err()).unwrap_or_else(|| {
                    JournalError::Unavailable("the journal has no database".to_owned())
                }))
            }
            false => Ok(sights),
        }
    }

    /// What operators did to the journal and its shards, newest first, and how many of its
    /// databases did not answer. What was done to all of them is one action.
    pub async fn operator_actions(&self, asked: &ActionsAsked) -> (Vec<OperatorAction>, usize) {
        let there = self.databases().iter().map(|database| async move {
            match database.away() {
                Some(away) => Err(away),
                None => within(ANSWERS_WITHIN, database.store.operator_actions(asked)).await,
            }
        });
        let (mut found, mut away) = (BTreeMap::new(), 0_usize);
        for answer in join_all(there).await {
            match answer {
                Ok(actions) => {
                    found.extend(actions.into_iter().map(|one| ((one.at, one.id), one)));
                }
                Err(error) => {
                    tracing::debug!(%error, "a database of the journal did not answer");
                    away += 1;
                }
            }
        }
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        (found.into_values().rev().take(limit).collect(), away)
    }
}

fn among_others(database: &Database) -> Result<&dyn SharedStore, JournalError> {
    database.store.shared().ok_or_else(|| {
        JournalError::Invalid("this journal has one writer: its shards stay".to_owned())
    })
}
