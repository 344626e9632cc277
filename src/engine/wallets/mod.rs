//! Wallets of customers as a provider of payments: what is done at it is an entry of the ledger,
//! whose id is the operation. So a call that is made again is the same hold, and what became of one
//! is read from the book.
//! Never here: how much is in a wallet, which the ledger decides.

mod answers; // what the ledger's answers mean

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use ledger::domain::{AccountName, ChartAccount, NewAccount, UnknownName, wallet_of};
use ledger::grpc::proto;
use psp::{
    Answer, Authorize, Capabilities, Capture, Found, Kind, Lookup, OurReference, Psp, Refund,
    Theirs, Void,
};
use service_edge::feed::Identity;
use service_edge::{Wire, reason_of};
use shared_events::contract::{Currency, CustomerId, Money, PspName, Reason};
use tonic::{Code, Status};
use uuid::Uuid;

use super::ledger_link::{Link, money, within, written};
use answers::{
    InBook, authorized, declined, done, is_free_already, not_asked, of_ended, of_entry, of_status,
    refused, unclear,
};

/// The name of the provider, and its dialect in settings. No other provider has it: accounts of the
/// ledger are named by it.
pub(crate) const NAME: &str = "wallet";

/// Whether these settings of a provider mean the wallets.
///
/// # Errors
/// If only one of them does: accounts of the ledger are named by the provider.
pub(crate) fn are_meant(name: &str, dialect: &str) -> anyhow::Result<bool> {
    anyhow::ensure!(dialect != NAME || name == NAME, "name: the wallets of the ledger are {NAME}");
    anyhow::ensure!(dialect == NAME || name != NAME, "name: only the dialect {NAME} has it");
    Ok(dialect == NAME)
}

/// How long an amount stays held: 30 days.
const HELD_SECONDS: u32 = 30 * 24 * 3_600;
/// For how long the same call may be made again: the book never forgets an id.
const KEY_SECONDS: u32 = 365 * 24 * 3_600;
/// How long after a call its entry may still come: a full queue of the ledger takes a minute.
const GRACE_SECONDS: u32 = 60;

/// Accounts that are known to be wallets, at most: some MB. The terms of more are asked for again.
const WALLETS_MAX: usize = 10_000;

/// The wallets of the ledger. Clones share the way to it.
#[derive(Clone, Default)]
pub struct Wallets {
    link: Arc<OnceLock<Link>>,
    /// What needs not be asked for again.
    known: Arc<Mutex<Known>>,
}

/// What the ledger has said of accounts, whose terms never change.
#[derive(Default)]
struct Known {
    /// Currencies in which the account that wallets pay into is open.
    open: BTreeSet<Currency>,
    /// Accounts with the terms of a wallet.
    wallets: BTreeSet<AccountName>,
}

/// What people read with an entry. It is a part of its content, and the same for the same call.
fn reason(what: &str) -> String {
    format!("payment by wallet: {what}")
}

/// What this provider owes the shop, in a currency. Facts of payments book its other side.
fn receivable(currency: Currency) -> Result<NewAccount, UnknownName> {
    let psp: PspName = NAME.parse().map_err(|_| UnknownName("the name of a provider"))?;
    ChartAccount::PspReceivable(&psp).terms(currency)
}

impl Wallets {
    /// The ledger is reached by this wire. Only the first call does anything.
    pub(crate) fn connect(&self, wire: Wire, identity: Identity) {
        drop(self.link.set(Link::new(wire, identity, "wallets")));
    }

    fn link(&self) -> Result<&Link, Status> {
        self.link.get().ok_or_else(|| Status::unavailable("the ledger is not connected yet"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the account that wallets pay into. Else the first reservation would be refused, and so
    /// for ever under its id.
    async fn opened(&self, link: &Link, terms: &NewAccount) -> Result<(), Status> {
        if self.known().open.contains(&terms.currency) {
            return Ok(());
        }
        link.open_asset(terms, reason("account")).await?;
        self.known().open.insert(terms.currency);
        Ok(())
    }

    /// Whether this account has the terms of a wallet. Ledgers of earlier versions opened others of
    /// such a name, and what they hold has no limit. One that is not open is for the book to refuse,
    /// which keeps that under the operation's id.
    async fn is_wallet(&self, link: &Link, terms: &NewAccount) -> Result<bool, Status> {
        if self.known().wallets.contains(&terms.name) {
            return Ok(true);
        }
        let account = match link.account(&terms.name).await {
            Err(status) if status.code() == Code::NotFound => return Ok(true),
            account => account?,
        };
        let is_wallet = account.kind() == proto::AccountKind::Liability
            && account.limit() == proto::AccountLimit::DebitsWithinCredits
            && account.currency_code == terms.currency.code();
        if is_wallet {
            let mut known = self.known();
            if known.wallets.len() >= WALLETS_MAX {
                known.wallets.clear();
            }
            known.wallets.insert(terms.name.clone());
        }
        Ok(is_wallet)
    }

    async fn reserve(&self, call: &Authorize, customer: CustomerId) -> Result<Answer, Status> {
        let link = self.link()?;
        let currency = call.amount.currency;
        let names = ChartAccount::Wallet(customer).terms(currency);
        let (Ok(wallet), Ok(receivable)) = (names, receivable(currency)) else {
            return Ok(refused("invalid_account"));
        };
        if !self.is_wallet(link, &wallet).await? {
            return Ok(declined("account_not_wallet"));
        }
        self.opened(link, &receivable).await?;
        let request = proto::ReserveFundsRequest {
            hold_id: call.key.operation.to_string(),
            debit: wallet.name.to_string(),
            credit: receivable.name.to_string(),
            amount: Some(written(call.amount)),
            expires_in: Some(prost_types::Duration { seconds: HELD_SECONDS.into(), nanos: 0 }),
            reason: reason("authorization"),
            validate_only: false,
        };
        match link.client().reserve_funds(link.request(request)).await {
            Ok(held) => Ok(held.into_inner().hold.as_ref().map_or_else(unclear, authorized)),
            Err(status) => {
                // A ledger that was restored to an earlier state may not have ours any more.
                if reason_of(&status) == Some(Reason::AccountNotOpen) {
                    let mut known = self.known();
                    known.open.remove(&currency);
                    known.wallets.remove(&wallet.name);
                }
                Err(status)
            }
        }
    }

    async fn post(&self, call: &Capture) -> Result<Answer, Status> {
        let (link, operation) = (self.link()?, call.key.operation.to_string());
        let request = proto::PostHoldRequest {
            hold_id: call.authorization.to_string(),
            entry_id: operation.clone(),
            amount: Some(written(call.amount)),
            reason: reason("capture"),
            validate_only: false,
        };
        link.client().post_hold(link.request(request)).await?;
        Ok(done(&operation, Some(call.amount)))
    }

    async fn end(&self, call: &Void) -> Result<Answer, Status> {
        let (link, hold) = (self.link()?, call.authorization.to_string());
        let request = proto::VoidHoldRequest {
            hold_id: hold.clone(),
            entry_id: call.key.operation.to_string(),
            reason: reason("void"),
            validate_only: false,
        };
        let ended = match link.client().void_hold(link.request(request)).await {
            Ok(answer) => answer.into_inner().hold,
            // It is free already, which is all that was asked for.
            Err(status) if is_free_already(&of_status(&status)) => Some(link.hold(&hold).await?),
            Err(status) => return Err(status),
        };
        let amount = ended.and_then(|hold| money(hold.amount.as_ref()));
        Ok(done(&hold, amount))
    }

    /// Gives back to the wallet that a capture has debited.
    async fn give_back(&self, call: &Refund) -> Result<Answer, Status> {
        let (link, operation) = (self.link()?, call.key.operation.to_string());
        let Some((wallet, taken)) = self.captured(link, call).await? else {
            return Ok(refused("capture_not_found"));
        };
        let Ok(receivable) = receivable(call.amount.currency) else {
            return Ok(refused("invalid_account"));
        };
        if call.amount.currency != taken.currency || call.amount.minor > taken.minor {
            return Ok(refused("more_than_captured"));
        }
        let transfer = proto::TransferLeg {
            debit: receivable.name.to_string(),
            credit: wallet.to_string(),
            amount: Some(written(call.amount)),
        };
        let step = Some(proto::leg::Step::Transfer(transfer));
        let request = proto::PostEntryRequest {
            entry_id: operation.clone(),
            legs: vec![proto::Leg { step }],
            reason: reason("refund"),
            validate_only: false,
        };
        link.client().post_entry(link.request(request)).await?;
        Ok(done(&operation, Some(call.amount)))
    }

    /// The wallet that a capture of ours has debited, and how much it took; none where it is none.
    async fn captured(
        &self,
        link: &Link,
        call: &Refund,
    ) -> Result<Option<(AccountName, Money)>, Status> {
        let Ok(capture) = Uuid::try_parse(call.capture.as_str()) else { return Ok(None) };
        let entry = match link.entry(capture).await {
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            entry => entry?,
        };
        let transfer = entry.transfers.first();
        let posts = |one: &&proto::Transfer| one.kind() == proto::TransferKind::HoldPosted;
        let Some(transfer) = transfer.filter(posts) else { return Ok(None) };
        let wallet: Option<AccountName> = transfer.debit.parse().ok();
        let wallet = wallet.filter(|name| wallet_of(name).is_some());
        Ok(wallet.zip(money(transfer.amount.as_ref())))
    }

    /// What the book has of an operation.
    async fn found(
        &self,
        operation: Uuid,
        kind: Option<Kind>,
        about: Option<&str>,
    ) -> Result<Answer, Status> {
        let link = self.link()?;
        Ok(match of_entry(&link.entry(operation).await?) {
            InBook::Known(answer) => answer,
            InBook::Hold => authorized(&link.hold(&operation.to_string()).await?),
            InBook::Ended => match (kind, about) {
                (Some(kind), Some(hold)) => of_ended(kind, &link.hold(hold).await?),
                _ => declined("canceled"),
            },
        })
    }
}

async fn answer(call: impl Future<Output = Result<Answer, Status>> + Send) -> Answer {
    within(call).await.unwrap_or_else(|status| of_status(&status))
}

#[async_trait]
impl Psp for Wallets {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // What is not posted of a hold is free again.
            multi_capture: false,
            partial_refund: true,
            release_remainder: true,
            payouts: false,
            authorization_seconds: HELD_SECONDS,
            key_seconds: KEY_SECONDS,
            grace_seconds: GRACE_SECONDS,
        }
    }

    async fn authorize(&self, call: Authorize) -> Answer {
        // Whose wallet it is says the order. The token says only that it is meant.
        if call.token.expose() != NAME {
            return declined("token_not_wallet");
        }
        match call.customer {
            Some(customer) => answer(self.reserve(&call, customer)).await,
            None => refused("customer_unknown"),
        }
    }

    async fn capture(&self, call: Capture) -> Answer {
        answer(self.post(&call)).await
    }

    async fn void(&self, call: Void) -> Answer {
        answer(self.end(&call)).await
    }

    async fn refund(&self, call: Refund) -> Answer {
        answer(self.give_back(&call)).await
    }

    async fn fetch(&self, of: OurReference) -> Found {
        let found = within(self.found(of.0, None, None)).await;
        found.map_or_else(|status| not_asked(&status), Found::Known)
    }

    async fn find(&self, of: &Lookup) -> Found {
        let about = of.about.as_ref().map(psp::PspReference::as_str);
        let found = within(self.found(of.operation.0, Some(of.kind), about)).await;
        found.map_or_else(|status| not_asked(&status), Found::Known)
    }

    async fn look(&self, _: &Theirs) -> Found {
        // Nobody else does anything at it that it would tell of.
        Found::Nothing
    }
}

#[cfg(test)]
mod tests;
