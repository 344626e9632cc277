use serde::Serialize;
use shared_events::contract::Money;

use super::Totals;

/// Sums that the client expects; one that is absent may be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExpectedTotals {
    /// See [`Totals::goods`].
    pub goods: Option<Money>,
    /// See [`Totals::discounts`].
    pub discounts: Option<Money>,
    /// See [`Totals::charges`].
    pub charges: Option<Money>,
    /// See [`Totals::tax`].
    pub tax: Option<Money>,
    /// See [`Totals::total`].
    pub total: Option<Money>,
}

impl ExpectedTotals {
    pub(in crate::domain) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first sum that is not as expected, and what it is.
    pub(in crate::domain) fn differs(&self, totals: &Totals) -> Option<(&'static str, Money)> {
        let sums = [
            ("goods", self.goods, totals.goods),
            ("discounts", self.discounts, totals.discounts),
            ("charges", self.charges, totals.charges),
            ("tax", self.tax, totals.tax),
            ("total", self.total, totals.total),
        ];
        let wrong = |(field, expected, is): (_, Option<Money>, Money)| {
            expected.filter(|expected| *expected != is).map(|_| (field, is))
        };
        sums.into_iter().find_map(wrong)
    }
}
