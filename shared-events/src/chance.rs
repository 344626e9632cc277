//! Chance as an input: random numbers and ids come from a [`Chance`] that is passed around, and a
//! seed makes every draw repeatable.
//! Never here: what is done with a draw.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use uuid::Uuid;

use crate::contract::{
    CustomerId, HoldId, NotificationId, OrderId, RequestId, ReservationId, ReturnId, SellerId,
    ShipmentId, Subject,
};

/// The source of random numbers and ids: the machine, unless it has a seed. Clones draw from the
/// same source.
#[derive(Clone, Debug, Default)]
pub struct Chance(Option<Arc<Mutex<Seeded>>>);

/// The state of a seeded source.
#[derive(Debug)]
struct Seeded {
    seed: u64,
    random: StdRng,
    /// Ids drawn so far: later ones sort after earlier ones, as the machine's do.
    ids: u64,
}

impl Chance {
    /// The machine's source.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A source with the same draws for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let seeded = Seeded { seed, random: StdRng::seed_from_u64(seed), ids: 0 };
        Self(Some(Arc::new(Mutex::new(seeded))))
    }

    /// A source of its own for a part of a program. With a seed it draws the same for the same part,
    /// however often, and when, other parts draw from theirs.
    #[must_use]
    pub fn of_part(&self, part: &str) -> Self {
        let Some(seeded) = &self.0 else { return Self::system() };
        let seed = seeded.lock().unwrap_or_else(PoisonError::into_inner).seed;
        let mixed = Uuid::new_v5(&Uuid::from_u128(seed.into()), part.as_bytes());
        Self::seeded(mixed.as_u64_pair().0)
    }

    /// A random number, uniform over all 32-bit numbers.
    #[must_use]
    pub fn number(&self) -> u32 {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        self.draw(|seeded| seeded.random.random()).unwrap_or_else(rand::random)
    }

    /// Sixty-four random bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        self.draw(|seeded| seeded.random.random()).unwrap_or_else(rand::random)
    }

    /// A new id, sortable by the time it was drawn (UUID version 7).
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        self.draw(|seeded| {
            seeded.ids += 1;
            let mut random = [0; 10];
            seeded.random.fill_bytes(&mut random);
            uuid::Builder::from_unix_timestamp_millis(seeded.ids, &random).into_uuid()
        })
        .unwrap_or_else(Uuid::now_v7)
    }

    fn draw<T>(&self, of: impl FnOnce(&mut Seeded) -> T) -> Option<T> {
        let seeded = self.0.as_ref()?;
        Some(of(&mut seeded.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

// A table of ids that may be minted at an edge.
macro_rules! minted {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new id, sortable by the time it was minted (UUID version 7). Only edges mint.
            #[must_use]
            pub fn mint() -> Self {
                Self::from_uuid(Chance::system().uuid())
            }
        }
    )*};
}

minted! { Subject OrderId CustomerId SellerId ReservationId ShipmentId ReturnId HoldId NotificationId RequestId }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_every_draw_and_ids_sort_in_order() {
        let draws = |chance: &Chance| (chance.number(), chance.bits(), chance.uuid());
        let (one, again, other) = (Chance::seeded(1), Chance::seeded(1), Chance::seeded(2));
        assert_eq!(draws(&one), draws(&again));
        assert_ne!(draws(&one), draws(&other));
        let ids: Vec<Uuid> = (0..100).map(|_| one.uuid()).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn a_part_draws_the_same_whatever_others_draw() {
        let (alone, beside) = (Chance::seeded(1), Chance::seeded(1));
        let (part, again) = (alone.of_part("timers"), beside.of_part("timers"));
        let others = [beside.clone(), beside.of_part("messages"), Chance::seeded(2)];
        let drawn = |chance: &Chance| (0..10).map(|_| chance.bits()).collect::<Vec<u64>>();
        let elsewhere = others.each_ref().map(drawn);
        let here = drawn(&part);
        assert_eq!(here, drawn(&again));
        assert!(!elsewhere.contains(&here));
        assert_ne!(here, drawn(&Chance::seeded(2).of_part("timers")));
    }
}
