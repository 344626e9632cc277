use super::{StatusCode, reasons};

reasons! {
    "ALREADY_EXISTS" => AlreadyExists [AlreadyExists]
        "An order, parcel, return or judgement with this id is there with other content. \
         `existing` says which; `differs` names the fields, to whoever may see the order.",
        "Take another id, or send what was sent first. Sent again unchanged, the call succeeds and \
         changes nothing.";
    "AMOUNT_OVERFLOW" => AmountOverflow [InvalidArgument]
        "The total of the order does not fit.",
        "Split the order.";
    "ARCHIVED" => Archived [FailedPrecondition]
        "What is to be read has left the journal for an archive, and this process does not read \
         it. `file` names the file.",
        "Operators: start `serve` with `--archive`. Readers: begin after `through`.";
    "ASKED_TOO_OFTEN" => AskedTooOften [FailedPrecondition]
        "A customer has cancelled units of the order, or asked for returns, as often as customers \
         may.",
        "Let an operator or a service do it.";
    "CANCELLED" => Cancelled [Cancelled]
        "The call broke off before its message was there.",
        "Send it again.";
    "CURRENCY_MISMATCH" => CurrencyMismatch [InvalidArgument]
        "The lines have more than one currency.",
        "One order for each currency.";
    "DEADLINE_EXCEEDED" => DeadlineExceeded [DeadlineExceeded]
        "The deadline passed before there was an answer. A command may have been carried out.",
        "Ask again with the same ids. The deadline is the client's, up to a limit, or the engine's \
         where it sets none ([limits.md](limits.md)).";
    "EMPTY_ORDER" => EmptyOrder [InvalidArgument]
        "An order without a line.",
        "Name at least one line.";
    "EVENT_TOO_LARGE" => EventTooLarge [InvalidArgument]
        "The order is larger than one event may be.",
        "Fewer lines, shorter texts.";
    "FORBIDDEN" => Forbidden [PermissionDenied]
        "The caller's role may not do this. `role` names it, where an order said so.",
        "Call with a token of a role that may: [security.md](security.md) has the table.";
    "FORBIDDEN_REASON" => ForbiddenReason [PermissionDenied]
        "The caller's role may not cancel for this reason. Some reasons only the engine gives.",
        "Customers give CUSTOMER_REQUEST, operators OPS.";
    "HISTORY_FORKED" => HistoryForked [OutOfRange]
        "The log does not hold what was read at the place that the reader names: it was set back \
         to an earlier state.",
        "Begin again from the start, or from the heads as they are now. What came after the place \
         is not the history any more.";
    "IDEMPOTENCY_KEY_REUSED" => IdempotencyKeyReused [AlreadyExists]
        "The request id was used for another command.",
        "A new request id for each command; the same only to repeat it.";
    "IMPOSSIBLE_HISTORY" => ImpossibleHistory [FailedPrecondition]
        "A read model was not built again: an order's events cannot follow each other.",
        "Operators: `ordinal verify` names the order.";
    "INSUFFICIENT_STOCK" => InsufficientStock [FailedPrecondition]
        "Stock cannot be brought below what is held for orders, or below nothing.",
        "Set it higher, cancel orders that hold it, or set it with `allow_shortage`.";
    "INTERNAL" => Internal [Internal, Unknown, Cancelled, DeadlineExceeded, ResourceExhausted]
        "The call failed outside the services, for no reason that has a code of its own.",
        "Ask again with the same ids. Where it stays so, it is a defect: report it.";
    "INVALID_ADDRESS" => InvalidAddress [InvalidArgument]
        "The address cannot be written on a parcel. The violation names the field.",
        "Correct that field.";
    "INVALID_CONTACT" => InvalidContact [InvalidArgument]
        "The e-mail address, phone number or language cannot be used to write to the customer.",
        "Correct that field.";
    "INVALID_FIELD" => InvalidField [InvalidArgument]
        "A field is not as it should be. Every violation has the path, a code and what a right \
         value is.",
        "Correct the fields that are named. The same request is refused again.";
    "INVALID_LINE" => InvalidLine [InvalidArgument]
        "A line cannot be ordered as it is: its sku, quantity or price.",
        "Correct the line that is named (`line`, from 1).";
    "INVALID_LINES" => InvalidLines [InvalidArgument]
        "The units named are not open units of the order: no such line, named twice, or more than \
         are open.",
        "Read the order: `open` of each line says how many there are.";
    "INVALID_REFUND" => InvalidRefund [InvalidArgument]
        "The refund is below zero or in another currency than the order.",
        "0 or more, in the order's currency.";
    "INVALID_RETURN_LINES" => InvalidReturnLines [InvalidArgument]
        "The units named cannot be returned: no such line, named twice, or more than were \
         delivered and not returned.",
        "Read the order, and name delivered units.";
    "INVALID_TRANSITION" => InvalidTransition [FailedPrecondition]
        "The order is in a state that does not take this call. `from` is the state, `asked` the \
         call, `allowed` what the state takes.",
        "Read the order again and decide anew.";
    "IN_USE" => InUse [Unavailable]
        "A read model was not exchanged: somebody reads the old one for long.",
        "Ask again when a running `verify` or report has ended.";
    "JOURNAL_BROKEN" => JournalBroken [DataLoss]
        "The journal holds what no writer can have written. Reading on would skip something.",
        "Operators: `ordinal verify` names the place; restore a copy \
         ([operations.md](operations.md)).";
    "JOURNAL_DOUBTED" => JournalDoubted [Unavailable]
        "The journal was set back, and an operator has not accepted that yet. Nothing was \
         appended.",
        "Operators: `ordinal journal restored`, or bring the right journal back \
         ([operations.md](operations.md)).";
    "JOURNAL_UNAVAILABLE" => JournalUnavailable [Unavailable]
        "The journal's database does not answer. Nothing was appended.",
        "Ask again after RetryInfo.";
    "LOG_BROKEN" => LogBroken [DataLoss]
        "A log of facts holds what cannot have been written.",
        "Operators: `ordinal verify` names the place.";
    "LOG_UNAVAILABLE" => LogUnavailable [Unavailable]
        "A log of facts cannot be read at the moment.",
        "Ask again after RetryInfo, from the same place.";
    "MALFORMED_MESSAGE" => MalformedMessage [InvalidArgument]
        "The bytes are no message of this method: cut, of another type, compressed, or more than \
         one.",
        "Generate the client from the protos that the engine serves by reflection.";
    "MESSAGE_TOO_LARGE" => MessageTooLarge [InvalidArgument]
        "The message is larger than the method takes.",
        "[limits.md](limits.md) has the sizes.";
    "MESSAGE_TOO_SLOW" => MessageTooSlow [DeadlineExceeded]
        "The message did not come within the time for it.",
        "Send it at once after the headers; [limits.md](limits.md) has the times.";
    "NODE_UNKNOWN" => NodeUnknown [FailedPrecondition]
        "No order node has this name.",
        "The message names those that there are.";
    "NOTIFICATIONS_UNAVAILABLE" => NotificationsUnavailable [Unavailable]
        "The database of messages does not answer.",
        "Ask again after RetryInfo.";
    "NOT_FINISHED" => NotFinished [FailedPrecondition]
        "The message is still being delivered, so it is not sent again.",
        "Wait until it is DELIVERED or FAILED.";
    "NOT_FOUND" => NotFound [NotFound]
        "There is no such thing, or it is somebody else's: the two are told alike.",
        "Check the id, and who calls.";
    "NOT_IN_THIS_ROLE" => NotInThisRole [FailedPrecondition]
        "This process does not run the part that the call is about.",
        "Call an order node (`serve --role orders` or `all`).";
    "ONE_WRITER" => OneWriter [FailedPrecondition]
        "This journal has one writer, so its shards do not move.",
        "Several order nodes need Postgres.";
    "ON_HAND_MISMATCH" => OnHandMismatch [Aborted]
        "Other units are on hand than were expected: something came between. `expected` and \
         `actual` say both.",
        "Look at the stock again and decide anew.";
    "ORDER_ARCHIVED" => OrderArchived [FailedPrecondition]
        "The order is over and has left for an archive that this node does not read. `file` names \
         it.",
        "Operators: start `serve` with `--archive`.";
    "ORDER_QUARANTINED" => OrderQuarantined [FailedPrecondition]
        "The order's history is impossible; it takes no command.",
        "Operators: `ordinal verify` says what is wrong.";
    "OUTCOME_UNKNOWN" => OutcomeUnknown [Unavailable]
        "Whether it was done is not known yet: the answer of the database, or of another node, was \
         lost.",
        "Ask again with the same order id or request id, after RetryInfo: it is done once.";
    "OVERLOADED" => Overloaded [ResourceExhausted]
        "Too much is under way, by this caller or by all; nothing was begun. `bound` says which \
         limit was met.",
        "Ask again after RetryInfo, with fewer at once. [limits.md](limits.md) has the numbers.";
    "READER_TOO_SLOW" => ReaderTooSlow [ResourceExhausted]
        "Nothing of the stream was taken for minutes.",
        "Open it again from the last place that was read.";
    "READ_MODEL_BEHIND" => ReadModelBehind [Unavailable]
        "The list does not include yet what `at_least` asks for.",
        "Ask again after RetryInfo.";
    "READ_MODEL_UNAVAILABLE" => ReadModelUnavailable [Unavailable]
        "The database of lists does not answer.",
        "Ask again after RetryInfo.";
    "REASON_REQUIRED" => ReasonRequired [InvalidArgument]
        "The reason is missing, or blank.",
        "Say why; the message says how long it may be.";
    "REFUND_NEEDS_REASON" => RefundNeedsReason [FailedPrecondition]
        "The refund is above the value of the units that come back.",
        "Give `refund_reason`, or refund less.";
    "REFUND_TOO_LARGE" => RefundTooLarge [FailedPrecondition]
        "More would be paid back than was paid for, less what was cancelled and refunded. `most` \
         is what is left.",
        "At most that.";
    "RETURN_MISMATCH" => ReturnMismatch [FailedPrecondition]
        "The return that is named is not the one that waits.",
        "Read the order: it names the return that waits.";
    "RETURN_WINDOW_EXPIRED" => ReturnWindowExpired [FailedPrecondition]
        "The time in which units may be sent back is over.",
        "None: `return_until` of the order has passed.";
    "SHARD_FROZEN" => ShardFrozen [Unavailable]
        "An operator has closed this part of the journal. `shard` and `reason` say which and why.",
        "Ask again later. Operators: `ordinal shards unfreeze`.";
    "SHARD_NOT_HERE" => ShardNotHere [Unavailable]
        "Another node has this part of the journal, or none has yet. `owner` is its address, where \
         known.",
        "Ask again after RetryInfo.";
    "STOCK_UNAVAILABLE" => StockUnavailable [Unavailable]
        "The database of stock does not answer.",
        "Ask again after RetryInfo.";
    "STOPPING" => Stopping [Unavailable]
        "The process is being stopped; the stream ends.",
        "Open it again elsewhere or later, from the last place that was read.";
    "SUPERSEDED" => Superseded [Aborted]
        "A read model was not built again: somebody else began to, after this.",
        "Wait for theirs.";
    "TEXT_TOO_LONG" => TextTooLong [InvalidArgument]
        "A text has more characters than it may; the violation names the field and the limit.",
        "Shorten it.";
    "TOO_MANY_EVENTS" => TooManyEvents [FailedPrecondition]
        "The order has as many events as one may have, or nearly. What ends it is still accepted.",
        "Cancel or fulfil all that is open at once.";
    "TOO_MANY_LINES" => TooManyLines [InvalidArgument]
        "The order has more lines than one may have; the message says how many.",
        "Split the order.";
    "UNAUTHENTICATED" => Unauthenticated [Unauthenticated]
        "Who calls is not known: no token, or one that the engine does not have.",
        "Send `authorization: Bearer TOKEN` ([security.md](security.md)).";
    "UNAVAILABLE" => Unavailable [Unavailable]
        "A store or a process behind the engine did not answer; from the command line, no engine \
         answers at all.",
        "Ask again after RetryInfo; is the address right?";
    "UNIMPLEMENTED" => Unimplemented [Unimplemented]
        "There is no such service or method. The message names those that there are.",
        "Check the path; is the engine older than the client?";
    "VERSION_MISMATCH" => VersionMismatch [Aborted]
        "The order is not at the version (or etag) that was expected. `expected` and `actual` say \
         both.",
        "Read the order again and decide anew.";
    "VERSION_NOT_FOUND" => VersionNotFound [NotFound]
        "The order does not have that version. `newest` is its newest.",
        "A version from 1 to the newest.";
}
