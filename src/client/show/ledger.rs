use serde_json::Value;

use super::{code, items, next_page, short_time, text};
use crate::client::Output;

/// Accounts with their balances.
pub fn accounts(out: &Output, answer: &Value) {
    listed(out, items(&answer["accounts"]));
    next_page(out, answer);
}

/// One account.
pub fn account(out: &Output, account: &Value) {
    listed(out, [account]);
}

fn listed<'a>(out: &Output, accounts: impl IntoIterator<Item = &'a Value>) {
    let rows = accounts.into_iter().map(|account| {
        let balance = &account["balance"];
        vec![
            text(account, "name"),
            code(account, "kind", "ACCOUNT_KIND_"),
            text(balance, "posted"),
            text(balance, "available"),
            text(balance, "debits_held"),
            text(balance, "credits_held"),
            code(account, "limit", "ACCOUNT_LIMIT_"),
            text(balance, "position"),
        ]
    });
    let head = [
        "account",
        "kind",
        "balance",
        "available",
        "debits held",
        "credits held",
        "limit",
        "position",
    ];
    out.list(&head, rows, "no accounts");
}

/// Entries with their transfers.
pub fn entries(out: &Output, answer: &Value) {
    transfers(out, items(&answer["entries"]));
    next_page(out, answer);
}

/// One entry.
pub fn entry(out: &Output, entry: &Value) {
    let refusal = text(entry, "refusal");
    if refusal.is_empty() {
        transfers(out, [entry]);
    } else {
        out.line(format!("refused: {refusal}, {}", text(entry, "refusal_text")));
    }
}

fn transfers<'a>(out: &Output, entries: impl IntoIterator<Item = &'a Value>) {
    let rows = entries.into_iter().flat_map(|entry| {
        items(&entry["transfers"]).map(|one| {
            vec![
                text(one, "position"),
                short_time(entry, "time"),
                code(one, "kind", "TRANSFER_KIND_"),
                text(one, "debit"),
                text(one, "credit"),
                text(one, "amount"),
                text(entry, "entry_id"),
                text(one, "hold_id"),
                text(entry, "asked_by"),
                text(entry, "reason"),
            ]
        })
    });
    let head =
        ["position", "at", "kind", "debit", "credit", "amount", "entry", "hold", "by", "why"];
    out.list(&head, rows, "no entries");
}

/// A hold.
pub fn hold(out: &Output, hold: &Value) {
    let row = vec![
        text(hold, "hold_id"),
        code(hold, "state", "HOLD_STATE_"),
        text(hold, "debit"),
        text(hold, "credit"),
        text(hold, "amount"),
        text(hold, "posted"),
        short_time(hold, "expire_time"),
    ];
    let head = ["hold", "state", "debit", "credit", "held", "posted", "expires"];
    out.list(&head, [row], "no hold");
}

/// A customer's wallet.
pub fn wallet(out: &Output, wallet: &Value) {
    let rows = items(&wallet["balances"]).map(|balance| {
        vec![
            text(wallet, "customer_id"),
            text(balance, "currency_code"),
            text(balance, "balance"),
            text(balance, "held"),
            text(balance, "available"),
        ]
    });
    let head = ["customer", "currency", "balance", "held", "available"];
    out.list(&head, rows, "the wallet is empty");
}
