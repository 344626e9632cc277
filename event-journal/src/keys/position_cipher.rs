//! Positions as customers are shown them: another number for each, that only this journal can turn
//! back. Counted, a shard's positions would tell them how much the shop sells.

use std::sync::Arc;

use super::key::Key;

/// More never stand in a shard. What turns back to more was not shown by us.
const POSITION_MAX: u64 = 1 << 48;
/// A Feistel network of four rounds is a strong pseudorandom permutation; two more, since its
/// halves are short.
const ROUNDS: u8 = 6;

/// Hides positions under the keys of a part of the journal. One without keys, which is forgotten
/// with its process, hides nothing.
#[derive(Clone, Default)]
pub struct PositionCipher(Arc<[[u8; 32]]>);

impl std::fmt::Debug for PositionCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PositionCipher(..)")
    }
}

impl PositionCipher {
    pub(crate) fn under(keys: &[Key]) -> Self {
        let derived = |key: &Key| blake3::derive_key("ordinal positions for customers", &key.bytes);
        Self(keys.iter().map(derived).collect())
    }

    /// The number by which a position is shown; 0, before all, is 0.
    #[must_use]
    pub fn hide(&self, shard: u16, position: u64) -> u64 {
        match (self.0.first(), position) {
            (None, position) | (_, position @ 0) => position,
            (Some(key), position) => match permuted(key, shard, position) {
                // Taken already. What 0 becomes is free.
                0 => permuted(key, shard, 0),
                shown => shown,
            },
        }
    }

    /// The position that is shown by this number; none where no position is, under any key.
    #[must_use]
    pub fn see(&self, shard: u16, shown: u64) -> Option<u64> {
        if shown == 0 || self.0.is_empty() {
            return Some(shown);
        }
        let seen = self.0.iter().map(|key| match turned_back(key, shard, shown) {
            0 => turned_back(key, shard, 0),
            position => position,
        });
        seen.into_iter().find(|position| *position <= POSITION_MAX)
    }
}

fn permuted(key: &[u8; 32], shard: u16, number: u64) -> u64 {
    let (mut left, mut right) = halves(number);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ mixed(key, shard, round, right));
    }
    whole(left, right)
}

fn turned_back(key: &[u8; 32], shard: u16, number: u64) -> u64 {
    let (mut left, mut right) = halves(number);
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ mixed(key, shard, round, left), left);
    }
    whole(left, right)
}

fn mixed(key: &[u8; 32], shard: u16, round: u8, half: u32) -> u32 {
    let ([a, b], [c, d, e, f]) = (shard.to_be_bytes(), half.to_be_bytes());
    let hash = blake3::keyed_hash(key, &[a, b, round, c, d, e, f]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn halves(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

fn whole(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn under_keys(keys: &[u8]) -> PositionCipher {
        let key = |byte: &u8| Key { id: byte.to_string(), bytes: [*byte; 32] };
        PositionCipher::under(&keys.iter().map(key).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn what_is_hidden_is_seen_again_and_by_nobody_else(
            shard in 0..1024_u16,
            position in 1..=POSITION_MAX,
        ) {
            let shown = under_keys(&[1]).hide(shard, position);
            prop_assert_ne!(shown, 0);
            prop_assert_eq!(under_keys(&[1]).see(shard, shown), Some(position));
            // A part that took the shard over has its own key and the one from before.
            prop_assert_eq!(under_keys(&[0, 1]).see(shard, shown), Some(position));
            prop_assert_ne!(under_keys(&[2]).see(shard, shown), Some(position));
            prop_assert_ne!(under_keys(&[1]).see(shard + 1, shown), Some(position));
        }
    }

    #[test]
    fn neighbours_are_no_neighbours_and_the_beginning_is_the_beginning() {
        let cipher = under_keys(&[7]);
        let shown: Vec<u64> = (1..1_000).map(|position| cipher.hide(3, position)).collect();
        let ascending = shown.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((400..600).contains(&ascending), "{ascending}");
        let near = shown.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 40).count();
        assert!(near < 10, "{near}");
        assert_eq!((cipher.hide(3, 0), cipher.see(3, 0)), (0, Some(0)));
        let none = PositionCipher::default();
        assert_eq!((none.hide(3, 5), none.see(3, 5)), (5, Some(5)));
    }
}
