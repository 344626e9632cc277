use shared_events::contract::LocationName;
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::{AnyConnection, Row as _};

use super::MoveError;

/// Locations that may exist, `main` among them.
pub const LOCATIONS_MAX: usize = 100;

/// The highest number of a priority.
pub const PRIORITY_MAX: i64 = 1_000_000;

/// Where stock may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its name.
    pub name: LocationName,
    /// The location with the lowest number serves first; of equal ones, the first by name. 0 for
    /// `main` until it is set.
    pub priority: i64,
}

/// All locations by priority, `main` among them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn locations(connection: &mut AnyConnection) -> Result<Vec<Location>, DatabaseError> {
    let rows = sqlx::query("SELECT name, priority FROM locations").fetch_all(connection).await?;
    let mut all = Vec::with_capacity(rows.len() + 1);
    for row in &rows {
        let name: String = row.try_get(0)?;
        let name = name.parse().map_err(|_| DatabaseError::Corrupt("name of a location"))?;
        all.push(Location { name, priority: row.try_get(1)? });
    }
    if !all.iter().any(|one| one.name.is_main()) {
        all.push(Location { name: LocationName::main(), priority: 0 });
    }
    let key = |one: &Location| (one.priority, one.name.as_str().to_owned());
    all.sort_by_key(key);
    Ok(all)
}

/// Adds a location, or changes its priority; a new one without a priority comes last. Returns it,
/// and the priority before. Two calls at the same time follow each other.
///
/// # Errors
/// [`MoveError::TooManyLocations`], [`MoveError::Database`]
pub async fn set_location(
    database: &Database,
    tx: &mut Tx,
    name: &LocationName,
    priority: Option<i64>,
) -> Result<(Location, Option<i64>), MoveError> {
    // SQLite has one writer anyway.
    if database.dialect() == Dialect::Postgres {
        let sql = "LOCK TABLE locations IN SHARE ROW EXCLUSIVE MODE";
        sqlx::query(sql).execute(&mut **tx).await?;
    }
    let all = locations(tx).await?;
    let before = all.iter().find(|one| one.name == *name).map(|one| one.priority);
    if before.is_none() && all.len() >= LOCATIONS_MAX {
        return Err(MoveError::TooManyLocations);
    }
    let last = all.last().map_or(0, |last| last.priority);
    let next = last.saturating_add(1).min(PRIORITY_MAX);
    let priority = priority.or(before).unwrap_or(next);
    sqlx::query(
        "INSERT INTO locations (name, priority) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET priority = excluded.priority",
    )
    .bind(name.as_str())
    .bind(priority)
    .execute(&mut **tx)
    .await?;
    Ok((Location { name: name.clone(), priority }, before))
}

/// Refuses a location that does not exist.
pub(super) async fn expect_location(tx: &mut Tx, name: &LocationName) -> Result<(), MoveError> {
    if name.is_main() {
        return Ok(());
    }
    let sql = "SELECT name FROM locations WHERE name = $1";
    let found = sqlx::query(sql).bind(name.as_str()).fetch_optional(&mut **tx).await?;
    found.map(drop).ok_or_else(|| MoveError::NoSuchLocation { location: name.clone() })
}
