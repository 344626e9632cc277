use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use shared_events::contract::{Fact, FactId, NotificationId};
use shared_events::stream::{Database, DatabaseError, Tx};
use shared_events::traces::{self, TraceContext};

use super::{Entry, ids, json};
use crate::Message;

/// A row of the table.
#[derive(Serialize)]
struct Row<'a> {
    id: String,
    traceparent: String,
    tracestate: Option<&'a str>,
}

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
    let recorded = |fact: &Fact| -> Option<TraceContext> {
        let context: TraceContext = fact.trace()?.parse().ok()?;
        context.is_sampled().then_some(context)
    };
    // With what other systems added.
    let of_facts: HashMap<FactId, (TraceContext, Option<&str>)> = facts
        .iter()
        .filter_map(|fact| Some((fact.id, (recorded(fact)?, fact.trace_state()))))
        .collect();
    let of_messages: BTreeMap<NotificationId, Row<'_>> = messages
        .iter()
        .filter_map(|message| {
            let (context, tracestate) = *of_facts.get(&message.fact_id)?;
            let traceparent = context.to_string();
            Some((message.id, Row { id: message.id.to_string(), traceparent, tracestate }))
        })
        .collect();
    if of_messages.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row<'_>> = of_messages.into_values().collect();
    let sql = database.sql(
        "INSERT INTO message_traces (notification_id, traceparent, tracestate)
         SELECT id, traceparent, tracestate FROM json_to_recordset($1::json)
                AS row(id TEXT, traceparent TEXT, tracestate TEXT)
         ON CONFLICT (notification_id) DO UPDATE
         SET traceparent = excluded.traceparent, tracestate = excluded.tracestate",
        "INSERT INTO message_traces (notification_id, traceparent, tracestate)
         SELECT value ->> 'id', value ->> 'traceparent', value ->> 'tracestate'
         FROM json_each($1) WHERE true
         ON CONFLICT (notification_id) DO UPDATE
         SET traceparent = excluded.traceparent, tracestate = excluded.tracestate",
    );
    sqlx::query(sql).bind(json(&rows)?).execute(&mut **tx).await?;
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
        "SELECT notification_id, traceparent, tracestate FROM message_traces
         WHERE notification_id {}",
        database.one_of()
    );
    let ids = json(&ids(entries.iter()))?;
    let rows: Vec<(String, String, Option<String>)> =
        sqlx::query_as(&sql).bind(ids).fetch_all(&mut **tx).await?;
    let mut known: HashMap<String, (String, Option<String>)> =
        rows.into_iter().map(|(id, parent, state)| (id, (parent, state))).collect();
    for entry in entries {
        let (traceparent, tracestate) = known.remove(&entry.id.to_string()).unzip();
        entry.traceparent = traceparent;
        entry.tracestate = tracestate.flatten();
    }
    Ok(())
}
