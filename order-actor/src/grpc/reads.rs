use std::time::Duration;

use shared_events::stream::{Cursors, Place};
use tonic::{Request, Response, Status};

use super::caller::{caller, forwarded, visible, well_formed};
use super::deadline::{deadline, within};
use super::parse::AsOf;
use super::tail::{Messages, Stretch, tail};
use super::watch::Watch;
use super::{OrdersEdge, history, page, parse, proto, render, status};
use crate::domain::{Rejection, Role};

/// Kept back from a wait, so that the answer still reaches a caller who stops waiting then.
const ANSWER_TIME: Duration = Duration::from_millis(100);

impl OrdersEdge {
    /// One order, as it is or as it was.
    pub(super) async fn show(
        &self,
        request: Request<proto::GetOrderRequest>,
    ) -> Result<Response<proto::GetOrderResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let (order_id, as_of) = well_formed(parse::get_order(request.get_ref()))?;
        if as_of == AsOf::Now {
            self.settled(order_id, forwarded(&request), deadline).await;
            let view = within(deadline, self.registry.view(order_id, &by)).await?;
            let view = match view {
                Err(refusal) => {
                    Err(self.unreadable_for(&by, order_id, refusal, Rejection::NotFound).await)
                }
                view => view,
            };
            let view = view.map_err(|refusal| status::refused(&refusal))?;
            let shown = render::view(&view);
            let position = self.place_for(&by, shown.position).await;
            return Ok(Response::new(proto::GetOrderResponse { position, ..shown }));
        }
        let entries = history::entries(self, order_id, &by, deadline).await?;
        let events = history::readable(entries)?;
        let shown = history::as_of(&events, as_of)?;
        let position = self.place_for(&by, shown.position).await;
        Ok(Response::new(proto::GetOrderResponse { position, ..shown }))
    }

    /// Orders as lists show them.
    pub(super) async fn list(
        &self,
        request: Request<proto::ListOrdersRequest>,
    ) -> Result<Response<proto::ListOrdersResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let mut page_asked = well_formed(parse::list_orders(request.into_inner(), shards))?;
        page_asked.filter.customer_id = visible(&by, page_asked.filter.customer_id)?;
        let asked = page::asked_for_orders(&page_asked.filter);
        let after = well_formed(page::after_in_orders(asked, &page_asked.token))?;
        let told = self.told_by(&page_asked.token, deadline).await?;
        let answer_by = deadline.checked_sub(ANSWER_TIME).unwrap_or(deadline);
        if let Some((shard, position, _)) = &mut page_asked.at_least {
            *position = self.position_of(&by, *shard, *position).await?;
        }
        if let Some((shard, position, Some(mark))) = page_asked.at_least {
            let place: Cursors = [Place { shard, position, mark }].into_iter().collect();
            self.has_what_was_told(&place, deadline).await?;
        }
        if let Some((shard, position, _)) = page_asked.at_least
            && !self.summaries.includes(shard, position, answer_by).await
        {
            return Err(status::behind());
        }
        // One more than asked for tells whether there is a next page.
        let read =
            self.summaries.list(&page_asked.filter, after, page_asked.size.saturating_add(1));
        let mut summaries =
            within(deadline, read).await?.map_err(|error| status::read_model(&error))?;
        let size = usize::try_from(page_asked.size).unwrap_or(usize::MAX);
        let more = summaries.len() > size;
        summaries.truncate(size);
        let next_page_token = summaries
            .last()
            .filter(|_| more)
            .map(|last| page::token_of_orders(asked, told, last.placed_at, last.order_id))
            .unwrap_or_default();
        let orders = summaries.iter().map(render::summary).collect();
        Ok(Response::new(proto::ListOrdersResponse { orders, next_page_token }))
    }

    /// Changes of the orders that fit.
    pub(super) async fn watch(
        &self,
        request: Request<proto::WatchOrdersRequest>,
    ) -> Result<Response<Messages<proto::WatchOrdersResponse>>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let watching = well_formed(parse::watch_orders(request.get_ref(), shards))?;
        let customer_id = visible(&by, watching.customer_id)?;
        let mut after = Cursors::default();
        for (shard, position) in watching.after.iter() {
            let position = self.position_of(&by, shard, position).await?;
            after.advance_to(shard, position, watching.after.mark(shard));
        }
        self.has_what_was_told(&after, deadline).await?;
        let heads = within(deadline, self.journal.heads()).await?;
        let heads = heads.map_err(|error| status::journal(&error))?;
        for (shard, head) in heads.iter() {
            if !watching.from_beginning && !watching.named.contains(&shard) {
                after.advance_to(shard, head, heads.mark(shard));
            }
        }
        // Shards without an order that could fit are left out.
        let homes: Vec<u16> =
            watching.order_ids.iter().map(|order_id| self.journal.shard_of(*order_id)).collect();
        let without =
            (0..shards).filter(|shard| !homes.is_empty() && !homes.contains(shard)).collect();
        let journal = self.journal.clone();
        let positions = (by.role() == Role::Customer).then(|| self.journal.clone());
        let (changes, order_ids) = (self.changes.clone(), watching.order_ids);
        let watch = Watch { changes, order_ids, customer_id, positions };
        let stretch = well_formed(Stretch::new(after, without, &heads))?;
        let stretch = Stretch { hidden: by.role() == Role::Customer, ..stretch };
        Ok(Response::new(tail(watch, stretch, journal, self.stop.clone())))
    }
}
