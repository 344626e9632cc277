//! Shards: sets of them, the database that holds each, and the shard of a stream.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::id::StreamId;

/// The most shards a journal can have.
pub(crate) const SHARDS_MAX: u16 = 1_024;

/// Shards by their numbers; written as `0-7,12`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSet(BTreeSet<u16>);

impl ShardSet {
    /// The shards of a journal with this number of them.
    #[must_use]
    pub fn first(count: u16) -> Self {
        Self((0..count).collect())
    }

    /// Whether a shard is among them.
    #[must_use]
    pub fn contains(&self, shard: u16) -> bool {
        self.0.contains(&shard)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, shard: u16) {
        self.0.insert(shard);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<u16> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u16>>(shards: I) -> Self {
        Self(shards.into_iter().collect())
    }
}

impl fmt::Display for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards: Vec<u16> = self.iter().collect();
        let runs = shards.chunk_by(|shard, next| shard.checked_add(1) == Some(*next));
        for (nth, run) in runs.enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [one] => write!(f, "{comma}{one}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl FromStr for ShardSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a list of shards such as 0-7,12");
        let number = |text: &str| text.parse::<u16>().ok().filter(|shard| *shard < SHARDS_MAX);
        let mut shards = BTreeSet::new();
        for run in text.split(',') {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last) =
                number(first).zip(number(last)).filter(|(a, b)| a <= b).ok_or_else(wrong)?;
            shards.extend(first..=last);
        }
        Ok(Self(shards))
    }
}

/// Which Postgres database holds which shards of a journal. URLs may hold passwords, so none of
/// them is ever shown.
#[derive(Clone)]
pub struct ShardMap {
    places: Vec<Place>,
}

/// A database, and the shards that it should hold; all shards where none are named.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) holds: Option<ShardSet>,
}

impl fmt::Debug for ShardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = self.places.iter().map(|place| place.holds.as_ref());
        f.debug_list().entries(holds).finish()
    }
}

impl ShardMap {
    /// All shards, however many, in one database.
    #[must_use]
    pub fn one(url: &str) -> Self {
        Self { places: vec![Place { url: url.to_owned(), holds: None }] }
    }

    /// A map of several databases, each entry `SHARDS=URL` such as `0-7=postgres://…`. Together
    /// they hold every shard from 0 to the highest once; a URL given twice holds the shards of
    /// both.
    ///
    /// # Errors
    /// What is wrong with the map, without any URL.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut places: Vec<Place> = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in entries {
            let (shards, url) = entry
                .split_once('=')
                .filter(|(_, url)| url.starts_with("postgres"))
                .ok_or("an entry is SHARDS=URL, such as 0-7=postgres://host/database")?;
            let shards: ShardSet = shards.parse()?;
            if let Some(twice) = shards.iter().find(|shard| !seen.insert(*shard)) {
                return Err(format!("shard {twice} is named twice"));
            }
            match places.iter_mut().find(|place| place.url == url) {
                Some(Place { holds: Some(holds), .. }) => holds.0.extend(shards.0),
                _ => places.push(Place { url: url.to_owned(), holds: Some(shards) }),
            }
        }
        let missing = (0..).zip(&seen).find(|(expected, shard)| expected != *shard);
        if let Some((missing, _)) = missing {
            return Err(format!("shard {missing} is missing"));
        }
        if places.is_empty() {
            return Err("the map names no database".to_owned());
        }
        // Always in the same order: the first one decides while a journal is created.
        places.sort_by_key(|place| place.holds.iter().flat_map(ShardSet::iter).min());
        Ok(Self { places })
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The number of shards, where the map tells it.
    pub(crate) fn shards(&self) -> Option<u16> {
        let counts = self.places.iter().map(|place| place.holds.as_ref().map(ShardSet::len));
        counts.sum::<Option<usize>>().and_then(|count| u16::try_from(count).ok())
    }
}

/// The first eight bytes of BLAKE3 over the id's 16 bytes, little-endian, modulo the number of
/// shards. It never changes: it decides where existing events are found.
pub(crate) fn shard_of(stream_id: StreamId, shards: u16) -> u16 {
    let hash = blake3::hash(stream_id.uuid().as_bytes());
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    u16::try_from(u64::from_le_bytes(first) % u64::from(shards.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[&str]) -> Result<ShardMap, String> {
        ShardMap::parse(entries.iter().copied())
    }

    #[test]
    fn a_shard_set_survives_its_text() {
        for text in ["0", "0-7", "0-7,12", "3,5,7-9"] {
            assert_eq!(text.parse::<ShardSet>().unwrap().to_string(), text);
        }
        assert_eq!("4,0-1,2".parse::<ShardSet>().unwrap().to_string(), "0-2,4");
        for wrong in ["", "7-0", "-", "0-", "a", "0-1024", "1,,2"] {
            let refused = wrong.parse::<ShardSet>();
            assert!(refused.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refused_map_shows_no_url() {
        let spread = map(&["8-15=postgres://b/x", "0-3=postgres://a/x", "4-7=postgres://a/x"]);
        let spread = spread.unwrap();
        assert_eq!(spread.shards(), Some(16));
        let holds: Vec<String> =
            spread.places.iter().map(|place| place.holds.as_ref().unwrap().to_string()).collect();
        assert_eq!(holds, ["0-7", "8-15"]);
        assert_eq!(ShardMap::one("postgres://a/x").shards(), None);
        for (entries, why) in [
            (&["0-7=postgres://a", "7-15=postgres://b"][..], "shard 7 is named twice"),
            (&["0-6=postgres://a", "8-15=postgres://b"], "shard 7 is missing"),
            (&["1-15=postgres://a"], "shard 0 is missing"),
            (&[], "the map names no database"),
            (&["postgres://user:secret@a"], "an entry is SHARDS=URL"),
            (&["0-x=postgres://user:secret@a"], "\"0-x\" is not a list"),
        ] {
            let refused = map(entries).unwrap_err();
            assert!(refused.starts_with(why) && !refused.contains("secret"), "{refused}");
        }
    }
}
