//! What operators did to the journal and its shards: each written in the database that it changed,
//! with the change.

use std::collections::BTreeMap;

use futures::future::join_all;
use shared_events::stream::{ActionsAsked, DatabaseError, OperatorAction};
use sqlx::{ColumnIndex, Decode, Row, Type};

use super::error::JournalError;
use super::handle::Journal;
use super::part::{ANSWERS_WITHIN, within};
use super::postgres::impossible;

impl Journal {
    /// What operators did to the journal and its shards, newest first, and how many of its databases
    /// did not answer. What was done to all of them is one action.
    pub async fn operator_actions(&self, asked: &ActionsAsked) -> (Vec<OperatorAction>, usize) {
        let there = self.parts().iter().map(|part| async move {
            match part.away() {
                Some(away) => Err(away),
                None => within(ANSWERS_WITHIN, part.store.operator_actions(asked)).await,
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

/// An action as [`ActionsAsked::SQL`] gives it.
pub(super) fn read<R: Row>(
    row: &R,
    away: impl Fn(sqlx::Error) -> JournalError,
) -> Result<OperatorAction, JournalError>
where
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
{
    OperatorAction::read(row).map_err(|error| match error {
        DatabaseError::Sql(error) => away(error),
        _ => impossible("action of an operator"),
    })
}
