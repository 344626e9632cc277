use futures::future::join_all;
use shared_events::stream::Verb;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

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

    /// Whether they wait.
    pub(crate) fn held(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

impl AdminEdge {
    pub(super) async fn resume_timers(
        &self,
        request: Request<proto::ResumeTimersRequest>,
    ) -> Result<Response<proto::ResumeTimersResponse>, Status> {
        let database = self.orders()?.1;
        let reason = operators_reason(&request.get_ref().reason)?;
        // Clocks are per process: the node that was asked records the action before it takes
        // effect.
        if !is_forwarded(&request) {
            let held = self.parts.timers.as_ref().is_some_and(|timers| *timers.held().borrow());
            let before = if held { "timers of this node wait" } else { "timers of this node run" };
            let action = self.action(&request, Verb::ResumeTimers, "all order nodes", &reason);
            let action = action.changing(before, "timers run on every node that answers");
            let mut tx = database.begin().await.map_err(unavailable)?;
            action.write(&mut tx).await.map_err(unavailable)?;
            tx.commit().await.map_err(unavailable)?;
        }
        tracing::warn!("timers resumed by an operator");
        let away = self.trust_clocks(&request).await;
        Ok(Response::new(proto::ResumeTimersResponse { away }))
    }

    /// Has all reachable order nodes trust their clocks; returns those that did not answer.
    async fn trust_clocks(&self, request: &Request<proto::ResumeTimersRequest>) -> Vec<String> {
        if let Some(timers) = &self.parts.timers {
            timers.trust_clock();
        }
        let others = self.nodes(request).await.into_iter();
        let asked = join_all(others.map(|(name, mut peer)| {
            let asked = forwarded(request, request.get_ref().clone());
            async move { peer.resume_timers(asked).await.is_err().then_some(name) }
        }));
        asked.await.into_iter().flatten().collect()
    }
}
