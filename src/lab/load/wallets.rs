//! Wallets that pay orders: each is filled with what an order costs, once, and their own book is the
//! ledger.
//! Never here: an attempt to pay.

use ledger::grpc::proto::ledger_service_client::LedgerServiceClient;
use ledger::grpc::proto::wallet_service_client::WalletServiceClient;
use ledger::grpc::proto::{self, TransferKind};
use order_actor::grpc::proto as orders;
use payment::grpc::proto as payments;
use shared_events::contract::Reason;

use super::calls::{Calls, Outcome};
use super::plan::derived;
use super::provider::{Sums, minor};
use crate::client::Failure;
use crate::engine::wallets::NAME as WALLET;

/// Why, as people read it. A part of what the ledger knows a repetition by.
const REASON: &str = "for an order of a file";

/// The entry by which an order's wallet is filled: the same for a load that is run again.
fn entry_of(order_id: &str) -> String {
    derived(&format!("top-up/{order_id}")).to_string()
}

/// Puts what an order costs into the wallet of its customer; called again, nothing more.
///
/// # Errors
/// Where the engine stops answering.
pub async fn fill(calls: &Calls, order: &orders::Order) -> Result<Outcome<()>, Failure> {
    let amount = order.total.as_ref().map(|total| proto::Money {
        currency_code: total.currency_code.clone(),
        units: total.units,
        nanos: total.nanos,
    });
    let request = proto::TopUpWalletRequest {
        customer_id: order.customer_id.clone(),
        entry_id: entry_of(&order.order_id),
        amount,
        reason: REASON.to_owned(),
        validate_only: false,
    };
    let answer = calls.persist(|| {
        let mut wallets = WalletServiceClient::new(calls.channel());
        let request = calls.request(request.clone());
        async move { wallets.top_up_wallet(request).await }
    });
    Ok(answer.await?.map(drop))
}

/// How much was put into a wallet for an order, in minor units; none where it is no order that
/// [`fill`] was called for.
///
/// # Errors
/// Where the engine stops answering.
pub async fn topped_up(calls: &Calls, order_id: &str) -> Result<Option<i64>, Failure> {
    let Some(entry) = entry(calls, entry_of(order_id)).await? else { return Ok(None) };
    let sums = entry.transfers.iter().map(|one| minor(one.amount.as_ref()));
    Ok(Some(sums.sum::<anyhow::Result<i64>>()?))
}

/// What the ledger has of an operation: an amount that left a wallet, or came back into one.
///
/// # Errors
/// Where the engine stops answering.
pub async fn said(calls: &Calls, operation: &payments::Operation) -> Result<Sums, Failure> {
    let mut sums = Sums::default();
    if !matches!(
        operation.kind(),
        payments::OperationKind::Capture | payments::OperationKind::Refund
    ) {
        return Ok(sums);
    }
    let entry = entry(calls, operation.operation_id.clone()).await?;
    for one in entry.iter().flat_map(|entry| &entry.transfers) {
        let amount = minor(one.amount.as_ref())?;
        match one.kind() {
            TransferKind::HoldPosted => sums.captured += amount,
            TransferKind::Posted => sums.refunded += amount,
            _ => {}
        }
    }
    Ok(sums)
}

/// What wallets owe the shop by the ledger, in minor units: zero once it has read what payments say
/// of them, and nothing else moved.
///
/// # Errors
/// Where the engine stops answering.
pub async fn owed(calls: &Calls, currency: &str) -> Result<i64, Failure> {
    let name = receivable(currency);
    let request = proto::GetAccountRequest { name, ..Default::default() };
    let answer = calls.persist(|| {
        let mut ledger = LedgerServiceClient::new(calls.channel());
        let request = calls.request(request.clone());
        async move { ledger.get_account(request).await }
    });
    let account = match answer.await? {
        Ok(answer) => answer.account.unwrap_or_default(),
        Err(refused) if refused.code == Reason::NotFound.code() => return Ok(0),
        Err(refused) => return Err(anyhow::anyhow!("ledger: {}", refused.message).into()),
    };
    Ok(minor(account.balance.unwrap_or_default().posted.as_ref())?)
}

/// The account of what wallets owe the shop.
pub fn receivable(currency: &str) -> String {
    format!("psp_receivable:{WALLET}:{currency}")
}

/// An entry of the ledger; none where nothing was booked under this id.
async fn entry(calls: &Calls, entry_id: String) -> Result<Option<proto::Entry>, Failure> {
    let request = proto::GetEntryRequest { entry_id };
    let answer = calls.persist(|| {
        let mut ledger = LedgerServiceClient::new(calls.channel());
        let request = calls.request(request.clone());
        async move { ledger.get_entry(request).await }
    });
    match answer.await? {
        Ok(answer) => Ok(answer.entry.filter(|entry| entry.refusal.is_empty())),
        Err(refused) if refused.code == Reason::NotFound.code() => Ok(None),
        Err(refused) => Err(anyhow::anyhow!("ledger: {}", refused.message).into()),
    }
}
