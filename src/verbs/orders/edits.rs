use serde_json::{Value, json};

use super::{command, command_options, id, units};
use crate::client::{Client, Failure, Output};
use crate::verbs::args::EditArgs;

/// `ordinal order edit`
pub(super) async fn edit(client: &Client, out: &Output, args: EditArgs) -> Result<(), Failure> {
    let EditArgs { order_id, line, add, file, expect_total, reason, edit_id, options } = args;
    let mut request = json!({
        "changes": units(&line),
        "lines": add.iter().map(|line| line.to_json()).collect::<Vec<_>>(),
    });
    if let Some(path) = file {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        request = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        if !request.is_object() {
            return Err(wrong(&"is not a JSON object"));
        }
    }
    if let Some(total) = expect_total {
        request["expected"] = json!({ "total": total.to_json() });
    }
    set(&mut request, ("order_id", "orderId"), json!(order_id));
    set(&mut request, ("edit_id", "editId"), json!(id(edit_id)));
    request["reason"] = json!(reason);
    request["options"] = command_options(&options);
    command(client, out, "EditOrder", request, options.validate_only).await
}

/// A field has two spellings in JSON; with both it would be set twice.
fn set(request: &mut Value, (name, camel): (&str, &str), value: Value) {
    if let Some(fields) = request.as_object_mut() {
        fields.remove(camel);
    }
    request[name] = value;
}
