//! The page docs/reasons.md: all stable reasons with meaning and remedy. Reasons of refused calls
//! are
//! [`Reason`]; those that only the command line uses are here.
//!
//! A reason without a row does not compile or fails the tests, which search the sources for codes
//! and check every refusal that they provoke.

use std::fmt::Write as _;

use shared_events::contract::{Reason, StatusCode};

use crate::verify::laws_and_meanings;

/// A stable reason of the command line: `reason` or `code` in its JSON.
#[derive(Clone, Copy, Debug)]
pub struct CliReason {
    /// The code.
    pub code: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

const fn reason(code: &'static str, meaning: &'static str, remedy: &'static str) -> CliReason {
    CliReason { code, meaning, remedy }
}

/// Reasons of the command line itself.
pub const COMMAND_LINE: &[CliReason] = &[
    reason(
        "ARCHIVE_FOREIGN",
        "A file in the archive is from another journal or was changed.",
        "Archive to the directory with this journal's files.",
    ),
    reason("ARCHIVE_INCOMPLETE", "A file of the archive is missing.", "Restore it from a copy."),
    reason(
        "ARCHIVE_UNWRITABLE",
        "A file of the archive cannot be written, or differs when it is read back.",
        "The message says why. Nothing was archived.",
    ),
    reason("ARCHIVING_BUSY", "Another `journal archive` is running.", "Wait for it."),
    reason(
        "ARCHIVING_DISTURBED",
        "An order got new events while it was being archived, or the old table was in use all the time.",
        "Run it again.",
    ),
    reason(
        "BACKUP_INCOMPLETE",
        "A backup is incomplete: a file is missing, truncated or changed.",
        "Make another backup with `ordinal backup`.",
    ),
    reason(
        "EVENT_INVALID",
        "An event is invalid, or the journal does not support the operation.",
        "The message says what.",
    ),
    reason(
        "EVENTS_TABLE_CHANGED",
        "The table of events has additions that its replacement would not have.",
        "Drop what the message names, then run it again.",
    ),
    reason(
        "FAILED",
        "Something failed here, not at the engine: a file, a database, a port.",
        "The message says what.",
    ),
    reason(
        "FOLLOWER_BEHIND",
        "A follower has not read yet what is to be archived.",
        "Wait until `ordinal followers` shows no lag, then run it again.",
    ),
    reason(
        "JOURNAL_CLOSED",
        "The journal was closed, or opened for reading only.",
        "Start the process again.",
    ),
    reason("JOURNAL_CONFLICT", "Another process appended to the order first.", "Retry."),
    reason(
        "JOURNAL_DAMAGED",
        "The journal is damaged: it differs from what was written.",
        "`ordinal verify` finds the place.",
    ),
    reason(
        "JOURNAL_DATABASE_WRONG",
        "A database does not hold these shards of this journal. Nothing was written.",
        "`ordinal journal show URL…` shows what databases hold.",
    ),
    reason(
        "JOURNAL_OUTCOME_UNKNOWN",
        "The connection was lost during a commit: either everything was appended or nothing.",
        "Run it again.",
    ),
    reason(
        "JOURNAL_SUPERSEDED",
        "Another process has the journal now.",
        "Only one process writes to a shard; `ordinal shards list` shows which one.",
    ),
    reason(
        "KEYS_NEED_ONE_DATABASE",
        "Streams of a journal in several databases take no keys.",
        "Place the order without a number and an external id of its own.",
    ),
    reason(
        "KEY_TAKEN",
        "Another stream has a key that an append wants to take.",
        "The message names the stream.",
    ),
    reason("MONTH_NOT_OVER", "Only past months can be archived.", "Name an earlier month."),
    reason(
        "NEEDS_POSTGRES",
        "Only a journal on Postgres can be archived.",
        "Name it with `--database-url`.",
    ),
    reason(
        "USAGE",
        "The command, a setting or a file is invalid. No engine was called.",
        "The message says what is valid; `--help` lists all flags.",
    ),
];

/// Why `ordinal load` skipped a line of a file, besides the reasons of refused calls.
pub const LOAD: &[CliReason] = &[
    reason(
        "CUSTOMERS_MIXED",
        "The lines of one invoice have several customers.",
        "Use one customer per invoice.",
    ),
    reason(
        "INSUFFICIENT_STOCK",
        "The order was placed and cancelled for lack of stock.",
        "Set more stock first, or load with `--stock unlimited` into a fresh engine.",
    ),
    reason("INVOICE_MISSING", "The line has no invoice number.", "Add the number."),
    reason(
        "INVOICE_SPLIT",
        "More than 100 other lines are between the lines of one invoice.",
        "Sort the file by invoice.",
    ),
    reason(
        "MALFORMED_LINE",
        "The line is not a valid record: too few columns, too long, or not UTF-8.",
        "Correct the line; [importing.md](importing.md) describes the format.",
    ),
    reason(
        "CURRENCY_UNREADABLE",
        "The currency of the order is no ISO 4217 code.",
        "Correct it; `--currency` holds for orders that name none.",
    ),
    reason(
        "LINES_MISSING",
        "The order has no line with units.",
        "None if it was cancelled before it was paid; else correct the file.",
    ),
    reason("NUMBER_MISSING", "The row names no order.", "Add the number."),
    reason(
        "ORDER_MIXED",
        "Rows of one order say different things of it; the detail names the field.",
        "Use one number per order.",
    ),
    reason(
        "ORDER_REPEATED",
        "An order of this number came before, with other rows between.",
        "Sort the file by order; remove what is in it twice.",
    ),
    reason(
        "ORDER_UNKNOWN",
        "An item, a customer or a payment of Olist's files belongs to no order of the file of \
         orders; the detail names the file and the line.",
        "Add the order, or remove the row.",
    ),
    reason("NO_CUSTOMER", "A credit note has no customer.", "Name the customer of the order."),
    reason(
        "NO_EARLIER_ORDER",
        "The customer has no delivered order before the credit note.",
        "Load the orders first, or with them.",
    ),
    reason("NOT_BOUGHT", "The customer has not bought this product before.", "Check the product."),
    reason(
        "OPS",
        "The order was placed and then cancelled by an operator.",
        "None: this was a decision.",
    ),
    reason(
        "CUSTOMER_REQUEST",
        "The order was placed and then cancelled for its customer.",
        "None: this was a decision.",
    ),
    reason(
        "OTHER_LINE_REFUSED",
        "Another line of the same invoice was invalid; an order is placed with all its lines or not at all.",
        "Correct the line with a reason of its own.",
    ),
    reason(
        "OTHER_PRICE",
        "The customer bought the product at other prices only.",
        "Use the price of the sale.",
    ),
    reason(
        "PARTLY_RETURNED",
        "Some units of the line were returned, others were refused.",
        "The detail has the reason.",
    ),
    reason(
        "PAYMENT_FAILED",
        "The order was placed and cancelled because it was not paid.",
        "None: this was a decision.",
    ),
    reason("PRICE_NEGATIVE", "The price is negative.", "Use 0 or more."),
    reason(
        "PRICE_UNREADABLE",
        "The price is not an amount of the currency; the detail says why.",
        "Use digits and a point, such as 1234.50, with no more decimals than the currency has.",
    ),
    reason(
        "QUANTITY_OUT_OF_RANGE",
        "The quantity is too large, zero, or has the wrong sign; the detail says which.",
        "Use a quantity within the limits.",
    ),
    reason(
        "QUANTITY_UNREADABLE",
        "The quantity is not a whole number.",
        "Use a number such as 6 or -6.",
    ),
    reason(
        "QUOTE_NOT_CLOSED",
        "A quote in the line is not closed; the detail says how far it reaches.",
        "Close it, or double a quote that is part of the text.",
    ),
    reason(
        "SLA_TIMEOUT",
        "The order was placed and cancelled because it was not confirmed in time.",
        "Check with `ordinal followers` that the follower of stock runs.",
    ),
    reason(
        "TIME_UNREADABLE",
        "The time is invalid.",
        "Use a time such as 2010-12-01 08:26:00 (UTC) or 2010-12-01T09:26:00+01:00.",
    ),
    reason(
        "TOO_FEW_UNITS",
        "The customer has fewer units at this price than are returned.",
        "Check the quantity.",
    ),
    reason(
        "UNCONFIRMED",
        "The order was placed, and stock had not answered when the load stopped waiting.",
        "Load the file again: nothing is done twice.",
    ),
    reason(
        "UNPAID",
        "The order was placed, and is one that nobody pays in a load with `--pay mixed`.",
        "Nothing; `--pay card` pays all of them.",
    ),
];

/// All codes of the page.
pub fn all() -> impl Iterator<Item = &'static str> {
    let reason = COMMAND_LINE.iter().chain(LOAD).map(|reason| reason.code);
    Reason::ALL.iter().map(|reason| reason.code()).chain(reason)
}

/// The page docs/reasons.md.
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

fn table(page: &mut String, reasons: &[CliReason]) {
    page.push_str("| Reason | What happened | What to do |\n|---|---|---|\n");
    for CliReason { code, meaning, remedy } in reasons {
        let _ = writeln!(page, "| `{code}` | {meaning} | {remedy} |");
    }
}

const HEAD: &str = "# Errors and their reasons

Every error is a refusal with a stable reason. gRPC clients find it in `google.rpc.ErrorInfo`
(`reason`, with `domain` \"ordinal\" and further values in `metadata`), and for each field at fault in
`google.rpc.BadRequest`; if a retry helps, `google.rpc.RetryInfo` says after how long.
[examples/clients](../examples/clients/README.md) reads all three in Python, TypeScript and with
`buf curl`. The command line shows the reason after `error: `, and with `--json` as `reason`.

Programs compare reasons, people read texts: a text may change, a reason keeps its meaning. Made of
[one table](../shared-events/src/contract/reason/table.rs) and [src/verbs/reasons.rs](../src/verbs/reasons.rs); a
test keeps page and code in sync.
";

const COMMAND_LINE_HEAD: &str = "
## The command line

In addition to those above. Exit codes: 1 refused or differences found, 2 the command is invalid
(INVALID_ARGUMENT, USAGE), 3 no engine answers (UNAVAILABLE, DEADLINE_EXCEEDED). A status without a
reason is shown by its own name.

";

const LOAD_HEAD: &str = "
## Lines that `ordinal load` skips

`--report` has one for each skipped line; the exit code is 1 if there are any. Other lines have the
reason of the refused call.

";

const LAWS_HEAD: &str = "
## Laws of `ordinal verify`

Each finding names the law, the object and the difference. [operations.md](operations.md) says what to
do then.

";
