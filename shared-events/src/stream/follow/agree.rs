use super::{FollowStatus, Sink, Trouble};
use crate::contract::Mark;
use crate::stream::{Comparison, Cursors, Finding, History, Item, Place, Source, SourceError};

/// How reader and log came to agree.
#[derive(PartialEq, Eq)]
pub(super) enum Agreed {
    /// The log has what the reader remembers.
    Already,
    /// The reader went back to where both have the same.
    SetBack,
}

/// While everything goes its way: the same question as before anything is read. A log that is away
/// says nothing; what comes next may be had without it.
pub(super) async fn agree_again<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    known: &mut Option<Cursors>,
    status: &FollowStatus,
) -> Result<(), Trouble> {
    let Some(cursors) = known.take() else { return Ok(()) };
    let scope = cursors.scope().clone();
    let asked = async {
        let loaded = sink.cursors().await?.scoped(scope);
        let agreed = agree(source, sink, &loaded, status).await?;
        Ok((agreed == Agreed::Already).then_some(loaded))
    };
    match asked.await {
        Ok(loaded) => *known = loaded,
        Err(Trouble::Unavailable(error)) => {
            tracing::debug!(follower = status.name(), error, "its log is not compared");
            *known = Some(cursors);
        }
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}

/// Before anything is read: does the log have, where the reader is, what the reader saw there? Where
/// it has not and that has been accepted, the reader goes back to the last place that both have.
pub(super) async fn agree<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    at: &Cursors,
    status: &FollowStatus,
) -> Result<Agreed, Trouble> {
    let mut places: Vec<Place> = at.places().collect();
    places.extend(unmarked(source, sink, at).await?);
    // A question only: in which incarnation they were read counts for those that differ.
    let compared = source.compare(&places, 0).await?;
    let differing: Vec<(Place, Finding)> = compared.differing(&places).collect();
    note(sink, at, &compared, &places).await?;
    if differing.is_empty() {
        return Ok(Agreed::Already);
    }
    let now = compared.history.map_or(0, |history| history.incarnation);
    // A log that declares no history tells the same again by itself, and nothing is done twice.
    let accepted = |place: &Place| {
        compared.history.is_none_or(|history| then(at, history, place.shard) < history.incarnation)
    };
    if let Some((Place { shard, position, mark }, finding)) =
        differing.iter().copied().find(|(place, _)| !accepted(place))
    {
        // Whoever keeps the log learns that somebody remembers what it does not hold.
        let refused = differing.iter().map(|(place, _)| *place).filter(|place| !accepted(place));
        let refused: Vec<Place> = refused.collect();
        let read_in = compared
            .history
            .into_iter()
            .flat_map(|history| refused.iter().map(move |place| then(at, history, place.shard)));
        source.compare(&refused, read_in.max().unwrap_or(now)).await?;
        let detail = match finding {
            Finding::Beyond => format!("it ends before position {position}, which was read"),
            _ => format!("what stood at position {position} ({mark}) is not there"),
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
            "set back to where the log has what was read"
        );
    }
    sink.set_back(&from, &to, now).await?;
    Ok(Agreed::SetBack)
}

/// In which incarnation a shard was read last, as far as it counts for what has been accepted: of
/// another log nothing has been.
fn then(at: &Cursors, history: History, shard: u16) -> u64 {
    match at.log(shard) {
        Some(log) if log != history.log => history.incarnation,
        _ => at.incarnation(shard).max(1),
    }
}

/// Has the reader remember which history it reads where it agrees with the log; and where it does
/// not, because the log is another one altogether, which one it met: only what is accepted after
/// that is.
async fn note<T: Item>(
    sink: &mut dyn Sink<T>,
    at: &Cursors,
    compared: &Comparison,
    places: &[Place],
) -> Result<(), Trouble> {
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

/// Of places of which the reader does not know what it saw there: those at which it is ahead of the
/// log. At its very end it is taken to have seen what is there, and will know it from now on.
async fn unmarked<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    at: &Cursors,
) -> Result<Vec<Place>, Trouble> {
    if at.unmarked().next().is_none() {
        return Ok(Vec::new());
    }
    let heads = source.heads().await?;
    let level = heads
        .places()
        .filter(|head| at.get(head.shard) == head.position && at.mark(head.shard).is_none());
    let level: Vec<Place> = level.collect();
    if !level.is_empty() {
        sink.knows(&level).await?;
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
) -> Result<Option<Place>, Trouble> {
    let places = sink.places(shard).await?;
    let Comparison { findings, .. } = source.compare(&places, 0).await?;
    let same = places.into_iter().zip(findings).find(|(_, finding)| *finding == Finding::Same);
    Ok(same.map(|(place, _)| place))
}
