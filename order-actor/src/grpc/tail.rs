use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use service_edge::Refused;
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

/// Events read at once.
pub(super) const READ_AT_ONCE: usize = 256;
/// Messages that wait for a slow client; the journal waits for nobody.
const WAITING_MAX: usize = 16;
/// A client that takes nothing for so long loses its stream; it can go on where it was.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

/// How often a customer hears at most how far the stream has come, when nothing of theirs happened.
const SPEAKS_EVERY: Duration = Duration::from_secs(10);

/// A stream of messages to one client.
pub(super) type Messages<M> = ReceiverStream<Result<M, Status>>;

/// What a stream makes of the journal.
#[async_trait]
pub(super) trait Telling: Send + 'static {
    /// What it sends.
    type Message: Send + 'static;

    /// What comes after the cursors; places that say nothing are passed over by `through`.
    async fn read(&mut self, after: &Cursors) -> Result<Told<Self::Message>, Status>;

    /// The message that says how far the stream has come.
    fn progress(progress: proto::Progress) -> Self::Message;
}

/// A batch of messages with the places they are about, in order within each shard.
pub(super) struct Told<M> {
    /// Shard, position, message.
    pub(super) messages: Vec<(u16, u64, M)>,
    /// How far the reader is when it is done with them.
    pub(super) through: Cursors,
}

/// Where a stream begins and ends.
pub(super) struct Stretch {
    /// After these places.
    pub(super) after: Cursors,
    /// Shards that are left out; their places are passed over in silence.
    pub(super) without: BTreeSet<u16>,
    /// Up to these places; without an end where absent.
    pub(super) until: Option<Cursors>,
    /// At most so many messages, but for the rest of a place.
    pub(super) limit: Option<u64>,
    /// Whether positions are hidden, and how often something happens as well.
    pub(super) hidden: bool,
}

impl Stretch {
    /// Of a journal with these heads. Shards that are left out begin at their head, so that nothing
    /// of them is read but what happens meanwhile.
    pub(super) fn new(
        after: Cursors,
        without: BTreeSet<u16>,
        heads: &Cursors,
    ) -> Result<Self, Violations> {
        let mut after = after;
        if !heads.covers(&after) {
            let description = "ahead of the journal";
            return Err(Violations::one("after", Violations::INVALID_FIELD, description));
        }
        for shard in &without {
            after.advance_to(*shard, heads.get(*shard), heads.mark(*shard));
        }
        Ok(Self { after, without, until: None, limit: None, hidden: false })
    }

    /// How far a reader has come who is told nothing of the shards that are left out.
    fn told_of(&self, through: &Cursors) -> Cursors {
        let mut told = Cursors::default();
        for (shard, position) in through.iter().filter(|(s, _)| !self.without.contains(s)) {
            told.advance_to(shard, position, through.mark(shard));
        }
        told
    }

    /// The same places, none of them beyond the end.
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

/// Starts a stream. It ends with its stretch, with its client or with the engine.
pub(super) fn tail<T: Telling>(
    telling: T,
    stretch: Stretch,
    journal: Journal,
    stop: CancellationToken,
) -> Messages<T::Message> {
    // One more place, for the last word: however much waits, how the stream ended can be said.
    let (sender, receiver) = mpsc::channel(WAITING_MAX + 1);
    let last_word = sender.clone().try_reserve_owned();
    tasks::spawn(async move {
        let outcome = tokio::select! {
            outcome = run(telling, stretch, &journal, &sender) => outcome,
            () = stop.cancelled() => Err(End::Failed(status::stopping())),
            () = sender.closed() => Err(End::ClientGone),
        };
        if let (Err(End::Failed(status)), Ok(last_word)) = (outcome, last_word) {
            last_word.send(Err(status));
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
    match timeout(TAKEN_WITHIN, sender.send(Ok(message))).await {
        Ok(sent) => sent.map_err(|_| End::ClientGone),
        Err(_) => Err(End::Failed(Refused::reader_too_slow())),
    }
}

async fn run<T: Telling>(
    mut telling: T,
    stretch: Stretch,
    journal: &Journal,
    sender: &Sender<T::Message>,
) -> Result<(), End> {
    let mut cursors = stretch.after.clone();
    let progress = async |through: &Cursors| -> Result<T::Message, Status> {
        let mut progress = render::progress(through);
        for place in progress.through.iter_mut().filter(|_| stretch.hidden) {
            let hidden = hidden(journal, *place).await;
            *place = hidden.map_err(|error| status::journal(&error))?;
        }
        Ok(T::progress(progress))
    };
    send(sender, progress(&stretch.told_of(&cursors)).await?).await?;
    let mut spoke = Instant::now();
    let mut left = stretch.limit;
    loop {
        if stretch.until.as_ref().is_some_and(|until| cursors.covers(until)) {
            return Ok(());
        }
        let told = telling.read(&cursors).await?;
        if told.through.is_empty() {
            journal.changed(&cursors).await;
            continue;
        }
        let mut said = Cursors::default();
        let mut last = None;
        for (shard, position, message) in told.messages {
            if stretch.without.contains(&shard) {
                continue;
            }
            if stretch.until.as_ref().is_some_and(|until| position > until.get(shard)) {
                continue;
            }
            if left == Some(0) && last != Some((shard, position)) {
                return Ok(());
            }
            send(sender, message).await?;
            said.advance(shard, position);
            last = Some((shard, position));
            left = left.map(|left| left.saturating_sub(1));
        }
        cursors.merge(&told.through);
        // Ended by its limit at the end of a batch: places are never split over two batches.
        if left == Some(0) {
            return Ok(());
        }
        let through = stretch.within(&stretch.told_of(&told.through));
        // One word for each thing that happens to others would be a count, too.
        let withheld = stretch.hidden && spoke.elapsed() < SPEAKS_EVERY;
        if !said.covers(&through) && !withheld {
            let place = if stretch.hidden { stretch.told_of(&cursors) } else { through };
            send(sender, progress(&place).await?).await?;
            spoke = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_minutes_loses_its_stream() {
        let (sender, mut receiver) = mpsc::channel(1);
        assert!(matches!(send(&sender, 1).await, Ok(())));
        let Err(End::Failed(status)) = send(&sender, 2).await else { panic!("it waits for ever") };
        assert_eq!(status.code(), Code::ResourceExhausted);
        // One that is slow and reads does not.
        let reading = tasks::spawn(async move {
            while receiver.recv().await.is_some() {
                tokio::time::sleep(TAKEN_WITHIN / 2).await;
            }
        });
        for number in 0..10 {
            assert!(matches!(send(&sender, number).await, Ok(())));
        }
        drop(sender);
        reading.await.unwrap();
    }
}
