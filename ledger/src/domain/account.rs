use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Currency, Timestamp};

/// The name of an account, such as `wallet:c-17` or `psp_receivable:acme`: 1 to 100 ASCII letters,
/// digits and `_ - . :`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// Not a word that this place knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownName(pub &'static str);

impl AccountName {
    /// The most characters.
    pub const CHARS_MAX: usize = 100;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if fits && begins && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnknownName(
                "an account is 1 to 100 ASCII letters, digits and _ - . : and begins with a \
                 letter or digit",
            ))
        }
    }
}

impl TryFrom<String> for AccountName {
    type Error = UnknownName;

    fn try_from(text: String) -> Result<Self, UnknownName> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of an account. It says on which side the account grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKind {
    /// What is owned or owed to the shop. Grows by debits.
    Asset,
    /// What the shop owes. Grows by credits.
    Liability,
    /// What belongs to the owners. Grows by credits.
    Equity,
    /// What was earned. Grows by credits.
    Income,
    /// What was spent. Grows by debits.
    Expense,
    /// A memorandum that is outside of the balance sheet. Grows by debits.
    Memo,
}

impl AccountKind {
    const ALL: [Self; 6] =
        [Self::Asset, Self::Liability, Self::Equity, Self::Income, Self::Expense, Self::Memo];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Asset => "ASSET",
            Self::Liability => "LIABILITY",
            Self::Equity => "EQUITY",
            Self::Income => "INCOME",
            Self::Expense => "EXPENSE",
            Self::Memo => "MEMO",
        }
    }

    /// Whether debits make its balance larger.
    #[must_use]
    pub const fn grows_by_debits(self) -> bool {
        matches!(self, Self::Asset | Self::Expense | Self::Memo)
    }
}

impl FromStr for AccountKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|kind| kind.code() == text);
        found.ok_or(UnknownName("one of ASSET, LIABILITY, EQUITY, INCOME, EXPENSE, MEMO"))
    }
}

/// What the sums of an account may never become. Holds count as if they were posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Anything.
    #[default]
    None,
    /// Debits, with those held, never exceed posted credits: a wallet.
    DebitsWithinCredits,
    /// Credits, with those held, never exceed posted debits: cash.
    CreditsWithinDebits,
}

impl Limit {
    const ALL: [Self; 3] = [Self::None, Self::DebitsWithinCredits, Self::CreditsWithinDebits];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::DebitsWithinCredits => "DEBITS_WITHIN_CREDITS",
            Self::CreditsWithinDebits => "CREDITS_WITHIN_DEBITS",
        }
    }
}

impl FromStr for Limit {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|limit| limit.code() == text);
        found.ok_or(UnknownName("one of NONE, DEBITS_WITHIN_CREDITS, CREDITS_WITHIN_DEBITS"))
    }
}

/// An account to open. Its terms never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Its name.
    pub name: AccountName,
    /// Its kind.
    pub kind: AccountKind,
    /// The only currency of its transfers.
    pub currency: Currency,
    /// Its limit.
    pub limit: Limit,
}

impl NewAccount {
    /// Whether an account that is open is the one that is meant. Whoever opened it may have given it
    /// a limit where none is asked for; what it is must be the same.
    #[must_use]
    pub fn fits(&self, open: &Self) -> bool {
        let limited = self.limit == Limit::None || open.limit == self.limit;
        (&open.name, open.kind, open.currency) == (&self.name, self.kind, self.currency) && limited
    }
}

/// All that was debited and credited, in minor units; each is at least 0 and never more than 64
/// bits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Debits posted.
    pub debits_posted: i64,
    /// Credits posted.
    pub credits_posted: i64,
    /// Debits held.
    pub debits_held: i64,
    /// Credits held.
    pub credits_held: i64,
}

impl Sums {
    /// Whether a limit holds.
    #[must_use]
    pub fn within(&self, limit: Limit) -> bool {
        let sum = |a: i64, b: i64| i128::from(a) + i128::from(b);
        match limit {
            Limit::None => true,
            Limit::DebitsWithinCredits => {
                sum(self.debits_posted, self.debits_held) <= i128::from(self.credits_posted)
            }
            Limit::CreditsWithinDebits => {
                sum(self.credits_posted, self.credits_held) <= i128::from(self.debits_posted)
            }
        }
    }

    /// The posted balance, on the side on which this kind grows.
    #[must_use]
    pub const fn balance(&self, kind: AccountKind) -> i64 {
        // Both are in 0..=MAX, so the difference fits.
        if kind.grows_by_debits() {
            self.debits_posted - self.credits_posted
        } else {
            self.credits_posted - self.debits_posted
        }
    }

    /// What may still be taken from an account with this limit; none where nothing limits it.
    #[must_use]
    pub fn available(&self, limit: Limit) -> Option<i64> {
        let (limit, spent, held) = match limit {
            Limit::None => return None,
            Limit::DebitsWithinCredits => {
                (self.credits_posted, self.debits_posted, self.debits_held)
            }
            Limit::CreditsWithinDebits => {
                (self.debits_posted, self.credits_posted, self.credits_held)
            }
        };
        Some(limit.saturating_sub(spent).saturating_sub(held))
    }
}

/// An account with its sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number among all accounts, from 1; only the store uses it.
    pub number: i64,
    /// Its terms.
    pub terms: NewAccount,
    /// Its sums.
    pub sums: Sums,
    /// The position of the last transfer that touched it; 0 for none.
    pub position: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
}
