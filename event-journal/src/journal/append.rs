//! Appends events to a stream, by the writer of its shard.

#[cfg(feature = "planted-bugs")]
use std::time::Duration;

use shared_events::traces::TraceContext;
use tokio::sync::oneshot;

use super::handle::Journal;
use crate::error::JournalError;
use crate::event::{Appended, NewEvent};
use crate::id::StreamId;
use crate::write::{EVENT_BYTES_MAX, EVENTS_PER_STREAM_MAX, Request};

impl Journal {
    /// Appends events to a stream that is at `expected_version` (0: it does not exist), all or
    /// none, in the current tenure. When this returns `Ok` they are on disk.
    ///
    /// # Errors
    /// [`JournalError::NotOwner`] where the shard is not ours at this moment; only
    /// [`JournalError::OutcomeUnknown`] leaves open whether they were appended.
    pub async fn append(
        &self,
        stream_id: impl Into<StreamId>,
        expected_version: u64,
        events: Vec<NewEvent>,
    ) -> Result<Appended, JournalError> {
        let stream_id = stream_id.into();
        let tenure = self.tenure(self.shard_of(stream_id));
        self.request(tenure, stream_id, (expected_version, events), None).await
    }

    /// As [`Self::append`], for a caller that has known the stream since the shard became ours in
    /// this epoch (see [`Self::tenure`]). Where others may have written to it since, nothing is
    /// appended. The span of the batch belongs to the span of `trace` as well.
    ///
    /// # Errors
    /// As [`Self::append`]; [`JournalError::NotOwner`] where the tenure is over.
    pub async fn append_traced(
        &self,
        tenure: u64,
        stream_id: impl Into<StreamId>,
        expected_version: u64,
        events: Vec<NewEvent>,
        trace: Option<TraceContext>,
    ) -> Result<Appended, JournalError> {
        let what = (expected_version, events);
        self.request(Some(tenure), stream_id.into(), what, trace).await
    }

    async fn request(
        &self,
        tenure: Option<u64>,
        stream_id: StreamId,
        (expected, events): (u64, Vec<NewEvent>),
        trace: Option<TraceContext>,
    ) -> Result<Appended, JournalError> {
        if let Some(why) = self.doubt() {
            return Err(JournalError::Doubted(why));
        }
        admit(stream_id, expected, &events)?;
        if !self.keeps_keys() && events.iter().any(|event| !event.keys().is_empty()) {
            return Err(JournalError::KeysNeedOneDatabase);
        }
        let shard = self.shard_of(stream_id);
        let requests = self.database(shard)?.requests.as_ref().ok_or(JournalError::Closed)?;
        if requests.is_closed() {
            return self.refused();
        }
        let tenure = tenure.ok_or(JournalError::NotOwner { shard })?;
        let (reply, answer) = oneshot::channel();
        let request = Request { stream_id, expected, tenure, events, trace, reply };
        #[cfg(feature = "planted-bugs")]
        if shared_events::planted::is("answer-before-append") {
            let version = expected + request.events.len() as u64;
            let requests = requests.clone();
            shared_events::stream::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(requests.send(request).await);
                drop(answer.await);
            });
            let recorded_at = (self.shared.options.now)();
            return Ok(Appended { version, shard, position: 0, recorded_at });
        }
        if requests.send(request).await.is_err() {
            return self.refused();
        }
        // The reply was dropped: the writer itself died, with an unknown outcome.
        let outcome = answer.await.unwrap_or_else(|_| {
            Err(JournalError::OutcomeUnknown("the writer ended without an answer".to_owned()))
        });
        self.shared.append_health.record(&outcome);
        outcome
    }

    /// By a journal that has stopped. One that was closed refuses nothing that anybody looks at.
    fn refused(&self) -> Result<Appended, JournalError> {
        let outcome = Err(self.stopped_error());
        if self.is_superseded() {
            self.shared.append_health.record(&outcome);
        }
        outcome
    }
}

fn admit(stream_id: StreamId, expected: u64, events: &[NewEvent]) -> Result<(), JournalError> {
    if events.is_empty() {
        return Err(JournalError::Invalid("there is nothing to append".to_owned()));
    }
    let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
    if expected.saturating_add(count) > EVENTS_PER_STREAM_MAX {
        return Err(JournalError::TooManyEvents { stream_id, max: EVENTS_PER_STREAM_MAX });
    }
    let too_large = |bytes: &usize| *bytes > EVENT_BYTES_MAX;
    match events.iter().map(NewEvent::bytes).find(too_large) {
        Some(bytes) => Err(JournalError::TooLarge { bytes, max: EVENT_BYTES_MAX }),
        None => Ok(()),
    }
}
