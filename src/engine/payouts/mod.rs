//! Sellers' accounts of the ledger, from which payouts are held and posted, and the rules of payouts
//! in the settings.
//! Never here: how much is paid out, which payments decide.

mod rules; // rules in the settings

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use ledger::domain::{ChartAccount, NewAccount, UnknownName};
use ledger::grpc::proto;
use payment::domain::{BookStep, Payout, SellerBalance};
use payment::{BookAway, Booked, SellerBook};
use service_edge::feed::Identity;
use service_edge::{Wire, reason_of, time};
use shared_events::contract::{Currency, PayoutId, Reason, Seller, Timestamp};
use tonic::{Code, Status};
use uuid::Uuid;

use super::ledger_link::{Link, money, within, written};

pub(crate) use rules::{Payouts, PayoutsTable};

/// Who asks for what payouts book, as the book names them.
pub(crate) const SUBJECT: &str = "payouts";

/// The entry of a payout that is booked by a step: that of its hold has the payout's own id.
#[must_use]
pub(crate) fn entry_of(payout: PayoutId, step: BookStep) -> Uuid {
    let name: &[u8] = match step {
        BookStep::Hold => return payout.uuid(),
        BookStep::Post => b"post",
        BookStep::Void => b"void",
        BookStep::Mirror => b"mirror",
    };
    Uuid::new_v5(&payout.uuid(), name)
}

/// How the reasons of all that is booked of a payout begin.
#[must_use]
pub(crate) fn beginning_of(payout: PayoutId) -> String {
    format!("payout {payout} to ")
}

/// The accounts between which a payout is held: the seller's, and the shop's cash.
///
/// # Errors
/// [`UnknownName`], which no seller is known to cause.
pub(crate) fn accounts_of(
    seller: &Seller,
    currency: Currency,
) -> Result<(NewAccount, NewAccount), UnknownName> {
    Ok((ChartAccount::Seller(seller).terms(currency)?, ChartAccount::Cash.terms(currency)?))
}

/// The sellers' accounts of the ledger. Clones share the way to it.
#[derive(Clone, Default)]
pub(crate) struct Sellers {
    link: Arc<OnceLock<Link>>,
    /// Currencies in which the account for cash is known to be open.
    open: Arc<Mutex<BTreeSet<Currency>>>,
}

impl Sellers {
    /// The ledger is reached by this wire. Only the first call does anything.
    pub(crate) fn connect(&self, wire: Wire, identity: Identity) {
        drop(self.link.set(Link::new(wire, identity, SUBJECT)));
    }

    fn link(&self) -> Result<&Link, Status> {
        self.link.get().ok_or_else(|| Status::unavailable("the ledger is not connected yet"))
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<Currency>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums of an account, now or as of an instant; none where it is not open.
    async fn sums(
        &self,
        account: &NewAccount,
        at: Option<Timestamp>,
    ) -> Result<Option<proto::Balance>, Status> {
        let link = self.link()?;
        let request = proto::GetAccountRequest {
            name: account.name.to_string(),
            position: 0,
            as_of_time: at.map(time::timestamp),
        };
        let asked = request.as_of_time;
        match link.client().get_account(link.request(request)).await {
            Ok(answer) => sums_of(answer.into_inner(), asked),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    async fn counted(
        &self,
        (seller, currency): (&Seller, Currency),
        old: Timestamp,
        earlier: Timestamp,
    ) -> Result<Option<SellerBalance>, Status> {
        let named = ChartAccount::Seller(seller).terms(currency);
        let account = named.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let Some(now) = self.sums(&account, None).await? else { return Ok(None) };
        let minor = |amount: Option<&proto::Money>| {
            let amount = money(amount).filter(|amount| amount.currency == currency);
            amount.map(|amount| amount.minor).ok_or_else(|| Status::data_loss("no balance"))
        };
        let mut balance = SellerBalance {
            credits: minor(now.credits_posted.as_ref())?,
            debits: minor(now.debits_posted.as_ref())?,
            held: minor(now.debits_held.as_ref())?,
            ..SellerBalance::default()
        };
        // Who has nothing is paid nothing.
        if balance.available() <= 0 {
            return Ok(Some(balance));
        }
        let then = self.sums(&account, Some(old)).await?.unwrap_or_default();
        balance.old_credits = minor(then.credits_posted.as_ref())?;
        let then = self.sums(&account, Some(earlier)).await?.unwrap_or_default();
        balance.earlier_credits = minor(then.credits_posted.as_ref())?;
        Ok(Some(balance))
    }

    /// Books a step; returns the entry.
    async fn booked(&self, step: BookStep, of: &Payout) -> Result<proto::Entry, Status> {
        let link = self.link()?;
        let accounts = accounts_of(&of.seller, of.amount.currency);
        let (seller, cash) =
            accounts.map_err(|error| Status::invalid_argument(error.to_string()))?;
        if step == BookStep::Hold {
            self.opened(link, &cash).await?;
        }
        let (hold_id, entry_id) = (of.id.to_string(), entry_of(of.id, step).to_string());
        let (seller, cash) = (seller.name.to_string(), cash.name.to_string());
        let amount = Some(written(of.amount));
        let (what, leg) = match step {
            BookStep::Hold => {
                let expires_in = None;
                let hold = proto::HoldLeg { debit: seller, credit: cash, amount, expires_in };
                ("held", proto::leg::Step::Hold(hold))
            }
            BookStep::Post => {
                ("paid", proto::leg::Step::Post(proto::PostLeg { hold_id, amount: None }))
            }
            BookStep::Void => ("not paid", proto::leg::Step::Void(proto::VoidLeg { hold_id })),
            BookStep::Mirror => {
                let back = proto::TransferLeg { debit: cash, credit: seller, amount };
                ("came back", proto::leg::Step::Transfer(back))
            }
        };
        let request = proto::PostEntryRequest {
            entry_id,
            legs: vec![proto::Leg { step: Some(leg) }],
            // A part of its content, and the same for the same step.
            reason: format!("{}{}: {what}", beginning_of(of.id), of.seller),
            validate_only: false,
        };
        let answer = link.client().post_entry(link.request(request)).await;
        match answer {
            Ok(answer) => answer.into_inner().entry.ok_or_else(|| Status::data_loss("no entry")),
            Err(status) => {
                // A ledger that was restored to an earlier state may not have it any more.
                if reason_of(&status) == Some(Reason::AccountNotOpen) {
                    self.open().remove(&of.amount.currency);
                }
                Err(status)
            }
        }
    }

    /// Opens the account for cash. Else the first hold would be refused, and so for ever under its
    /// id.
    async fn opened(&self, link: &Link, cash: &NewAccount) -> Result<(), Status> {
        if self.open().contains(&cash.currency) {
            return Ok(());
        }
        link.open_asset(cash, "payouts: account".to_owned()).await?;
        self.open().insert(cash.currency);
        Ok(())
    }
}

/// The sums of an answer, which must be of the time that was asked for. A ledger of an earlier
/// version does not know the question and answers with those of now: money of today would be paid
/// out, and nothing kept back.
fn sums_of(
    answer: proto::GetAccountResponse,
    asked: Option<prost_types::Timestamp>,
) -> Result<Option<proto::Balance>, Status> {
    if answer.as_of_time != asked {
        return Err(Status::unavailable("the ledger does not answer as of a time"));
    }
    Ok(answer.account.and_then(|account| account.balance))
}

/// The ledger could not be asked.
fn away(status: &Status) -> BookAway {
    BookAway(format!("the ledger answered {:?}", status.code()))
}

/// What a refusal by the ledger means. One by the book is kept with the id: asked again, it is the
/// same.
fn of_status(status: &Status) -> Result<Booked, BookAway> {
    let code = || reason_of(status).map_or("refused", Reason::code).to_ascii_lowercase();
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => Ok(Booked::Refused(code())),
        // It may be booked all the same.
        _ => Err(away(status)),
    }
}

#[async_trait]
impl SellerBook for Sellers {
    async fn balance(
        &self,
        of: (&Seller, Currency),
        old: Timestamp,
        earlier: Timestamp,
    ) -> Result<Option<SellerBalance>, BookAway> {
        let counted = within(self.counted(of, old, earlier)).await;
        counted.map_err(|status| away(&status))
    }

    async fn holds(&self, payout: PayoutId) -> Result<bool, BookAway> {
        let link = self.link().map_err(|status| away(&status))?;
        match within(link.hold(&payout.to_string())).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(away(&status)),
        }
    }

    async fn book(&self, step: BookStep, of: &Payout) -> Result<Booked, BookAway> {
        match within(self.booked(step, of)).await {
            Ok(entry) => {
                let at = entry.time.as_ref().and_then(time::instant);
                at.map(Booked::At).ok_or_else(|| BookAway("the ledger says no time".to_owned()))
            }
            Err(status) => of_status(&status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_another_time_than_was_asked_for_are_none() {
        let then = time::timestamp(Timestamp::from_micros(1_000_000));
        let answer = |as_of_time| {
            let balance = Some(proto::Balance::default());
            let account = proto::Account { balance, ..proto::Account::default() };
            proto::GetAccountResponse { account: Some(account), as_of_time }
        };
        assert!(sums_of(answer(Some(then)), Some(then)).unwrap().is_some());
        assert!(sums_of(answer(None), None).unwrap().is_some());
        // A ledger of an earlier version says the sums of now.
        let refused = sums_of(answer(None), Some(then)).unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
    }
}
