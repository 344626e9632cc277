//! The tables of the journal, with the triggers that guard them. A migration that was applied
//! anywhere never changes: not its name, not its number, not a byte.

use include_dir::{Dir, include_dir};
use shared_events::stream::{Dialect, migrations};
use sqlx::migrate::Migrator;

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The migrations, for a schema of a Postgres database or an SQLite file.
pub(crate) fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Applied = (i64, &'static str, &'static str);

    /// Number, name, and the beginning of the checksum that databases record. Lines are only added.
    const MADE_IN_POSTGRES: &[Applied] = &[
        (1, "journal", "3388ca34cf31f4487a97593d236c19d7"),
        (2, "nodes", "d86290e798454ac23b854b53192c8901"),
        (3, "databases", "175d84248b1701778b81c0d980e11ba0"),
        (4, "archives", "1e57d326a2863d5077cdae979a9bdb15"),
        (5, "history", "7b6404d74951c07bff571d0ed718a0b2"),
        (6, "processes", "33c98110a4b07eea9f7f388180f47304"),
        (7, "fingerprint keys", "9a6d1358e33b0f9145b04462146a6c01"),
        (8, "operator actions", "4db2b6cb03ad5b8706fad84abb16db02"),
        (9, "unique keys", "0ca64ed5cadcc36193b95e62a44736d2"),
    ];
    const MADE_IN_SQLITE: &[Applied] = &[
        (1, "journal", "dbf67511a67675f85cce6195a8f304bc"),
        (2, "installation", "f6dad4d50c5217b09bbddab02dc58513"),
        (3, "history", "e7b41ce8eb76c4700b0068520f8da3aa"),
        (4, "fingerprint keys", "b6f816f72a91f909ac7e378587135244"),
        (5, "operator actions", "2dea69c936e0b4d72c6151a01307db22"),
        (6, "unique keys", "1205633276e8c486aeadee4899164b74"),
    ];

    #[test]
    fn applied_migrations_never_change() {
        let made = [(Dialect::Postgres, MADE_IN_POSTGRES), (Dialect::Sqlite, MADE_IN_SQLITE)];
        for (dialect, known) in made {
            let found: Vec<(i64, String, String)> = migrator(dialect)
                .iter()
                .map(|one| {
                    let checksum = hex::encode(&one.checksum[..16]);
                    (one.version, one.description.to_string(), checksum)
                })
                .collect();
            let known: Vec<(i64, String, String)> = known
                .iter()
                .map(|(version, name, sum)| (*version, (*name).to_owned(), (*sum).to_owned()))
                .collect();
            assert_eq!(found, known);
        }
    }
}
