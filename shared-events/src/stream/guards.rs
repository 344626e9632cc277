//! The triggers by which a database refuses to change or forget what was written. Anyone who may
//! change the schema can remove them; an audit reports it, since nothing else would notice.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use sqlx::migrate::Migration;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::DatabaseError;

/// How many triggers were checked, and which differ from their migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// Triggers that should exist.
    pub expected: u64,
    /// Triggers that do not guard: which one, on what, and why not.
    pub damages: Vec<String>,
}

/// The triggers of an SQLite file, by the migrations of its tables. It is only read.
///
/// # Errors
/// [`DatabaseError`] where it cannot be read.
pub async fn sqlite_guards(
    file: &Path,
    migrations: impl IntoIterator<Item = &Migration>,
) -> Result<Guards, DatabaseError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut db = options.disable_statement_logging().connect().await?;
    let applied: Vec<i64> = sqlx::query_scalar(APPLIED).fetch_all(&mut db).await?;
    let found: Vec<(String, String)> =
        sqlx::query_as("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            .fetch_all(&mut db)
            .await?;
    db.close().await?;
    let found: BTreeMap<String, String> =
        found.into_iter().map(|(name, sql)| (name, tokens(&sql).join(" "))).collect();
    let made = Expected::by(migrations, &applied);
    Ok(made.compare(|guard| match found.get(&guard.name) {
        None => Some("is missing"),
        Some(sql) => (*sql != guard.text).then_some("differs from its migration"),
    }))
}

/// Name, table, switched on, kind, as Postgres would write it, function, body of the function.
type Found = (String, String, bool, i16, String, String, String);

/// The triggers of a schema on Postgres, by the migrations of its tables.
///
/// # Errors
/// [`DatabaseError`] where the server does not answer.
pub async fn postgres_guards(
    url: &str,
    schema: &str,
    migrations: impl IntoIterator<Item = &Migration>,
) -> Result<Guards, DatabaseError> {
    let options = url.parse::<PgConnectOptions>()?.disable_statement_logging();
    let mut db = options.connect().await?;
    let applied = format!("SELECT version FROM {schema}._sqlx_migrations WHERE success");
    let applied: Vec<i64> = sqlx::query_scalar(&applied).fetch_all(&mut db).await?;
    // 'R' fires on replicas only.
    let found: Vec<Found> = sqlx::query_as(
        "SELECT tgname::text, relname::text, tgenabled IN ('O', 'A'), tgtype,
                pg_get_triggerdef(pg_trigger.oid), proname::text, prosrc
         FROM pg_trigger
         JOIN pg_class ON pg_class.oid = tgrelid
         JOIN pg_namespace ON pg_namespace.oid = relnamespace
         JOIN pg_proc ON pg_proc.oid = tgfoid
         WHERE nspname = $1 AND NOT tgisinternal",
    )
    .bind(schema)
    .fetch_all(&mut db)
    .await?;
    db.close().await?;
    let made = Expected::by(migrations, &applied);
    let of_its_name = |guard: &Guard| {
        found.iter().find(|(name, table, ..)| (name, table) == (&guard.name, &guard.table))
    };
    Ok(made.compare(|guard| match of_its_name(guard) {
        None => Some("is missing"),
        Some((_, _, false, ..)) => Some("is switched off"),
        Some((_, _, true, kind, text, function, body)) => {
            let same = (*kind, function) == (guard.kind(), &guard.function())
                && Guard::parse(text).is_some_and(|found| found.conditions() == guard.conditions())
                && made.bodies.get(function) == Some(&tokens(body).join(" "));
            (!same).then_some("differs from its migration")
        }
    }))
}

const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success";

/// The tokens of an SQL text, without comments.
fn tokens(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n").replace('(', " ( ").replace(')', " ) ");
    text.split_whitespace().map(str::to_owned).collect()
}

/// A trigger as a migration makes it.
struct Guard {
    name: String,
    table: String,
    text: String,
}

impl Guard {
    fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let on = tokens.iter().position(|word| word == "ON")?;
        let (name, table) = (tokens.get(2)?.clone(), tokens.get(on + 1)?.clone());
        Some(Self { name, table, text: tokens.join(" ") })
    }

    fn has(&self, word: &str) -> bool {
        self.text.split(' ').any(|there| there == word)
    }

    /// As `pg_trigger.tgtype` counts: row 1, before 2, insert 4, delete 8, update 16, truncate 32.
    fn kind(&self) -> i16 {
        let bits = [
            ("ROW", 1),
            ("BEFORE", 2),
            ("INSERT", 4),
            ("DELETE", 8),
            ("UPDATE", 16),
            ("TRUNCATE", 32),
        ];
        bits.iter().filter(|(word, _)| self.has(word)).map(|(_, bit)| bit).sum()
    }

    /// The columns whose changes fire it (UPDATE OF), and its condition (WHEN); empty for all and
    /// always. Postgres writes parentheses and letter case in its own way.
    fn conditions(&self) -> [String; 2] {
        [("OF", "ON"), ("WHEN", "EXECUTE")].map(|(from, to)| {
            let tokens = self.text.split(' ').skip_while(|word| *word != from).skip(1);
            let tokens = tokens.take_while(|word| *word != to);
            tokens
                .flat_map(str::chars)
                .filter(|char| !"()".contains(*char))
                .collect::<String>()
                .to_lowercase()
        })
    }

    fn function(&self) -> String {
        let mut tokens = self.text.split(' ').skip_while(|word| *word != "FUNCTION").skip(1);
        tokens.next().unwrap_or_default().to_owned()
    }
}

/// The triggers that the migrations of a database create.
struct Expected {
    guards: BTreeMap<String, Guard>,
    /// Bodies of the Postgres functions, by name.
    bodies: BTreeMap<String, String>,
}

impl Expected {
    fn by<'a>(migrations: impl IntoIterator<Item = &'a Migration>, applied: &[i64]) -> Self {
        let applied: HashSet<&i64> = applied.iter().collect();
        let mut made = Self { guards: BTreeMap::new(), bodies: BTreeMap::new() };
        let all = migrations.into_iter();
        for migration in all.filter(|one| applied.contains(&one.version)) {
            made.read(&migration.sql);
        }
        made
    }

    fn read(&mut self, sql: &str) {
        // A trigger of SQLite ends with END, whatever is between; one of Postgres has no body.
        let mut rest = sql;
        while let Some(at) = rest.find("CREATE TRIGGER").into_iter().chain(drop_at(rest)).min() {
            let text = rest.get(at..).unwrap_or_default();
            let end = text.find(';').unwrap_or(text.len());
            let head = text.get(..end).unwrap_or_default();
            let end = match head.contains("BEGIN") {
                true => text.find("END;").map_or(text.len(), |end| end + 3),
                false => end,
            };
            let statement = text.get(..end).unwrap_or_default();
            if statement.starts_with("CREATE") {
                self.guards
                    .extend(Guard::parse(statement).map(|guard| (guard.name.clone(), guard)));
            } else {
                self.guards.retain(|name, _| !tokens(statement).contains(name));
            }
            rest = text.get(end..).unwrap_or_default();
        }
        for function in sql.split("FUNCTION ").skip(1) {
            let name = function.split('(').next().unwrap_or_default().trim();
            let mut parts = function.split("$$");
            if let (Some(head), Some(body)) = (parts.next(), parts.next())
                && head.contains("RETURNS trigger")
            {
                self.bodies.insert(name.to_owned(), tokens(body).join(" "));
            }
        }
    }

    fn compare(&self, damage: impl Fn(&Guard) -> Option<&'static str>) -> Guards {
        let damages = self.guards.values().filter_map(|guard| {
            damage(guard).map(|what| format!("trigger {} on {} {what}", guard.name, guard.table))
        });
        Guards {
            expected: u64::try_from(self.guards.len()).unwrap_or(u64::MAX),
            damages: damages.collect(),
        }
    }
}

fn drop_at(sql: &str) -> Option<usize> {
    sql.find("DROP TRIGGER")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of a folder's files, by name.
    fn texts(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    #[test]
    fn every_trigger_of_every_migration_is_expected() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut all = 0;
        for entry in std::fs::read_dir(root).unwrap() {
            for dialect in ["sqlite", "postgres"] {
                let folder = entry.as_ref().unwrap().path().join("migrations").join(dialect);
                if !folder.is_dir() {
                    continue;
                }
                let texts = texts(&folder);
                let mut made = Expected { guards: BTreeMap::new(), bodies: BTreeMap::new() };
                texts.iter().for_each(|sql| made.read(sql));
                let count: usize =
                    texts.iter().map(|sql| sql.matches("CREATE TRIGGER").count()).sum();
                assert_eq!(made.guards.len(), count, "{:?}", made.guards.keys());
                for guard in made.guards.values() {
                    assert!(guard.has("BEFORE") && guard.kind() & 2 != 0, "{}", guard.text);
                    let function = guard.function();
                    assert!(
                        function.is_empty() || made.bodies.contains_key(&function),
                        "{function}"
                    );
                }
                all += count;
            }
        }
        assert!(all > 30, "{all}");
    }

    #[test]
    fn a_dropped_trigger_is_not_expected() {
        let mut made = Expected { guards: BTreeMap::new(), bodies: BTreeMap::new() };
        made.read("CREATE TRIGGER a BEFORE UPDATE ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3;");
        made.read("CREATE TRIGGER b BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();");
        assert_eq!(made.guards["a"].text.split(' ').next_back(), Some("END"));
        assert_eq!((made.guards["b"].kind(), made.guards["b"].function()), (11, "f".to_owned()));
        made.read("DROP TRIGGER IF EXISTS a;");
        assert!(made.guards.keys().eq(["b"]));
    }
}
