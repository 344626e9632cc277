use serde::Serialize;
use sqlx::any::AnyRow;

use super::{Database, DatabaseError};

impl Database {
    /// The condition that a text is in the JSON list `$1`.
    #[must_use]
    pub const fn one_of(&self) -> &'static str {
        self.sql(
            "= ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
            "IN (SELECT value FROM json_each($1))",
        )
    }

    /// The same of the JSON list in another parameter, as `$2`.
    #[must_use]
    pub fn one_of_in(&self, parameter: &str) -> String {
        self.one_of().replace("$1", parameter)
    }

    /// The condition that a whole number is in the JSON list `$1`.
    #[must_use]
    pub const fn one_of_numbers(&self) -> &'static str {
        self.sql(
            "= ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint))",
            "IN (SELECT value FROM json_each($1))",
        )
    }

    /// The same of the JSON list in another parameter, as `$2`.
    #[must_use]
    pub fn one_of_numbers_in(&self, parameter: &str) -> String {
        self.one_of_numbers().replace("$1", parameter)
    }

    /// The rows of `select` (a SELECT with its FROM) in which this column has one of the keys, read
    /// in one statement, in no order.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn rows_of<K: Serialize + Sync>(
        &self,
        select: &str,
        column: &str,
        keys: &[K],
    ) -> Result<Vec<AnyRow>, DatabaseError> {
        let keys = serde_json::to_string(keys).map_err(|_| DatabaseError::Corrupt("key"))?;
        let sql = format!("{select} WHERE {column} {}", self.one_of());
        Ok(sqlx::query(&sql).bind(keys).fetch_all(self.reader()).await?)
    }
}
