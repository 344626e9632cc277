//! Numbers of orders, for whoever watches the process. A table may be large, so only so many are
//! counted.

use shared_events::stream::DatabaseError;
use sqlx::Row as _;

use super::order_summaries::OrderSummaries;
use crate::domain::Status;

impl OrderSummaries {
    /// How many orders have a status; `most` are counted.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn count(&self, status: Status, most: u32) -> Result<u64, DatabaseError> {
        let sql = "SELECT COUNT(*) FROM
                       (SELECT 1 AS one FROM order_summaries WHERE status = $1 LIMIT $2) AS counted";
        let row = sqlx::query(sql).bind(status.code()).bind(i64::from(most));
        let count: i64 = row.fetch_one(self.database.reader()).await?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// How many orders are held; `most` are counted.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn count_held(&self, most: u32) -> Result<u64, DatabaseError> {
        let sql = "SELECT COUNT(*) FROM
                       (SELECT 1 AS one FROM order_summaries WHERE held IS NOT NULL LIMIT $1)
                           AS counted";
        let row = sqlx::query(sql).bind(i64::from(most)).fetch_one(self.database.reader()).await?;
        let count: i64 = row.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
