//! What operators read and do: who has which shard, closing one, moving one, and past actions.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use shared_events::stream::{ActionsAsked, OperatorAction};

use super::handle::Journal;
use crate::error::JournalError;
use crate::options::Node;
use crate::spread::{ANSWERS_WITHIN, Database, within};
use crate::store::{SharedStore, View};
use crate::write::ShardState;

impl Journal {
    /// Closes a shard to all writers, or opens it again; false where the shard does not exist.
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

    /// Assigns a shard to a node, by name, or to any node; false where the shard does not exist.
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

    /// Who has which shard, by number. A shard whose database does not answer is reported as closed
    /// for that reason.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the store has one writer only, [`JournalError::Unavailable`]
    /// where no database answers.
    pub async fn shard_states(&self) -> Result<Vec<ShardState>, JournalError> {
        let known = self.shared.committed.borrow().clone();
        let mut states = Vec::new();
        for (database, view) in self.views().await? {
            states.extend(match view {
                Ok(view) => ShardState::of(view),
                Err(why) => {
                    let unknown = |shard| ShardState::unknown(shard, known.get(shard), &why);
                    database.holds.iter().map(unknown).collect()
                }
            });
        }
        states.sort_by_key(|state| state.shard);
        Ok(states)
    }

    /// The live nodes.
    ///
    /// # Errors
    /// As [`Self::shard_states`].
    pub async fn nodes(&self) -> Result<Vec<Node>, JournalError> {
        let mut nodes: Vec<Node> = Vec::new();
        let views = self.views().await?.into_iter().filter_map(|(_, view)| view.ok());
        for seen in views.flat_map(|view| view.nodes) {
            // Each node is announced in every database.
            if !nodes.iter().any(|node| node.name == seen.name) {
                nodes.push(Node { name: seen.name, address: seen.address });
            }
        }
        Ok(nodes)
    }

    /// The view of each database; an error where none answers.
    async fn views(&self) -> Result<Vec<(&Database, Result<View, JournalError>)>, JournalError> {
        let options = &self.shared.options;
        let grace = options.lease.saturating_sub(options.self_stop);
        let looks = self.databases().iter().map(|database| async move {
            let view = match (among_others(database)?, database.unavailable()) {
                (_, Some(unavailable)) => Err(unavailable),
                (shared, None) => shared.view(grace).await,
            };
            Ok((database, view))
        });
        let views: Vec<(&Database, Result<View, JournalError>)> = try_join_all(looks).await?;
        match views.iter().all(|(_, view)| view.is_err()) {
            true => Err(views.into_iter().find_map(|(_, view)| view.err()).unwrap_or_else(|| {
                JournalError::Unavailable("the journal has no database".to_owned())
            })),
            false => Ok(views),
        }
    }

    /// What operators did to the journal and its shards, newest first, and how many of its
    /// databases did not answer. An action on several databases is reported once.
    pub async fn operator_actions(&self, asked: &ActionsAsked) -> (Vec<OperatorAction>, usize) {
        let there = self.databases().iter().map(|database| async move {
            match database.unavailable() {
                Some(unavailable) => Err(unavailable),
                None => within(ANSWERS_WITHIN, database.store.operator_actions(asked)).await,
            }
        });
        let (mut found, mut unavailable) = (BTreeMap::new(), 0_usize);
        for answer in join_all(there).await {
            match answer {
                Ok(actions) => {
                    found.extend(actions.into_iter().map(|one| ((one.at, one.id), one)));
                }
                Err(error) => {
                    tracing::debug!(%error, "a database of the journal did not answer");
                    unavailable += 1;
                }
            }
        }
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        (found.into_values().rev().take(limit).collect(), unavailable)
    }
}

fn among_others(database: &Database) -> Result<&dyn SharedStore, JournalError> {
    database.store.shared().ok_or_else(|| {
        JournalError::Invalid("this journal has one writer: its shards cannot be moved".to_owned())
    })
}
