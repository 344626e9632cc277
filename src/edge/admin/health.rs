use order_actor::journal::Incarnation;
use service_edge::time::timestamp;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{AdminEdge, NOTES_WITHIN, proto};

impl AdminEdge {
    pub(super) async fn get_health(
        &self,
        _: Request<proto::GetHealthRequest>,
    ) -> Result<Response<proto::GetHealthResponse>, Status> {
        let serving = *self.parts.health.serving().borrow();
        let reasons = self.parts.health.reasons().into_iter();
        let reasons = reasons.map(|(part, why)| proto::HealthReason {
            part,
            reason: why.text,
            since: Some(timestamp(why.since)),
        });
        let (reasons, mut notes): (_, Vec<_>) = (reasons.collect(), self.notes().await);
        notes.extend(self.parts.health.alarms().into_iter().map(|(part, why)| {
            proto::HealthReason { part, reason: why.text, since: Some(timestamp(why.since)) }
        }));
        let refused = self.parts.accounts.refusals().into_iter();
        let refused = refused.map(|it| proto::RefusedCalls {
            method: it.method,
            reason: it.reason.to_owned(),
            count: it.count,
        });
        let refused = refused.collect();
        Ok(Response::new(proto::GetHealthResponse { serving, reasons, notes, refused }))
    }

    /// The journal's last incarnation, if it has one and answers in time.
    async fn notes(&self) -> Vec<proto::HealthReason> {
        let Some(journal) = &self.parts.journal else { return Vec::new() };
        let answer = timeout(NOTES_WITHIN, journal.incarnations()).await;
        let last = answer.ok().and_then(Result::ok).and_then(|mut all| all.pop());
        let note = last.map(|Incarnation { number, began_at, reason, said_by, .. }| {
            let reason = format!("incarnation {number}, said by {said_by}: {reason}");
            proto::HealthReason {
                part: "journal".to_owned(),
                reason,
                since: Some(timestamp(began_at)),
            }
        });
        note.into_iter().collect()
    }
}
