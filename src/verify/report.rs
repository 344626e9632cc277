use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;

use super::noted::Head;
use crate::client::Output;

/// Findings that people are shown; programs get all.
const SHOWN_MAX: usize = 50;

/// What a law says. In the order in which they build on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// Positions of each shard are gapless, and every event is the one that was written.
    JournalChain,
    /// The databases of the journal refuse to change or forget what is written.
    AppendOnly,
    /// The journal goes on from where it was noted once.
    AsNoted,
    /// What has left the journal is in its files, unchanged.
    ArchiveFiles,
    /// Positions of each shard are gapless, as far as a client can see.
    PositionsGapless,
    /// Each order's versions are gapless, and every event may follow the one before.
    HistoryLegal,
    /// No follower claims to have seen what the journal does not hold.
    CursorsNotAhead,
    /// No follower has parked what it could not handle.
    NothingParked,
    /// Lists show what the replay gives.
    SummariesAsReplayed,
    /// Every open deadline is armed, and none is armed without one.
    DeadlinesAsReplayed,
    /// What is held for an order fits what became of it.
    ReservationsAsOrders,
    /// Units that left and came back are those delivered and returned.
    GoodsOutAndBack,
    /// Stock sums over movements and reservations.
    StockSums,
    /// Each fact is told exactly once per channel.
    NotificationsOnce,
    /// Every message that has not left is due at some time, and no other is.
    MessagesDue,
    /// What stands in Redis is what was promised, without a gap.
    StreamsAsFacts,
}

impl Law {
    const ALL: [Self; 16] = [
        Self::JournalChain,
        Self::AppendOnly,
        Self::AsNoted,
        Self::ArchiveFiles,
        Self::PositionsGapless,
        Self::HistoryLegal,
        Self::CursorsNotAhead,
        Self::NothingParked,
        Self::SummariesAsReplayed,
        Self::DeadlinesAsReplayed,
        Self::ReservationsAsOrders,
        Self::GoodsOutAndBack,
        Self::StockSums,
        Self::NotificationsOnce,
        Self::MessagesDue,
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
            Self::CursorsNotAhead => "cursors_not_ahead",
            Self::NothingParked => "nothing_parked",
            Self::SummariesAsReplayed => "summaries_as_replayed",
            Self::DeadlinesAsReplayed => "deadlines_as_replayed",
            Self::ReservationsAsOrders => "reservations_as_orders",
            Self::GoodsOutAndBack => "goods_out_and_back",
            Self::StockSums => "stock_sums",
            Self::NotificationsOnce => "notifications_once",
            Self::MessagesDue => "messages_due",
            Self::StreamsAsFacts => "streams_as_facts",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::JournalChain => "positions gapless, hash chain unbroken",
            Self::AppendOnly => "the tables of the journal refuse changes",
            Self::AsNoted => "the journal goes on from what was noted",
            Self::ArchiveFiles => "archived events in their files, unchanged",
            Self::PositionsGapless => "positions gapless; hashes are not shown to clients",
            Self::HistoryLegal => "every event may follow the one before",
            Self::CursorsNotAhead => "no follower ahead of what it follows",
            Self::NothingParked => "no dead letters",
            Self::SummariesAsReplayed => "lists show what the replay gives",
            Self::DeadlinesAsReplayed => "open deadlines armed, no others",
            Self::ReservationsAsOrders => "holds fit the orders",
            Self::GoodsOutAndBack => "units out and back as delivered and returned",
            Self::StockSums => "stock equals movements and reservations",
            Self::NotificationsOnce => "each fact told once per channel",
            Self::MessagesDue => "messages that wait are due, no others",
            Self::StreamsAsFacts => "what stands in Redis is what was promised",
        }
    }
}

/// Every law and what it says, for the page of reasons.
pub fn laws_and_meanings() -> impl Iterator<Item = (&'static str, &'static str)> {
    Law::ALL.into_iter().map(|law| (law.code(), law.meaning()))
}

/// Something that differs from what a law says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which law.
    pub law: Law,
    /// Of what: `order/…`, `sku/…`, `shard/…`, `follower/…`.
    pub subject: String,
    /// What differs.
    pub detail: String,
}

/// What was checked and what differs.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Events that were read.
    pub events: u64,
    /// Orders that were replayed.
    pub orders: u64,
    /// Where each shard of the journal ends, with the hash there.
    pub heads: Vec<Head>,
    /// Facts each follower has yet to handle; no fault, it works.
    pub lag: BTreeMap<String, u64>,
    /// How many things each law was checked on.
    pub checked: BTreeMap<&'static str, u64>,
    /// What could not be looked at, and why; no fault either.
    pub unchecked: Vec<String>,
    /// What differs.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Counts one thing that a law was checked on.
    pub fn check(&mut self, law: Law) {
        self.check_many(law, 1);
    }

    /// Counts things that a law was checked on.
    pub fn check_many(&mut self, law: Law, things: u64) {
        *self.checked.entry(law.code()).or_default() += things;
    }

    /// Writes down what differs.
    pub fn find(&mut self, law: Law, subject: impl Display, detail: impl Display) {
        let (subject, detail) = (subject.to_string(), detail.to_string());
        self.findings.push(Finding { law, subject, detail });
    }

    /// Whether anything differs from what this law says.
    pub fn breaks(&self, law: Law) -> bool {
        self.findings.iter().any(|finding| finding.law == law)
    }

    /// Shows it; exit code 1 where something differs.
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
            out.line(format!("{follower} has {facts} facts to go; compared as far as it got"));
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
