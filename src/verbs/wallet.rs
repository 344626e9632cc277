//! `wallet`: what is in customers' wallets, and what is put into them.

use serde_json::{Value, json};
use shared_events::contract::Money;

use super::args::{CorrectBy, WalletVerb};
use super::ledger::{asked, naming, replayed};
use crate::client::parse::Amount;
use crate::client::{Client, Failure, Output, resumed, show};

const SERVICE: &str = "ledger.v1.WalletService";

/// `ordinal wallet …`
pub async fn wallet(client: &Client, out: &Output, verb: WalletVerb) -> Result<(), Failure> {
    let (method, request, validate_only) = match verb {
        WalletVerb::Show { customer_id } => {
            let request = json!({ "customer_id": customer_id });
            let answer = client.call(&format!("{SERVICE}/GetWallet"), request).await?;
            out.answer(&answer, answered);
            return Ok(());
        }
        WalletVerb::Watch { customer_id } => {
            let request = json!({ "customer_id": customer_id });
            let shown = |wallet: &Value| {
                out.answer(wallet, show::wallet);
                Ok(())
            };
            let method = format!("{SERVICE}/WatchWallet");
            return resumed::read(client, &method, request, "wallet", shown).await;
        }
        WalletVerb::TopUp { customer_id, amount, validate_only, entry } => {
            let request = json!({
                "customer_id": customer_id, "amount": amount.to_json(),
                "validate_only": validate_only,
            });
            ("TopUpWallet", asked(request, "entry_id", entry), validate_only)
        }
        WalletVerb::Correct { customer_id, by, validate_only, entry } => {
            let request = json!({
                "customer_id": customer_id, "amount": signed(&by)?.to_json(),
                "validate_only": validate_only,
            });
            ("CorrectWallet", asked(request, "entry_id", entry), validate_only)
        }
    };
    let (request, made) = request;
    let answer = client.call(&format!("{SERVICE}/{method}"), request).await;
    let answer = answer.map_err(|failure| naming(failure, made.as_ref()))?;
    out.answer(&answer, |out, answer| {
        if validate_only {
            out.line("nothing was changed; it would be booked. The wallet is:");
        }
        answered(out, answer);
    });
    Ok(())
}

/// What a wallet is corrected by: less than zero where something is taken.
fn signed(by: &CorrectBy) -> Result<Amount, Failure> {
    let (Some(Amount(money)), is_taken) = (by.add.or(by.take), by.take.is_some()) else {
        return Err(Failure::Usage("--add or --take must say how much".to_owned()));
    };
    if money.minor <= 0 {
        return Err(Failure::Usage("--add and --take are more than zero".to_owned()));
    }
    let minor = if is_taken { money.minor.saturating_neg() } else { money.minor };
    Ok(Amount(Money::new(minor, money.currency)))
}

fn answered(out: &Output, answer: &Value) {
    replayed(out, answer);
    show::wallet(out, &answer["wallet"]);
}
