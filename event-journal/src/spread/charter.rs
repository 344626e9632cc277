//! Whether the given databases are the right ones. A wrong one is refused before anything is
//! written.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use uuid::Uuid;

use super::database::{ANSWERS_WITHIN, within};
use crate::error::JournalError;
use crate::options::Options;
use crate::shards::{Place, SHARDS_MAX, ShardMap, ShardSet};
use crate::store::{Charter, PostgresStore, Territory, check, impossible, wrong};

/// What is known of the databases of a journal together.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nothing: they are new, or their creation (under this id) was interrupted.
    Unmade(Option<Uuid>),
    /// All of them are initialised.
    Made { journal: Uuid, shards: u16 },
}

/// A database, its answer, and the shards that it should hold.
type Answer<'a> = (&'a Place, &'a str, Result<Option<Charter>, JournalError>);

/// The combined answer of the databases; an error where they do not belong together. An unavailable
/// one is accepted where all the others are known to be complete.
fn agree(answers: &[Answer<'_>], shards: Option<u16>) -> Result<Known, JournalError> {
    let mut made: Option<(&str, &Charter)> = None;
    for (place, label, answer) in answers {
        let charter = match answer {
            Ok(Some(charter)) => charter,
            Ok(None) | Err(JournalError::Unavailable(_)) => continue,
            Err(error) => return Err(error.clone()),
        };
        let shards = shards.unwrap_or(charter.shards);
        let all = ShardSet::first(shards);
        check(label, charter, shards, place.holds.as_ref().unwrap_or(&all))?;
        if let Some((other, known)) = made
            && known.journal != charter.journal
        {
            return Err(wrong(format!("{label} holds shards of another journal than {other}")));
        }
        if made.is_none_or(|(_, known)| !known.complete) {
            made = Some((label, charter));
        }
    }
    let Some((label, known)) = made.filter(|(_, known)| known.complete) else {
        // A database that does not answer may be an initialised one.
        let unavailable = answers.iter().find_map(|(_, _, answer)| answer.as_ref().err());
        return match unavailable {
            Some(unavailable) => Err(unavailable.clone()),
            None => Ok(Known::Unmade(made.map(|(_, charter)| charter.journal))),
        };
    };
    // Complete means that every other one has been initialised.
    let empty = answers.iter().find(|(_, _, answer)| matches!(answer, Ok(None)));
    if let Some((_, empty, _)) = empty {
        return Err(wrong(format!(
            "{empty} is empty, and {label} holds shards of a journal that is complete"
        )));
    }
    Ok(Known::Made { journal: known.journal, shards: known.shards })
}

/// A database of a journal, and the shards that it holds.
pub(crate) struct Opened {
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) holds: ShardSet,
    /// Why its identity was not checked yet. It will be checked before it is used.
    pub(crate) unavailable: Option<JournalError>,
}

/// Opens the databases of a map; those of a new journal are initialised first. If `options` name a
/// node it is enough that one of several answers.
///
/// # Errors
/// [`JournalError::WrongDatabase`], [`JournalError::Unavailable`].
pub(crate) async fn open(
    map: &ShardMap,
    schema: &str,
    options: &Options,
) -> Result<Vec<Opened>, JournalError> {
    let stores = connect(map, schema, options)?;
    let mut answers = ask(map, &stores).await;
    let mut known = agree(&answers, map.shards());
    if let Err(JournalError::WrongDatabase(_)) = known {
        // Another process may have created one after it was asked and before the next one was.
        answers = ask(map, &stores).await;
        known = agree(&answers, map.shards());
    }
    let late_allowed = options.node.is_some() && !options.read_only;
    if !late_allowed && let Some(error) = answers.iter().find_map(|answer| answer.2.clone().err()) {
        return Err(error);
    }
    let (journal, shards) = match known? {
        Known::Made { journal, .. } if options.read_only && journal.is_nil() => {
            return Err(JournalError::Unavailable(
                "its tables are older than this program: run `ordinal migrate` first".to_owned(),
            ));
        }
        Known::Made { journal, shards } if options.read_only => (journal, shards),
        Known::Made { journal, shards } => (up_to_date(&answers, &stores, journal).await?, shards),
        Known::Unmade(_) if options.read_only => {
            return Err(JournalError::Unavailable(
                "the journal was never opened for writing".into(),
            ));
        }
        Known::Unmade(journal) => {
            make(
                map,
                &stores,
                journal.unwrap_or_else(|| options.chance.uuid()),
                map.shards().unwrap_or(options.shards),
            )
            .await?
        }
    };
    let unavailable: Vec<_> = answers.into_iter().map(|(_, _, answer)| answer.err()).collect();
    let mut opened = Vec::new();
    for ((store, place), unavailable) in stores.into_iter().zip(map.places()).zip(unavailable) {
        let holds = place.holds.clone().unwrap_or_else(|| ShardSet::first(shards));
        store.expect_territory(Territory { journal, shards, holds: holds.clone() });
        opened.push(Opened { store, holds, unavailable });
    }
    Ok(opened)
}

/// Migrates the databases that answered. Tables older than the journal's id get one only then.
async fn up_to_date(
    answers: &[Answer<'_>],
    stores: &[Arc<PostgresStore>],
    journal: Uuid,
) -> Result<Uuid, JournalError> {
    let there = stores.iter().zip(answers).filter(|(_, answer)| answer.2.is_ok());
    let there: Vec<&Arc<PostgresStore>> = there.map(|(store, _)| store).collect();
    try_join_all(there.iter().map(|store| store.migrate())).await?;
    match there.first() {
        Some(store) if journal.is_nil() => {
            let charter = store.charter().await?.ok_or_else(|| impossible("journal"))?;
            Ok(charter.journal)
        }
        _ => Ok(journal),
    }
}

/// Migrates every database, unless they do not belong together.
///
/// # Errors
/// As [`open`].
pub(crate) async fn migrate(
    map: &ShardMap,
    schema: &str,
    options: &Options,
) -> Result<(), JournalError> {
    let stores = connect(map, schema, options)?;
    let answers = ask(map, &stores).await;
    if let Some(error) = answers.iter().find_map(|answer| answer.2.clone().err()) {
        return Err(error);
    }
    agree(&answers, map.shards())?;
    try_join_all(stores.iter().map(|store| store.migrate())).await.map(drop)
}

fn connect(
    map: &ShardMap,
    schema: &str,
    options: &Options,
) -> Result<Vec<Arc<PostgresStore>>, JournalError> {
    let shards = map.shards().unwrap_or(options.shards);
    if !options.read_only && !(1..=SHARDS_MAX).contains(&shards) {
        return Err(JournalError::Invalid(format!("a journal has 1 to {SHARDS_MAX} shards")));
    }
    let open = |place: &Place| PostgresStore::connect(&place.url, schema, options).map(Arc::new);
    map.places().iter().map(open).collect()
}

async fn ask<'a>(map: &'a ShardMap, stores: &'a [Arc<PostgresStore>]) -> Vec<Answer<'a>> {
    // Of several, an unavailable one is waited for no longer than readers do.
    let patience = if stores.len() > 1 { ANSWERS_WITHIN } else { Duration::MAX };
    let found = join_all(stores.iter().map(|store| within(patience, store.charter()))).await;
    let places = map.places().iter().zip(stores);
    let answers = places.zip(found);
    answers.map(|((place, store), found)| (place, store.label(), found)).collect()
}

/// Initialises every database of a new journal, and only then records in each that they are
/// complete: an empty one found later is known to be the wrong one. Returns the id of the journal
/// and its number of shards, which were chosen by the process that reached the first database first.
async fn make(
    map: &ShardMap,
    stores: &[Arc<PostgresStore>],
    journal: Uuid,
    shards: u16,
) -> Result<(Uuid, u16), JournalError> {
    try_join_all(stores.iter().map(|store| store.migrate())).await?;
    let mut first: Option<(Uuid, u16)> = None;
    for (place, store) in map.places().iter().zip(stores) {
        let (journal, shards) = first.unwrap_or((journal, shards));
        let all = || ShardSet::first(shards);
        let made = store.make(journal, shards, &place.holds.clone().unwrap_or_else(all)).await?;
        let shards = map.shards().unwrap_or(made.shards);
        let holds = place.holds.clone().unwrap_or_else(|| ShardSet::first(shards));
        let (journal, _) = *first.get_or_insert((made.journal, shards));
        Territory { journal, shards, holds }.check(store.label(), Some(&made))?;
    }
    for store in stores {
        store.complete().await?;
    }
    first.ok_or_else(|| wrong("the map names no database".to_owned()))
}
