use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::client::Output;

/// Findings shown to people; programs get all.
const SHOWN_MAX: usize = 50;

/// The laws, in the order in which they build on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// Positions of each shard are gapless, and every event is the one that was written.
    JournalChain,
    /// The databases of the journal refuse to change or delete events, the ledger's its book.
    AppendOnly,
    /// The journal continues from the recorded heads.
    AsNoted,
    /// Archived events are in their files, unchanged.
    ArchiveFiles,
    /// Positions of each shard are gapless, as far as a client can see.
    PositionsGapless,
    /// Each order's versions are gapless, and every event may follow the one before.
    HistoryLegal,
    /// Names that are unique belong to the orders that have them.
    NamesAsReplayed,
    /// No follower's cursor is ahead of its log.
    CursorsNotAhead,
    /// No follower has dead letters.
    NothingParked,
    /// Summaries equal the replayed orders.
    SummariesAsReplayed,
    /// Exactly the open deadlines are armed.
    DeadlinesAsReplayed,
    /// The reservation of an order fits its state.
    ReservationsAsOrders,
    /// Stock's units out and back equal those delivered and returned.
    GoodsOutAndBack,
    /// Stock equals the sums over movements and reservations.
    StockSums,
    /// Each fact has exactly one message per channel.
    NotificationsOnce,
    /// Exactly the messages that are not sent yet are due at some time.
    MessagesDue,
    /// Corrected contacts equal those of the orders.
    ContactsAsOrders,
    /// An order with a payment plan was confirmed with its money secured.
    ConfirmedIsPaid,
    /// A cancelled order with a payment plan wants no money, and knows what it has to give back.
    CancelledIsReleased,
    /// Transfers, and events of payments, have positions without a gap, in hash chains.
    MoneyChain,
    /// Each entry has all its transfers, between accounts of one currency; debits are credits.
    EntriesBalanced,
    /// The sums of each account are what its transfers add up to.
    BalancesAsTransfers,
    /// No account was beyond its limit, at any position.
    LimitsHeld,
    /// Each hold of money is as the transfers say that made and ended it.
    HoldsAsTransfers,
    /// Each order's payments are what their events make of them, and their sums are in order.
    PaymentsAsPlanned,
    /// Each open operation at a provider has one row that says what is next.
    OperationsDue,
    /// No operation was done twice at a provider, as far as our history says.
    OnceAtPsp,
    /// Stored webhooks of providers are gapless; each was handled, waits, is parked or was dropped.
    WebhooksSettled,
    /// The book has what facts of payments say, and each payment's money adds up in it.
    LedgerAsPayments,
    /// Wallets have done what payments by wallet say, and hold nothing else for them.
    WalletsAsPayments,
    /// The book has what payouts to sellers say, and holds nothing else for them.
    PayoutsAsBooked,
    /// Lines of settlement reports add up, are booked, and suspense is what nobody knows.
    SettlementSums,
    /// Payments move what the goods of their orders are worth.
    MoneyAsGoods,
    /// The Redis streams hold the published facts without gaps.
    StreamsAsFacts,
}

impl Law {
    const ALL: [Self; 34] = [
        Self::JournalChain,
        Self::AppendOnly,
        Self::AsNoted,
        Self::ArchiveFiles,
        Self::PositionsGapless,
        Self::HistoryLegal,
        Self::NamesAsReplayed,
        Self::CursorsNotAhead,
        Self::NothingParked,
        Self::SummariesAsReplayed,
        Self::DeadlinesAsReplayed,
        Self::ReservationsAsOrders,
        Self::GoodsOutAndBack,
        Self::StockSums,
        Self::NotificationsOnce,
        Self::MessagesDue,
        Self::ContactsAsOrders,
        Self::ConfirmedIsPaid,
        Self::CancelledIsReleased,
        Self::MoneyChain,
        Self::EntriesBalanced,
        Self::BalancesAsTransfers,
        Self::LimitsHeld,
        Self::HoldsAsTransfers,
        Self::PaymentsAsPlanned,
        Self::OperationsDue,
        Self::OnceAtPsp,
        Self::WebhooksSettled,
        Self::LedgerAsPayments,
        Self::WalletsAsPayments,
        Self::PayoutsAsBooked,
        Self::SettlementSums,
        Self::MoneyAsGoods,
        Self::StreamsAsFacts,
    ];

    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::JournalChain => "journal_chain",
            Self::AppendOnly => "append_only",
            Self::AsNoted => "as_noted",
            Self::ArchiveFiles => "archive_files",
            Self::PositionsGapless => "positions_gapless",
            Self::HistoryLegal => "history_legal",
            Self::NamesAsReplayed => "names_as_replayed",
            Self::CursorsNotAhead => "cursors_not_ahead",
            Self::NothingParked => "nothing_parked",
            Self::SummariesAsReplayed => "summaries_as_replayed",
            Self::DeadlinesAsReplayed => "deadlines_as_replayed",
            Self::ReservationsAsOrders => "reservations_as_orders",
            Self::GoodsOutAndBack => "goods_out_and_back",
            Self::StockSums => "stock_sums",
            Self::NotificationsOnce => "notifications_once",
            Self::MessagesDue => "messages_due",
            Self::ContactsAsOrders => "contacts_as_orders",
            Self::ConfirmedIsPaid => "confirmed_is_paid",
            Self::CancelledIsReleased => "cancelled_is_released",
            Self::MoneyChain => "money_chain",
            Self::EntriesBalanced => "entries_balanced",
            Self::BalancesAsTransfers => "balances_as_transfers",
            Self::LimitsHeld => "limits_held",
            Self::HoldsAsTransfers => "holds_as_transfers",
            Self::PaymentsAsPlanned => "payments_as_planned",
            Self::OperationsDue => "operations_due",
            Self::OnceAtPsp => "once_at_psp",
            Self::WebhooksSettled => "webhooks_settled",
            Self::LedgerAsPayments => "ledger_as_payments",
            Self::WalletsAsPayments => "wallets_as_payments",
            Self::PayoutsAsBooked => "payouts_as_booked",
            Self::SettlementSums => "settlement_sums",
            Self::MoneyAsGoods => "money_as_goods",
            Self::StreamsAsFacts => "streams_as_facts",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::JournalChain => "positions gapless, hash chain unbroken",
            Self::AppendOnly => "the journal and the book of money refuse changes",
            Self::AsNoted => "the journal continues from the recorded heads",
            Self::ArchiveFiles => "archived events are in their files, unchanged",
            Self::PositionsGapless => "positions gapless; clients cannot see hashes",
            Self::HistoryLegal => "every event may follow the one before",
            Self::NamesAsReplayed => "order numbers and external ids belong to their orders",
            Self::CursorsNotAhead => "no follower ahead of its log",
            Self::NothingParked => "no dead letters",
            Self::SummariesAsReplayed => "lists equal the replay",
            Self::DeadlinesAsReplayed => "exactly the open deadlines are armed",
            Self::ReservationsAsOrders => "reservations fit the orders",
            Self::GoodsOutAndBack => "units out and back equal those delivered and returned",
            Self::StockSums => "stock equals movements and reservations",
            Self::NotificationsOnce => "one message per fact and channel",
            Self::MessagesDue => "exactly the waiting messages are due",
            Self::ContactsAsOrders => "corrected contacts equal those of the orders",
            Self::ConfirmedIsPaid => "orders with a payment plan were confirmed with their money",
            Self::CancelledIsReleased => {
                "cancelled orders want no money, and give back what they held"
            }
            Self::MoneyChain => "transfers, payments gapless, hash chains unbroken",
            Self::EntriesBalanced => "every entry whole; debits equal credits in each currency",
            Self::BalancesAsTransfers => "sums of accounts equal their transfers",
            Self::LimitsHeld => "no account beyond its limit, at any position",
            Self::HoldsAsTransfers => "holds of money equal their transfers",
            Self::PaymentsAsPlanned => "payments equal their events, sums in order",
            Self::OperationsDue => "exactly the open operations are due",
            Self::OnceAtPsp => "no operation was done twice",
            Self::WebhooksSettled => "webhooks of providers are gapless, and none is forgotten",
            Self::LedgerAsPayments => "entries equal the facts of payments, cent by cent",
            Self::WalletsAsPayments => "wallets did what payments by them say, and hold no more",
            Self::PayoutsAsBooked => "the book has what payouts say, and holds no more for them",
            Self::SettlementSums => "reports add up and are booked; suspense is what nobody knows",
            Self::MoneyAsGoods => "money taken and paid back equals the goods kept",
            Self::StreamsAsFacts => "Redis holds the published facts",
        }
    }
}

/// All laws with their meanings, for docs/reasons.md.
pub fn laws_and_meanings() -> impl Iterator<Item = (&'static str, &'static str)> {
    Law::ALL.into_iter().map(|law| (law.code(), law.meaning()))
}

/// A violation of a law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The law.
    pub law: Law,
    /// The object: `order/…`, `sku/…`, `shard/…`, `follower/…`.
    pub subject: String,
    /// The difference.
    pub detail: String,
}

/// A shard's head with its hash, as recorded in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The shard.
    pub shard: u16,
    /// Its last position.
    pub position: u64,
    /// The hash there, 64 hexadecimal digits. It covers every event up to it.
    pub hash: String,
}

/// The checks and their findings.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Events that were read.
    pub events: u64,
    /// Orders that were replayed.
    pub orders: u64,
    /// The head of each shard, with its hash.
    pub heads: Vec<Head>,
    /// Each follower's lag in facts; not a finding.
    pub lag: BTreeMap<String, u64>,
    /// The number of objects checked by law.
    pub checked: BTreeMap<&'static str, u64>,
    /// What could not be checked, and why; not a finding either.
    pub unchecked: Vec<String>,
    /// The differences.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Counts one check of a law.
    pub fn check(&mut self, law: Law) {
        self.check_many(law, 1);
    }

    /// Counts several checks of a law.
    pub fn check_many(&mut self, law: Law, things: u64) {
        *self.checked.entry(law.code()).or_default() += things;
    }

    /// Adds a finding.
    pub fn find(&mut self, law: Law, subject: impl Display, detail: impl Display) {
        let (subject, detail) = (subject.to_string(), detail.to_string());
        self.findings.push(Finding { law, subject, detail });
    }

    /// Whether this law has findings.
    pub fn breaks(&self, law: Law) -> bool {
        self.findings.iter().any(|finding| finding.law == law)
    }

    /// Shows the report; exit code 1 if there are findings.
    pub fn show(&self, out: &Output) -> ExitCode {
        if out.json {
            out.value(self);
        } else {
            self.table(out);
        }
        if self.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn table(&self, out: &Output) {
        let broken = |law| self.findings.iter().filter(|finding| finding.law == law).count();
        let rows = Law::ALL.into_iter().filter_map(|law| {
            let checked = self.checked.get(law.code());
            let broken = broken(law);
            if checked.is_none() && broken == 0 {
                return None;
            }
            Some(vec![
                law.code().to_owned(),
                checked.copied().unwrap_or_default().to_string(),
                broken.to_string(),
                law.meaning().to_owned(),
            ])
        });
        out.table(&["LAW", "CHECKED", "BROKEN", "MEANING"], rows);
        let heads = self
            .heads
            .iter()
            .map(|head| vec![head.shard.to_string(), head.position.to_string(), head.hash.clone()]);
        if heads.len() > 0 {
            out.table(&["SHARD", "POSITION", "HASH"], heads);
        }
        for (follower, facts) in self.lag.iter().filter(|(_, facts)| **facts > 0) {
            out.line(format!("{follower} lags by {facts} facts; compared up to its cursor"));
        }
        for unchecked in self.unchecked.iter().take(SHOWN_MAX) {
            out.line(format!("not checked: {unchecked}"));
        }
        if let Some(more) = self.unchecked.len().checked_sub(SHOWN_MAX + 1) {
            out.line(format!("not checked: {} more; --json shows all", more + 1));
        }
        for finding in self.findings.iter().take(SHOWN_MAX) {
            out.line(format!("{} {}: {}", finding.law.code(), finding.subject, finding.detail));
        }
        if let Some(more) = self.findings.len().checked_sub(SHOWN_MAX + 1) {
            out.line(format!("and {} more; --json shows all", more + 1));
        }
        out.line(if self.findings.is_empty() {
            let checked = if self.unchecked.is_empty() { "" } else { " of what was checked" };
            let (events, orders) = (self.events, self.orders);
            format!("{events} events of {orders} orders: every law holds{checked}.")
        } else {
            let (events, orders) = (self.events, self.orders);
            format!("{events} events of {orders} orders; differences: {}.", self.findings.len())
        });
    }
}
