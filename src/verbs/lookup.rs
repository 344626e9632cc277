//! `lookup`: what an identifier belongs to, whichever service has it.

use serde_json::{Value, json};

use crate::client::show::text;
use crate::client::{Client, Failure, Output};

/// `ordinal lookup ID`
pub async fn lookup(client: &Client, out: &Output, id: &str) -> Result<(), Failure> {
    let answer = client.call("admin.v1.AdminService/Lookup", json!({ "id": id })).await?;
    out.answer(&answer, show);
    Ok(())
}

fn show(out: &Output, answer: &Value) {
    let items = |list: &str| answer[list].as_array().into_iter().flatten();
    let fields = ["kind", "found_by", "id", "order_id", "command"];
    out.list(
        &["kind", "found by", "id", "order", "shown by"],
        items("found").map(|found| fields.map(|field| text(found, field)).to_vec()),
        "nothing has it",
    );
    if answer["or_more"] == true {
        out.line("there is more");
    }
    for away in items("away") {
        let away = away.as_str().unwrap_or_default();
        out.line(format!("{away} does not answer: what it has is missing"));
    }
}
