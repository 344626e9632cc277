//! The page docs/reasons.md: every stable reason with what it means and what to do about it. Those that
//! calls are refused with are [`Reason`]; here are those that only the command line says.
//!
//! A reason that has no row does not compile, or does not pass the tests: they look through the sources
//! for codes, and at every refusal that they provoke.

use std::fmt::Write as _;

use shared_events::contract::{Reason, StatusCode};

use crate::verify::laws_and_meanings;

/// A stable reason that no call is refused with: `reason` or `code` of the command line's JSON.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// As programs compare it.
    pub code: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

const fn said(code: &'static str, meaning: &'static str, remedy: &'static str) -> Said {
    Said { code, meaning, remedy }
}

/// What the command line says by itself.
pub const COMMAND_LINE: &[Said] = &[
    said(
        "ARCHIVE_FOREIGN",
        "A file in the archive is of another journal, or was changed.",
        "Archive to the directory that this journal's files are in.",
    ),
    said(
        "ARCHIVE_INCOMPLETE",
        "A file is missing between those of the archive.",
        "Bring it back from a copy.",
    ),
    said(
        "ARCHIVE_UNWRITABLE",
        "A file of the archive cannot be written, or is not what is read back.",
        "The message says why. Nothing has left.",
    ),
    said("ARCHIVING_BUSY", "Another `journal archive` runs.", "Wait for it."),
    said(
        "ARCHIVING_DISTURBED",
        "An order came back while its events were about to leave, or others read the old table all the time.",
        "Run it again.",
    ),
    said(
        "BACKUP_INCOMPLETE",
        "A copy of an engine's directory is not whole: a file is missing, cut or changed.",
        "Take another copy with `ordinal backup`.",
    ),
    said(
        "EVENT_INVALID",
        "What was to be appended is no event, or the journal does not do what was asked.",
        "The message says what.",
    ),
    said(
        "EVENTS_TABLE_CHANGED",
        "Somebody has added something to the table of events that a new table would not have.",
        "Drop what the message names, then run it again.",
    ),
    said(
        "FAILED",
        "Something failed here, not at the engine: a file, a database, a port.",
        "The message says what.",
    ),
    said(
        "FOLLOWER_BEHIND",
        "A follower has not read yet what is to leave.",
        "Wait until `ordinal followers` is level, then run it again.",
    ),
    said(
        "JOURNAL_CLOSED",
        "The journal was closed, or opened for reading only.",
        "Start the process again.",
    ),
    said("JOURNAL_CONFLICT", "Somebody else appended to the order first.", "Ask again."),
    said(
        "JOURNAL_DAMAGED",
        "The journal does not read as it was written.",
        "`ordinal verify` names the place.",
    ),
    said(
        "JOURNAL_DATABASE_WRONG",
        "A database is not the one that is to hold these shards of this journal. Nothing was written.",
        "`ordinal journal show URL…` tells what databases hold.",
    ),
    said(
        "JOURNAL_OUTCOME_UNKNOWN",
        "The connection was lost while committing: all of it is appended, or none.",
        "Run it again.",
    ),
    said(
        "JOURNAL_SUPERSEDED",
        "Another process has the journal now.",
        "Only one process writes to a shard; which one, `ordinal shards list` tells.",
    ),
    said("MONTH_NOT_OVER", "Only months that are over are archived.", "An earlier month."),
    said(
        "NEEDS_POSTGRES",
        "Events leave a journal on Postgres only.",
        "`--database-url` says where it is.",
    ),
    said(
        "USAGE",
        "The command, a setting or a file as given makes no sense. Nothing was asked of an engine.",
        "The message says what a right value is; `--help` lists all.",
    ),
];

/// Why `ordinal load` left a line of a file out, beside the reasons of refused calls.
pub const LOAD: &[Said] = &[
    said(
        "CUSTOMERS_MIXED",
        "The lines of one invoice name several customers.",
        "One customer for each invoice.",
    ),
    said(
        "INSUFFICIENT_STOCK",
        "The order was placed and cancelled: stock did not have it.",
        "Set more stock before, or load with `--stock unlimited` into a fresh engine.",
    ),
    said("INVOICE_MISSING", "The line has no invoice number.", "Give it one."),
    said(
        "INVOICE_SPLIT",
        "More than 100 other lines stand between the lines of one invoice.",
        "Sort the file by invoice.",
    ),
    said(
        "MALFORMED_LINE",
        "The line is no record of the table: too few columns, too long, or not UTF-8.",
        "Correct the line; [importing.md](importing.md) tells the format.",
    ),
    said("NO_CUSTOMER", "A credit note without a customer.", "Name the customer of the order."),
    said(
        "NO_EARLIER_ORDER",
        "The customer has no delivered order before the credit note.",
        "Load the orders first, or with them.",
    ),
    said("NOT_BOUGHT", "The customer bought no such product before.", "Check the product."),
    said(
        "OPS",
        "The order was placed and then cancelled by an operator.",
        "None: somebody decided so.",
    ),
    said(
        "CUSTOMER_REQUEST",
        "The order was placed and then cancelled for its customer.",
        "None: somebody decided so.",
    ),
    said(
        "OTHER_LINE_REFUSED",
        "Another line of the same invoice was at fault; an order is placed whole.",
        "Correct the line that has a reason of its own.",
    ),
    said(
        "OTHER_PRICE",
        "The customer bought it before, at other prices only.",
        "A credit note has the price of the sale.",
    ),
    said(
        "PARTLY_RETURNED",
        "Some units of the line came back, others the engine did not take.",
        "The detail has the reason of the others.",
    ),
    said(
        "PAYMENT_FAILED",
        "The order was placed, and cancelled because it was not paid.",
        "None: somebody decided so.",
    ),
    said("PRICE_NEGATIVE", "A price below zero.", "0 or more."),
    said(
        "PRICE_UNREADABLE",
        "The price is no amount of the currency; the detail says what is wrong with it.",
        "Digits and a point, such as 1234.50, with no more decimals than the currency has.",
    ),
    said(
        "QUANTITY_OUT_OF_RANGE",
        "The units are more than a line may have, or none, or on the wrong side of zero; the detail says which.",
        "Within these.",
    ),
    said("QUANTITY_UNREADABLE", "The quantity is no whole number.", "Such as 6 or -6."),
    said(
        "QUOTE_NOT_CLOSED",
        "A quote opens in the line and is not closed; the detail says how far it reaches.",
        "Close it, or double a quote that is text.",
    ),
    said(
        "SLA_TIMEOUT",
        "The order was placed, and cancelled because nobody confirmed it in time.",
        "Does the follower of stock run? `ordinal followers` tells.",
    ),
    said(
        "TIME_UNREADABLE",
        "The time is none.",
        "Such as 2010-12-01 08:26:00 (UTC) or 2010-12-01T09:26:00+01:00.",
    ),
    said(
        "TOO_FEW_UNITS",
        "The customer has fewer units of it left at this price than come back.",
        "Check the quantity.",
    ),
    said(
        "UNCONFIRMED",
        "The order was placed, and stock had not answered when the load had waited long enough.",
        "Load the file again: nothing is done twice.",
    ),
];

/// Every code of the page.
pub fn all() -> impl Iterator<Item = &'static str> {
    let said = COMMAND_LINE.iter().chain(LOAD).map(|said| said.code);
    Reason::ALL.iter().map(|reason| reason.code()).chain(said)
}

/// docs/reasons.md.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Refused calls\n\n");
    page.push_str("| Reason | Status | What happened | What to do |\n|---|---|---|---|\n");
    for reason in Reason::ALL {
        let statuses: Vec<&str> = reason.statuses().iter().copied().map(StatusCode::name).collect();
        let (meaning, remedy) = (reason.meaning(), reason.remedy());
        let _ = writeln!(page, "| `{reason}` | {} | {meaning} | {remedy} |", statuses.join(", "));
    }
    page.push_str(COMMAND_LINE_HEAD);
    table(&mut page, COMMAND_LINE);
    page.push_str(LOAD_HEAD);
    table(&mut page, LOAD);
    page.push_str(LAWS_HEAD);
    page.push_str("| Law | What it says |\n|---|---|\n");
    for (law, meaning) in laws_and_meanings() {
        let _ = writeln!(page, "| `{law}` | {meaning} |");
    }
    page
}

fn table(page: &mut String, reasons: &[Said]) {
    page.push_str("| Reason | What happened | What to do |\n|---|---|---|\n");
    for Said { code, meaning, remedy } in reasons {
        let _ = writeln!(page, "| `{code}` | {meaning} | {remedy} |");
    }
}

const HEAD: &str = "# Errors and their reasons

Every error is a refusal with a stable reason. gRPC clients find it in `google.rpc.ErrorInfo`
(`reason`, with `domain` \"ordinal\" and further values in `metadata`), and for each field at fault in
`google.rpc.BadRequest`; where asking again helps, `google.rpc.RetryInfo` says after how long.
[examples/clients](../examples/clients/README.md) reads all three in Python, TypeScript and with
`buf curl`. The command line shows the reason behind `error: `, and with `--json` as `reason`.

Reasons are compared, texts are read: a text may change, a reason keeps its meaning. Made from
[one table](../shared-events/src/contract/reason/table.rs) and [src/verbs/reasons.rs](../src/verbs/reasons.rs); a
test holds page and code together.
";

const COMMAND_LINE_HEAD: &str = "
## The command line

Beside those above. Exit codes: 1 refused or found wrong, 2 the command makes no sense
(INVALID_ARGUMENT, USAGE), 3 no engine answers (UNAVAILABLE, DEADLINE_EXCEEDED). Where a status came
without a reason, its own name stands for it.

";

const LOAD_HEAD: &str = "
## Lines that `ordinal load` leaves out

`--report` has one for each line; the exit code is 1 where there is any. Beside them, the reason of
the call that was refused.

";

const LAWS_HEAD: &str = "
## Laws of `ordinal verify`

Each finding names the law, of what, and what differs. [operations.md](operations.md) says what to
do then.

";
