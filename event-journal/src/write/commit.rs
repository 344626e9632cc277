//! Commits batches and answers their callers.

use std::collections::VecDeque;

use shared_events::contract::Mark;
use shared_events::metric::{is_on, table};
use tokio::time::{Instant, timeout};

use super::batch::Sealed;
use super::request::{Request, span_of, traced};
use super::writer::Writer;
use crate::error::JournalError;
use crate::event::{Appended, UniqueKey};
use crate::id::StreamId;
use crate::store::{Batch, CommitError, View};

/// How often one batch is tried: conflicts are taken out, lost connections replaced.
const ATTEMPTS_MAX: u32 = 4;

/// Why a batch has no answers of its own.
enum BatchError {
    /// The database would refuse it again; nothing was appended.
    Refused(String),
    /// All its requests get this error; the writer continues.
    Failed(JournalError),
    /// All its requests get this error; the writer stops.
    Lost(JournalError),
}

impl BatchError {
    fn of(error: JournalError) -> Self {
        match error {
            JournalError::Superseded => Self::Lost(error),
            other => Self::Failed(JournalError::Unavailable(other.to_string())),
        }
    }
}

impl Writer {
    /// Writes these requests and answers each; an error means that the writer has to stop.
    pub(super) async fn write(&mut self, requests: Vec<Request>) -> Result<(), JournalError> {
        let mut alone = VecDeque::from([requests]);
        while let Some(requests) = alone.pop_front() {
            match self.write_together(&requests).await {
                Ok(answers) => {
                    for (request, answer) in requests.into_iter().zip(answers) {
                        request.answer(answer);
                    }
                }
                Err(BatchError::Refused(_)) if requests.len() > 1 => {
                    // One of them is at fault and must not make the others fail.
                    alone.extend(requests.into_iter().map(|request| vec![request]));
                }
                Err(BatchError::Refused(detail)) => {
                    answer_all(requests, &JournalError::Invalid(detail));
                }
                Err(BatchError::Failed(error)) => answer_all(requests, &error),
                Err(BatchError::Lost(error)) => {
                    self.end(&error);
                    answer_all(requests, &error);
                    for requests in alone {
                        answer_all(requests, &JournalError::Superseded);
                    }
                    return Err(JournalError::Superseded);
                }
            }
        }
        Ok(())
    }

    async fn write_together(
        &mut self,
        requests: &[Request],
    ) -> Result<Vec<Result<Appended, JournalError>>, BatchError> {
        for _ in 0..ATTEMPTS_MAX {
            if self.uncertain {
                self.recover().await.map_err(BatchError::of)?;
            }
            self.learn_versions(requests).await?;
            let sealed = self.seal(requests);
            if sealed.batch.events.is_empty() {
                return Ok(sealed.answers);
            }
            let since = Instant::now();
            let patience = self.lease.length();
            let span = span_of(requests);
            let outcome = match timeout(patience, self.store.commit(&sealed.batch)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(CommitError::Unknown(format!("no answer within {patience:?}"))),
            };
            traced(span, &sealed.batch, outcome.is_ok());
            match outcome {
                Ok(()) => {
                    count(&sealed.batch, since);
                    return Ok(self.committed(sealed));
                }
                Err(CommitError::Superseded) if self.node.is_some() => {
                    // Another node has one shard of the batch now; the others continue.
                    let view = self.refresh_view().await.map_err(BatchError::of)?;
                    self.count_fenced(&sealed.batch, &view);
                }
                Err(CommitError::Superseded) => {
                    return Err(BatchError::Lost(JournalError::Superseded));
                }
                Err(CommitError::Refused(detail)) => return Err(BatchError::Refused(detail)),
                Err(CommitError::Unavailable(detail)) => {
                    return Err(BatchError::Failed(JournalError::Unavailable(detail)));
                }
                Err(CommitError::Conflict) => self.find_conflicts(requests).await?,
                Err(CommitError::KeyTaken) => self.find_holder(requests, &sealed.batch).await?,
                Err(CommitError::Unknown(detail)) => {
                    let elapsed = since.elapsed();
                    tracing::warn!(detail, ?elapsed, "the outcome of a batch is not known");
                    if self.has_arrived(&sealed.batch, detail).await? {
                        count(&sealed.batch, since);
                        return Ok(self.committed(sealed));
                    }
                }
            }
        }
        Err(BatchError::Failed(JournalError::Unavailable(format!(
            "gave up after {ATTEMPTS_MAX} tries"
        ))))
    }

    /// Its callers are told that the shard is elsewhere, as they are when one is handed over. That a
    /// process took it while this one trusted its lease is something to look at; that an operator
    /// froze it, which leaves it without an owner, is not.
    fn count_fenced(&self, batch: &Batch, view: &View) {
        let taken = |shard: u16| {
            let seen = view.shards.iter().find(|seen| seen.head.shard == shard);
            seen.is_some_and(|seen| !seen.owner.is_empty() && seen.owner != self.store.owner())
        };
        if batch.fences.iter().any(|fence| taken(fence.before.shard)) {
            table::APPENDS_REFUSED.one([JournalError::Superseded.code()]);
        }
    }

    /// Nothing is written any more. It is counted first, and by itself: whoever looks at what is
    /// refused must see it also where nobody waits for an append, since the process ends then.
    pub(super) fn end(&self, error: &JournalError) {
        if self.lost.is_cancelled() {
            return;
        }
        table::APPENDS_REFUSED.one([error.code()]);
        if *error == JournalError::Superseded {
            self.taken_over.cancel();
        }
        self.lost.cancel();
    }

    /// Whether an unanswered batch is in the journal after all; an error where that is not known.
    async fn has_arrived(&mut self, batch: &Batch, detail: String) -> Result<bool, BatchError> {
        self.uncertain = true;
        self.next_rebalance = Instant::now();
        self.versions.clear();
        self.tail.forget();
        let after = batch.fences.iter().map(|fence| fence.after.clone());
        self.in_doubt = after.map(|head| (head.shard, head)).collect();
        let unknown = JournalError::OutcomeUnknown(detail);
        match self.recover().await {
            // The shards are another writer's now, but our batch may be in them.
            Err(JournalError::Superseded) => Err(BatchError::Lost(unknown)),
            // In the second case the database has another history: the batch may be in neither.
            Err(_) | Ok(true) => Err(BatchError::Failed(unknown)),
            // Nothing sent before can arrive any more, so the heads show it.
            Ok(false) => self.stands_after(batch).ok_or(BatchError::Failed(unknown)),
        }
    }

    /// Asks for the versions of streams that should exist and that we do not know; streams that
    /// should not exist are detected by the primary key.
    async fn learn_versions(&mut self, requests: &[Request]) -> Result<(), BatchError> {
        let unknown: Vec<StreamId> = requests
            .iter()
            .filter(|request| request.expected > 0 && !self.versions.contains(&request.stream_id))
            .map(|request| request.stream_id)
            .collect();
        if unknown.is_empty() { Ok(()) } else { self.ask_versions(&unknown).await }
    }

    async fn find_conflicts(&mut self, requests: &[Request]) -> Result<(), BatchError> {
        let streams: Vec<StreamId> = requests.iter().map(|request| request.stream_id).collect();
        self.ask_versions(&streams).await
    }

    /// Finds who has a key of the batch. A stream that has taken it itself is at another version.
    async fn find_holder(&mut self, requests: &[Request], batch: &Batch) -> Result<(), BatchError> {
        if requests.len() > 1 {
            return Err(BatchError::Refused("a key is taken".to_owned()));
        }
        let keys: Vec<UniqueKey> = batch.keys.iter().map(|(key, _)| key.clone()).collect();
        let holders = self.store.holders(&keys).await.map_err(BatchError::of)?;
        let other = |(key, stream_id): &(UniqueKey, StreamId)| {
            let holder = *holders.get(key).filter(|holder| *holder != stream_id)?;
            Some(JournalError::KeyTaken { key: key.as_str().to_owned(), holder })
        };
        match batch.keys.iter().find_map(other) {
            Some(taken) => Err(BatchError::Failed(taken)),
            None => self.find_conflicts(requests).await,
        }
    }

    async fn ask_versions(&mut self, streams: &[StreamId]) -> Result<(), BatchError> {
        let found = timeout(self.lease.length(), self.store.versions(streams))
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))
            .and_then(|found| found)
            .map_err(BatchError::of)?;
        for stream_id in streams {
            self.versions.put(*stream_id, found.get(stream_id).copied().unwrap_or(0));
        }
        Ok(())
    }

    fn committed(&mut self, sealed: Sealed) -> Vec<Result<Appended, JournalError>> {
        // Before any caller learns that it is committed.
        self.tail.add(sealed.batch.events, &sealed.batch.fences);
        for fence in sealed.batch.fences {
            if let Some(head) = self.heads.get_mut(&fence.after.shard) {
                // The epoch may be a fresh one by now.
                head.position = fence.after.position;
                head.hash = fence.after.hash;
                self.known.insert(head.shard, head.clone());
            }
        }
        for (stream_id, version) in sealed.versions {
            self.versions.put(stream_id, version);
        }
        self.publish();
        self.store.announce();
        sealed.answers
    }

    pub(super) fn publish(&self) {
        self.committed.send_modify(|cursors| {
            for head in self.heads.values() {
                if head.position > 0 {
                    cursors.advance_to(head.shard, head.position, Some(Mark::of(&head.hash)));
                }
            }
        });
    }
}

/// Counts a batch that was committed.
fn count(batch: &Batch, since: Instant) {
    if !is_on() {
        return;
    }
    table::APPEND_DURATION.took([], since.elapsed());
    table::APPEND_EVENTS.saw([], u64::try_from(batch.events.len()).unwrap_or(u64::MAX));
    for event in &batch.events {
        table::EVENTS.one([&event.event.event_type]);
    }
}

fn answer_all(requests: Vec<Request>, error: &JournalError) {
    for request in requests {
        request.answer(Err(error.clone()));
    }
}
