//! What the legs of an entry do to the part of the book that they touch.

use std::time::Duration;

use shared_events::contract::{Money, Timestamp};

use super::book::{BookPart, Undo};
use super::{
    Account, AccountName, Entry, EntryId, Fingerprint, GENESIS, Head, Hold, HoldId, HoldState, Leg,
    NewAccount, Receipt, Refusal, Side, Sums, Transfer, TransferKind,
};

impl BookPart {
    pub(super) fn leg(
        &mut self,
        entry: &Entry,
        leg: &Leg,
        nth: u16,
        at: Timestamp,
        undo: &mut Undo,
    ) -> Result<(), Refusal> {
        match leg {
            Leg::Transfer { debit, credit, amount } => {
                let kind = TransferKind::Posted;
                let (of, parts) = ((entry.id(), nth), (debit, credit, *amount));
                self.transfer(of, kind, parts, (None, 0, None), at, undo)
            }
            Leg::Hold { debit, credit, amount, seconds } => {
                let id = entry.id().hold(nth);
                let expires_at = seconds.map(|all| at.plus(Duration::from_secs(all.into())));
                let (of, parts) = ((entry.id(), nth), (debit, credit, *amount));
                self.transfer(of, TransferKind::Held, parts, (Some(id), 0, expires_at), at, undo)?;
                let hold = Hold {
                    id,
                    debit: debit.clone(),
                    credit: credit.clone(),
                    amount: amount.minor,
                    currency: amount.currency,
                    state: HoldState::Held,
                    posted: 0,
                    expires_at,
                    made: self.head.position,
                    ended: None,
                };
                undo.holds.push((id, self.holds.insert(id, hold)));
                self.changed_holds.insert(id);
                Ok(())
            }
            Leg::Post { hold, amount } => {
                let kind = TransferKind::HoldPosted;
                self.end(*hold, (entry.id(), nth), kind, *amount, at, undo)
            }
            Leg::Void { hold } => {
                let kind = TransferKind::HoldVoided;
                self.end(*hold, (entry.id(), nth), kind, None, at, undo)
            }
        }
    }

    /// Ends a hold.
    pub(super) fn end(
        &mut self,
        id: HoldId,
        of: (EntryId, u16),
        kind: TransferKind,
        amount: Option<Money>,
        at: Timestamp,
        undo: &mut Undo,
    ) -> Result<(), Refusal> {
        let hold = self.holds.get(&id).cloned().ok_or(Refusal::HoldNotFound { hold: id })?;
        let is_over = hold.expires_at.is_some_and(|due| due <= at);
        let state = match (hold.state, kind) {
            (HoldState::Held, TransferKind::HoldExpired) => None,
            // Its time is over, although nobody has ended it yet.
            (HoldState::Held, _) if is_over => Some(HoldState::Expired),
            (HoldState::Held, _) => None,
            (ended, _) => Some(ended),
        };
        if let Some(state) = state {
            return Err(Refusal::HoldEnded { hold: id, state: state.code().to_owned() });
        }
        let held = Money::new(hold.amount, hold.currency);
        let amount = amount.unwrap_or(held);
        if amount.currency == held.currency && amount.minor > held.minor {
            let (held, requested) = (held.minor, amount.minor);
            return Err(Refusal::MoreThanHeld { hold: id, held, requested });
        }
        let (held, posted) = (held.minor, amount.minor);
        let parts = (&hold.debit, &hold.credit, amount);
        self.transfer(of, kind, parts, (Some(id), held, None), at, undo)?;
        let (state, posted) = match kind {
            TransferKind::HoldPosted => (HoldState::Posted, posted),
            TransferKind::HoldExpired => (HoldState::Expired, 0),
            _ => (HoldState::Voided, 0),
        };
        let ended = Some(self.head.position);
        let after = Hold { state, posted, ended, ..hold.clone() };
        self.holds.insert(id, after);
        undo.holds.push((id, Some(hold)));
        self.changed_holds.insert(id);
        Ok(())
    }

    /// One transfer: both accounts, and its row. Its hash follows when all of its entry is there.
    fn transfer(
        &mut self,
        (entry, leg): (EntryId, u16),
        kind: TransferKind,
        (debit, credit, amount): (&AccountName, &AccountName, Money),
        (hold, held, expires_at): (Option<HoldId>, i64, Option<Timestamp>),
        at: Timestamp,
        undo: &mut Undo,
    ) -> Result<(), Refusal> {
        let find = |name: &AccountName| {
            let found = self.accounts.get(name);
            found.ok_or_else(|| Refusal::AccountNotOpen { account: name.clone() })
        };
        let (debited, credited) = (find(debit)?, find(credit)?);
        for account in [debited, credited] {
            let NewAccount { name, currency, .. } = &account.terms;
            if *currency != amount.currency {
                let (account, currency, requested) = (name.clone(), *currency, amount.currency);
                return Err(Refusal::CurrencyMismatch { account, currency, requested });
            }
        }
        let Money { minor: amount, currency } = amount;
        let debit_after = stepped(debited, Side::Debit, kind, amount, held)?;
        let credit_after = stepped(credited, Side::Credit, kind, amount, held)?;
        self.head.position += 1;
        self.head.at = at;
        let position = self.head.position;
        for (name, sums) in [(debit, debit_after), (credit, credit_after)] {
            if let Some(account) = self.accounts.get_mut(name) {
                undo.accounts.push((name.clone(), account.sums, account.position));
                (account.sums, account.position) = (sums, position);
            }
            if !self.changed.contains(name) {
                self.changed.insert(name.clone());
            }
        }
        self.transfers.push(Transfer {
            position,
            entry,
            leg,
            kind,
            debit: debit.clone(),
            credit: credit.clone(),
            amount,
            currency,
            hold,
            expires_at,
            at,
            debit_after,
            credit_after,
            hash: GENESIS,
        });
        Ok(())
    }

    /// Chains the new transfers from `first`, which are one entry.
    pub(super) fn chain(&mut self, first: usize, entry: &Fingerprint, before: Head) -> Receipt {
        let mut hash = before.hash;
        let mut legs = 0;
        for transfer in self.transfers.iter_mut().skip(first) {
            hash = transfer.chained(&hash, entry);
            transfer.hash = hash;
            legs += 1;
        }
        self.head.hash = hash;
        Receipt { first: before.position + 1, legs, at: self.head.at }
    }
}

/// The sums of an account after a transfer, within its limit.
pub(crate) fn stepped(
    account: &Account,
    side: Side,
    kind: TransferKind,
    amount: i64,
    held: i64,
) -> Result<Sums, Refusal> {
    let Account { terms, sums, .. } = account;
    let after = sums.after(side, kind, amount, held);
    let after = after.ok_or_else(|| Refusal::AmountOverflow { account: terms.name.clone() })?;
    if after.within(terms.limit) {
        return Ok(after);
    }
    Err(Refusal::InsufficientFunds {
        account: terms.name.clone(),
        available: sums.available(terms.limit).unwrap_or(0),
        requested: amount,
    })
}
