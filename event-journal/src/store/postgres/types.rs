//! Postgres types and columns.

use std::time::Duration;

use shared_events::contract::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueFormat, PgValueRef,
};
use sqlx::{Decode, Encode, Postgres, Row as _, Type};
use uuid::Uuid;

use crate::error::JournalError;
use crate::store::rows::{Fields, impossible, unavailable};

/// A timestamptz, exact to the microsecond: Postgres counts them from 2000-01-01.
pub(crate) struct Instant(pub(crate) Timestamp);

pub(crate) const EPOCH_2000: i64 = 946_684_800_000_000;

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz[]")
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(self.0.micros().saturating_sub(EPOCH_2000).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Instant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("a timestamptz as text".into());
        }
        let since_2000 = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp::from_micros(since_2000.saturating_add(EPOCH_2000))))
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The positions of the first events of a stream; empty where none is archived.
pub(crate) fn positions(row: &PgRow) -> Result<Vec<u64>, JournalError> {
    let positions: Option<Vec<i64>> = row.try_get("positions").map_err(unavailable)?;
    let positions = positions.unwrap_or_default().into_iter().map(u64::try_from);
    positions.collect::<Result<_, _>>().map_err(|_| impossible("position"))
}

impl Fields for PgRow {
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
        u16::try_from(self.try_get::<i32, _>("shard").map_err(unavailable)?)
            .map_err(|_| impossible("shard"))
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, JournalError> {
        self.try_get::<Instant, _>(column).map_err(unavailable).map(|instant| instant.0)
    }

    fn journal_id(&self) -> Result<Uuid, JournalError> {
        self.try_get("journal_id").map_err(unavailable)
    }
}
