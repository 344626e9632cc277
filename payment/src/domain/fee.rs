/// The shop's fee of this much money, both in minor units: `bps` hundredths of a percent, rounded
/// down. A step books the fee after it less the fee before it, so that the steps of any partition
/// add up to the fee of the whole.
#[must_use]
pub fn fee(value: i64, bps: u16) -> i64 {
    let fee = i128::from(value.max(0)) * i128::from(bps) / 10_000;
    i64::try_from(fee).unwrap_or(i64::MAX)
}
