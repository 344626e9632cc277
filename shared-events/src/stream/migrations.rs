//! Migrations from a folder that was compiled in, equal to those of `sqlx::migrate!`. That macro
//! compiles all of sqlx, SQLite and TLS a second time, for the build machine.

use include_dir::{Dir, include_dir};
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::database::Dialect;

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables that each service has of this crate, before its own.
#[must_use]
pub fn of_streams(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

/// The migrations of a folder, by number: files named `<number>_<words>.sql`. Applied ones are
/// identified by number and by a hash of their text, so neither may ever change.
#[must_use]
pub fn migrations(folder: &Dir<'static>) -> Migrator {
    let mut all: Vec<Migration> = folder
        .files()
        .filter_map(|file| {
            let (version, words) = numbered(file.path().file_name()?.to_str()?)?;
            let sql = file.contents_utf8()?;
            let kind = MigrationType::Simple;
            Some(Migration::new(version, words.into(), kind, sql.into(), false))
        })
        .collect();
    all.sort_by_key(|migration| migration.version);
    Migrator { migrations: all.into(), ..Migrator::DEFAULT }
}

/// The number and the words in a file's name.
fn numbered(name: &str) -> Option<(i64, String)> {
    let (number, words) = name.strip_suffix(".sql")?.split_once('_')?;
    Some((number.parse().ok()?, words.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Every file in a folder of migrations, in any crate.
    fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_file_in_a_migrations_folder_is_a_migration() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(root).unwrap() {
            let folder = entry.unwrap().path().join("migrations");
            if folder.is_dir() {
                files(&folder, &mut found);
            }
        }
        assert!(found.len() > 20, "{found:?}");
        for path in found {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(numbered(name).is_some(), "{}", path.display());
            let sql = std::fs::read_to_string(&path).unwrap();
            // A migration always runs in a transaction of its own.
            assert!(!sql.starts_with("-- no-transaction"), "{}", path.display());
        }
    }

    #[test]
    fn a_migration_is_identified_by_number_and_hash() {
        let migrator = of_streams(Dialect::Postgres);
        let versions: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
        assert!(versions.is_sorted() && versions[..2] == [1, 2], "{versions:?}");
        let second = &migrator.migrations[1];
        assert_eq!(second.description, "follower leases");
        // The hash in databases that `sqlx::migrate!` migrated.
        let noted = "ebe705dbc3368453cbf5ee9c1e492aa8b5dfb35cfa8c94d4b56a0096139caf1831c52a9fafc780bb0c2a6cf409738b70";
        assert_eq!(hex(&second.checksum), noted);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
