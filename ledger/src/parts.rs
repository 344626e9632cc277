use shared_events::contract::{Currency, Money};

use crate::domain::{ChartAccount, Entry, EntryId, Leg, NewAccount};

/// An entry, and the accounts that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The entry.
    pub entry: Entry,
    /// Its accounts, which are opened where they are not.
    pub accounts: Vec<NewAccount>,
}

/// A fact that cannot be booked as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unbookable(pub(crate) String);

/// The legs of an entry, while they are collected.
pub(crate) struct Legs {
    /// Of the legs that are added next.
    pub(crate) currency: Currency,
    legs: Vec<Leg>,
    accounts: Vec<NewAccount>,
}

impl Legs {
    pub(crate) const fn new(currency: Currency) -> Self {
        Self { currency, legs: Vec::new(), accounts: Vec::new() }
    }

    fn account(&mut self, of: ChartAccount<'_>) -> Result<NewAccount, Unbookable> {
        let terms = of.terms(self.currency).map_err(|error| Unbookable(error.to_string()))?;
        if !self.accounts.contains(&terms) {
            self.accounts.push(terms.clone());
        }
        Ok(terms)
    }

    /// Debits one and credits the other; nothing where the amount is 0.
    pub(crate) fn move_money(
        &mut self,
        debit: ChartAccount<'_>,
        credit: ChartAccount<'_>,
        minor: i64,
    ) -> Result<(), Unbookable> {
        match minor {
            0 => return Ok(()),
            below if below < 0 => return Err(Unbookable("an amount below zero".to_owned())),
            _ => {}
        }
        let (debit, credit) = (self.account(debit)?.name, self.account(credit)?.name);
        let amount = Money::new(minor, self.currency);
        self.legs.push(Leg::Transfer { debit, credit, amount });
        Ok(())
    }

    /// The same of an amount that may be below zero: then the other way round.
    pub(crate) fn shift(
        &mut self,
        debit: ChartAccount<'_>,
        credit: ChartAccount<'_>,
        minor: i64,
    ) -> Result<(), Unbookable> {
        if minor >= 0 {
            return self.move_money(debit, credit, minor);
        }
        let above = minor.checked_neg().ok_or_else(|| Unbookable("out of range".to_owned()))?;
        self.move_money(credit, debit, above)
    }

    /// The amount in minor units, which must be in the currency of the legs.
    pub(crate) fn minor(&self, money: Money) -> Result<i64, Unbookable> {
        if money.currency != self.currency {
            return Err(Unbookable("amounts of two currencies".to_owned()));
        }
        Ok(money.minor)
    }

    /// The entry of these legs; none where nothing moves.
    pub(crate) fn entry(self, id: EntryId, reason: String) -> Result<Option<Posting>, Unbookable> {
        if self.legs.is_empty() {
            return Ok(None);
        }
        let entry = Entry::new(id, self.legs, reason).map_err(|wrong| {
            Unbookable(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        Ok(Some(Posting { entry, accounts: self.accounts }))
    }
}
