macro_rules! verbs {
    ($($(#[$doc:meta])+ $variant:ident = $code:literal on $kind:literal;)+) => {
        /// What an operator may do; recorded with its effect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb {
            $($(#[$doc])+ $variant,)+
        }

        impl Verb {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The stable name of the kind of target.
            #[must_use]
            pub const fn kind(self) -> &'static str {
                match self {
                    $(Self::$variant => $kind,)+
                }
            }
        }
    };
}

verbs! {
    /// A follower stops handling items.
    PauseFollower = "PAUSE_FOLLOWER" on "FOLLOWER";
    /// A follower resumes.
    ResumeFollower = "RESUME_FOLLOWER" on "FOLLOWER";
    /// A subject's dead letters are retried.
    PutBackDeadLetters = "PUT_BACK_DEAD_LETTERS" on "DEAD_LETTER";
    /// A subject's first dead letter is dropped.
    DropDeadLetter = "DROP_DEAD_LETTER" on "DEAD_LETTER";
    /// A follower's dead letters of orders that the journal does not hold are dropped.
    DropLettersOfLostOrders = "DROP_LETTERS_OF_LOST_ORDERS" on "DEAD_LETTER";
    /// A read model is rebuilt.
    RebuildReadModel = "REBUILD_READ_MODEL" on "READ_MODEL";
    /// A shard is assigned to a node.
    MoveShard = "MOVE_SHARD" on "SHARD";
    /// A shard is closed.
    FreezeShard = "FREEZE_SHARD" on "SHARD";
    /// A shard is opened.
    UnfreezeShard = "UNFREEZE_SHARD" on "SHARD";
    /// Shards are moved to another database.
    RelocateShards = "RELOCATE_SHARDS" on "SHARD";
    /// A move of shards to another database is taken back.
    CancelRelocation = "CANCEL_RELOCATION" on "SHARD";
    /// The journal is accepted as it is.
    AcceptJournal = "ACCEPT_JOURNAL" on "JOURNAL";
    /// Old events are moved to files.
    ArchiveJournal = "ARCHIVE_JOURNAL" on "JOURNAL";
    /// Timers trust the clock again.
    ResumeTimers = "RESUME_TIMERS" on "TIMERS";
    /// Stock is set.
    SetStock = "SET_STOCK" on "STOCK";
    /// Stock is adjusted.
    AdjustStock = "ADJUST_STOCK" on "STOCK";
    /// The units that may be promised beyond the stock are set.
    SetBackorder = "SET_BACKORDER" on "STOCK";
    /// A location of stock is added, or its priority changed.
    SetLocation = "SET_LOCATION" on "STOCK";
    /// A message is sent again.
    ResendNotification = "RESEND_NOTIFICATION" on "NOTIFICATION";
    /// Facts are posted to a webhook endpoint again.
    ReplayWebhooks = "REPLAY_WEBHOOKS" on "WEBHOOK";
    /// An account of the ledger is opened.
    OpenAccount = "OPEN_ACCOUNT" on "LEDGER";
    /// An entry is booked.
    PostEntry = "POST_ENTRY" on "LEDGER";
    /// What became of an operation at a payment service provider is said.
    ResolveOperation = "RESOLVE_OPERATION" on "PAYMENT";
    /// A webhook of a payment service provider is looked at again, or dropped.
    ResolveWebhook = "RESOLVE_WEBHOOK" on "PAYMENT";
    /// A settlement report of a payment service provider is imported.
    ImportSettlement = "IMPORT_SETTLEMENT" on "PAYMENT";
    /// What a line of such a report is for is said.
    ResolveSettlementLine = "RESOLVE_SETTLEMENT_LINE" on "PAYMENT";
    /// Sellers are paid out.
    RunPayouts = "RUN_PAYOUTS" on "PAYMENT";
    /// A payout is looked at again.
    RetryPayout = "RETRY_PAYOUT" on "PAYMENT";
    /// What became of a payout is said.
    ResolvePayout = "RESOLVE_PAYOUT" on "PAYMENT";
    /// A token of a customer is signed.
    IssueToken = "ISSUE_TOKEN" on "TOKEN";
}

/// The kinds of targets: those of all verbs, and no others.
pub const TARGET_KINDS: &[&str] = &[
    "FOLLOWER",
    "DEAD_LETTER",
    "READ_MODEL",
    "SHARD",
    "JOURNAL",
    "TIMERS",
    "STOCK",
    "NOTIFICATION",
    "WEBHOOK",
    "LEDGER",
    "PAYMENT",
    "TOKEN",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_kinds_of_targets_are_those_of_all_verbs() {
        let of_verbs: BTreeSet<&str> = Verb::ALL.iter().map(|verb| verb.kind()).collect();
        let listed: BTreeSet<&str> = TARGET_KINDS.iter().copied().collect();
        assert_eq!(listed, of_verbs);
        assert_eq!(listed.len(), TARGET_KINDS.len());
        let codes: BTreeSet<&str> = Verb::ALL.iter().map(|verb| verb.code()).collect();
        assert_eq!(codes.len(), Verb::ALL.len());
    }
}
