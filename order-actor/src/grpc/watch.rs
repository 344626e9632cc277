use std::collections::BTreeSet;

use async_trait::async_trait;
use shared_events::contract::{CustomerId, OrderId};
use shared_events::stream::Cursors;
use tonic::Status;

use super::proto::{OrderChange, Progress, WatchOrdersResponse, watch_orders_response::Item};
use super::tail::{READ_AT_ONCE, Telling, Told};
use super::{render, status};
use crate::journal::{Journal, StoredEvent};
use crate::projections::Summary;
use crate::record::decode;
use crate::replay::{Unfold, UnfoldError};

/// Changes of the orders that fit.
pub(super) struct Watch {
    pub(super) journal: Journal,
    pub(super) unfold: Unfold,
    pub(super) order_ids: BTreeSet<OrderId>,
    pub(super) customer_id: Option<CustomerId>,
}

impl Watch {
    /// The change, if it fits. Histories that are impossible are told to operators by others.
    async fn change(&mut self, stored: &StoredEvent) -> Result<Option<OrderChange>, Status> {
        if !self.order_ids.is_empty() && !self.order_ids.contains(&stored.order_id) {
            return Ok(None);
        }
        let Ok(recorded) = decode(stored) else { return Ok(None) };
        let step = match self.unfold.step(&recorded).await {
            Ok(step) => step,
            Err(error) if error.is_history() => {
                tracing::warn!(order = %stored.order_id, %error, "not shown: quarantined");
                return Ok(None);
            }
            Err(UnfoldError::Journal(error)) => return Err(status::journal(&error)),
            Err(_) => return Ok(None),
        };
        let summary = Summary::of(&step.after, recorded.sequence, recorded.event.at());
        Ok(summary
            .filter(|summary| self.customer_id.is_none_or(|id| id == summary.customer_id))
            .map(|summary| OrderChange {
                order: Some(render::summary(&summary)),
                event: Some(render::event(&recorded.event, recorded.sequence)),
                position: Some(render::place(recorded.shard, recorded.position)),
            }))
    }
}

#[async_trait]
impl Telling for Watch {
    type Message = WatchOrdersResponse;

    async fn read(&mut self, after: &Cursors) -> Result<Told<WatchOrdersResponse>, Status> {
        let stored = self
            .journal
            .read_after(after, READ_AT_ONCE)
            .await
            .map_err(|error| status::journal(&error))?;
        let (mut messages, mut through) = (Vec::new(), Cursors::default());
        for event in &stored {
            through.advance(event.shard, event.position);
            if let Some(change) = self.change(event).await? {
                let item = Some(Item::Change(change));
                messages.push((event.shard, event.position, WatchOrdersResponse { item }));
            }
        }
        Ok(Told { messages, through })
    }

    fn progress(progress: Progress) -> WatchOrdersResponse {
        WatchOrdersResponse { item: Some(Item::Progress(progress)) }
    }
}
