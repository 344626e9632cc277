//! `ordinal journal`: the journal's history and databases, archiving, and moving shards between
//! databases while no order node runs.
//! Never here: how shards are moved.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::journal::{Holding, Mover, Relocation, ShardSet, holding};
use serde_json::{Value, json};

use crate::client::progress;
use crate::client::{Client, Connection, Failure, Output, text};
use crate::engine::JOURNAL;

/// `ordinal journal …`
#[derive(clap::Subcommand)]
pub enum JournalVerb {
    /// Archive old events to files, beside running nodes. All events before a month are written;
    /// orders that are over are removed from the table, the others stay.
    Archive(crate::verbs::archive::ArchiveArgs),
    /// Accept the journal after a restore from a backup or a failover: orders are accepted again,
    /// and followers ahead of the journal are set back to the last position that it has. Calls any
    /// order node. `ordinal journal history` shows whether this is needed.
    Restored {
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        /// Why; it is recorded in the journal and logged.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show the journal's incarnations, and whether it is doubted.
    History,
    /// Show what Postgres databases hold of a journal; nothing is written.
    Show {
        /// The databases' URLs.
        #[arg(
            value_name = "URL",
            required = true,
            env = "ORDINAL_DATABASE_URL",
            hide_env_values = true
        )]
        databases: Vec<String>,
    },
    /// Move shards from one Postgres database to another, which is empty or of the same journal,
    /// while no order node runs. The copy is checked before it is served. If interrupted, run it
    /// again to continue. The original stays in the old database, closed.
    Move {
        /// The shards, such as 8-15 or 3,5,8-15.
        #[arg(long, value_name = "SHARDS")]
        shards: ShardSet,
        /// From the database at this URL.
        #[arg(long, value_name = "URL", env = "ORDINAL_MOVE_FROM", hide_env_values = true)]
        from: String,
        /// To the database at this URL.
        #[arg(long, value_name = "URL", env = "ORDINAL_MOVE_TO", hide_env_values = true)]
        to: String,
        /// Undo an unfinished move of these shards: they are served from the old database again.
        #[arg(long)]
        cancel: bool,
        /// Why; it is recorded.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
}

/// URLs hold passwords.
impl std::fmt::Debug for JournalVerb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JournalVerb")
    }
}

/// Runs a verb.
///
/// # Errors
/// If a database does not answer, or the databases do not fit together.
pub async fn run(
    verb: JournalVerb,
    connection: &Connection,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match verb {
        JournalVerb::Restored { validate_only, reason } => {
            let client = Client::connect(connection).await?;
            let request = json!({ "reason": reason, "validate_only": validate_only });
            let answer = client.call("admin.v1.AdminService/AcceptJournal", request).await?;
            out.answer(&answer, |out, answer| {
                if validate_only {
                    out.line("nothing was changed; the journal is:");
                }
                history(out, &answer["history"]);
                let dropped = text(answer, "letters_dropped");
                let done = if validate_only { "would be dropped" } else { "dropped" };
                out.line(format!("dead letters about lost orders: {dropped} {done}"));
            });
        }
        JournalVerb::History => {
            let client = Client::connect(connection).await?;
            let answer = client.call("admin.v1.AdminService/GetJournal", json!({})).await?;
            out.answer(&answer, |out, answer| history(out, &answer["history"]));
        }
        JournalVerb::Archive(args) => {
            return crate::verbs::archive::run(args, connection, out).await;
        }
        JournalVerb::Show { databases } => show(&databases, out).await?,
        JournalVerb::Move { shards, from, to, cancel, reason } => {
            let (by, reason) = connection.operator(&reason)?;
            let mover = Mover { by, reason, now: Arc::new(|| SystemClock.now()) };
            let relocation = Relocation::new((&from, &to), JOURNAL, shards.clone(), mover);
            let relocation = relocation.map_err(anyhow::Error::from)?;
            let done = if cancel {
                took_back(&relocation, &shards, out).await
            } else {
                moved(&relocation, &shards, out).await
            };
            relocation.close().await;
            done?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn history(out: &Output, history: &Value) {
    let (journal, incarnation) = (text(history, "journal"), text(history, "incarnation"));
    out.line(format!("journal {journal}, incarnation {incarnation}"));
    match text(history, "doubt").as_str() {
        "" => out.line("not doubted: no follower is ahead of it"),
        doubt => out.line(format!("doubted, nothing is appended: {doubt}")),
    }
    for past in history["incarnations"].as_array().into_iter().flatten() {
        let part = |name| text(past, name);
        let (number, at, by) = (part("number"), part("began_at"), part("said_by"));
        out.line(format!("incarnation {number} since {at}, accepted by {by}: {}", part("reason")));
    }
}

async fn show(databases: &[String], out: &Output) -> anyhow::Result<()> {
    let mut holdings: Vec<Holding> = Vec::new();
    for url in databases {
        let found = holding(url, JOURNAL).await?;
        holdings.push(found.context("a database has no journal")?);
    }
    if out.json {
        for held in &holdings {
            out.value(&json!({
                "database": held.database,
                "journal": held.journal,
                "shards": held.shards,
                "holds": held.holds.to_string(),
                "in_transit": held.in_transit.to_string(),
                "events": held.events,
            }));
        }
        return Ok(());
    }
    let rows = holdings.iter().map(|held| {
        vec![
            held.database.clone(),
            held.journal.clone(),
            match held.holds.is_empty() {
                true => format!("none of {}", held.shards),
                false => format!("{} of {}", held.holds, held.shards),
            },
            held.in_transit.to_string(),
            held.events.to_string(),
        ]
    });
    out.table(&["database", "journal", "holds", "in transit", "events"], rows);
    Ok(())
}

async fn moved(relocation: &Relocation, shards: &ShardSet, out: &Output) -> anyhow::Result<()> {
    let bar = progress::bar(out, "events");
    let moved = relocation.run(|done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    let moved = moved.await;
    bar.finish_and_clear();
    let moved = moved?;
    if out.json {
        let shards = shards.to_string();
        out.value(&json!({"moved": shards, "copied": moved.copied, "checked": moved.checked}));
    } else {
        out.line(format!(
            "shards {shards} are moved: {} events copied now, {} checked; name the new database for \
             them in --journal-database",
            moved.copied, moved.checked
        ));
    }
    Ok(())
}

async fn took_back(relocation: &Relocation, shards: &ShardSet, out: &Output) -> anyhow::Result<()> {
    relocation.cancel().await?;
    if out.json {
        out.value(&json!({ "taken_back": shards.to_string() }));
    } else {
        out.line(format!("shards {shards} are served from the old database again"));
    }
    Ok(())
}
