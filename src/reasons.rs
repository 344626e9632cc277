//! Every stable reason with what it means and what to do about it: the page docs/reasons.md.
//!
//! A reason that has no row here does not pass the tests: they look through the sources for codes,
//! and at every refusal that they provoke.

use std::fmt::Write as _;

use tonic::Code;

use crate::cli::code_name;
use crate::verify::laws_and_meanings;

/// A stable reason.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// As programs compare it: `ErrorInfo.reason`, `FieldViolation.reason`, `reason` or `code` of
    /// the command line's JSON.
    pub code: &'static str,
    /// The gRPC statuses that it comes with; none where no call was refused.
    pub statuses: &'static [Code],
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

const fn of(
    code: &'static str,
    statuses: &'static [Code],
    meaning: &'static str,
    remedy: &'static str,
) -> Reason {
    Reason { code, statuses, meaning, remedy }
}

const fn said(code: &'static str, meaning: &'static str, remedy: &'static str) -> Reason {
    of(code, &[], meaning, remedy)
}

const ABORTED: &[Code] = &[Code::Aborted];
const DENIED: &[Code] = &[Code::PermissionDenied];
const EXISTS: &[Code] = &[Code::AlreadyExists];
const INVALID: &[Code] = &[Code::InvalidArgument];
const LATE: &[Code] = &[Code::DeadlineExceeded];
const LOST: &[Code] = &[Code::DataLoss];
const NONE: &[Code] = &[Code::NotFound];
const STATE: &[Code] = &[Code::FailedPrecondition];
const AWAY: &[Code] = &[Code::Unavailable];

/// What calls are refused with, by the alphabet.
pub const CALLS: &[Reason] = &[
    of(
        "ALREADY_EXISTS",
        EXISTS,
        "An order, parcel, return or judgement with this id is there with other content. `existing` says which; `differs` names the fields, to whoever may see the order.",
        "Take another id, or send what was sent first. Sent again unchanged, the call succeeds and changes nothing.",
    ),
    of("AMOUNT_OVERFLOW", INVALID, "The total of the order does not fit.", "Split the order."),
    of(
        "ARCHIVED",
        STATE,
        "What is to be read has left the journal for an archive, and this process does not read it. `file` names the file.",
        "Operators: start `serve` with `--archive`. Readers: begin after `through`.",
    ),
    of(
        "ASKED_TOO_OFTEN",
        STATE,
        "A customer has cancelled units of the order, or asked for returns, as often as customers may.",
        "Let an operator or a service do it.",
    ),
    of(
        "CANCELLED",
        &[Code::Cancelled],
        "The call broke off before its message was there.",
        "Send it again.",
    ),
    of(
        "CURRENCY_MISMATCH",
        INVALID,
        "The lines have more than one currency.",
        "One order for each currency.",
    ),
    of(
        "DEADLINE_EXCEEDED",
        LATE,
        "The deadline passed before there was an answer. A command may have been carried out.",
        "Ask again with the same ids. The deadline is the client's, up to a limit, or the engine's where it sets none ([limits.md](limits.md)).",
    ),
    of("EMPTY_ORDER", INVALID, "An order without a line.", "Name at least one line."),
    of(
        "EVENT_TOO_LARGE",
        INVALID,
        "The order is larger than one event may be.",
        "Fewer lines, shorter texts.",
    ),
    of(
        "FORBIDDEN",
        DENIED,
        "The caller's role may not do this. `role` names it, where an order said so.",
        "Call with a token of a role that may: [security.md](security.md) has the table.",
    ),
    of(
        "FORBIDDEN_REASON",
        DENIED,
        "The caller's role may not cancel for this reason. Some reasons only the engine gives.",
        "Customers give CUSTOMER_REQUEST, operators OPS.",
    ),
    of(
        "HISTORY_FORKED",
        &[Code::OutOfRange],
        "The log does not hold what was read at the place that the reader names: it was set back to an earlier state.",
        "Begin again from the start, or from the heads as they are now. What came after the place is not the history any more.",
    ),
    of(
        "IDEMPOTENCY_KEY_REUSED",
        EXISTS,
        "The request id was used for another command.",
        "A new request id for each command; the same only to repeat it.",
    ),
    of(
        "IMPOSSIBLE_HISTORY",
        STATE,
        "A read model was not built again: an order's events cannot follow each other.",
        "Operators: `ordinal verify` names the order.",
    ),
    of(
        "INSUFFICIENT_STOCK",
        STATE,
        "Stock cannot be brought below what is held for orders, or below nothing.",
        "Cancel orders that hold it, or set it higher.",
    ),
    of(
        "INTERNAL",
        &[
            Code::Internal,
            Code::Unknown,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
        ],
        "The call failed outside the services, for no reason that has a code of its own.",
        "Ask again with the same ids. Where it stays so, it is a defect: report it.",
    ),
    of(
        "INVALID_ADDRESS",
        INVALID,
        "The address cannot be written on a parcel. The violation names the field.",
        "Correct that field.",
    ),
    of(
        "INVALID_CONTACT",
        INVALID,
        "The e-mail address, phone number or language cannot be used to write to the customer.",
        "Correct that field.",
    ),
    of(
        "INVALID_FIELD",
        INVALID,
        "A field is not as it should be. Every violation has the path, a code and what a right value is.",
        "Correct the fields that are named. The same request is refused again.",
    ),
    of(
        "INVALID_LINE",
        INVALID,
        "A line cannot be ordered as it is: its sku, quantity or price.",
        "Correct the line that is named (`line`, from 1).",
    ),
    of(
        "INVALID_LINES",
        INVALID,
        "The units named are not open units of the order: no such line, named twice, or more than are open.",
        "Read the order: `open` of each line says how many there are.",
    ),
    of(
        "INVALID_REFUND",
        INVALID,
        "The refund is below zero or in another currency than the order.",
        "0 or more, in the order's currency.",
    ),
    of(
        "INVALID_RETURN_LINES",
        INVALID,
        "The units named cannot be returned: no such line, named twice, or more than were delivered and not returned.",
        "Read the order, and name delivered units.",
    ),
    of(
        "INVALID_TRANSITION",
        STATE,
        "The order is in a state that does not take this call. `from` is the state, `asked` the call, `allowed` what the state takes.",
        "Read the order again and decide anew.",
    ),
    of(
        "IN_USE",
        AWAY,
        "A read model was not exchanged: somebody reads the old one for long.",
        "Ask again when a running `verify` or report has ended.",
    ),
    of(
        "JOURNAL_BROKEN",
        LOST,
        "The journal holds what no writer can have written. Reading on would skip something.",
        "Operators: `ordinal verify` names the place; restore a copy ([operations.md](operations.md)).",
    ),
    of(
        "JOURNAL_DOUBTED",
        AWAY,
        "The journal was set back, and an operator has not accepted that yet. Nothing was appended.",
        "Operators: `ordinal journal restored`, or bring the right journal back ([operations.md](operations.md)).",
    ),
    of(
        "JOURNAL_UNAVAILABLE",
        AWAY,
        "The journal's database does not answer. Nothing was appended.",
        "Ask again after RetryInfo.",
    ),
    of(
        "LOG_BROKEN",
        LOST,
        "A log of facts holds what cannot have been written.",
        "Operators: `ordinal verify` names the place.",
    ),
    of(
        "LOG_UNAVAILABLE",
        AWAY,
        "A log of facts cannot be read at the moment.",
        "Ask again after RetryInfo, from the same place.",
    ),
    of(
        "MALFORMED_MESSAGE",
        INVALID,
        "The bytes are no message of this method: cut, of another type, compressed, or more than one.",
        "Generate the client from the protos that the engine serves by reflection.",
    ),
    of(
        "MESSAGE_TOO_LARGE",
        INVALID,
        "The message is larger than the method takes.",
        "[limits.md](limits.md) has the sizes.",
    ),
    of(
        "MESSAGE_TOO_SLOW",
        LATE,
        "The message did not come within the time for it.",
        "Send it at once after the headers; [limits.md](limits.md) has the times.",
    ),
    of(
        "NODE_UNKNOWN",
        STATE,
        "No order node has this name.",
        "The message names those that there are.",
    ),
    of(
        "NOTIFICATIONS_UNAVAILABLE",
        AWAY,
        "The database of messages does not answer.",
        "Ask again after RetryInfo.",
    ),
    of(
        "NOT_FINISHED",
        STATE,
        "The message is still being delivered, so it is not sent again.",
        "Wait until it is DELIVERED or FAILED.",
    ),
    of(
        "NOT_FOUND",
        NONE,
        "There is no such thing, or it is somebody else's: the two are told alike.",
        "Check the id, and who calls.",
    ),
    of(
        "NOT_IN_THIS_ROLE",
        STATE,
        "This process does not run the part that the call is about.",
        "Call an order node (`serve --role orders` or `all`).",
    ),
    of(
        "ONE_WRITER",
        STATE,
        "This journal has one writer, so its shards do not move.",
        "Several order nodes need Postgres.",
    ),
    of(
        "ON_HAND_MISMATCH",
        ABORTED,
        "Other units are on hand than were expected: something came between. `expected` and `actual` say both.",
        "Look at the stock again and decide anew.",
    ),
    of(
        "ORDER_ARCHIVED",
        STATE,
        "The order is over and has left for an archive that this node does not read. `file` names it.",
        "Operators: start `serve` with `--archive`.",
    ),
    of(
        "ORDER_QUARANTINED",
        STATE,
        "The order's history is impossible; it takes no command.",
        "Operators: `ordinal verify` says what is wrong.",
    ),
    of(
        "OUTCOME_UNKNOWN",
        AWAY,
        "Whether it was done is not known yet: the answer of the database, or of another node, was lost.",
        "Ask again with the same order id or request id, after RetryInfo: it is done once.",
    ),
    of(
        "OVERLOADED",
        &[Code::ResourceExhausted],
        "Too much is under way, by this caller or by all; nothing was begun. `bound` says which limit was met.",
        "Ask again after RetryInfo, with fewer at once. [limits.md](limits.md) has the numbers.",
    ),
    of(
        "READER_TOO_SLOW",
        &[Code::ResourceExhausted],
        "Nothing of the stream was taken for minutes.",
        "Open it again from the last place that was read.",
    ),
    of(
        "READ_MODEL_BEHIND",
        AWAY,
        "The list does not include yet what `at_least` asks for.",
        "Ask again after RetryInfo.",
    ),
    of(
        "READ_MODEL_UNAVAILABLE",
        AWAY,
        "The database of lists does not answer.",
        "Ask again after RetryInfo.",
    ),
    of(
        "REASON_REQUIRED",
        INVALID,
        "The reason is missing, or blank.",
        "Say why; the message says how long it may be.",
    ),
    of(
        "REFUND_NEEDS_REASON",
        STATE,
        "The refund is above the value of the units that come back.",
        "Give `refund_reason`, or refund less.",
    ),
    of(
        "REFUND_TOO_LARGE",
        STATE,
        "More would be paid back than was paid for, less what was cancelled and refunded. `most` is what is left.",
        "At most that.",
    ),
    of(
        "RETURN_MISMATCH",
        STATE,
        "The return that is named is not the one that waits.",
        "Read the order: it names the return that waits.",
    ),
    of(
        "RETURN_WINDOW_EXPIRED",
        STATE,
        "The time in which units may be sent back is over.",
        "None: `return_until` of the order has passed.",
    ),
    of(
        "SHARD_FROZEN",
        AWAY,
        "An operator has closed this part of the journal. `shard` and `reason` say which and why.",
        "Ask again later. Operators: `ordinal shards unfreeze`.",
    ),
    of(
        "SHARD_NOT_HERE",
        AWAY,
        "Another node has this part of the journal, or none has yet. `owner` is its address, where known.",
        "Ask again after RetryInfo.",
    ),
    of(
        "STOCK_UNAVAILABLE",
        AWAY,
        "The database of stock does not answer.",
        "Ask again after RetryInfo.",
    ),
    of(
        "STOPPING",
        AWAY,
        "The process is being stopped; the stream ends.",
        "Open it again elsewhere or later, from the last place that was read.",
    ),
    of(
        "SUPERSEDED",
        ABORTED,
        "A read model was not built again: somebody else began to, after this.",
        "Wait for theirs.",
    ),
    of(
        "TEXT_TOO_LONG",
        INVALID,
        "A text has more characters than it may; the violation names the field and the limit.",
        "Shorten it.",
    ),
    of(
        "TOO_MANY_EVENTS",
        STATE,
        "The order has as many events as one may have, or nearly. What ends it is still accepted.",
        "Cancel or fulfil all that is open at once.",
    ),
    of(
        "TOO_MANY_LINES",
        INVALID,
        "The order has more lines than one may have; the message says how many.",
        "Split the order.",
    ),
    of(
        "UNAUTHENTICATED",
        &[Code::Unauthenticated],
        "Who calls is not known: no token, or one that the engine does not have.",
        "Send `authorization: Bearer TOKEN` ([security.md](security.md)).",
    ),
    of(
        "UNAVAILABLE",
        AWAY,
        "A store or a process behind the engine did not answer; from the command line, no engine answers at all.",
        "Ask again after RetryInfo; is the address right?",
    ),
    of(
        "UNIMPLEMENTED",
        &[Code::Unimplemented],
        "There is no such service or method. The message names those that there are.",
        "Check the path; is the engine older than the client?",
    ),
    of(
        "UNRENDERABLE",
        &[Code::Internal],
        "A fact could not be written as JSON, which no fact is known to cause.",
        "It is a defect: report it.",
    ),
    of(
        "VERSION_MISMATCH",
        ABORTED,
        "The order is not at the version (or etag) that was expected. `expected` and `actual` say both.",
        "Read the order again and decide anew.",
    ),
    of(
        "VERSION_NOT_FOUND",
        NONE,
        "The order does not have that version. `newest` is its newest.",
        "A version from 1 to the newest.",
    ),
];

/// What the command line says by itself.
pub const COMMAND_LINE: &[Reason] = &[
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
pub const LOAD: &[Reason] = &[
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

/// What may be told for a status without a code of its own.
#[must_use]
pub fn of_call(code: &str) -> Option<&'static Reason> {
    CALLS.iter().find(|reason| reason.code == code)
}

/// Every code of the page.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    CALLS.iter().chain(COMMAND_LINE).chain(LOAD)
}

/// docs/reasons.md.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Refused calls\n\n");
    page.push_str("| Reason | Status | What happened | What to do |\n|---|---|---|---|\n");
    for Reason { code, statuses, meaning, remedy } in CALLS {
        let statuses: Vec<&str> = statuses.iter().map(|status| code_name(*status)).collect();
        let _ = writeln!(page, "| `{code}` | {} | {meaning} | {remedy} |", statuses.join(", "));
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

fn table(page: &mut String, reasons: &[Reason]) {
    page.push_str("| Reason | What happened | What to do |\n|---|---|---|\n");
    for Reason { code, meaning, remedy, .. } in reasons {
        let _ = writeln!(page, "| `{code}` | {meaning} | {remedy} |");
    }
}

const HEAD: &str = "# Reasons

Every refusal has a stable reason. gRPC clients find it in `google.rpc.ErrorInfo` (`reason`, with
`domain` \"ordinal\" and further values in `metadata`), and for each field at fault in
`google.rpc.BadRequest`; where asking again helps, `google.rpc.RetryInfo` says after how long.
[examples/clients](../examples/clients/README.md) reads all three in Python, TypeScript and with
`buf curl`. The command line shows the reason behind `error: `, and with `--json` as `reason`.

Reasons are compared, texts are read: a text may change, a reason keeps its meaning. Made from
[src/reasons.rs](../src/reasons.rs); a test holds the two together.
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
