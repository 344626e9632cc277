//! Batches reads of single streams: while a read is in progress the next one collects streams. A
//! read with no other in progress starts immediately.
//! Never here: what the events mean.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared_events::stream::Session;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{PgPool, Postgres, Row as _};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::pool::sessions;
use super::types::positions;
use crate::error::JournalError;
use crate::id::StreamId;
use crate::store::head::Loaded;
use crate::store::rows::{stored, unavailable};

/// Concurrent reads. A read costs mostly its round trip, so a few full ones do more than many small
/// ones.
const AT_ONCE_MAX: u32 = 2;
/// Streams of one read; each may have thousands of events.
const STREAMS_MAX: usize = 64;
/// How long a read may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// At least one row for each stream: where it has no event the columns are null.
const LOAD: &str = include_str!("sql/load.sql");

type Answer = Result<Loaded, JournalError>;

#[derive(Default)]
struct Queue {
    waiting: Vec<(StreamId, oneshot::Sender<Answer>)>,
    under_way: u32,
}

/// Reads streams.
pub(crate) struct Loads {
    pool: PgPool,
    queue: Arc<Mutex<Queue>>,
}

impl Loads {
    /// Connects at first use.
    pub(crate) fn new(connect: &PgConnectOptions, session: Session, connections: u32) -> Self {
        // It is always the same statement, for a few keys. Plans for the lengths of its arrays
        // would be made anew each time, and the one that is kept must look keys up, however small
        // the tables were when it was made.
        let session = session
            .with("plan_cache_mode", "force_generic_plan")
            .with("enable_seqscan", "off")
            .with("enable_hashjoin", "off")
            .with("enable_mergejoin", "off")
            .with("jit", "off");
        let most = AT_ONCE_MAX.min(connections);
        let pool = sessions(most, session).connect_lazy_with(connect.clone());
        Self { pool, queue: Arc::default() }
    }

    /// What the table holds of a stream.
    pub(crate) async fn load(&self, stream_id: StreamId) -> Answer {
        let (answer, answered) = oneshot::channel();
        let turn = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.under_way < AT_ONCE_MAX {
                queue.under_way += 1;
                let (pool, queue) = (self.pool.clone(), Arc::clone(&self.queue));
                Some(Slot { pool, queue, session: None })
            } else {
                queue.waiting.push((stream_id, answer));
                None
            }
        };
        match turn {
            Some(mut turn) => {
                let found = turn.read([stream_id].into_iter()).await?.remove(&stream_id.uuid());
                found.unwrap_or(Ok(Loaded::default()))
            }
            None => answered.await.unwrap_or_else(|_| Err(unavailable("the read was cancelled"))),
        }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// One of the concurrent reads. Its holder reads; however that ends, the streams collected
/// meanwhile are read next.
struct Slot {
    pool: PgPool,
    queue: Arc<Mutex<Queue>>,
    /// The session, kept from one read to the next; none while it reads.
    session: Option<PoolConnection<Postgres>>,
}

type Waiting = HashMap<StreamId, oneshot::Sender<Answer>>;

impl Drop for Slot {
    fn drop(&mut self) {
        let runtime = Handle::try_current();
        let taken = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = if runtime.is_ok() { take(&mut queue) } else { HashMap::new() };
            if taken.is_empty() {
                queue.under_way -= 1;
                return;
            }
            taken
        };
        // Not under the lock: a runtime that ends drops the task immediately, and this slot with
        // it.
        if let Ok(runtime) = runtime {
            let (pool, queue) = (self.pool.clone(), Arc::clone(&self.queue));
            let next = Self { pool, queue, session: self.session.take() };
            // A task of its own: the first caller may give up before the others.
            runtime.spawn(next.read_waiting(taken));
        }
    }
}

/// Takes the longest-waiting streams, each once. Callers that gave up are left out.
fn take(queue: &mut Queue) -> Waiting {
    let (mut taken, mut rest) = (HashMap::new(), Vec::new());
    for (stream_id, answer) in queue.waiting.drain(..).filter(|(_, answer)| !answer.is_closed()) {
        if taken.len() < STREAMS_MAX && !taken.contains_key(&stream_id) {
            taken.insert(stream_id, answer);
        } else {
            rest.push((stream_id, answer));
        }
    }
    queue.waiting = rest;
    taken
}

impl Slot {
    async fn read_waiting(mut self, taken: Waiting) {
        let mut read = self.read(taken.keys().copied()).await;
        for (stream_id, answer) in taken {
            let loaded = match &mut read {
                Ok(found) => found.remove(&stream_id.uuid()).unwrap_or(Ok(Loaded::default())),
                Err(error) => Err(error.clone()),
            };
            // The caller may be gone.
            drop(answer.send(loaded));
        }
    }

    async fn read(
        &mut self,
        streams: impl Iterator<Item = StreamId>,
    ) -> Result<HashMap<Uuid, Answer>, JournalError> {
        let (keys, ids): (Vec<String>, Vec<Uuid>) =
            streams.map(|stream_id| (stream_id.to_string(), stream_id.uuid())).unzip();
        let session = match self.session.take() {
            Some(session) => session,
            None => self.pool.acquire().await.map_err(unavailable)?,
        };
        let mut session = InUse(Some(session));
        let Some(connection) = session.0.as_deref_mut() else { return Ok(HashMap::new()) };
        let read = sqlx::query(LOAD).bind(&keys).bind(&ids).fetch_all(connection);
        let rows = timeout(ANSWERS_WITHIN, read)
            .await
            .map_err(|_| unavailable(format!("no answer within {ANSWERS_WITHIN:?}")))?
            .map_err(unavailable)?;
        self.session = session.0.take();
        let mut found: HashMap<Uuid, Answer> = HashMap::with_capacity(ids.len());
        for row in &rows {
            let id = row.try_get("id").map_err(unavailable)?;
            let known = found.entry(id).or_insert_with(|| Ok(Loaded::default()));
            if let Ok(loaded) = known
                && let Err(error) = add(loaded, row)
            {
                *known = Err(error);
            }
        }
        Ok(found)
    }
}

/// A session with an unanswered query. If it is dropped, it is closed without waiting and leaves
/// its place in the pool to another one.
struct InUse(Option<PoolConnection<Postgres>>);

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            drop(session.detach());
        }
    }
}

fn add(loaded: &mut Loaded, row: &PgRow) -> Result<(), JournalError> {
    if loaded.positions.is_empty() {
        loaded.positions = positions(row)?;
    }
    if row.try_get::<Option<i64>, _>("sequence").map_err(unavailable)?.is_some() {
        loaded.events.push(stored(row)?);
    }
    Ok(())
}
