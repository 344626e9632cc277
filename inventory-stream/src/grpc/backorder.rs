use std::collections::BTreeSet;

use shared_events::contract::Sku;
use shared_events::stream::{AskedBy, Tx, Verb};
use tonic::Status;

use super::parse::BackorderUpdate;
use super::refusal::{move_status, unavailable};
use super::render::rendered;
use super::{StockEdge, proto};
use crate::domain::{BackorderRule, StockLevels};
use crate::store::{self, MoveOutcome, RequestDetails};

impl StockEdge {
    /// Sets how many units of a product may be backordered.
    pub(super) async fn set_rule(
        &self,
        update: &BackorderUpdate,
        by: &AskedBy,
        validate_only: bool,
    ) -> Result<proto::SetBackorderResponse, Status> {
        let BackorderUpdate { sku, rule, reason, request_id } = update;
        let name = by.to_string();
        let request_id = request_id.as_deref();
        let details = RequestDetails { by: &name, reason, request_id, ..RequestDetails::default() };
        let mut tx = self.begin(false).await?;
        let set =
            store::set_backorder(&self.database, &mut tx, sku, *rule, details, (self.now)()).await;
        let (stock, before, outcome) =
            set.map_err(|error| move_status(&error, "backorder_limit"))?;
        let replayed = outcome == MoveOutcome::Replayed;
        let answer = proto::SetBackorderResponse { stock: Some(rendered(&stock)), replayed };
        if validate_only || replayed {
            return Ok(answer);
        }
        let (before, after) = (text(before), text(*rule));
        let change = (before.as_str(), after.as_str());
        self.record_action(&mut tx, by, Verb::SetBackorder, sku.as_str(), reason, change).await?;
        self.commit(tx, vec![sku.clone()]).await?;
        Ok(answer)
    }

    /// Gives free units of these products to orders that wait for them; returns the stock of the
    /// products, and whether anything was published.
    pub(super) async fn allocate(
        &self,
        tx: &mut Tx,
        skus: &BTreeSet<Sku>,
        request_id: Option<&str>,
    ) -> Result<(StockLevels, bool), Status> {
        if skus.is_empty() {
            return Ok((StockLevels::default(), false));
        }
        let (database, outbox, now) = (&self.database, &self.outbox, (self.now)());
        let allocated = store::allocate_products(database, outbox, tx, skus, request_id, now);
        allocated.await.map_err(|error| unavailable(&error))
    }

    /// Continues an allocation that was bounded, step by step.
    pub(super) async fn allocate_rest(&self, mut rest: Vec<Sku>) -> Result<(), Status> {
        while !rest.is_empty() {
            let mut tx = self.begin(true).await?;
            let skus = rest.into_iter().collect();
            let (stock, published) = self.allocate(&mut tx, &skus, None).await?;
            self.commit(tx, skus.into_iter().collect()).await?;
            if published {
                self.outbox.committed();
            }
            // Without a step forward there is none to come.
            rest = if published { stock.allocatable() } else { Vec::new() };
        }
        Ok(())
    }
}

fn text(BackorderRule { limit, until }: BackorderRule) -> String {
    match until {
        Some(until) => format!("{limit} may be backordered until {until}"),
        None => format!("{limit} may be backordered"),
    }
}
