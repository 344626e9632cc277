use anyhow::Context as _;
use shared_events::contract::{Fact, Origin};
use shared_events::stream::redis::{Redis, RedisError, page};
use shared_events::stream::{Cursors, Scope, Source};

use super::report::{Law, Report};
use super::stores::published;
use crate::engine::{Published, Stores};

const PAGE: u32 = 500;

/// Compares the streams with the facts that the services published: every entry is the fact of its
/// position, none is missing between the first and the last, and each names its predecessor. A
/// stream may begin late and end early: it is a window.
///
/// # Errors
/// Where Redis or a database does not answer; what differs is no error.
pub async fn check(report: &mut Report, stores: &Stores, redis: &Redis) -> anyhow::Result<()> {
    for Published { source: origin, log, .. } in published(stores) {
        let log = log(stores)?;
        let heads = log.heads().await.context("heads")?;
        let begins_after = log.begins_after().await.context("archives")?;
        for (shard, head) in heads.iter() {
            let key = redis.stream(origin, shard);
            let range = (shard, begins_after.get(shard), head);
            match stream(report, redis, origin, range, log.as_ref()).await {
                Ok(()) => {}
                Err(StreamError::Entry(detail)) => report.find(Law::StreamsAsFacts, key, detail),
                Err(StreamError::Other(error)) => return Err(error),
            }
        }
    }
    Ok(())
}

enum StreamError {
    Entry(String),
    Other(anyhow::Error),
}

impl From<RedisError> for StreamError {
    fn from(error: RedisError) -> Self {
        match error {
            RedisError::Entry { detail, .. } => Self::Entry(detail),
            other => Self::Other(other.into()),
        }
    }
}

async fn stream(
    report: &mut Report,
    redis: &Redis,
    origin: Origin,
    (shard, archived, head): (u16, u64, u64),
    log: &dyn Source<Fact>,
) -> Result<(), StreamError> {
    let mut expected: Option<Expected<'_>> = None;
    let mut last: Option<Fact> = None;
    loop {
        let entries = page(redis, origin, shard, last.as_ref(), PAGE).await?;
        if entries.is_empty() {
            return Ok(());
        }
        for (fact, prev) in entries {
            if fact.position > head {
                // Published after the snapshot.
                return Ok(());
            }
            if fact.position <= archived {
                // The published fact is archived; the journal's own check reports what was not
                // read.
                last = Some(fact);
                continue;
            }
            report.check(Law::StreamsAsFacts);
            let expected = expected.get_or_insert_with(|| {
                let before = [(shard, fact.position - 1)].into_iter().collect::<Cursors>();
                let cursors = before.scoped(Scope::Only([shard].into()));
                Expected { log, cursors, facts: Vec::new().into_iter() }
            });
            let before = last.as_ref().map(|last| last.position);
            let follows = before.is_none_or(|before| prev == before || fact.position == before);
            let (at, index) = (fact.position, fact.index);
            match expected.next().await? {
                Some(published_fact) if matches(&published_fact, &fact) && follows => {}
                Some(published_fact) if matches(&published_fact, &fact) => {
                    return Err(StreamError::Entry(format!(
                        "{at}-{index} names {prev} as its predecessor"
                    )));
                }
                Some(published_fact) => {
                    let (position, nth) = (published_fact.position, published_fact.index);
                    return Err(StreamError::Entry(format!(
                        "{at}-{index} differs from the published fact, or {position}-{nth} is missing"
                    )));
                }
                None => {
                    return Err(StreamError::Entry(format!("{at}-{index} was never published")));
                }
            }
            last = Some(fact);
        }
    }
}

/// Whether a stream's entry equals the published fact. A service restored from a copy may publish
/// the same fact again with another time; a stream keeps the first.
fn matches(published_fact: &Fact, fact: &Fact) -> bool {
    let again = fact.source != Origin::Orders && published_fact.time != fact.time;
    if again {
        *published_fact == Fact { time: published_fact.time, ..fact.clone() }
    } else {
        published_fact == fact
    }
}

/// The published facts, one by one.
struct Expected<'a> {
    log: &'a dyn Source<Fact>,
    cursors: Cursors,
    facts: std::vec::IntoIter<Fact>,
}

impl Expected<'_> {
    async fn next(&mut self) -> Result<Option<Fact>, StreamError> {
        loop {
            if let Some(fact) = self.facts.next() {
                return Ok(Some(fact));
            }
            let size = usize::try_from(PAGE).unwrap_or(usize::MAX);
            let batch = self.log.read_after(&self.cursors, size).await;
            let batch = batch.map_err(|error| StreamError::Other(error.into()))?;
            if batch.is_empty() {
                return Ok(None);
            }
            self.cursors.merge(&batch.through);
            self.facts = batch.items.into_iter();
        }
    }
}
