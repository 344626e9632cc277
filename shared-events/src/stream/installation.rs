//! Which installation an SQLite file belongs to. Each file of a directory records its own name, the
//! id that all of them share, and the files it has been beside, so that a lost, emptied or foreign
//! one is detected before anything is created anew.
//! Never here: which files a process needs, and what happens where one is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use uuid::Uuid;

use super::DatabaseError;

const BUSY: Duration = Duration::from_secs(5);

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The file does not exist.
    Absent,
    /// It has no tables.
    Empty,
    /// It has tables, from before files were marked or not marked yet.
    Unmarked {
        /// Whether nothing was ever stored in them.
        new: bool,
    },
    /// It is marked.
    Marked {
        /// Where it belongs.
        installation: Installation,
        /// Whether nothing was ever stored in its tables.
        new: bool,
    },
}

/// Where a file belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The same in every file of the directory.
    pub id: Uuid,
    /// The file's own name.
    pub file: String,
    /// The files that it has been beside, itself among them.
    pub siblings: BTreeSet<String>,
}

impl Contents {
    /// Reads a file. The unfinished work of a killed process is undone or completed first, as
    /// SQLite does for whoever opens the file next. It is new where these tables hold nothing.
    ///
    /// # Errors
    /// [`DatabaseError`] where it is not an SQLite file, or cannot be read.
    pub async fn of(path: &Path, kept_in: &[&str]) -> Result<Self, DatabaseError> {
        if !path.exists() {
            return Ok(Self::Absent);
        }
        let options = SqliteConnectOptions::new().filename(path);
        let mut file = options.busy_timeout(BUSY).disable_statement_logging().connect().await?;
        let contents = Self::read(&mut file, kept_in).await;
        file.close().await?;
        contents
    }

    async fn read(file: &mut SqliteConnection, kept_in: &[&str]) -> Result<Self, DatabaseError> {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
        let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *file).await?;
        let has = |name: &str| tables.iter().any(|table| table == name);
        if tables.is_empty() {
            return Ok(Self::Empty);
        }
        let mut new = true;
        for table in kept_in.iter().filter(|table| has(table)) {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
            new &= sqlx::query_scalar::<_, i64>(&sql).fetch_one(&mut *file).await? == 0;
        }
        let row = if has("installation") {
            sqlx::query("SELECT id, file FROM installation").fetch_optional(&mut *file).await?
        } else {
            None
        };
        let Some(row) = row else { return Ok(Self::Unmarked { new }) };
        let id: String = row.try_get(0)?;
        let id = id.parse().map_err(|_| DatabaseError::Corrupt("installation"))?;
        let siblings: Vec<String> =
            sqlx::query_scalar("SELECT file FROM siblings").fetch_all(&mut *file).await?;
        let siblings = siblings.into_iter().collect();
        Ok(Self::Marked { installation: Installation { id, file: row.try_get(1)?, siblings }, new })
    }

    /// Whether anything was stored in it.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        matches!(self, Self::Unmarked { new: false } | Self::Marked { new: false, .. })
    }

    /// Where it belongs, if it is marked.
    #[must_use]
    pub const fn installation(&self) -> Option<&Installation> {
        match self {
            Self::Marked { installation, .. } => Some(installation),
            Self::Absent | Self::Empty | Self::Unmarked { .. } => None,
        }
    }
}

impl Installation {
    /// Marks a file; an existing mark stays, and its siblings are added to.
    ///
    /// # Errors
    /// [`DatabaseError`] where its tables are not migrated, or it cannot be written.
    pub async fn mark(&self, path: &Path) -> Result<(), DatabaseError> {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY);
        let options = options.synchronous(SqliteSynchronous::Full).disable_statement_logging();
        let mut file = options.connect().await?;
        file.execute("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO installation VALUES (1, ?, ?, 0) ON CONFLICT (one) DO NOTHING")
            .bind(self.id.to_string())
            .bind(&self.file)
            .execute(&mut file)
            .await?;
        for sibling in &self.siblings {
            sqlx::query("INSERT OR IGNORE INTO siblings VALUES (?)")
                .bind(sibling)
                .execute(&mut file)
                .await?;
        }
        file.execute("COMMIT").await?;
        Ok(file.close().await?)
    }
}
