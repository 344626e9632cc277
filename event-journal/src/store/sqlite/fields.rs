//! SQLite columns.

use shared_events::contract::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::JournalError;
use crate::store::rows::{Fields, impossible, unavailable};

impl Fields for SqliteRow {
    fn text(&self, column: &'static str) -> Result<&str, JournalError> {
        self.try_get(column).map_err(unavailable)
    }

    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, JournalError> {
        self.try_get(column).map_err(unavailable)
    }

    fn number(&self, column: &'static str) -> Result<i64, JournalError> {
        self.try_get(column).map_err(unavailable)
    }

    fn bytes(&self, column: &'static str) -> Result<&[u8], JournalError> {
        self.try_get(column).map_err(unavailable)
    }

    fn shard(&self) -> Result<u16, JournalError> {
        u16::try_from(self.number("shard")?).map_err(|_| impossible("shard"))
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, JournalError> {
        self.number(column).map(Timestamp::from_micros)
    }

    fn journal_id(&self) -> Result<Uuid, JournalError> {
        self.text("journal_id")?.parse().map_err(|_| impossible("journal id"))
    }
}
