use std::collections::BTreeMap;

use futures::StreamExt as _;
use order_actor::grpc::recorded_event;
use order_actor::journal::{Archive, Manifest};
use serde_json::{Value, json};

use super::places;
use crate::client::parse::Place;
use crate::client::{Client, Failure, Output, resumed, show};
use crate::verbs::args::EventsVerb;

/// `ordinal events …`
pub async fn events(client: &Client, out: &Output, verb: EventsVerb) -> Result<(), Failure> {
    let request = match verb {
        EventsVerb::Tail { after } if after.is_empty() => {
            // Begin at the current heads.
            let after = heads(client).await?;
            json!({ "after": after, "live": true })
        }
        EventsVerb::Tail { after } => json!({ "after": places(&after), "live": true }),
        EventsVerb::Replay {
            after,
            only_named,
            limit,
            recorded_from,
            recorded_until,
            archive: None,
        } => {
            json!({
                "after": places(&after),
                "only_named": only_named,
                "limit": limit,
                "recorded_from": recorded_from,
                "recorded_until": recorded_until,
            })
        }
        EventsVerb::Replay { after, only_named, limit, archive: Some(directory), .. } => {
            let archive = Archive::new(&directory);
            match archived(client, out, &archive, &after, only_named, limit).await? {
                Some(rest) => rest,
                None => return Ok(()),
            }
        }
    };
    let shown = |event: &Value| {
        out.answer(event, show::recorded);
        Ok(())
    };
    resumed::read(client, "orders.v1.JournalService/ReadEvents", request, "event", shown).await
}

/// Shows archived events, shard by shard. Returns the request for the rest, unless the limit was
/// reached.
async fn archived(
    client: &Client,
    out: &Output,
    archive: &Archive,
    after: &[Place],
    only_named: bool,
    limit: u64,
) -> Result<Option<Value>, Failure> {
    let mut after: BTreeMap<u16, u64> = after.iter().map(|place| place.parts()).collect();
    let named: Vec<u16> = after.keys().copied().collect();
    let mut shown = 0;
    for manifest in archive.manifests().map_err(anyhow::Error::from)? {
        let at = after.get(&manifest.shard).copied().unwrap_or(0);
        let skipped = only_named && !named.contains(&manifest.shard);
        if skipped || at >= manifest.last_position {
            continue;
        }
        if at + 1 < manifest.first_position {
            let Manifest { shard, first_position, .. } = manifest;
            let message = format!(
                "shard {shard} continues at position {first_position} instead of {}; a file is missing",
                at + 1
            );
            return Err(Failure::Refused { reason: "ARCHIVE_INCOMPLETE".to_owned(), message });
        }
        let mut at = at;
        while at < manifest.last_position {
            for event in archive.events(&manifest, at).await.map_err(anyhow::Error::from)? {
                if limit > 0 && shown == limit {
                    return Ok(None);
                }
                at = event.event.position;
                shown += 1;
                let event = client.shown("orders.v1.RecordedEvent", &recorded_event(event))?;
                out.answer(&event, show::recorded);
            }
        }
        after.insert(manifest.shard, at);
    }
    if limit > 0 && shown == limit {
        return Ok(None);
    }
    let only_named = only_named.then_some(&named);
    let after: Vec<Value> = after
        .into_iter()
        .filter(|(shard, _)| only_named.is_none_or(|named| named.contains(shard)))
        .map(|(shard, position)| json!({ "shard": shard, "position": position }))
        .collect();
    let limit = limit.saturating_sub(shown);
    Ok(Some(json!({ "after": after, "only_named": only_named.is_some(), "limit": limit })))
}

/// The heads of the journal, from the first message of a watch.
async fn heads(client: &Client) -> Result<Value, Failure> {
    let mut changes = client.stream("orders.v1.OrderService/WatchOrders", json!({})).await?;
    while let Some(answer) = changes.next().await {
        let answer = answer?;
        if answer["progress"].is_object() {
            return Ok(answer["progress"]["through"].clone());
        }
    }
    Ok(json!([]))
}
