use super::{EMPTIED, FollowStatus, Sink, StepError};
use crate::contract::Mark;
use crate::stream::{Comparison, Cursors, Finding, History, Item, Place, Source, SourceError};

/// The result of comparing reader and log.
#[derive(PartialEq, Eq)]
pub(super) enum Agreed {
    /// The log has what the reader remembers.
    Already,
    /// The reader went back to their last common position.
    SetBack,
}

/// Compares again while the follower runs. An unavailable log is not compared; the next items may
/// be available without it.
pub(super) async fn agree_again<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    known: &mut Option<Cursors>,
    status: &FollowStatus,
) -> Result<(), StepError> {
    let Some(cursors) = known.take() else { return Ok(()) };
    let scope = cursors.scope().clone();
    let asked = async {
        let loaded = sink.cursors().await?.scoped(scope);
        let agreed = agree(source, sink, &loaded, status).await?;
        Ok((agreed == Agreed::Already).then_some(loaded))
    };
    match asked.await {
        Ok(loaded) => *known = loaded,
        Err(StepError::Unavailable(error)) => {
            tracing::debug!(follower = status.name(), error, "its log could not be compared");
            *known = Some(cursors);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The reader introduces itself: its log may know that it has read more than its database says. One
/// that has read something is not held up by a log that does not answer.
pub(super) async fn introduce<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    status: &FollowStatus,
) -> Result<(), StepError> {
    let Some(reader) = sink.reader().await? else { return Ok(()) };
    match source.meet(&reader).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let error = "its database knows nothing of what it has read: it was emptied, or is \
                         another one";
            Err(StepError::Refused(error.to_owned(), EMPTIED))
        }
        Err(SourceError::Unavailable(error)) if reader.has_read => {
            tracing::debug!(follower = status.name(), error, "its log does not know it yet");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Before anything is read: does the log still hold what the reader saw at its position? Where it
/// does not and that has been accepted, the reader goes back to their last common position.
pub(super) async fn agree<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    at: &Cursors,
    status: &FollowStatus,
) -> Result<Agreed, StepError> {
    if !at.scope().is_nothing() {
        introduce(source, sink, status).await?;
    }
    let mut places: Vec<Place> = at.places().collect();
    places.extend(unmarked(source, sink, at).await?);
    // A comparison only: the incarnation matters for positions that differ.
    let compared = source.compare(&places, 0).await?;
    let differing: Vec<(Place, Finding)> = compared.differing(&places).collect();
    note(sink, at, &compared, &places).await?;
    if differing.is_empty() {
        return Ok(Agreed::Already);
    }
    let now = compared.history.map_or(0, |history| history.incarnation);
    // A log that declares no history publishes the same facts again by itself, and their ids
    // prevent double effects.
    let accepted = |place: &Place| {
        compared
            .history
            .is_none_or(|history| last_incarnation(at, history, place.shard) < history.incarnation)
    };
    if let Some((Place { shard, position, mark }, finding)) =
        differing.iter().copied().find(|(place, _)| !accepted(place))
    {
        // The log's owner learns that a reader remembers what it does not hold.
        let refused = differing.iter().map(|(place, _)| *place).filter(|place| !accepted(place));
        let refused: Vec<Place> = refused.collect();
        let read_in = compared.history.into_iter().flat_map(|history| {
            refused.iter().map(move |place| last_incarnation(at, history, place.shard))
        });
        source.compare(&refused, read_in.max().unwrap_or(now)).await?;
        let detail = match finding {
            Finding::Ahead => format!("the log ends before position {position}, which was read"),
            _ => format!("the item read at position {position} ({mark}) is not there"),
        };
        return Err(SourceError::Forked { shard, position, detail }.into());
    }
    let mut from = Cursors::default();
    let mut to = Cursors::default();
    for (place, _) in differing {
        from.advance_to(place.shard, place.position, at.mark(place.shard));
        if let Some(common) = last_common(source, sink, place.shard).await? {
            to.advance_to(common.shard, common.position, Some(common.mark));
        }
    }
    for (shard, position) in from.iter() {
        tracing::warn!(
            follower = status.name(),
            shard,
            from = position,
            to = to.get(shard),
            "set back to the last position that the log has in common"
        );
    }
    sink.set_back(&from, &to, now).await?;
    Ok(Agreed::SetBack)
}

/// The incarnation in which a shard was last read, as far as it counts for acceptance: for another
/// log nothing was accepted.
fn last_incarnation(at: &Cursors, history: History, shard: u16) -> u64 {
    match at.log(shard) {
        Some(log) if log != history.log => history.incarnation,
        _ => at.incarnation(shard).max(1),
    }
}

/// Stores which history the reader reads where it agrees with the log; and, where the log is
/// another one altogether, which one it met: only what is accepted after that counts.
async fn note<T: Item>(
    sink: &mut dyn Sink<T>,
    at: &Cursors,
    compared: &Comparison,
    places: &[Place],
) -> Result<(), StepError> {
    let Some(history) = compared.history else {
        return Ok(sink.read_in(&[], None).await?);
    };
    let same = |finding: &Finding| *finding == Finding::Same;
    let strange = |shard: u16| at.log(shard).is_some_and(|log| log != history.log);
    let known = |shard: u16| {
        at.log(shard) == Some(history.log) && at.incarnation(shard) == history.incarnation
    };
    let asked = places.iter().zip(&compared.findings);
    let marked = asked.filter(|(place, _)| at.mark(place.shard).is_some());
    let noted = marked.filter(|(place, found)| same(found) || strange(place.shard));
    let noted = noted.map(|(place, _)| place.shard).filter(|shard| !known(*shard));
    let noted: Vec<u16> = noted.collect();
    Ok(sink.read_in(&noted, Some(history)).await?)
}

/// The positions without a known mark at which the reader is ahead of the log. At the log's very
/// end the reader is assumed to have seen what is there, and stores its mark.
async fn unmarked<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    at: &Cursors,
) -> Result<Vec<Place>, StepError> {
    if at.unmarked().next().is_none() {
        return Ok(Vec::new());
    }
    let heads = source.heads().await?;
    let level = heads
        .places()
        .filter(|head| at.get(head.shard) == head.position && at.mark(head.shard).is_none());
    let level: Vec<Place> = level.collect();
    if !level.is_empty() {
        sink.store_marks(&level).await?;
    }
    let beyond = at.unmarked().filter(|(shard, position)| *position > heads.get(*shard));
    let nothing = Mark::from_bits(0);
    Ok(beyond.map(|(shard, position)| Place { shard, position, mark: nothing }).collect())
}

/// The last remembered place of a shard that the log has too.
async fn last_common<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    shard: u16,
) -> Result<Option<Place>, StepError> {
    let places = sink.places(shard).await?;
    let Comparison { findings, .. } = source.compare(&places, 0).await?;
    let same = places.into_iter().zip(findings).find(|(_, finding)| *finding == Finding::Same);
    Ok(same.map(|(place, _)| place))
}
