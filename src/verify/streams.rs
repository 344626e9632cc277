use anyhow::Context as _;
use shared_events::contract::{Fact, Origin};
use shared_events::stream::redis::{Redis, RedisError, page};
use shared_events::stream::{Cursors, Scope, Source};

use super::report::{Law, Report};
use super::stores::published;
use crate::engine::{Published, Stores};

const PAGE: u32 = 500;

/// Holds what stands in the streams against what the services promise: every entry is the fact of
/// its place, none is missing between the first and the last, and each names the one before it.
/// A stream may begin late and end early: it is a window.
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
            let promised = (shard, begins_after.get(shard), head);
            match stream(report, redis, origin, promised, log.as_ref()).await {
                Ok(()) => {}
                Err(Trouble::Entry(detail)) => report.find(Law::StreamsAsFacts, key, detail),
                Err(Trouble::Other(error)) => return Err(error),
            }
        }
    }
    Ok(())
}

enum Trouble {
    Entry(String),
    Other(anyhow::Error),
}

impl From<RedisError> for Trouble {
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
) -> Result<(), Trouble> {
    let mut told: Option<Told<'_>> = None;
    let mut last: Option<Fact> = None;
    loop {
        let entries = page(redis, origin, shard, last.as_ref(), PAGE).await?;
        if entries.is_empty() {
            return Ok(());
        }
        for (fact, prev) in entries {
            if fact.position > head {
                // Said after the snapshot was taken.
                return Ok(());
            }
            if fact.position <= archived {
                // What was promised is not at hand; the journal's own check has told so.
                last = Some(fact);
                continue;
            }
            report.check(Law::StreamsAsFacts);
            let told = told.get_or_insert_with(|| {
                let before = [(shard, fact.position - 1)].into_iter().collect::<Cursors>();
                let cursors = before.scoped(Scope::Only([shard].into()));
                Told { log, cursors, facts: Vec::new().into_iter() }
            });
            let before = last.as_ref().map(|last| last.position);
            let follows = before.is_none_or(|before| prev == before || fact.position == before);
            let (at, index) = (fact.position, fact.index);
            match told.next().await? {
                Some(promised) if is_told(&promised, &fact) && follows => {}
                Some(promised) if is_told(&promised, &fact) => {
                    return Err(Trouble::Entry(format!(
                        "{at}-{index} says that {prev} is before it"
                    )));
                }
                Some(promised) => {
                    let (position, nth) = (promised.position, promised.index);
                    return Err(Trouble::Entry(format!(
                        "{at}-{index} is not what is promised there, or {position}-{nth} is missing"
                    )));
                }
                None => return Err(Trouble::Entry(format!("{at}-{index} was never promised"))),
            }
            last = Some(fact);
        }
    }
}

/// Whether a stream tells what was promised. A service that was restored from a copy tells the same
/// again, at another time; a stream keeps what it was told first.
fn is_told(promised: &Fact, fact: &Fact) -> bool {
    let again = fact.source != Origin::Orders && promised.time != fact.time;
    if again { *promised == Fact { time: promised.time, ..fact.clone() } } else { promised == fact }
}

/// What a service published, fact by fact.
struct Told<'a> {
    log: &'a dyn Source<Fact>,
    cursors: Cursors,
    facts: std::vec::IntoIter<Fact>,
}

impl Told<'_> {
    async fn next(&mut self) -> Result<Option<Fact>, Trouble> {
        loop {
            if let Some(fact) = self.facts.next() {
                return Ok(Some(fact));
            }
            let size = usize::try_from(PAGE).unwrap_or(usize::MAX);
            let batch = self.log.read_after(&self.cursors, size).await;
            let batch = batch.map_err(|error| Trouble::Other(error.into()))?;
            if batch.is_empty() {
                return Ok(None);
            }
            self.cursors.merge(&batch.through);
            self.facts = batch.items.into_iter();
        }
    }
}
