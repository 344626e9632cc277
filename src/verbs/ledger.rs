//! `ledger`: accounts, entries and holds of money.

use serde_json::{Value, json};
use shared_events::chance::Chance;

use super::args::{EntryArgs, LedgerVerb};
use super::orders::pages;
use crate::client::parse::Id;
use crate::client::transfer::Transfer;
use crate::client::{Client, Failure, Output, show};

const SERVICE: &str = "ledger.v1.LedgerService";

/// `ordinal ledger …`
#[expect(clippy::too_many_lines, reason = "one arm for each verb")]
pub async fn ledger(client: &Client, out: &Output, verb: LedgerVerb) -> Result<(), Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("{SERVICE}/{method}"), request).await
    };
    let ask_once = async |method: &str, (request, made): (Value, Option<Id>)| {
        ask(method, request).await.map_err(|failure| naming(failure, made.as_ref()))
    };
    match verb {
        LedgerVerb::Accounts { prefix, page } => {
            let request = json!({ "prefix": prefix });
            let method = format!("{SERVICE}/ListAccounts");
            pages(client, out, &method, request, &page, show::accounts).await?;
        }
        LedgerVerb::Open { name, kind, currency, limit, why } => {
            let kind = client.enum_value("ledger.v1.AccountKind", &kind)?;
            let mut request = json!({
                "name": name, "kind": kind, "currency_code": currency.to_ascii_uppercase(),
                "reason": why.reason,
            });
            if let Some(limit) = limit {
                let limit = client.enum_value("ledger.v1.AccountLimit", &limit)?;
                request["limit"] = json!(limit);
            }
            out.answer(&ask("OpenAccount", request).await?, account);
        }
        LedgerVerb::Balance { name, at } => {
            let request = json!({ "name": name, "position": at });
            out.answer(&ask("GetAccount", request).await?, account);
        }
        LedgerVerb::Entries { account, page } => {
            let request = json!({ "account": account });
            let method = format!("{SERVICE}/ListEntries");
            pages(client, out, &method, request, &page, show::entries).await?;
        }
        LedgerVerb::Entry { entry_id } => {
            let answer = ask("GetEntry", json!({ "entry_id": entry_id })).await?;
            out.answer(&answer, entry);
        }
        LedgerVerb::Post { transfers, entry: args } => {
            let leg = |transfer: &Transfer| json!({ "transfer": transfer.to_json() });
            let legs: Vec<Value> = transfers.iter().map(leg).collect();
            let request = asked(json!({ "legs": legs }), "entry_id", args);
            out.answer(&ask_once("PostEntry", request).await?, entry);
        }
        LedgerVerb::Reserve { transfer, expires_in, entry } => {
            let mut request = transfer.to_json();
            if let Some(life) = expires_in {
                request["expires_in"] = json!(format!("{}s", life.as_secs_f64()));
            }
            let request = asked(request, "hold_id", entry);
            out.answer(&ask_once("ReserveFunds", request).await?, hold);
        }
        LedgerVerb::PostHold { hold_id, amount, entry } => {
            let mut request = json!({ "hold_id": hold_id });
            if let Some(amount) = amount {
                request["amount"] = amount.to_json();
            }
            let request = asked(request, "entry_id", entry);
            out.answer(&ask_once("PostHold", request).await?, hold);
        }
        LedgerVerb::VoidHold { hold_id, entry } => {
            let request = asked(json!({ "hold_id": hold_id }), "entry_id", entry);
            out.answer(&ask_once("VoidHold", request).await?, hold);
        }
        LedgerVerb::Hold { hold_id } => {
            out.answer(&ask("GetHold", json!({ "hold_id": hold_id })).await?, hold);
        }
    }
    Ok(())
}

/// The request with the id of its entry, and the reason; and the id, where it is made here.
pub(super) fn asked(
    mut request: Value,
    id_field: &str,
    EntryArgs { id, why }: EntryArgs,
) -> (Value, Option<Id>) {
    let made = id.is_none().then(|| Id(Chance::system().uuid()));
    request[id_field] = json!(id.as_ref().or(made.as_ref()));
    request["reason"] = json!(why.reason);
    (request, made)
}

/// The failure names the id that was made for a call: asked again with the same id, it is done once.
pub(super) fn naming(failure: Failure, made: Option<&Id>) -> Failure {
    match made {
        Some(id) => failure.unless_decided(&format!("to ask for the same again: --id {}", id.0)),
        None => failure,
    }
}

/// Says so where nothing changed.
pub(super) fn replayed(out: &Output, answer: &Value) {
    if answer["replayed"] == true {
        out.line("this was done before; nothing changed");
    }
}

fn account(out: &Output, answer: &Value) {
    replayed(out, answer);
    show::account(out, &answer["account"]);
}

fn entry(out: &Output, answer: &Value) {
    replayed(out, answer);
    show::entry(out, &answer["entry"]);
}

fn hold(out: &Output, answer: &Value) {
    replayed(out, answer);
    show::hold(out, &answer["hold"]);
}
