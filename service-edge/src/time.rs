//! Instants and positions in protos.

use shared_events::contract::{Mark, Timestamp};
use shared_events::stream::Cursors;

/// An instant.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

/// The instant of a proto, cut to the microsecond; none where it is not one of the calendar
/// ([`Timestamp::MIN`] to [`Timestamp::MAX`]) or its nanoseconds are not 0 to 999,999,999.
#[must_use]
pub fn instant(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let micros = time.seconds.checked_mul(1_000_000)?;
    let micros = micros.checked_add(i64::from(time.nanos.div_euclid(1_000)))?;
    let is_one = (0..1_000_000_000).contains(&time.nanos)
        && (Timestamp::MIN.micros()..=Timestamp::MAX.micros()).contains(&micros);
    is_one.then(|| Timestamp::from_micros(micros))
}

/// Each shard with its position, and the mark of it where it is known: the fields of the position
/// messages.
pub fn positions(cursors: &Cursors) -> impl Iterator<Item = (u32, u64, Option<u64>)> + '_ {
    cursors
        .iter()
        .map(|(shard, position)| (u32::from(shard), position, cursors.mark(shard).map(Mark::bits)))
}

/// The cursors from such messages; none where a shard's number is invalid. A position of 0 is none.
pub fn cursors(places: impl IntoIterator<Item = (u32, u64, Option<u64>)>) -> Option<Cursors> {
    let mut cursors = Cursors::default();
    for (shard, position, mark) in places.into_iter().filter(|(_, position, _)| *position > 0) {
        cursors.advance_to(u16::try_from(shard).ok()?, position, mark.map(Mark::from_bits));
    }
    Some(cursors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_before_1970_keeps_its_microseconds() {
        let time = timestamp(Timestamp::from_micros(-1));
        assert_eq!((time.seconds, time.nanos), (-1, 999_999_000));
    }

    #[test]
    fn an_instant_is_read_as_it_was_written_and_others_are_refused() {
        for time in [Timestamp::MIN, Timestamp::from_micros(-1), Timestamp::MAX] {
            assert_eq!(instant(&timestamp(time)), Some(time));
        }
        let time = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        for refused in [time(i64::MAX, 0), time(0, -1), time(0, 1_000_000_000), time(1 << 40, 0)] {
            assert_eq!(instant(&refused), None, "{refused:?}");
        }
    }
}
