use std::collections::BTreeSet;

use async_trait::async_trait;
use shared_events::contract::{CustomerId, OrderId};
use shared_events::stream::Cursors;
use tonic::Status;

use super::changes::{Change, Changes};
use super::proto::{Progress, WatchOrdersResponse, watch_orders_response::Item};
use super::tail::{Telling, Told};

/// Changes of the orders that fit.
pub(super) struct Watch {
    pub(super) changes: Changes,
    pub(super) order_ids: BTreeSet<OrderId>,
    pub(super) customer_id: Option<CustomerId>,
}

impl Watch {
    fn fits(&self, change: &Change) -> bool {
        (self.order_ids.is_empty() || self.order_ids.contains(&change.order_id))
            && self.customer_id.is_none_or(|id| id == change.customer_id)
    }
}

#[async_trait]
impl Telling for Watch {
    type Message = WatchOrdersResponse;

    async fn read(&mut self, after: &Cursors) -> Result<Told<WatchOrdersResponse>, Status> {
        let page = self.changes.after(after).await?;
        let fitting = page.changes.iter().filter(|change| self.fits(change));
        let messages = fitting
            .map(|Change { shard, position, change, .. }| {
                let item = Some(Item::Change(change.clone()));
                (*shard, *position, WatchOrdersResponse { item })
            })
            .collect();
        Ok(Told { messages, through: page.through.clone() })
    }

    fn progress(progress: Progress) -> WatchOrdersResponse {
        WatchOrdersResponse { item: Some(Item::Progress(progress)) }
    }
}
