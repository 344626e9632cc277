use async_trait::async_trait;
use prost::Message as _;
use shared_events::contract::Mark;
use shared_events::stream::Cursors;
use tonic::{Request, Response, Status};

use super::caller::{about, caller_in, well_formed};
use super::deadline::{deadline, within};
use super::parse::{Reading, Recorded};
use super::proto::journal_service_server::JournalService;
use super::proto::read_events_response;
use super::tail::{BATCH_MAX, Batch, MessageSource, Messages, StreamRange, tail};
use super::{OrdersEdge, diff, history, page, parse, proto, render, status};
use crate::domain::{Order, Role};
use crate::journal::Journal;

/// Bytes of a page; its last event may exceed them.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Roles that may read an order's history; `history::entries` restricts customers to their own.
const READERS: &[Role] = &[Role::Customer, Role::Service, Role::Ops];

impl OrdersEdge {
    async fn range(
        &self,
        reading: Reading,
        deadline: tokio::time::Instant,
    ) -> Result<StreamRange, Status> {
        let excluded = (0..self.journal.shards())
            .filter(|shard| reading.only_named && !reading.named.contains(shard))
            .collect();
        self.ensure_held(&reading.after, deadline).await?;
        let heads = within(deadline, self.journal.heads()).await?;
        let heads = heads.map_err(|error| status::journal(&error))?;
        let range = well_formed(StreamRange::new(reading.after, excluded, &heads))?;
        let until = (!reading.live).then_some(heads);
        Ok(StreamRange { until, limit: reading.limit, ..range })
    }
}

#[tonic::async_trait]
impl JournalService for OrdersEdge {
    async fn list_order_events(
        &self,
        request: Request<proto::ListOrderEventsRequest>,
    ) -> Result<Response<proto::ListOrderEventsResponse>, Status> {
        let by = caller_in(&request, READERS)?;
        let deadline = deadline(&request)?;
        let about = about(&request);
        let (order_id, size, token) = well_formed(parse::list_order_events(request.into_inner()))?;
        about.set(order_id);
        let query = page::history_query(order_id);
        let after = well_formed(page::after_in_history(query, &token))?;
        let history = self.history_id(&token, deadline).await?;
        let entries = history::entries(self, order_id, &by, deadline).await?;
        let newest = entries.last().map_or(0, |(stored, _)| stored.sequence);
        let mut events: Vec<proto::RecordedEvent> = Vec::new();
        let (mut bytes, mut last) = (0, after);
        for entry in entries.iter().filter(|(stored, _)| stored.sequence > after) {
            if events.len() >= size || bytes >= PAGE_BYTES_MAX {
                break;
            }
            if by.role() != Role::Ops
                && let Err(error) = &entry.1
            {
                let refusal = crate::actor::Refusal::Quarantined(error.to_string());
                return Err(status::refused(&refusal));
            }
            let mut shown = history::for_caller(&by, history::shown(entry));
            shown.position = self.position_for(&by, shown.position).await;
            bytes += shown.encoded_len();
            last = entry.0.sequence;
            events.push(shown);
        }
        let next_page_token = if last < newest {
            page::token_of_history(query, history, last)
        } else {
            String::new()
        };
        Ok(Response::new(proto::ListOrderEventsResponse { events, next_page_token }))
    }

    async fn diff_order(
        &self,
        request: Request<proto::DiffOrderRequest>,
    ) -> Result<Response<proto::DiffOrderResponse>, Status> {
        let by = caller_in(&request, READERS)?;
        let deadline = deadline(&request)?;
        let (order_id, from_version, to_version) =
            well_formed(parse::diff_order(request.get_ref()))?;
        about(&request).set(order_id);
        let entries = history::entries(self, order_id, &by, deadline).await?;
        let events = history::readable(entries)?;
        let newest = history::newest(&events);
        let to_version = to_version.unwrap_or(newest);
        let until = |version: u64| {
            usize::try_from(version)
                .ok()
                .and_then(|version| events.get(..version))
                .ok_or_else(|| status::version_not_found(newest))
        };
        let (before, after) = (until(from_version)?, until(to_version)?);
        let earlier: Order = history::replayed(before)?;
        let changes = diff::diff(&earlier, &history::replayed(after)?, &by);
        let between = after.get(before.len()..).unwrap_or_default();
        let mut bytes = 0;
        let events = between
            .iter()
            .map(|event| history::for_caller(&by, render::recorded(event)))
            .take_while(|event| {
                let fits = bytes < PAGE_BYTES_MAX;
                bytes += event.encoded_len();
                fits
            })
            .collect();
        Ok(Response::new(proto::DiffOrderResponse { changes, from_version, to_version, events }))
    }

    type ReadEventsStream = Messages<proto::ReadEventsResponse>;

    async fn read_events(
        &self,
        request: Request<proto::ReadEventsRequest>,
    ) -> Result<Response<Self::ReadEventsStream>, Status> {
        caller_in(&request, &[Role::Ops])?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let reading = well_formed(parse::read_events(request.get_ref(), shards))?;
        let recorded = reading.recorded;
        let range = self.range(reading, deadline).await?;
        let (journal, stop) = (self.journal.clone(), self.stop.clone());
        let events = Events { journal: journal.clone(), recorded };
        Ok(Response::new(tail(events, range, journal, stop)))
    }
}

/// Events, as `ReadEvents` sends them: those of a part of time. The others are passed over.
struct Events {
    journal: Journal,
    recorded: Recorded,
}

#[async_trait]
impl MessageSource for Events {
    type Message = proto::ReadEventsResponse;

    async fn read(&mut self, after: &Cursors) -> Result<Batch<Self::Message>, Status> {
        let read = self.journal.page_after(after, BATCH_MAX).await;
        let (stored, _) = read.map_err(|error| status::journal(&error))?;
        let (mut messages, mut through) = (Vec::with_capacity(stored.len()), Cursors::default());
        for event in stored {
            let (shard, position) = (event.event().shard, event.event().position);
            through.advance_to(shard, position, Some(Mark::of(event.hash())));
            if !self.recorded.has(event.event().recorded_at) {
                continue;
            }
            let item = Some(read_events_response::Item::Event(history::recorded_event(
                event.into_chained(),
            )));
            messages.push((shard, position, proto::ReadEventsResponse { item }));
        }
        Ok(Batch { messages, through })
    }

    fn progress(progress: proto::Progress) -> Self::Message {
        proto::ReadEventsResponse { item: Some(read_events_response::Item::Progress(progress)) }
    }
}
