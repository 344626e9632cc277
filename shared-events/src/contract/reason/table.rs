use super::{StatusCode, reasons};

reasons! {
    "ACCOUNT_NOT_OPEN" => AccountNotOpen [FailedPrecondition]
        "The ledger has no account of this name. `account` is the name.",
        "Open it (`OpenAccount`), and send the entry under another id.";
    "ALREADY_EXISTS" => AlreadyExists [AlreadyExists]
        "An order, parcel, return, judgement or account with this id exists with other content, or \
         is done with: a hold that was released, a parcel that was undone. `existing` names it; \
         `differs` names the fields, to callers that may see the order.",
        "Take another id, or send the first content. Sent again unchanged, the call succeeds and \
         changes nothing, except where the id is done with.";
    "ALREADY_SHIPPED" => AlreadyShipped [FailedPrecondition]
        "A parcel of the order was shipped, also where it was undone since. Lines are edited before \
         the first parcel.",
        "Cancel units that are open (CancelOrder), and place another order for what comes in \
         addition.";
    "AMOUNT_OVERFLOW" => AmountOverflow [InvalidArgument, FailedPrecondition]
        "The total of the order, or a sum of an account, does not fit into 64 bits of minor units.",
        "Split the order; book to another account.";
    "ARCHIVED" => Archived [FailedPrecondition]
        "The next events of `shard` are archived, and this process does not read the archive. `file` \
         names the file, `through` its last position.",
        "Operators: start `serve` with `--archive`. Readers: position `first` is the first from which \
         on all are here; to begin there is to go without what is before.";
    "ASKED_TOO_OFTEN" => AskedTooOften [FailedPrecondition]
        "A customer has cancelled units of the order, asked for returns, corrected it or added notes \
         as often as customers may.",
        "Let an operator or a service do it.";
    "ATTEMPTS_SPENT" => AttemptsSpent [FailedPrecondition]
        "Each payment of the order has had its five attempts, or five wait for the order.",
        "The order fails, or is waiting: read its payments (`ListPayments`).";
    "BACKORDERED" => Backordered [FailedPrecondition]
        "Units of the parcel are not on hand: they were promised beyond the stock and wait for it. \
         `lines` has the numbers of their lines.",
        "Name the units that can be shipped: `open` less `backordered` of each line. Ship the \
         others when stock has come (event LinesAllocated).";
    "CANCELLED" => Cancelled [Cancelled]
        "The call was cancelled before its message arrived.",
        "Send it again.";
    "CURRENCY_MISMATCH" => CurrencyMismatch [InvalidArgument, FailedPrecondition]
        "The lines have more than one currency, or an amount has another one than its account.",
        "One order for each currency; amounts of an entry in the currency of its accounts.";
    "DEADLINE_EXCEEDED" => DeadlineExceeded [DeadlineExceeded]
        "The deadline passed before there was an answer. A command may have been executed.",
        "Try again with the same ids. The deadline is the client's, up to a limit, or the engine's \
         where it sets none ([limits.md](limits.md)).";
    "EDIT_PENDING" => EditPending [FailedPrecondition]
        "An edit of the order waits for stock. Meanwhile nothing is shipped, no units are cancelled \
         and no other edit is made; the whole order may be cancelled. `edit_id` is the edit.",
        "Try again once the edit is applied or refused: `edits` of the order has its state. That \
         takes as long as stock needs to answer, and never longer than `answer_by`.";
    "EMPTY_ORDER" => EmptyOrder [InvalidArgument]
        "An order without a line.",
        "Name at least one line.";
    "EVENT_TOO_LARGE" => EventTooLarge [InvalidArgument]
        "The event would be larger than one may be, 1 MiB: the order is too large.",
        "Fewer lines, shorter texts.";
    "EXTERNAL_ID_TAKEN" => ExternalIdTaken [AlreadyExists]
        "Another order of the shop has this external id. `order_id` is that order.",
        "Take another external id. To repeat a call, send the same order id or request id.";
    "FILTER_OFF" => FilterOff [FailedPrecondition]
        "The list of orders cannot be searched by this: `setting` was not switched on.",
        "Operators: start `serve` with it, and rebuild the list (`ordinal read-model rebuild`).";
    "FORBIDDEN" => Forbidden [PermissionDenied]
        "The caller's role may not do this, or its token has not the scope for it. `role` names the \
         role where an order requires it, `scope` the scope.",
        "Call with a token of a role and scope that may: [access.md](access.md) has the table.";
    "FORBIDDEN_REASON" => ForbiddenReason [PermissionDenied]
        "The caller's role may not cancel for this reason. Some reasons are the engine's only.",
        "Customers give CUSTOMER_REQUEST, operators OPS.";
    "HEADERS_TOO_LARGE" => HeadersTooLarge [InvalidArgument]
        "The address and the headers of a call have more than 16 KiB.",
        "Send fewer or shorter headers; large content belongs into the body.";
    "HISTORY_FORKED" => HistoryForked [OutOfRange]
        "The log does not hold what was read at the reader's position: it was set back to an \
         earlier state.",
        "Begin again from the start, or from the current heads. Facts read after that position \
         are no longer part of the history.";
    "HOLD_ENDED" => HoldEnded [FailedPrecondition]
        "The hold of money was posted or voided, or its time is over. `state` says which.",
        "Read the hold (`GetHold`). It stays ended: hold the amount again under another id.";
    "HOLD_NOT_FOUND" => HoldNotFound [FailedPrecondition]
        "The ledger has no hold of money with this id. `hold_id` is the id.",
        "Reserve it first (`ReserveFunds`); a refused reservation makes no hold.";
    "HOST_NOT_ALLOWED" => HostNotAllowed [PermissionDenied]
        "A call by HTTP named a host under which this process does not answer.",
        "Call it by its address or as localhost; operators name others with `--public-url`.";
    "IDEMPOTENCY_KEY_REUSED" => IdempotencyKeyReused [AlreadyExists]
        "The request id was used for another command, the id of a replay for another replay, or the \
         id of an attempt to pay for one with another token.",
        "A new id for each of them; the same only to repeat it.";
    "IMPOSSIBLE_HISTORY" => ImpossibleHistory [FailedPrecondition]
        "A read model was not rebuilt: an order's events cannot follow each other.",
        "Operators: `ordinal verify` names the order.";
    "INSUFFICIENT_FUNDS" => InsufficientFunds [FailedPrecondition]
        "An account of the ledger would be beyond its limit. `account`, `available` and \
         `requested` (minor units) say what was missing; holds count as spent.",
        "Post or hold less, or credit the account first; under another id, a refused one stays so.";
    "INSUFFICIENT_STOCK" => InsufficientStock [FailedPrecondition]
        "Stock cannot be reduced below what is reserved for orders, or below zero.",
        "Set it higher, cancel orders that reserve it, or set it with `allow_shortage`.";
    "INTERNAL" => Internal [Internal, Unknown, Cancelled, DeadlineExceeded, ResourceExhausted]
        "The call failed outside the services, for a reason without a code of its own.",
        "Try again with the same ids. If it keeps failing, it is a defect: report it.";
    "INVALID_ADDRESS" => InvalidAddress [InvalidArgument]
        "The address cannot be printed on a parcel or is none of its country; the field is named.",
        "Correct that field.";
    "INVALID_AMOUNT" => InvalidAmount [InvalidArgument]
        "A discount, a tax, a charge or what is paid back of a charge is below zero or more than \
         it may be. The violation names the field.",
        "Correct that amount.";
    "INVALID_CONTACT" => InvalidContact [InvalidArgument]
        "The e-mail address, phone number or language cannot be used to write to the customer.",
        "Correct that field.";
    "INVALID_FIELD" => InvalidField [InvalidArgument]
        "A field is invalid. Every violation has the path, a code and what a valid value is.",
        "Correct the named fields. The same request is refused again.";
    "INVALID_LINE" => InvalidLine [InvalidArgument]
        "A line is invalid: its sku, quantity or price.",
        "Correct the named line (`line`, from 1).";
    "INVALID_LINES" => InvalidLines [InvalidArgument]
        "The named units are not open units of the order: no such line, named twice, or more than \
         are open.",
        "Read the order: `open` of each line has their number.";
    "INVALID_PARCEL_STATE" => InvalidParcelState [FailedPrecondition]
        "The parcel is in a state that does not allow this call. `is` is the state, `asked` the \
         call. A parcel that was delivered or came back stays as it is.",
        "Read the order again: `parcels` has their states. Units that were delivered come back by \
         a return; a lost parcel that came back after all is FOUND (UndoShipment).";
    "INVALID_PAYMENT" => InvalidPayment [InvalidArgument]
        "The payment plan cannot be followed: the provider's name, a policy or a fee is not one, or \
         a fee is of nobody who sells a line. The violation names the field.",
        "Correct that field.";
    "INVALID_REFUND" => InvalidRefund [InvalidArgument]
        "The refund is below zero, in another currency than the order, or less than the charges \
         that are named with it.",
        "0 or more, in the order's currency, with the charges that are named.";
    "INVALID_RETURN_LINES" => InvalidReturnLines [InvalidArgument]
        "The named units cannot be returned: no such line, named twice, or more than were \
         delivered and not returned.",
        "Read the order, and name delivered units.";
    "INVALID_TRANSITION" => InvalidTransition [FailedPrecondition]
        "The order is in a state that does not allow this call. `from` is the state, `asked` the \
         call, `allowed` what the state allows.",
        "Read the order again and decide again.";
    "IN_USE" => InUse [Unavailable]
        "A rebuilt read model was not swapped in: a long read holds the old one.",
        "Try again when a running `verify` or report has ended.";
    "JOURNAL_BROKEN" => JournalBroken [DataLoss]
        "The journal holds what no writer can have written. Reading on would skip events.",
        "Operators: `ordinal verify` names the position; restore a copy \
         ([operations.md](operations.md)).";
    "JOURNAL_DOUBTED" => JournalDoubted [Unavailable]
        "The journal was set back, and an operator has not accepted that yet. Nothing was \
         appended.",
        "Operators: `ordinal journal restored`, or bring the right journal back \
         ([operations.md](operations.md)).";
    "JOURNAL_UNAVAILABLE" => JournalUnavailable [Unavailable]
        "The journal's database does not answer. Nothing was appended.",
        "Try again after RetryInfo.";
    "KEYS_UNAVAILABLE" => KeysUnavailable [Unavailable]
        "The keys of the token's issuer cannot be fetched at the moment, so the token cannot be \
         checked.",
        "Try again after RetryInfo. Operators: the log says why the issuer does not answer.";
    "LEDGER_UNAVAILABLE" => LedgerUnavailable [Unavailable]
        "The database of the ledger does not answer, or nobody knows whether it committed.",
        "Send the same again after RetryInfo: an id is booked once.";
    "LOG_BROKEN" => LogBroken [DataLoss]
        "A log of facts holds what no writer can have written.",
        "Operators: `ordinal verify` names the position.";
    "LOG_UNAVAILABLE" => LogUnavailable [Unavailable]
        "A log of facts cannot be read at the moment.",
        "Try again after RetryInfo, from the same position.";
    "MALFORMED_MESSAGE" => MalformedMessage [InvalidArgument]
        "The bytes are not a message of this method: truncated, of another type, compressed, or \
         more than one.",
        "Generate the client from the protos that the engine serves by reflection.";
    "MESSAGE_TOO_LARGE" => MessageTooLarge [InvalidArgument]
        "The message is larger than the method allows.",
        "[limits.md](limits.md) has the sizes.";
    "MESSAGE_TOO_SLOW" => MessageTooSlow [DeadlineExceeded]
        "The message did not arrive in time.",
        "Send it immediately after the headers; [limits.md](limits.md) has the times.";
    "METHOD_NOT_ALLOWED" => MethodNotAllowed [Unimplemented]
        "The address exists, and not with this method of HTTP.",
        "Use a method that the header `Allow` names.";
    "MORE_THAN_HELD" => MoreThanHeld [FailedPrecondition]
        "More is to be posted than the hold has. `held` and `requested` are minor units.",
        "Post at most what is held, under another id.";
    "NAMES_NEED_ONE_DATABASE" => NamesNeedOneDatabase [FailedPrecondition]
        "An order number or external id was given, and several databases cannot keep it unique.",
        "Place the order without: it gets the number of its id. `metadata` keeps other names.";
    "NODE_UNKNOWN" => NodeUnknown [FailedPrecondition]
        "No order node has this name.",
        "The message names the existing ones.";
    "NOTHING_TO_PAY" => NothingToPay [FailedPrecondition]
        "All that the order asks for is paid, or an attempt for it is under way.",
        "Read the payments (`ListPayments`); pay again once an attempt was declined.";
    "NOTIFICATIONS_UNAVAILABLE" => NotificationsUnavailable [Unavailable]
        "The database of notifications does not answer.",
        "Try again after RetryInfo.";
    "NOT_ACCEPTABLE" => NotAcceptable [InvalidArgument]
        "A stream was asked for as one object.",
        "Send `Accept: application/x-ndjson` or `text/event-stream`.";
    "NOT_FINISHED" => NotFinished [FailedPrecondition]
        "The message is still being delivered, so it is not sent again.",
        "Wait until it is DELIVERED or FAILED.";
    "NOT_FORWARDED" => NotForwarded [Unavailable]
        "Another process answers this, and its last calls failed: the call was not sent to it. \
         `process` names it.",
        "Try again after RetryInfo. Operators: `ordinal health` shows which process it is.";
    "NOT_FOUND" => NotFound [NotFound]
        "It does not exist, or belongs to another customer: both get the same answer.",
        "Check the id and the caller.";
    "NOT_IN_THIS_ROLE" => NotInThisRole [FailedPrecondition]
        "This process does not run the service that the call needs.",
        "Call an order node (`serve --role orders` or `all`).";
    "NO_RECIPIENT" => NoRecipient [FailedPrecondition]
        "The customer cannot be reached by the message's channel any more: the contact was \
         corrected since.",
        "Correct the contact again, or write to the customer by another channel.";
    "NO_SUCH_HOLD" => NoSuchHold [FailedPrecondition]
        "The order has no hold with this id or name. `holds` names those that stand.",
        "Read the order: `holds` has ids and labels.";
    "NO_SUCH_LOCATION" => NoSuchLocation [FailedPrecondition]
        "Stock has no location with this name. `location` is the name.",
        "Read them (`ListLocations`); operators add one with `SetLocation`.";
    "NO_SUCH_PARCEL" => NoSuchParcel [FailedPrecondition]
        "The order has no parcel with this id or reference.",
        "Read the order: `parcels` has both.";
    "ONE_WRITER" => OneWriter [FailedPrecondition]
        "This journal has one writer, so its shards cannot be moved.",
        "Several order nodes need Postgres.";
    "ON_HAND_MISMATCH" => OnHandMismatch [Aborted]
        "Another quantity is on hand than expected: it changed in between. `expected` and \
         `actual` are the two.",
        "Read the stock again and decide again.";
    "OPERATION_NOT_STUCK" => OperationNotStuck [FailedPrecondition]
        "What became of the operation or webhook is known, or still asked for. `state` says which.",
        "Read the operation (`GetOperation`). People resolve what is STUCK, and may say it again.";
    "ORDER_ARCHIVED" => OrderArchived [FailedPrecondition]
        "The order is finished and archived, and this node does not read the archive. `file` names \
         the file.",
        "Operators: start `serve` with `--archive`.";
    "ORDER_HELD" => OrderHeld [FailedPrecondition]
        "The order is held and does not ship. `holds` names its holds.",
        "Release every hold (`ReleaseHold`), then ship it.";
    "ORDER_NUMBER_AMBIGUOUS" => OrderNumberAmbiguous [FailedPrecondition]
        "Several orders have this number; services and operators get them as `order_ids`.",
        "Name the order by its id.";
    "ORDER_NUMBER_TAKEN" => OrderNumberTaken [AlreadyExists]
        "Another order has this order number. `order_id` is that order.",
        "Take another number. To repeat a call, send the same order id or request id.";
    "ORDER_QUARANTINED" => OrderQuarantined [FailedPrecondition]
        "The order's history is impossible; it takes no command.",
        "Operators: `ordinal verify` reports what is wrong.";
    "ORIGIN_NOT_ALLOWED" => OriginNotAllowed [PermissionDenied]
        "A web page of another origin made the call.",
        "Call from a page of the same origin or from a program; operators name further origins \
         with `--public-url` and `--cors-origin`.";
    "OUTCOME_UNKNOWN" => OutcomeUnknown [Unavailable]
        "Whether it was done is not known yet: an answer of the database or of a node was lost.",
        "Try again with the same order id or request id, after RetryInfo: it is done once.";
    "OVERLOADED" => Overloaded [ResourceExhausted]
        "Too many calls are in progress, by this caller or by all; nothing was begun. `bound` \
         names the limit.",
        "Try again after RetryInfo, with fewer at a time. [limits.md](limits.md) has the numbers.";
    "PAYMENTS_UNAVAILABLE" => PaymentsUnavailable [Unavailable]
        "The database of payments does not answer, or nobody knows whether it committed.",
        "Send the same again after RetryInfo: an attempt is made once.";
    "PAYMENT_MISMATCH" => PaymentMismatch [FailedPrecondition]
        "The engine sends it: what payments say of an order's money is not what it asked for.",
        "Operators: the dead letter names the order; compare it with its payments.";
    "PAYMENT_NOT_SECURED" => PaymentNotSecured [FailedPrecondition]
        "The order has a payment plan, and its money does not stand as the plan says: it was lost, \
         or was not taken yet. `is` is the state of its money.",
        "Ship it once `payment` of the order is SECURED, or CAPTURED where the plan says so.";
    "PAYMENT_NOT_WANTED" => PaymentNotWanted [FailedPrecondition]
        "The order was cancelled, or its payment has failed for good.",
        "Place the order anew.";
    "PAYMENT_PLAN_FIXED" => PaymentPlanFixed [FailedPrecondition]
        "The order has a payment plan: what it costs was asked for, and is not edited.",
        "Cancel units (CancelOrder), and place another order for what comes in addition.";
    "PAYOUTS_NOT_SUPPORTED" => PayoutsNotSupported [FailedPrecondition]
        "No provider pays sellers out here: the settings name none, or it cannot.",
        "Operators: name one in `[payouts]` ([payouts.md](payouts.md)).";
    "RATE_LIMITED" => RateLimited [ResourceExhausted]
        "The caller has made more calls than its limit allows; nothing was begun. `limit` names the \
         limit and `per_minute` is its number.",
        "Try again after RetryInfo (by HTTP `Retry-After`), and more slowly: the header `ratelimit` \
         of every answer says how many calls are left. [limits.md](limits.md) has the rules.";
    "READER_TOO_SLOW" => ReaderTooSlow [ResourceExhausted]
        "The client read nothing from the stream for minutes.",
        "Open it again from the last position that was read.";
    "READ_MODEL_BEHIND" => ReadModelBehind [Unavailable]
        "The list does not include the positions of `at_least` yet.",
        "Try again after RetryInfo.";
    "READ_MODEL_UNAVAILABLE" => ReadModelUnavailable [Unavailable]
        "The database of read models does not answer.",
        "Try again after RetryInfo.";
    "REASON_REQUIRED" => ReasonRequired [InvalidArgument]
        "The reason is missing, or blank.",
        "Give a reason; the message says how long it may be.";
    "REFUND_NEEDS_REASON" => RefundNeedsReason [FailedPrecondition]
        "The refund is above the value of the returned units.",
        "Give `refund_reason`, or refund less.";
    "REFUND_TOO_LARGE" => RefundTooLarge [FailedPrecondition]
        "The refund is more than was paid for delivered units and charges, and is not refunded or \
         approved yet; of a parcel that is undone, more than its units cost and the charges that are \
         named. `most` is what remains.",
        "Refund at most that.";
    "RETURN_ID_REQUIRED" => ReturnIdRequired [FailedPrecondition]
        "Several returns of the order wait, and the call names none of them.",
        "Name one by `return_id` or `return_reference`; the order shows them as `pending_returns`.";
    "RETURN_MISMATCH" => ReturnMismatch [FailedPrecondition]
        "The named return does not wait.",
        "Read the order: `pending_returns` are those that wait.";
    "RETURN_NOT_APPROVED" => ReturnNotApproved [FailedPrecondition]
        "The return waits for its judgement: its goods cannot be received yet.",
        "Let an operator approve it with `receive_later`.";
    "RETURN_WINDOW_EXPIRED" => ReturnWindowExpired [FailedPrecondition]
        "The time in which units may be returned is over.",
        "None: `return_until` of the order has passed.";
    "ROUTE_NOT_FOUND" => RouteNotFound [NotFound]
        "There is nothing at this address.",
        "Compare it with the list of routes ([rest.md](rest.md)); a path has one spelling, with \
         %2F, %3A and so on inside of names.";
    "SHARD_FROZEN" => ShardFrozen [Unavailable]
        "An operator has closed this shard (`shard`). `reason` says why, to operators only.",
        "Try again later. Operators: `ordinal shards unfreeze`.";
    "SHARD_NOT_HERE" => ShardNotHere [Unavailable]
        "Another node has this shard of the journal, or none has it yet. `owner` is its address, \
         where known.",
        "Try again after RetryInfo.";
    "STOCK_UNAVAILABLE" => StockUnavailable [Unavailable]
        "The database of stock does not answer.",
        "Try again after RetryInfo.";
    "STOPPING" => Stopping [Unavailable]
        "The process stops, or the connection is old (`connection`: `aged`); the stream ends.",
        "Open it again elsewhere or later, from the last position that was read.";
    "SUPERSEDED" => Superseded [Aborted]
        "A read model was not rebuilt: another rebuild began after this one.",
        "Wait for the other rebuild.";
    "TEXT_TOO_LONG" => TextTooLong [InvalidArgument]
        "A text has more characters than it may; the violation names the field and the limit.",
        "Shorten it.";
    "TOKENS_NOT_ISSUED" => TokensNotIssued [FailedPrecondition]
        "This process signs no tokens for customers.",
        "Operators: `serve --issue-tokens` with `--issuer-key`, or `ordinal token issue`.";
    "TOKEN_EXPIRED" => TokenExpired [Unauthenticated]
        "The token has expired. A stream ends soon after its token, and can be resumed after its \
         last position.",
        "Get a new token from its issuer, and send the same request again.";
    "TOO_MANY_EDITS" => TooManyEdits [FailedPrecondition]
        "The order was edited as often as an order may be, refused edits included.",
        "Cancel units (CancelOrder), and place another order for what comes in addition.";
    "TOO_MANY_EVENTS" => TooManyEvents [FailedPrecondition]
        "The order has nearly as many events as it may have, 10,000: the last 100 are for commands \
         that finish it.",
        "Cancel or fulfil all open units with one command.";
    "TOO_MANY_HOLDS" => TooManyHolds [FailedPrecondition]
        "As many holds of the order stand as may at the same time.",
        "Release one first.";
    "TOO_MANY_LINES" => TooManyLines [InvalidArgument]
        "The order has more lines than one may have; the message says how many.",
        "Split the order.";
    "TOO_MANY_NOTES" => TooManyNotes [FailedPrecondition]
        "The order has as many notes as an order may have.",
        "None: notes are kept. [limits.md](limits.md) has the number.";
    "TOO_MANY_RETURNS" => TooManyReturns [FailedPrecondition]
        "As many returns of the order wait as may at the same time.",
        "Let operators judge some of them first.";
    "TOTALS_MISMATCH" => TotalsMismatch [InvalidArgument]
        "A sum in `expected` is not what lines, discounts, charges and taxes come to. `field` says \
         which, `is` what it comes to.",
        "Compute it as the lifecycle page says ([lifecycle.md](lifecycle.md#money)), or leave \
         `expected` out.";
    "UNAUTHENTICATED" => Unauthenticated [Unauthenticated]
        "The caller is not known: no token, or one that the engine does not have. `token` says what \
         is wrong with a signed one.",
        "Send `authorization: Bearer TOKEN` ([security.md](security.md)).";
    "UNAVAILABLE" => Unavailable [Unavailable]
        "A store or a process behind the engine did not answer; from the command line, no engine \
         answers at all.",
        "Try again after RetryInfo; check the address.";
    "UNIMPLEMENTED" => Unimplemented [Unimplemented]
        "This service or method does not exist. The message names the existing ones.",
        "Check the path; is the engine older than the client?";
    "UNSUPPORTED_MEDIA_TYPE" => UnsupportedMediaType [InvalidArgument]
        "A body is not JSON, does not say so, or is compressed.",
        "Send `Content-Type: application/json`.";
    "VERSION_MISMATCH" => VersionMismatch [Aborted]
        "The order is not at the version (or etag) that was expected. `expected` and `actual` are \
         the two.",
        "Read the order again and decide again.";
    "VERSION_NOT_FOUND" => VersionNotFound [NotFound]
        "The order does not have that version. `newest` is its newest.",
        "A version from 1 to the newest.";
}
