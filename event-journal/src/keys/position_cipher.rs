//! Positions as customers see them: each encrypted as another number that only this journal can
//! decrypt. Plain positions would show them how much the shop sells.

use std::sync::Arc;

use super::key::Key;

/// A shard never has more positions (10^12). A number that decrypts to more was not issued by us.
const POSITION_MAX: u64 = 1 << 40;
/// A Feistel network of four rounds is a strong pseudorandom permutation; two more, since its
/// halves are short.
const ROUNDS: u8 = 6;

/// Encrypts positions under the keys of a database of the journal. A journal in memory has no keys
/// and encrypts nothing.
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

    /// The number that stands for a position; 0, before all, stays 0.
    #[must_use]
    pub fn hide(&self, shard: u16, position: u64) -> u64 {
        match (self.0.first(), position) {
            (None, position) | (_, position @ 0) => position,
            (Some(key), position) => match permute(key, shard, position) {
                // 0 is taken already; the number that 0 would become is free.
                0 => permute(key, shard, 0),
                shown => shown,
            },
        }
    }

    /// The position behind this number; none where it is a position under no key. Under a wrong key
    /// any 64 bits may come out, so the smallest is the right one: that another is below position
    /// `n` has a chance of `n` in 2^64.
    #[must_use]
    pub fn reveal(&self, shard: u16, shown: u64) -> Option<u64> {
        if shown == 0 || self.0.is_empty() {
            return Some(shown);
        }
        let seen = self.0.iter().map(|key| match inverse(key, shard, shown) {
            0 => inverse(key, shard, 0),
            position => position,
        });
        seen.filter(|position| *position <= POSITION_MAX).min()
    }
}

fn permute(key: &[u8; 32], shard: u16, number: u64) -> u64 {
    let (mut left, mut right) = halves(number);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ round_function(key, shard, round, right));
    }
    join(left, right)
}

fn inverse(key: &[u8; 32], shard: u16, number: u64) -> u64 {
    let (mut left, mut right) = halves(number);
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ round_function(key, shard, round, left), left);
    }
    join(left, right)
}

fn round_function(key: &[u8; 32], shard: u16, round: u8, half: u32) -> u32 {
    let ([a, b], [c, d, e, f]) = (shard.to_be_bytes(), half.to_be_bytes());
    let hash = blake3::keyed_hash(key, &[a, b, round, c, d, e, f]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn halves(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

fn join(left: u32, right: u32) -> u64 {
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
        fn a_hidden_position_is_revealed_under_its_key_only(
            shard in 0..1024_u16,
            position in 1..=POSITION_MAX,
        ) {
            let shown = under_keys(&[1]).hide(shard, position);
            prop_assert_ne!(shown, 0);
            prop_assert_eq!(under_keys(&[1]).reveal(shard, shown), Some(position));
            // A database that took the shard over has its own key and the one from before.
            prop_assert_eq!(under_keys(&[0, 1]).reveal(shard, shown), Some(position));
            prop_assert_ne!(under_keys(&[2]).reveal(shard, shown), Some(position));
            prop_assert_ne!(under_keys(&[1]).reveal(shard + 1, shown), Some(position));
        }
    }

    /// These are below 2^48 under the first key, too.
    #[test]
    fn a_position_of_an_earlier_key_is_taken_for_none_of_a_newer_one() {
        for position in [98_833, 220_648, 235_454, 293_684, 353_287, 554_378] {
            let shown = under_keys(&[1]).hide(3, position);
            assert_eq!(under_keys(&[0, 1]).reveal(3, shown), Some(position));
        }
    }

    #[test]
    fn adjacent_positions_are_scattered_and_zero_stays_zero() {
        let cipher = under_keys(&[7]);
        let shown: Vec<u64> = (1..1_000).map(|position| cipher.hide(3, position)).collect();
        let ascending = shown.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((400..600).contains(&ascending), "{ascending}");
        let near = shown.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 40).count();
        assert!(near < 10, "{near}");
        assert_eq!((cipher.hide(3, 0), cipher.reveal(3, 0)), (0, Some(0)));
        let none = PositionCipher::default();
        assert_eq!((none.hide(3, 5), none.reveal(3, 5)), (5, Some(5)));
    }
}
