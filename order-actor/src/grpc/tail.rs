use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use service_edge::{Refused, STREAM_READ_WITHIN};
use shared_events::stream::Cursors;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::edge::hidden;
use super::parse::Violations;
use super::{proto, render, status};
use crate::journal::Journal;
use crate::tasks;

/// Events read per batch.
pub(super) const BATCH_MAX: usize = 256;
/// Messages buffered for a slow client. Appends to the journal never wait for it.
const MESSAGES_WAITING_MAX: usize = 16;

/// The shortest interval between progress messages to a customer without changes of their own.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// A stream of messages to one client.
pub(super) type Messages<M> = ReceiverStream<Result<M, Status>>;

/// Where a stream's messages come from.
#[async_trait]
pub(super) trait MessageSource: Send + 'static {
    /// The stream's message type.
    type Message: Send + 'static;

    /// The next batch after the cursors. `through` also covers positions without a message.
    async fn read(&mut self, after: &Cursors) -> Result<Batch<Self::Message>, Status>;

    /// The message that reports the stream's position.
    fn progress(progress: proto::Progress) -> Self::Message;
}

/// Messages with their positions, in order within each shard.
pub(super) struct Batch<M> {
    /// Shard, position, message.
    pub(super) messages: Vec<(u16, u64, M)>,
    /// The reader's position after them.
    pub(super) through: Cursors,
}

/// Where a stream begins and ends.
pub(super) struct StreamRange {
    /// After these positions.
    pub(super) after: Cursors,
    /// Excluded shards. Their positions are skipped without a message.
    pub(super) excluded: BTreeSet<u16>,
    /// Up to these positions; absent for a live stream.
    pub(super) until: Option<Cursors>,
    /// The most messages. The messages of one position are never split.
    pub(super) limit: Option<u64>,
    /// Whether to hide positions, and with them how often other customers' orders change.
    pub(super) hidden: bool,
}

impl StreamRange {
    /// A range in a journal with these heads. Excluded shards start at their head, so that only
    /// their new events are read, and skipped.
    pub(super) fn new(
        after: Cursors,
        excluded: BTreeSet<u16>,
        heads: &Cursors,
    ) -> Result<Self, Violations> {
        let mut after = after;
        if !heads.covers(&after) {
            let description = "ahead of the journal";
            return Err(Violations::one("after", Violations::INVALID_FIELD, description));
        }
        for shard in &excluded {
            after.advance_to(*shard, heads.get(*shard), heads.mark(*shard));
        }
        Ok(Self { after, excluded, until: None, limit: None, hidden: false })
    }

    /// The position without the excluded shards.
    fn without_excluded(&self, through: &Cursors) -> Cursors {
        let mut included = Cursors::default();
        for (shard, position) in through.iter().filter(|(s, _)| !self.excluded.contains(s)) {
            included.advance_to(shard, position, through.mark(shard));
        }
        included
    }

    /// The position, cut at the end of the range.
    fn within(&self, done: &Cursors) -> Cursors {
        let mut through = Cursors::default();
        for (shard, position) in done.iter() {
            let end = self.until.as_ref().map_or(u64::MAX, |until| until.get(shard));
            let mark = done.mark(shard).filter(|_| position <= end);
            if position.min(end) > 0 {
                through.advance_to(shard, position.min(end), mark);
            }
        }
        through
    }
}

/// Starts a stream. It ends with its range, when the client disconnects or when the engine stops.
pub(super) fn tail<T: MessageSource>(
    source: T,
    range: StreamRange,
    journal: Journal,
    stop: CancellationToken,
) -> Messages<T::Message> {
    // One more slot is reserved for the final status, so that a full buffer cannot suppress it.
    let (sender, receiver) = mpsc::channel(MESSAGES_WAITING_MAX + 1);
    let final_status = sender.clone().try_reserve_owned();
    tasks::spawn(async move {
        let outcome = tokio::select! {
            outcome = run(source, range, &journal, &sender) => outcome,
            () = stop.cancelled() => Err(End::Failed(Refused::stopping())),
            () = sender.closed() => Err(End::ClientGone),
        };
        if let (Err(End::Failed(status)), Ok(final_status)) = (outcome, final_status) {
            final_status.send(Err(status));
        }
    });
    ReceiverStream::new(receiver)
}

enum End {
    ClientGone,
    Failed(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

type Sender<M> = mpsc::Sender<Result<M, Status>>;

async fn send<M>(sender: &Sender<M>, message: M) -> Result<(), End> {
    match timeout(STREAM_READ_WITHIN, sender.send(Ok(message))).await {
        Ok(sent) => sent.map_err(|_| End::ClientGone),
        Err(_) => Err(End::Failed(Refused::reader_too_slow())),
    }
}

async fn run<T: MessageSource>(
    mut source: T,
    range: StreamRange,
    journal: &Journal,
    sender: &Sender<T::Message>,
) -> Result<(), End> {
    let mut cursors = range.after.clone();
    let progress = async |through: &Cursors| -> Result<T::Message, Status> {
        let mut progress = render::progress(through);
        for place in progress.through.iter_mut().filter(|_| range.hidden) {
            let hidden = hidden(journal, *place).await;
            *place = hidden.map_err(|error| status::journal(&error))?;
        }
        Ok(T::progress(progress))
    };
    send(sender, progress(&range.without_excluded(&cursors)).await?).await?;
    let mut last_progress = Instant::now();
    let mut remaining = range.limit;
    loop {
        if range.until.as_ref().is_some_and(|until| cursors.covers(until)) {
            return Ok(());
        }
        let batch = source.read(&cursors).await?;
        if batch.through.is_empty() {
            journal.changed(&cursors).await;
            continue;
        }
        let mut sent = Cursors::default();
        let mut last = None;
        for (shard, position, message) in batch.messages {
            if range.excluded.contains(&shard) {
                continue;
            }
            if range.until.as_ref().is_some_and(|until| position > until.get(shard)) {
                continue;
            }
            if remaining == Some(0) && last != Some((shard, position)) {
                return Ok(());
            }
            send(sender, message).await?;
            sent.advance(shard, position);
            last = Some((shard, position));
            remaining = remaining.map(|remaining| remaining.saturating_sub(1));
        }
        cursors.merge(&batch.through);
        // The limit is reached at the end of a batch: a position is never split over two batches.
        if remaining == Some(0) {
            return Ok(());
        }
        let through = range.within(&range.without_excluded(&batch.through));
        // A progress message per change of others' orders would let a customer count them.
        let withheld = range.hidden && last_progress.elapsed() < PROGRESS_INTERVAL;
        if !sent.covers(&through) && !withheld {
            let place = if range.hidden { range.without_excluded(&cursors) } else { through };
            send(sender, progress(&place).await?).await?;
            last_progress = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_message_for_minutes_loses_its_stream() {
        let (sender, mut receiver) = mpsc::channel(1);
        assert!(matches!(send(&sender, 1).await, Ok(())));
        let waited = Instant::now();
        let Err(End::Failed(status)) = send(&sender, 2).await else {
            panic!("send did not time out")
        };
        assert_eq!(status.get_details_error_info().unwrap().reason, "READER_TOO_SLOW");
        assert_eq!(waited.elapsed().as_secs(), 120);
        // A slow client that keeps reading does not.
        let reading = tasks::spawn(async move {
            while receiver.recv().await.is_some() {
                tokio::time::sleep(STREAM_READ_WITHIN / 2).await;
            }
        });
        for number in 0..10 {
            assert!(matches!(send(&sender, number).await, Ok(())));
        }
        drop(sender);
        reading.await.unwrap();
    }
}
