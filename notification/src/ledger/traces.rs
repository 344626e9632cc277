use std::collections::{BTreeMap, HashMap};

use shared_events::contract::{Fact, FactId, NotificationId};
use shared_events::stream::{Database, DatabaseError, Tx};
use shared_events::traces::{self, TraceContext};

use super::{Entry, ids, json};
use crate::Message;

/// Records which traces messages belong to. Without traces there is no statement.
///
/// # Errors
/// [`DatabaseError`]
pub async fn write_traces(
    database: &Database,
    tx: &mut Tx,
    messages: &[Message],
    facts: &[Fact],
) -> Result<(), DatabaseError> {
    if !traces::is_on() {
        return Ok(());
    }
    let recorded = |fact: &Fact| -> Option<(FactId, TraceContext)> {
        let context: TraceContext = fact.trace()?.parse().ok()?;
        context.is_sampled().then_some((fact.id, context))
    };
    let of_facts: HashMap<FactId, TraceContext> = facts.iter().filter_map(recorded).collect();
    let of_messages: BTreeMap<NotificationId, String> = messages
        .iter()
        .filter_map(|message| Some((message.id, of_facts.get(&message.fact_id)?.to_string())))
        .collect();
    if of_messages.is_empty() {
        return Ok(());
    }
    let sql = database.sql(
        "INSERT INTO message_traces (notification_id, traceparent)
         SELECT key, value FROM json_each_text($1::json)
         ON CONFLICT (notification_id) DO UPDATE SET traceparent = excluded.traceparent",
        "INSERT INTO message_traces (notification_id, traceparent)
         SELECT key, value FROM json_each($1) WHERE true
         ON CONFLICT (notification_id) DO UPDATE SET traceparent = excluded.traceparent",
    );
    sqlx::query(sql).bind(json(&of_messages)?).execute(&mut **tx).await?;
    Ok(())
}

/// Tells claimed messages which traces they belong to. Without traces there is no statement.
///
/// # Errors
/// [`DatabaseError`]
pub async fn read_traces(
    database: &Database,
    tx: &mut Tx,
    entries: &mut [Entry],
) -> Result<(), DatabaseError> {
    if !traces::is_on() || entries.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT notification_id, traceparent FROM message_traces WHERE notification_id {}",
        database.one_of()
    );
    let ids = json(&ids(entries.iter()))?;
    let rows: Vec<(String, String)> = sqlx::query_as(&sql).bind(ids).fetch_all(&mut **tx).await?;
    let mut known: HashMap<String, String> = rows.into_iter().collect();
    for entry in entries {
        entry.traceparent = known.remove(&entry.id.to_string());
    }
    Ok(())
}
