/// The shop's fee of this much money, both in minor units: `bps` hundredths of a percent, rounded
/// down. A step books the fee after it less the fee before it, so that the steps of any partition
/// add up to the fee of the whole.
#[must_use]
pub fn fee(value: i64, bps: u16) -> i64 {
    let fee = i128::from(value.max(0)) * i128::from(bps) / 10_000;
    i64::try_from(fee).unwrap_or(i64::MAX)
}

/// The part of `whole` that comes with `done` of `all` units after `before` of them: what is due
/// after the step less what was due before it. The last step takes all that is left.
#[must_use]
pub fn share(whole: i64, all: u64, before: u64, done: u64) -> i64 {
    let upto = |units: u64| {
        let part = i128::from(whole) * i128::from(units.min(all)) / i128::from(all.max(1));
        i64::try_from(part).unwrap_or(whole)
    };
    upto(before.saturating_add(done)) - upto(before)
}
