use shared_events::stream::{Database, DatabaseError};

/// So many are counted; that number means that many or more.
pub const COUNTED: u64 = 1_000;

/// What waits, for alarms and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Webhooks that are looked at again.
    WebhooksWaiting,
    /// Webhooks that wait for a person.
    WebhooksParked,
    /// Operations that wait for a person.
    OperationsStuck,
    /// Disputes that are open.
    DisputesOpen,
}

/// How many these are, at most [`COUNTED`].
///
/// # Errors
/// [`DatabaseError`]
pub async fn count(database: &Database, what: Count) -> Result<u64, DatabaseError> {
    // Each condition is that of an index.
    let those = match what {
        Count::WebhooksWaiting => "webhooks WHERE state = 'WAITING'",
        Count::WebhooksParked => "webhooks WHERE state = 'PARKED'",
        Count::OperationsStuck => "operations WHERE stage = 'STUCK'",
        Count::DisputesOpen => "disputes WHERE outcome IS NULL",
    };
    let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {those} LIMIT {COUNTED}) AS counted");
    let many: i64 = sqlx::query_scalar(&sql).fetch_one(database.reader()).await?;
    Ok(u64::try_from(many).unwrap_or_default())
}
