//! The one way into the book: a queue, and a task that books what waits as one batch in one
//! transaction. Each batch reads the rows that it touches after it has locked the book, decides in
//! memory and writes each row once; so one hot account costs no more than many.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::Timestamp;
use shared_events::metric::start;
use shared_events::metric::table::LEDGER_BATCH;
use shared_events::stream::{AskedBy, Database, DatabaseError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::batch;
use crate::book::{Book, BookError, Posted};
use crate::domain::{Account, AccountName, Entry, Hold, HoldId, NewAccount, Opened};
use crate::meter;
use crate::request::{Answer, Reply, Request};
use crate::store::{self, Fence, Notes};

/// Requests that wait at most; further ones are refused.
pub const QUEUE_MAX: usize = 4_096;
/// Requests of one batch at most.
const BATCH_MAX: usize = 1_000;
/// Legs of one batch at most, but for a single request's.
const LEGS_MAX: usize = 5_000;
/// How long one batch may take. Then nobody knows what became of it, and its callers ask again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often holds are looked for whose time is over, where nothing is booked.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// The book in a database.
#[derive(Clone)]
pub struct SqlBook {
    database: Database,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    queue: mpsc::Sender<Request>,
    waiting: Arc<Mutex<Option<mpsc::Receiver<Request>>>>,
}

impl SqlBook {
    /// Over a database with its tables. It answers while [`Self::run`] runs.
    #[must_use]
    pub fn new(database: Database, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        Self { database, now, queue, waiting: Arc::new(Mutex::new(Some(waiting))) }
    }

    /// Books what waits, until `stop`. Only the first call does anything.
    pub async fn run(self, stop: CancellationToken) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        let mut writer = Writer { database: self.database, now: self.now, fence: None };
        let mut look = Instant::now() + EXPIRE_EVERY;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                count = waiting.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        break;
                    }
                    for batch in cut(batch) {
                        if stop.is_cancelled() {
                            break;
                        }
                        writer.book(batch).await;
                    }
                }
                () = sleep_until(look) => {
                    let more = writer.expire().await;
                    look = Instant::now() + if more { Duration::ZERO } else { EXPIRE_EVERY };
                }
            }
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, BookError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(request(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => BookError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => BookError::Stopping,
        })?;
        answer.await.unwrap_or(Err(BookError::Stopping))
    }
}

/// Cuts requests into batches, in their order, none with too many legs, and each that changes nothing
/// alone.
fn cut(requests: Vec<Request>) -> Vec<Vec<Request>> {
    let mut batches: Vec<Vec<Request>> = Vec::new();
    let (mut legs, mut takes_more) = (0, false);
    for request in requests {
        let more = request.entry().map_or(1, |entry| entry.legs().len());
        let changes = request.changes();
        match batches.last_mut() {
            Some(batch) if takes_more && changes && legs + more <= LEGS_MAX => {
                legs += more;
                batch.push(request);
            }
            _ => {
                (legs, takes_more) = (more, changes);
                batches.push(vec![request]);
            }
        }
    }
    batches
}

/// The book could not be read.
fn unread(error: &DatabaseError) -> BookError {
    tracing::warn!(%error, "the book could not be read");
    BookError::Unavailable
}

#[async_trait]
impl Book for SqlBook {
    async fn open(
        &self,
        terms: NewAccount,
        by: AskedBy,
        reason: String,
    ) -> Result<Opened, BookError> {
        self.ask(|reply| Request::Open { terms, by, reason, reply }).await
    }

    async fn post(&self, entry: Entry, by: AskedBy) -> Result<Posted, BookError> {
        self.ask(|reply| Request::Post { entry, by, reply }).await
    }

    async fn would_open(&self, terms: NewAccount) -> Result<Opened, BookError> {
        self.ask(|reply| Request::WouldOpen { terms, reply }).await
    }

    async fn would_post(&self, entry: Entry) -> Result<Posted, BookError> {
        self.ask(|reply| Request::WouldPost { entry, reply }).await
    }

    async fn account(&self, name: &AccountName) -> Result<Option<Account>, BookError> {
        store::account(&self.database, name).await.map_err(|error| unread(&error))
    }

    async fn hold(&self, id: HoldId) -> Result<Option<Hold>, BookError> {
        store::find_hold(&self.database, id).await.map_err(|error| unread(&error))
    }
}

/// Why a batch has no answers.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

impl CommitError {
    /// Whether the store is not available, or another process has the book for too long.
    fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient() || store::took_too_long(error),
            Self::Late => true,
        }
    }
}

/// The work, or an error after [`PATIENCE`]. What is given up leaves no open transaction.
async fn in_time<T>(
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, CommitError> {
    Ok(timeout(PATIENCE, work).await.map_err(|_| CommitError::Late)??)
}

/// What a committed batch did.
struct Done {
    answers: Vec<Answer>,
    /// How many holds it ended because their time was over.
    expired: usize,
}

struct Writer {
    database: Database,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    fence: Option<Fence>,
}

impl Writer {
    /// Books a batch and answers each request. Where a batch fails for another reason than that the
    /// store is not available, each of its requests is tried alone, so that none stops others.
    async fn book(&mut self, batch: Vec<Request>) {
        let began = start();
        match in_time(self.commit(&batch)).await {
            Ok(done) => {
                LEDGER_BATCH.since([], began);
                answer(batch, done.answers);
            }
            Err(error) if batch.len() > 1 && !error.is_transient() => {
                tracing::error!(%error, "a batch of the book failed; each request is tried alone");
                let mut rest = batch.into_iter();
                while let Some(request) = rest.next() {
                    let one = vec![request];
                    match in_time(self.commit(&one)).await {
                        Ok(done) => answer(one, done.answers),
                        Err(error) if error.is_transient() => {
                            return refuse(one.into_iter().chain(rest).collect(), &error);
                        }
                        Err(error) => refuse(one, &error),
                    }
                }
            }
            Err(error) => refuse(batch, &error),
        }
    }

    /// Ends holds whose time is over; whether more may be left.
    async fn expire(&mut self) -> bool {
        let ended = match in_time(store::any_due(&self.database, (self.now)())).await {
            Ok(false) => return false,
            Ok(true) => in_time(self.commit(&[])).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(done) => done.expired >= store::DUE_MAX,
            Err(error) => {
                tracing::warn!(%error, "holds whose time is over were not ended yet");
                false
            }
        }
    }

    async fn commit(&mut self, batch: &[Request]) -> Result<Done, DatabaseError> {
        let mut tx = self.database.begin().await?;
        let entries = batch.iter().filter_map(Request::entry);
        let opened = batch.iter().filter_map(Request::opens);
        let (mut part, fence, now) =
            batch::begin(&self.database, &mut tx, self.fence, entries, opened, &self.now).await?;
        let expired = part.answered().count();
        let answers: Vec<Answer> = batch.iter().map(|one| one.decide(&mut part, now)).collect();
        if part.is_unchanged() || !batch.iter().all(Request::changes) {
            return Ok(Done { answers, expired });
        }
        let by: Vec<_> = batch.iter().filter_map(Request::note).collect();
        // Of several requests with one id the first is answered, and the others as it was: the
        // last one that is collected stays.
        let notes: Notes<'_> =
            by.iter().rev().map(|(id, reason, by)| (*id, (*reason, by.as_str()))).collect();
        store::write(&self.database, &mut tx, &part, &notes, (fence, now)).await?;
        for (request, answer) in batch.iter().zip(&answers) {
            request.record(answer, &mut tx, now).await?;
        }
        tx.commit().await?;
        self.fence = Some(fence);
        Ok(Done { answers, expired })
    }
}

/// A caller that has gone needs no answer.
fn answer(batch: Vec<Request>, answers: Vec<Answer>) {
    for pair in batch.into_iter().zip(answers) {
        match pair {
            (Request::Open { reply, .. }, Answer::Opened(opened)) => {
                meter::opened(&opened);
                drop(reply.send(Ok(opened)));
            }
            (Request::Post { reply, .. }, Answer::Posted(posted)) => {
                meter::posted(&posted.outcome);
                drop(reply.send(Ok(posted)));
            }
            (Request::WouldOpen { reply, .. }, Answer::Opened(opened)) => {
                drop(reply.send(Ok(opened)));
            }
            (Request::WouldPost { reply, .. }, Answer::Posted(posted)) => {
                drop(reply.send(Ok(posted)));
            }
            // An answer is of its request's kind.
            _ => {}
        }
    }
}

fn refuse(batch: Vec<Request>, error: &CommitError) {
    tracing::warn!(%error, requests = batch.len(), "a batch was not booked, or nobody knows");
    for request in batch {
        let failed = BookError::Unavailable;
        match request {
            Request::Open { reply, .. } | Request::WouldOpen { reply, .. } => {
                drop(reply.send(Err(failed)));
            }
            Request::Post { reply, .. } | Request::WouldPost { reply, .. } => {
                drop(reply.send(Err(failed)));
            }
        }
    }
}
