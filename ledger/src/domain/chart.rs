//! The accounts that the engine itself keeps, and opens as they are needed.

use shared_events::contract::{Currency, CustomerId, PspName, Seller};
use uuid::Uuid;

use super::{AccountKind, AccountName, Limit, NewAccount, UnknownName};

/// An account of the engine. There is one in each currency, with the currency at the end of its
/// name, such as `psp_receivable:stripe:GBP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartAccount<'a> {
    /// What a provider has taken for the shop and not paid out.
    PspReceivable(&'a PspName),
    /// Memorandum: what is reserved at providers. Its other side is [`Self::AuthMemoCredit`].
    AuthMemoDebit,
    /// Memorandum: the other side of [`Self::AuthMemoDebit`].
    AuthMemoCredit,
    /// Taken, and its goods have not left.
    CustomerHeld,
    /// What the shop owes a seller.
    Seller(&'a Seller),
    /// What the shop itself sold.
    Sales,
    /// What the shop keeps of its sellers' sales.
    FeeRevenue,
    /// What the shop owes a customer as credit. It is never below zero.
    Wallet(CustomerId),
    /// What the shop has received to put into wallets.
    WalletFunding,
    /// What the shop has put into wallets at its own cost, less what it has taken from them.
    WalletCorrections,
    /// What the shop has at its bank. Payouts leave from it.
    Cash,
    /// What a provider kept for its services.
    PspFee(&'a PspName),
    /// What a provider took for disputes, and did not give back.
    Disputed(&'a PspName),
    /// What a provider paid out and nobody knows what it is for. It must become zero again.
    Suspense(&'a PspName),
    /// What a provider paid out, or took, for nothing that the shop knows.
    PspAdjustments(&'a PspName),
    /// Where money changes its currency, at the rates of reports.
    Exchange,
}

/// How the names of wallets begin.
const WALLET: &str = "wallet";

/// Accounts of one wallet that are looked at most: more than there are currencies.
pub const WALLET_CURRENCIES_MAX: u32 = 500;

/// How the names of a customer's wallets begin, which end with a currency.
#[must_use]
pub fn wallets_of(customer: CustomerId) -> String {
    format!("{WALLET}:{customer}:")
}

/// Whose wallet an account is, and in which currency, by its name; none where it is no wallet.
#[must_use]
pub fn wallet_of(name: &AccountName) -> Option<(CustomerId, Currency)> {
    let mut parts = name.as_str().split(':');
    if parts.next() != Some(WALLET) {
        return None;
    }
    let (customer, currency) = (parts.next()?, parts.next()?);
    // One wallet has one name, however an id could be spelt.
    let id = customer.parse::<CustomerId>().ok().filter(|id| id.to_string() == customer)?;
    let code = Currency::recorded(currency).ok().filter(|code| code.code() == currency)?;
    parts.next().is_none().then_some((id, code))
}

/// The namespace of names that do not fit into an account's name as they are.
const SELLERS: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7365_6c6c_6572);

impl ChartAccount<'_> {
    /// Its terms in a currency.
    ///
    /// # Errors
    /// [`UnknownName`], which no name of a provider or seller is known to cause.
    pub fn terms(self, currency: Currency) -> Result<NewAccount, UnknownName> {
        let (name, kind) = match self {
            Self::PspReceivable(psp) => (format!("psp_receivable:{psp}"), AccountKind::Asset),
            Self::AuthMemoDebit => ("auth_memo_d".to_owned(), AccountKind::Memo),
            Self::AuthMemoCredit => ("auth_memo_c".to_owned(), AccountKind::Memo),
            Self::CustomerHeld => ("customer_held".to_owned(), AccountKind::Liability),
            Self::Seller(seller) => {
                (format!("seller:{}", of_seller(seller)), AccountKind::Liability)
            }
            Self::Sales => ("sales".to_owned(), AccountKind::Income),
            Self::FeeRevenue => ("fee_revenue".to_owned(), AccountKind::Income),
            Self::Wallet(customer) => (format!("{WALLET}:{customer}"), AccountKind::Liability),
            Self::WalletFunding => ("wallet_funding".to_owned(), AccountKind::Asset),
            Self::WalletCorrections => ("wallet_corrections".to_owned(), AccountKind::Expense),
            Self::Cash => ("cash".to_owned(), AccountKind::Asset),
            Self::PspFee(psp) => (format!("psp_fee:{psp}"), AccountKind::Expense),
            Self::Disputed(psp) => (format!("disputed:{psp}"), AccountKind::Asset),
            Self::Suspense(psp) => (format!("suspense:{psp}"), AccountKind::Liability),
            Self::PspAdjustments(psp) => (format!("psp_adjustments:{psp}"), AccountKind::Expense),
            Self::Exchange => ("fx_gain_loss".to_owned(), AccountKind::Income),
        };
        let name: AccountName = format!("{name}:{currency}").parse()?;
        let limit = match self {
            Self::Wallet(_) => Limit::DebitsWithinCredits,
            _ => Limit::None,
        };
        Ok(NewAccount { name, kind, currency, limit })
    }
}

/// The seller's own name where it may stand in an account's, or else `id:` and a UUID (version 5) of
/// it. No two sellers have the same: a name as it is has no colon.
fn of_seller(seller: &Seller) -> String {
    let name = seller.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.bytes().all(plain) {
        return name.to_owned();
    }
    format!("id:{}", Uuid::new_v5(&SELLERS, name.as_bytes()))
}

/// Whether money in this account counts as taken from customers and not paid back: what sellers, the
/// shop and its fees have of it, and what is held.
#[must_use]
pub fn is_of_takings(name: &AccountName) -> bool {
    let first = name.as_str().split(':').next().unwrap_or_default();
    matches!(first, "seller" | "sales" | "fee_revenue" | "customer_held")
}
