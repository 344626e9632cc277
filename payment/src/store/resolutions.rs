use std::fmt;

use shared_events::contract::{OperationId, PayoutId, PspName};
use shared_events::stream::{Database, DatabaseError, Tx};

/// What a person says something of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of<'a> {
    /// What became of an operation.
    Operation(OperationId),
    /// What became of a payout.
    Payout(PayoutId),
    /// What is done about the webhook of a provider with this id.
    Webhook(&'a PspName, &'a str),
    /// What a line of a provider's reports is for.
    Line(&'a PspName, &'a str),
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(id) => write!(f, "operation/{id}"),
            Self::Payout(id) => write!(f, "payout/{id}"),
            Self::Webhook(psp, id) => write!(f, "webhook/{psp}/{id}"),
            Self::Line(psp, name) => write!(f, "settlement/{psp}/{name}"),
        }
    }
}

/// Keeps what a person said, in the transaction of its effect.
pub(crate) async fn keep_resolution(
    tx: &mut Tx,
    of: Of<'_>,
    said: &str,
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO resolutions (target, said) VALUES ($1, $2)
               ON CONFLICT (target) DO UPDATE SET said = excluded.said";
    let query = sqlx::query(sql).bind(of.to_string()).bind(said.to_owned());
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Whether this is what a person said last.
pub(crate) async fn was_said(
    database: &Database,
    of: Of<'_>,
    said: &str,
) -> Result<bool, DatabaseError> {
    let sql = "SELECT 1 FROM resolutions WHERE target = $1 AND said = $2";
    let query = sqlx::query(sql).bind(of.to_string()).bind(said.to_owned());
    Ok(query.fetch_optional(database.reader()).await?.is_some())
}
