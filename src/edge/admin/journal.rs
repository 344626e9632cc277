use order_actor::journal::{Chronicle, Incarnation, Journal, JournalError};
use service_edge::time::timestamp;
use shared_events::contract::Reason;
use shared_events::stream::Verb;
use tonic::{Request, Response, Status};

use super::actions::asked_by;
use super::values::{operators_reason, positions, unavailable};
use super::{AdminEdge, proto};
use crate::edge::refusal;

impl AdminEdge {
    pub(super) async fn get_journal(
        &self,
        _: Request<proto::GetJournalRequest>,
    ) -> Result<Response<proto::GetJournalResponse>, Status> {
        let journal = self.orders()?.0;
        let history = history_of(journal).await.map_err(|error| journal_refused(&error))?;
        Ok(Response::new(proto::GetJournalResponse { history }))
    }

    pub(super) async fn accept_journal(
        &self,
        request: Request<proto::AcceptJournalRequest>,
    ) -> Result<Response<proto::AcceptJournalResponse>, Status> {
        let by = asked_by(&request);
        let accepted_by = by.to_string();
        let reason = operators_reason(&request.get_ref().reason)?;
        let journal = self.orders()?.0;
        if request.get_ref().validate_only {
            let history = history_of(journal).await.map_err(|error| journal_refused(&error))?;
            let letters_dropped = self.letters_of_lost_orders(journal).await;
            let letters_dropped = letters_dropped.map_err(unavailable)?;
            return Ok(Response::new(proto::AcceptJournalResponse { history, letters_dropped }));
        }
        let action = self.action(&request, Verb::AcceptJournal, "", &reason);
        let accepted = journal.accept(&reason, &accepted_by, Some(action)).await;
        let accepted = accepted.map_err(|error| journal_refused(&error))?;
        // The journal is accepted even if this fails: dead letters can be dropped one by one.
        let dropped = self.drop_letters_of_lost_orders(journal, &by, &reason).await;
        let letters_dropped = dropped.unwrap_or_else(|error| {
            tracing::warn!(%error, "dead letters about lost orders were not dropped");
            0
        });
        let history = history_of(journal).await.ok().flatten();
        let history = history.or_else(|| Some(journal_history(accepted, Vec::new())));
        Ok(Response::new(proto::AcceptJournalResponse { history, letters_dropped }))
    }
}

fn journal_refused(error: &JournalError) -> Status {
    let reason = Reason::of(error.code()).unwrap_or(Reason::JournalUnavailable);
    refusal::unavailable(reason, &error.to_string())
}

/// The journal's history; none for a journal in memory.
async fn history_of(journal: &Journal) -> Result<Option<proto::JournalHistory>, JournalError> {
    let Some(chronicle) = journal.chronicle().await? else { return Ok(None) };
    Ok(Some(journal_history(chronicle, journal.incarnations().await?)))
}

fn journal_history(chronicle: Chronicle, past: Vec<Incarnation>) -> proto::JournalHistory {
    let incarnation = |past: Incarnation| proto::JournalIncarnation {
        number: past.number,
        began_at: Some(timestamp(past.began_at)),
        reason: past.reason,
        said_by: past.said_by,
        heads: positions(&past.heads),
    };
    proto::JournalHistory {
        journal: chronicle.journal.to_string(),
        incarnation: chronicle.incarnation,
        doubt: chronicle.doubted.unwrap_or_default(),
        incarnations: past.into_iter().map(incarnation).collect(),
    }
}
