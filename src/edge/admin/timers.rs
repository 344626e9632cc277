use futures::future::join_all;
use shared_events::stream::{Database, Verb};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use super::peers::{forwarded, is_forwarded};
use super::values::{operators_reason, unavailable};
use super::{AdminEdge, proto};

/// Whether the timers of this process wait until its clock is trusted. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Timers(watch::Sender<bool>);

impl Timers {
    /// Waiting from the start if `held`.
    pub(crate) fn new(held: bool) -> Self {
        Self(watch::channel(held).0)
    }

    /// Lets timers act on the clock from now on.
    pub(crate) fn trust_clock(&self) {
        self.0.send_if_modified(|held| std::mem::replace(held, false));
    }

    /// Whether they wait now.
    pub(crate) fn wait(&self) -> bool {
        *self.0.borrow()
    }

    /// Whether they wait, as it changes.
    pub(crate) fn held(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

impl AdminEdge {
    pub(super) async fn resume_timers(
        &self,
        request: Request<proto::ResumeTimersRequest>,
    ) -> Result<Response<proto::ResumeTimersResponse>, Status> {
        let database = self.of_timers()?;
        let reason = operators_reason(&request.get_ref().reason)?;
        if request.get_ref().validate_only {
            let away = self.silent_nodes(&request).await;
            return Ok(Response::new(proto::ResumeTimersResponse { away }));
        }
        // Clocks are per process: the one that was asked records the action before it takes
        // effect.
        if !is_forwarded(&request) {
            let held = self.parts.timers.as_ref().is_some_and(Timers::wait);
            let before = if held { "timers of this node wait" } else { "timers of this node run" };
            let (of, after) = match self.parts.orders {
                Some(_) => ("all order nodes", "timers run on every node that answers"),
                None => ("this process", "timers of this process run"),
            };
            let action = self.action(&request, Verb::ResumeTimers, of, &reason);
            let action = action.changing(before, after);
            let mut tx = database.begin().await.map_err(unavailable)?;
            action.write(&mut tx).await.map_err(unavailable)?;
            tx.commit().await.map_err(unavailable)?;
        }
        tracing::warn!("timers resumed by an operator");
        let away = self.trust_clocks(&request).await;
        Ok(Response::new(proto::ResumeTimersResponse { away }))
    }

    /// The database in which it is written down that timers resume: of orders, or of another service
    /// that has timers.
    fn of_timers(&self) -> Result<&Database, Status> {
        match (&self.parts.timers, self.parts.databases.first()) {
            (Some(_), Some((_, database))) if self.parts.orders.is_none() => Ok(database),
            _ => Ok(self.orders()?.1),
        }
    }

    /// Has all reachable order nodes trust their clocks; returns those that did not answer.
    async fn trust_clocks(&self, request: &Request<proto::ResumeTimersRequest>) -> Vec<String> {
        if let Some(timers) = &self.parts.timers {
            timers.trust_clock();
        }
        self.resume_elsewhere(request).await
    }

    /// Asks the other order nodes the same; returns those that did not answer.
    async fn resume_elsewhere(&self, request: &Request<proto::ResumeTimersRequest>) -> Vec<String> {
        let others = self.nodes(request).await.into_iter();
        let asked = join_all(others.map(|(name, mut peer)| {
            let asked = forwarded(request, request.get_ref().clone());
            async move { peer.resume_timers(asked).await.is_err().then_some(name) }
        }));
        asked.await.into_iter().flatten().collect()
    }
    /// The other order nodes that do not answer. They are asked for their health, which changes
    /// nothing: a node of an earlier version does not see `validate_only`, and would resume.
    async fn silent_nodes(&self, request: &Request<proto::ResumeTimersRequest>) -> Vec<String> {
        let others = self.nodes(request).await.into_iter();
        let asked = join_all(others.map(|(name, mut peer)| {
            let asked = forwarded(request, proto::GetHealthRequest {});
            async move {
                match peer.get_health(asked).await {
                    Ok(_) => None,
                    // Whoever may resume timers need not read health: the node is there.
                    Err(status) if status.code() == Code::PermissionDenied => None,
                    Err(_) => Some(name),
                }
            }
        }));
        asked.await.into_iter().flatten().collect()
    }
}
