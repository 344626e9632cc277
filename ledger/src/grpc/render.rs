use service_edge::time::timestamp;
use shared_events::contract::{Currency, CustomerId, Money};

use super::proto;
use crate::domain::{
    Account, AccountKind, Hold, HoldState, Limit, NewAccount, Transfer, TransferKind,
};
use crate::store::BookedEntry;

fn money(minor: i64, currency: Currency) -> proto::Money {
    let (units, nanos) = Money::new(minor, currency).units_nanos();
    proto::Money { currency_code: currency.code().to_owned(), units, nanos }
}

pub(super) fn rendered_account(account: &Account) -> proto::Account {
    use proto::{AccountKind as Kind, AccountLimit as Shown};
    let NewAccount { name, kind, currency, limit } = &account.terms;
    let sum = |minor| Some(money(minor, *currency));
    let balance = proto::Balance {
        posted: sum(account.sums.balance(*kind)),
        available: account.sums.available(*limit).and_then(sum),
        debits_posted: sum(account.sums.debits_posted),
        credits_posted: sum(account.sums.credits_posted),
        debits_held: sum(account.sums.debits_held),
        credits_held: sum(account.sums.credits_held),
        position: account.position,
    };
    let kind = match kind {
        AccountKind::Asset => Kind::Asset,
        AccountKind::Liability => Kind::Liability,
        AccountKind::Equity => Kind::Equity,
        AccountKind::Income => Kind::Income,
        AccountKind::Expense => Kind::Expense,
        AccountKind::Memo => Kind::Memo,
    };
    let limit = match limit {
        Limit::None => Shown::Unspecified,
        Limit::DebitsWithinCredits => Shown::DebitsWithinCredits,
        Limit::CreditsWithinDebits => Shown::CreditsWithinDebits,
    };
    proto::Account {
        name: name.to_string(),
        kind: kind.into(),
        currency_code: currency.code().to_owned(),
        limit: limit.into(),
        open_time: Some(timestamp(account.opened_at)),
        balance: Some(balance),
    }
}

/// A customer's wallet, of its accounts; to customers without positions, by which they could count
/// the transfers of others.
pub(super) fn rendered_wallet(
    customer: CustomerId,
    accounts: &[Account],
    for_customer: bool,
) -> proto::Wallet {
    let balance = |account: &Account| {
        let Account { terms, sums, .. } = account;
        let sum = |minor| Some(money(minor, terms.currency));
        let whole = sums.balance(terms.kind);
        let free = sums.available(terms.limit).unwrap_or(whole);
        proto::WalletBalance {
            currency_code: terms.currency.code().to_owned(),
            balance: sum(whole),
            held: sum(sums.debits_held),
            available: sum(free),
            position: if for_customer { 0 } else { account.position },
        }
    };
    // One that was opened just now is shown once something is in it.
    let touched = accounts.iter().filter(|account| account.position > 0);
    let balances = touched.map(balance).collect();
    proto::Wallet { customer_id: customer.to_string(), balances }
}

/// Who asked for what the book did by itself.
const BY_ITSELF: &str = "ledger";

pub(super) fn rendered_entry(entry: &BookedEntry) -> proto::Entry {
    let refusal = entry.known.answer.as_ref().err();
    let asked_by = if entry.asked_by.is_empty() { BY_ITSELF } else { &entry.asked_by };
    proto::Entry {
        entry_id: entry.id.to_string(),
        transfers: entry.transfers.iter().map(rendered_transfer).collect(),
        refusal: refusal.map(|refusal| refusal.reason().code().to_owned()).unwrap_or_default(),
        refusal_text: refusal.map(ToString::to_string).unwrap_or_default(),
        time: Some(timestamp(entry.at)),
        reason: entry.reason.clone(),
        asked_by: asked_by.to_owned(),
    }
}

fn rendered_transfer(one: &Transfer) -> proto::Transfer {
    use proto::TransferKind as Kind;
    let kind = match one.kind {
        TransferKind::Posted => Kind::Posted,
        TransferKind::Held => Kind::Held,
        TransferKind::HoldPosted => Kind::HoldPosted,
        TransferKind::HoldVoided => Kind::HoldVoided,
        TransferKind::HoldExpired => Kind::HoldExpired,
    };
    proto::Transfer {
        position: one.position,
        kind: kind.into(),
        debit: one.debit.to_string(),
        credit: one.credit.to_string(),
        amount: Some(money(one.amount, one.currency)),
        hold_id: one.hold.map(|hold| hold.to_string()).unwrap_or_default(),
        expire_time: one.expires_at.map(timestamp),
        hash: hex::encode(one.hash),
    }
}

pub(super) fn rendered_hold(hold: &Hold) -> proto::Hold {
    use proto::HoldState as State;
    let state = match hold.state {
        HoldState::Held => State::Held,
        HoldState::Posted => State::Posted,
        HoldState::Voided => State::Voided,
        HoldState::Expired => State::Expired,
    };
    proto::Hold {
        hold_id: hold.id.to_string(),
        debit: hold.debit.to_string(),
        credit: hold.credit.to_string(),
        amount: Some(money(hold.amount, hold.currency)),
        state: state.into(),
        posted: Some(money(hold.posted, hold.currency)),
        expire_time: hold.expires_at.map(timestamp),
    }
}
