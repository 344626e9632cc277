use order_actor::projections::{
    Deadlines, OrderIdentifiers, OrderReturns, OrderSummaries, RebuildError,
};
use service_edge::Refused;
use service_edge::time::timestamp;
use shared_events::contract::Reason;
use shared_events::stream::{Cursors, OperatorAction, Verb};
use tonic::{Request, Response, Status};

use super::values::{optional_reason, unavailable};
use super::{AdminEdge, proto};
use crate::edge::refusal::{self, refused, violation};

/// The read models, by the names of their followers.
const READ_MODELS: [&str; 4] = [
    OrderSummaries::FOLLOWER,
    OrderReturns::FOLLOWER,
    OrderIdentifiers::FOLLOWER,
    Deadlines::FOLLOWER,
];

impl AdminEdge {
    pub(super) async fn rebuild_read_model(
        &self,
        request: Request<proto::RebuildReadModelRequest>,
    ) -> Result<Response<proto::RebuildReadModelResponse>, Status> {
        let reason = optional_reason(&request.get_ref().reason)?;
        let name = &request.get_ref().name;
        if request.get_ref().validate_only {
            let events = self.events_of(name).await?;
            return Ok(Response::new(proto::RebuildReadModelResponse { events }));
        }
        let action = self.action(&request, Verb::RebuildReadModel, name, &reason);
        let name = request.into_inner().name;
        // It takes long, and continues when the caller disconnects.
        let edge = self.clone();
        let rebuilding = crate::tasks::spawn(async move {
            tokio::select! {
                rebuilt = edge.rebuild(&name, action) => rebuilt,
                () = edge.parts.stop.cancelled() => Err(Refused::stopping()),
            }
        });
        let events = rebuilding.await.map_err(unavailable)??;
        Ok(Response::new(proto::RebuildReadModelResponse { events }))
    }

    pub(super) async fn list_quarantined(
        &self,
        _: Request<proto::ListQuarantinedRequest>,
    ) -> Result<Response<proto::ListQuarantinedResponse>, Status> {
        let (journal, _) = self.orders()?;
        let mut quarantined = journal.quarantined().await.map_err(unavailable)?;
        quarantined.sort_by_key(|order| order.stream_id);
        let quarantined = quarantined
            .into_iter()
            .map(|order| proto::Quarantined {
                order_id: order.stream_id.to_string(),
                reason: order.reason,
                since: Some(timestamp(order.since)),
            })
            .collect();
        Ok(Response::new(proto::ListQuarantinedResponse { quarantined }))
    }

    /// How many events the follower of a read model has read: as many a rebuild reads now.
    async fn events_of(&self, name: &str) -> Result<u64, Status> {
        let (_, orders) = self.orders()?;
        if !READ_MODELS.contains(&name) {
            return Err(no_read_model());
        }
        let read = Cursors::load(orders, name).await.map_err(unavailable)?;
        Ok(read.iter().fold(0, |sum: u64, (_, position)| sum.saturating_add(position)))
    }

    async fn rebuild(&self, name: &str, action: OperatorAction) -> Result<u64, Status> {
        let (journal, orders) = self.orders()?;
        let (journal, orders) = (journal.clone(), orders.clone());
        let rebuilt = match name {
            OrderSummaries::FOLLOWER => {
                let new = || OrderSummaries::new(orders.clone());
                let summaries = self.parts.summaries.clone().unwrap_or_else(new);
                summaries.rebuild(journal, action).await
            }
            Deadlines::FOLLOWER => Deadlines::new(orders).rebuild(journal, action).await,
            OrderReturns::FOLLOWER => OrderReturns::new(orders).rebuild(journal, action).await,
            OrderIdentifiers::FOLLOWER => {
                let new = || OrderIdentifiers::new(orders.clone());
                let identifiers = self.parts.identifiers.clone().unwrap_or_else(new);
                identifiers.rebuild(journal, action).await
            }
            _ => return Err(no_read_model()),
        };
        let events = rebuilt.map_err(rebuild_refused)?;
        tracing::info!(read_model = name, events, "read model rebuilt");
        Ok(events)
    }
}

fn no_read_model() -> Status {
    violation("name", &format!("one of {}", READ_MODELS.join(", ")))
}

fn rebuild_refused(error: RebuildError) -> Status {
    let why = format!("nothing was changed: {error}");
    match error {
        RebuildError::Unavailable(error) => unavailable(error),
        RebuildError::Archived(_) => {
            refused(Reason::Archived, &format!("{why}; serve reads it with --archive"))
        }
        RebuildError::Impossible { .. } => refused(Reason::ImpossibleHistory, &why),
        RebuildError::Superseded => refused(Reason::Superseded, &why),
        RebuildError::InUse => refusal::unavailable(Reason::InUse, &why),
    }
}
