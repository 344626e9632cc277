//! The journal's history: its id, its incarnation, and whether a reader remembers more than it
//! holds.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use shared_events::contract::Timestamp;
use shared_events::stream::{Comparison, Cursors, Finding, History, OperatorAction, Place};

use super::handle::Journal;
use crate::error::JournalError;
use crate::spread::{ANSWERS_WITHIN, within};
use crate::store::{Beginning, Chronicle, Range};

/// A reader may know more incarnations than a journal that was set back; one that claims this many
/// more is mistaken, and would use up the numbers.
const AHEAD_MAX: u64 = 1 << 20;

/// Other nodes may begin an incarnation at the same time; the next number is tried this often.
const NUMBERS_TRIED: u64 = 16;

/// An incarnation after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Its number.
    pub number: u64,
    /// When it began.
    pub began_at: Timestamp,
    /// Why: an operator's reason, or what the database had lost.
    pub reason: String,
    /// Who accepted it.
    pub said_by: String,
    /// The last positions of the shards then.
    pub heads: Cursors,
}

impl From<Beginning> for Incarnation {
    fn from(beginning: Beginning) -> Self {
        let heads: BTreeMap<u16, u64> = serde_json::from_str(&beginning.heads).unwrap_or_default();
        Self {
            number: beginning.number,
            began_at: beginning.at,
            reason: beginning.reason,
            said_by: beginning.said_by,
            heads: heads.into_iter().collect(),
        }
    }
}

impl Journal {
    /// What the databases that answer report of the journal's history: their latest incarnation,
    /// and any doubt. None for a journal in memory.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where none of them answers.
    pub async fn chronicle(&self) -> Result<Option<Chronicle>, JournalError> {
        let (mut found, mut unavailable) = (Vec::new(), None);
        let there = self.databases().iter().map(|database| async move {
            match database.unavailable() {
                Some(unavailable) => Err(unavailable),
                None => within(ANSWERS_WITHIN, database.store.chronicle()).await,
            }
        });
        for answer in join_all(there).await {
            match answer {
                Ok(chronicle) => found.push(chronicle),
                Err(error) => unavailable = Some(error),
            }
        }
        if let (true, Some(error)) = (found.is_empty(), unavailable) {
            return Err(error);
        }
        Ok(found.into_iter().flatten().reduce(|one, other| Chronicle {
            journal: one.journal,
            incarnation: one.incarnation.max(other.incarnation),
            doubted: one.doubted.or(other.doubted),
            doubted_incarnation: one.doubted_incarnation.max(other.doubted_incarnation),
        }))
    }

    /// Every incarnation after the first, by number, as far as the databases that answer know them.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where none of them answers.
    pub async fn incarnations(&self) -> Result<Vec<Incarnation>, JournalError> {
        let (mut found, mut unavailable) = (BTreeMap::new(), None);
        let asked = self.databases().iter().filter(|database| database.unavailable().is_none());
        let asked = asked.map(|database| within(ANSWERS_WITHIN, database.store.incarnations()));
        let mut answered = false;
        for answer in join_all(asked).await {
            match answer {
                Ok(begun) => {
                    answered = true;
                    for beginning in begun {
                        found.entry(beginning.number).or_insert_with(|| beginning.into());
                    }
                }
                Err(error) => unavailable = Some(error),
            }
        }
        match unavailable.filter(|_| !answered) {
            Some(error) => Err(error),
            None => Ok(found.into_values().collect()),
        }
    }

    /// Why nothing is appended for now: a reader remembers what the journal does not hold.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        self.last_chronicle().borrow().as_ref().and_then(|chronicle| chronicle.doubted.clone())
    }

    /// Returns once [`Self::doubt`] differs from this.
    pub async fn doubt_other_than(&self, known: Option<&str>) {
        let changed = |chronicle: &Option<Chronicle>| {
            chronicle.as_ref().and_then(|chronicle| chronicle.doubted.as_deref()) != known
        };
        // The sender lives as long as the journal.
        let _ = self.last_chronicle().subscribe().wait_for(changed).await;
    }

    /// The journal's history, as read at most a second ago; none for a journal in memory, or before
    /// the first read.
    #[must_use]
    pub fn history(&self) -> Option<History> {
        self.last_chronicle().borrow().as_ref().map(Chronicle::history)
    }

    /// Compares places that a reader remembers with the journal. `incarnation` is the one in which
    /// it last read there (0: not known). Where the journal differs, and that was no earlier
    /// incarnation, the journal itself is doubted from now on: it was set back, and no operator has
    /// accepted that yet.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn compare(
        &self,
        places: &[Place],
        incarnation: u64,
        who: &str,
    ) -> Result<Comparison, JournalError> {
        let Some(chronicle) = self.chronicle().await? else {
            return Ok(Comparison::same(None, places.len()));
        };
        if incarnation > chronicle.incarnation.saturating_add(AHEAD_MAX) {
            let text =
                format!("this journal has had no incarnation {incarnation} that could be followed");
            return Err(JournalError::Invalid(text));
        }
        let findings = self.findings(places).await?;
        let comparison = Comparison { history: Some(chronicle.history()), findings };
        if let Some((Place { shard, position, mark }, finding)) =
            comparison.differing(places).next()
            && incarnation >= chronicle.incarnation
        {
            let what = match finding {
                Finding::Ahead => "the shard ends before that",
                _ => "another event is there",
            };
            let doubt = format!("{who} read position {position} ({mark}) of shard {shard}: {what}");
            self.record_doubt(&doubt, incarnation).await?;
        }
        Ok(comparison)
    }

    /// Whether the journal still holds these places. Recently appended places are answered from
    /// memory.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn holds(&self, places: &[Place]) -> Result<bool, JournalError> {
        let lately = |place: &Place| {
            let ours = self.tenure(place.shard).is_some();
            ours && self.tail().mark(place.shard, place.position) == Some(place.mark)
        };
        let asked: Vec<Place> = places.iter().copied().filter(|place| !lately(place)).collect();
        if asked.is_empty() {
            return Ok(true);
        }
        let compared = self.compare(&asked, 0, "a client").await?;
        Ok(compared.differing(&asked).next().is_none())
    }

    /// Compares each place with the journal.
    async fn findings(&self, places: &[Place]) -> Result<Vec<Finding>, JournalError> {
        let heads = self.heads_of(places).await?;
        // A place in an unavailable database is not compared until the database is back.
        let unavailable = |shard: u16| !heads.reads(shard);
        let mut findings = Vec::with_capacity(places.len());
        let mut asked = Vec::new();
        for Place { shard, position, mark } in places {
            let head = heads.get(*shard);
            findings.push(if unavailable(*shard) {
                Finding::Same
            } else if *position > head {
                Finding::Ahead
            } else if *position == head && heads.mark(*shard).is_some_and(|there| there != *mark) {
                Finding::Other
            } else {
                if *position < head {
                    asked.push(Range { shard: *shard, after: position - 1, through: *position });
                }
                Finding::Same
            });
        }
        let there = self.marks(&asked).await?;
        for (place, finding) in places.iter().zip(&mut findings) {
            // Archived events were verified to the end before they were archived.
            let mark = there.get(&(place.shard, place.position));
            if mark.is_some_and(|mark| *mark != place.mark) {
                *finding = Finding::Other;
            }
        }
        Ok(findings)
    }

    /// Records in every database that answers that the journal is not the one that was followed:
    /// one is enough for all nodes.
    async fn record_doubt(&self, why: &str, incarnation: u64) -> Result<(), JournalError> {
        let there = self.databases().iter().filter(|database| database.unavailable().is_none());
        let recording =
            there.map(|database| within(ANSWERS_WITHIN, database.store.doubt(why, incarnation)));
        let (recorded, failed): (Vec<_>, Vec<_>) =
            join_all(recording).await.into_iter().partition(Result::is_ok);
        if recorded.is_empty() {
            failed.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        self.refresh_history().await
    }

    /// Accepts the journal as it is: it continues as another incarnation, and a reader that
    /// remembers more goes back to the last place that it has. An operator's action is written with
    /// it, in every database.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] for a journal in memory, [`JournalError::Unavailable`].
    pub async fn accept(
        &self,
        reason: &str,
        said_by: &str,
        action: Option<OperatorAction>,
    ) -> Result<Chronicle, JournalError> {
        let known = self
            .chronicle()
            .await?
            .ok_or_else(|| JournalError::Invalid("this journal is in memory only".to_owned()))?;
        let heads: BTreeMap<String, u64> =
            self.heads().await?.iter().map(|(shard, at)| (shard.to_string(), at)).collect();
        let mut beginning = Beginning {
            number: known.incarnation.max(known.doubted_incarnation).saturating_add(1),
            at: self.now(),
            reason: reason.to_owned(),
            said_by: said_by.to_owned(),
            heads: serde_json::to_string(&heads)
                .map_err(|error| JournalError::Invalid(error.to_string()))?,
        };
        let last = beginning.number.saturating_add(NUMBERS_TRIED);
        let doubt = known.doubted.as_deref().unwrap_or("not doubted");
        let before = format!("incarnation {}, {doubt}", known.incarnation);
        loop {
            let after = format!("incarnation {}, accepted", beginning.number);
            let action = action.clone().map(|mut action| {
                action.target = known.journal.to_string();
                action.changing(&before, &after)
            });
            let begun = self
                .databases()
                .iter()
                .map(|database| database.store.begin_incarnation(&beginning, action.as_ref()));
            if try_join_all(begun).await?.into_iter().all(|begun| begun) {
                break;
            }
            // Another incarnation, with its own reason, has this number: both are kept.
            beginning.number = beginning.number.saturating_add(1);
            if beginning.number > last {
                let text = "other nodes begin incarnations at the same time".to_owned();
                return Err(JournalError::Unavailable(text));
            }
        }
        tracing::warn!(
            incarnation = beginning.number,
            by = said_by,
            "the journal continues as another incarnation"
        );
        self.refresh_history().await?;
        Ok(Chronicle { incarnation: beginning.number, doubted: None, ..known })
    }

    /// Reads once which history the journal has, and whether it is doubted.
    pub(crate) async fn refresh_history(&self) -> Result<(), JournalError> {
        let found = self.chronicle().await?;
        self.last_chronicle().send_if_modified(|known| {
            if *known == found {
                return false;
            }
            let doubt = |chronicle: &Option<Chronicle>| chronicle.as_ref()?.doubted.clone();
            match (doubt(known), doubt(&found)) {
                (before, Some(why)) if before.as_ref() != Some(&why) => tracing::error!(
                    why,
                    "the journal is not the one that was followed: nothing is appended until it is \
                     accepted (ordinal journal restored)"
                ),
                (Some(_), None) => tracing::warn!("the journal is no longer doubted"),
                _ => {}
            }
            known.clone_from(&found);
            true
        });
        Ok(())
    }
}
