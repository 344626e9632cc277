//! Wallets of customers: accounts of the book by the name of their customer.
//! Never here: how much may be taken from one, which is a limit of its account.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{BoxStream, unfold};
use service_edge::{Refused, Violations, parsed};
use shared_events::contract::{Currency, CustomerId, Money, Reason};
use shared_events::stream::{AskedBy, Database};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::parse::required;
use super::proto;
use super::proto::wallet_service_server::WalletService;
use super::refusal::{other_content, other_terms, refused, unanswered, unavailable};
use super::render::rendered_wallet;
use crate::book::Book;
use crate::domain::{
    Account, ChartAccount, Entry, EntryId, Leg, NewAccount, Opened, Outcome, Refusal, Side,
    TransferKind, UnknownName, WALLET_CURRENCIES_MAX, stepped, wallet_of, wallets_of,
};
use crate::store;
use crate::tail::{Tail, Watcher};

/// The gRPC service of wallets.
pub struct WalletEdge {
    database: Database,
    book: Arc<dyn Book>,
    tail: Tail,
    stop: CancellationToken,
}

/// What moves money into a wallet, or out of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The shop received it.
    TopUp,
    /// The shop puts it right.
    Correction,
}

/// An entry about a wallet, as it was asked for.
struct Asked<'a> {
    customer_id: &'a str,
    entry_id: &'a str,
    amount: Option<&'a proto::Money>,
    reason: &'a str,
    validate_only: bool,
}

/// An entry about a wallet, and the accounts that it opens where they are not.
struct Move {
    customer: CustomerId,
    accounts: Vec<NewAccount>,
    entry: Entry,
    validate_only: bool,
}

impl WalletEdge {
    pub(crate) const fn new(
        database: Database,
        book: Arc<dyn Book>,
        tail: Tail,
        stop: CancellationToken,
    ) -> Self {
        Self { database, book, tail, stop }
    }

    /// Opens what the entry needs and books it; returns the wallet, and whether it was booked before.
    async fn book(&self, asked: Move, by: AskedBy) -> Result<(proto::Wallet, bool), Status> {
        let Move { customer, accounts, entry, validate_only } = asked;
        let replayed = if validate_only {
            self.would_book(accounts, entry).await?
        } else {
            for terms in accounts {
                self.open(terms, &by, entry.reason()).await?;
            }
            stands(self.book.post(entry, by).await.map_err(unanswered)?.outcome)?
        };
        let accounts = accounts_of(&self.database, customer).await?;
        Ok((rendered_wallet(customer, &accounts, false), replayed))
    }

    /// Whether the entry was booked before, or how opening these accounts and booking it would be
    /// refused. The book asks for accounts that are open: where one would be opened first, the other
    /// is asked for its sums after the entry. One that would be opened has neither sums nor a limit
    /// that the entry could pass.
    async fn would_book(&self, accounts: Vec<NewAccount>, entry: Entry) -> Result<bool, Status> {
        let mut opened = Vec::new();
        for terms in accounts {
            match self.book.would_open(terms.clone()).await.map_err(unanswered)? {
                Opened::Open { exists: true, .. } => {}
                Opened::Open { exists: false, .. } => opened.push(terms.name),
                Opened::OtherTerms { account } if terms.fits(&account.terms) => {}
                Opened::OtherTerms { account } => return Err(other_terms(&account)),
            }
        }
        let moved = entry.legs().iter().find_map(|leg| match leg {
            Leg::Transfer { debit, credit, amount } => {
                Some((debit.clone(), credit.clone(), amount.minor))
            }
            _ => None,
        });
        let posted = self.book.would_post(entry).await.map_err(unanswered)?;
        let would_open = |refusal: &Refusal| match refusal {
            Refusal::AccountNotOpen { account } => opened.contains(account),
            _ => false,
        };
        match posted.outcome {
            Outcome::Refused { refusal, exists: false } if would_open(&refusal) => {}
            outcome => return stands(outcome),
        }
        let Some((debit, credit, amount)) = moved else { return Ok(false) };
        for (account, side) in [(debit, Side::Debit), (credit, Side::Credit)] {
            if opened.contains(&account) {
                continue;
            }
            let Some(open) = self.book.account(&account).await.map_err(unanswered)? else {
                return Err(refused(&Refusal::AccountNotOpen { account }, false));
            };
            let after = stepped(&open, side, TransferKind::Posted, amount, 0);
            after.map_err(|refusal| refused(&refusal, false))?;
        }
        Ok(false)
    }

    /// Opens an account where it is not.
    async fn open(&self, terms: NewAccount, by: &AskedBy, reason: &str) -> Result<(), Status> {
        let account = match self.book.account(&terms.name).await.map_err(unanswered)? {
            Some(account) => account,
            None => {
                let opened = self.book.open(terms.clone(), by.clone(), reason.to_owned()).await;
                match opened.map_err(unanswered)? {
                    Opened::Open { account, .. } | Opened::OtherTerms { account } => account,
                }
            }
        };
        if terms.fits(&account.terms) { Ok(()) } else { Err(other_terms(&account)) }
    }
}

/// Whether an entry that stands was booked before; otherwise how it was refused.
fn stands(outcome: Outcome) -> Result<bool, Status> {
    match outcome {
        Outcome::Booked { exists, .. } => Ok(exists),
        Outcome::Refused { refusal, exists } => Err(refused(&refusal, exists)),
        Outcome::OtherContent => Err(other_content()),
    }
}

/// The accounts of a customer's wallet, by currency.
async fn accounts_of(database: &Database, customer: CustomerId) -> Result<Vec<Account>, Status> {
    let found = store::accounts(database, &wallets_of(customer), "", WALLET_CURRENCIES_MAX).await;
    let mut found = found.map_err(|error| unavailable(&error))?;
    // Others may have a name that begins so.
    found.retain(|account| wallet_of(&account.terms.name).is_some());
    Ok(found)
}

/// The customer whose wallet is asked for. Customers have their own.
fn customer_of<T>(request: &Request<T>, id: &str) -> Result<CustomerId, Status> {
    let customer: CustomerId = parsed("customer_id", id)?;
    let by = super::caller(request);
    if by.is_customer() && by.subject.parse::<CustomerId>().ok() != Some(customer) {
        return Err(Refused::new(Reason::Forbidden).say("customers have their own wallet only"));
    }
    Ok(customer)
}

/// An entry about a wallet, or every field at fault.
fn moved(asked: &Asked<'_>, cause: Cause) -> Result<Move, Violations> {
    let mut violations = Violations::default();
    let customer = violations.parsed::<CustomerId>("customer_id", asked.customer_id);
    let id = violations.parsed::<EntryId>("entry_id", asked.entry_id);
    let amount = required("amount", asked.amount, &mut violations);
    match (cause, amount.map(|amount| amount.minor)) {
        (Cause::TopUp, Some(minor)) if minor <= 0 => violations.wrong("amount", "more than 0"),
        (Cause::Correction, Some(0 | i64::MIN)) => {
            violations.wrong("amount", "more than 0, or less");
        }
        _ => {}
    }
    let reason = violations.reason("reason", asked.reason);
    if cause == Cause::Correction && asked.reason.trim().is_empty() {
        violations.wrong("reason", "required; why the wallet is corrected");
    }
    let (Some(customer), Some(id), Some(amount), true) =
        (customer, id, amount, violations.is_empty())
    else {
        return Err(violations);
    };
    let (leg, accounts) = leg_of(customer, amount, cause).map_err(|error| {
        let mut violations = Violations::default();
        violations.wrong("customer_id", error);
        violations
    })?;
    let entry = Entry::new(id, vec![leg], reason).map_err(|wrong| {
        let mut violations = Violations::default();
        for one in wrong {
            let field = if one.field == "entry_id" { "entry_id" } else { "amount" };
            violations.wrong(field, one.what);
        }
        violations
    })?;
    Ok(Move { customer, accounts, entry, validate_only: asked.validate_only })
}

/// The transfer, and the accounts to open. A wallet is opened by what is put into it.
fn leg_of(
    customer: CustomerId,
    amount: Money,
    cause: Cause,
) -> Result<(Leg, Vec<NewAccount>), UnknownName> {
    let currency: Currency = amount.currency;
    let wallet = ChartAccount::Wallet(customer).terms(currency)?;
    let against = match cause {
        Cause::TopUp => ChartAccount::WalletFunding,
        Cause::Correction => ChartAccount::WalletCorrections,
    };
    let against = against.terms(currency)?;
    let names = (wallet.name.clone(), against.name.clone());
    Ok(if amount.minor < 0 {
        let amount = Money::new(amount.minor.saturating_neg(), currency);
        (Leg::Transfer { debit: names.0, credit: names.1, amount }, vec![against])
    } else {
        (Leg::Transfer { debit: names.1, credit: names.0, amount }, vec![against, wallet])
    })
}

/// A wallet that somebody watches.
struct Watching {
    database: Database,
    customer: CustomerId,
    by_customer: bool,
    watcher: Watcher,
    /// As it was told last.
    told: Option<proto::Wallet>,
    stop: CancellationToken,
}

impl Watching {
    /// The wallet as it is now, once it is another than was told last.
    async fn next(&mut self) -> Result<proto::Wallet, Status> {
        loop {
            let wallet = self.read().await?;
            if self.told.as_ref() != Some(&wallet) {
                self.told = Some(wallet.clone());
                return Ok(wallet);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Refused::stopping()),
                () = self.watcher.touched(self.customer) => {}
            }
        }
    }

    async fn read(&self) -> Result<proto::Wallet, Status> {
        let accounts = accounts_of(&self.database, self.customer).await?;
        Ok(rendered_wallet(self.customer, &accounts, self.by_customer))
    }
}

#[tonic::async_trait]
impl WalletService for WalletEdge {
    async fn get_wallet(
        &self,
        request: Request<proto::GetWalletRequest>,
    ) -> Result<Response<proto::GetWalletResponse>, Status> {
        let customer = customer_of(&request, &request.get_ref().customer_id)?;
        let by_customer = super::caller(&request).is_customer();
        let accounts = accounts_of(&self.database, customer).await?;
        let wallet = Some(rendered_wallet(customer, &accounts, by_customer));
        Ok(Response::new(proto::GetWalletResponse { wallet }))
    }

    async fn top_up_wallet(
        &self,
        request: Request<proto::TopUpWalletRequest>,
    ) -> Result<Response<proto::TopUpWalletResponse>, Status> {
        let by = super::caller(&request);
        let proto::TopUpWalletRequest { customer_id, entry_id, amount, reason, validate_only } =
            request.into_inner();
        let asked = Asked {
            customer_id: &customer_id,
            entry_id: &entry_id,
            amount: amount.as_ref(),
            reason: &reason,
            validate_only,
        };
        let (wallet, replayed) = self.book(moved(&asked, Cause::TopUp)?, by).await?;
        Ok(Response::new(proto::TopUpWalletResponse { wallet: Some(wallet), replayed }))
    }

    async fn correct_wallet(
        &self,
        request: Request<proto::CorrectWalletRequest>,
    ) -> Result<Response<proto::CorrectWalletResponse>, Status> {
        let by = super::caller(&request);
        let proto::CorrectWalletRequest { customer_id, entry_id, amount, reason, validate_only } =
            request.into_inner();
        let asked = Asked {
            customer_id: &customer_id,
            entry_id: &entry_id,
            amount: amount.as_ref(),
            reason: &reason,
            validate_only,
        };
        let (wallet, replayed) = self.book(moved(&asked, Cause::Correction)?, by).await?;
        Ok(Response::new(proto::CorrectWalletResponse { wallet: Some(wallet), replayed }))
    }

    type WatchWalletStream = BoxStream<'static, Result<proto::WatchWalletResponse, Status>>;

    async fn watch_wallet(
        &self,
        request: Request<proto::WatchWalletRequest>,
    ) -> Result<Response<Self::WatchWalletStream>, Status> {
        let watching = Watching {
            database: self.database.clone(),
            customer: customer_of(&request, &request.get_ref().customer_id)?,
            by_customer: super::caller(&request).is_customer(),
            watcher: self.tail.watch(),
            told: None,
            stop: self.stop.clone(),
        };
        let wallets = unfold(Some(watching), |watching| async move {
            let mut watching = watching?;
            match watching.next().await {
                Ok(wallet) => {
                    let item = Some(proto::watch_wallet_response::Item::Wallet(wallet));
                    Some((Ok(proto::WatchWalletResponse { item }), Some(watching)))
                }
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(wallets.boxed()))
    }
}
