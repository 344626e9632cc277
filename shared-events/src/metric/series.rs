//! The series of a metric: one for each set of label values, and a bound on their number. Whatever
//! comes beyond it is counted together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The value of each label of the series beyond the bound.
pub(super) const OTHER: &str = "other";

struct Series<const N: usize, T> {
    labels: [Box<str>; N],
    value: T,
}

impl<const N: usize, T> Series<N, T> {
    fn is_of(&self, labels: &[&str; N]) -> bool {
        self.labels.iter().zip(labels).all(|(own, label)| **own == **label)
    }
}

/// At most so many series, found without a lock. A series that exists stays.
pub(super) struct Bounded<const N: usize, T> {
    pub(super) max: usize,
    slots: OnceLock<Box<[OnceLock<Series<N, T>>]>>,
    used: AtomicUsize,
    others: OnceLock<T>,
}

impl<const N: usize, T: Default> Bounded<N, T> {
    pub(super) const fn new(max: usize) -> Self {
        Self { max, slots: OnceLock::new(), used: AtomicUsize::new(0), others: OnceLock::new() }
    }

    fn slots(&self) -> &[OnceLock<Series<N, T>>] {
        let many = || (self.max * 2).next_power_of_two();
        self.slots.get_or_init(|| (0..many()).map(|_| OnceLock::new()).collect())
    }

    /// The value of the series of these labels.
    pub(super) fn at(&self, labels: [&str; N]) -> &T {
        let slots = self.slots();
        let mask = slots.len() - 1;
        let mut index = hash(&labels) & mask;
        loop {
            match slots[index].get() {
                Some(series) if series.is_of(&labels) => return &series.value,
                Some(_) => index = (index + 1) & mask,
                // Half of the slots stay free, so that every search ends.
                None if self.used.fetch_add(1, Ordering::Relaxed) < self.max => {
                    let series = Series { labels: labels.map(Box::from), value: T::default() };
                    if slots[index].set(series).is_err() {
                        // Another thread took it: for the same series, or for another one.
                        self.used.fetch_sub(1, Ordering::Relaxed);
                    }
                }
                None => {
                    self.used.fetch_sub(1, Ordering::Relaxed);
                    return self.others.get_or_init(T::default);
                }
            }
        }
    }

    /// All series, sorted by their labels; last the one for those beyond the bound.
    pub(super) fn all(&self) -> Vec<(Vec<&str>, &T)> {
        let slots = self.slots.get().into_iter().flat_map(|slots| slots.iter());
        let known = slots.filter_map(OnceLock::get);
        let mut all: Vec<_> = known
            .map(|series| (series.labels.iter().map(|label| &**label).collect(), &series.value))
            .collect();
        all.sort_by(|a: &(Vec<&str>, &T), b| a.0.cmp(&b.0));
        all.extend(self.others.get().map(|others| (vec![OTHER; N], others)));
        all
    }
}

/// FNV-1a by words of eight bytes: labels are short, and only have to be told apart.
fn hash(labels: &[&str]) -> usize {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for label in labels {
        for word in label.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(PRIME);
            hash ^= hash >> 29;
        }
        hash = (hash ^ 0xff).wrapping_mul(PRIME);
    }
    usize::try_from(hash >> 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn series_beyond_the_bound_are_counted_together() {
        let series: Bounded<2, AtomicU64> = Bounded::new(3);
        for n in 0..10_000 {
            series.at(["a", &n.to_string()]).fetch_add(1, Ordering::Relaxed);
        }
        let all: Vec<_> =
            series.all().into_iter().map(|(l, v)| (l, v.load(Ordering::Relaxed))).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[3], (vec![OTHER, OTHER], 9_997));
        series.at(["a", "1"]).fetch_add(5, Ordering::Relaxed);
        assert_eq!(series.all()[1].1.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn threads_that_begin_a_series_together_count_in_one() {
        static SERIES: Bounded<1, AtomicU64> = Bounded::new(64);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(|| {
                    for n in 0..6_400 {
                        SERIES.at([&(n % 64).to_string()]).fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let all = SERIES.all();
        let counted: u64 = all.iter().map(|(_, value)| value.load(Ordering::Relaxed)).sum();
        assert_eq!(counted, 8 * 6_400);
    }
}
