//! `settlement`: reports of what providers paid out.

use std::path::Path;

use payment::domain::{REPORT_BYTES_MAX, REPORT_LINES_MAX};
use serde_json::{Value, json};

use super::args::SettlementVerb;
use super::orders::pages;
use crate::client::{Client, Failure, Output, show};

const SERVICE: &str = "payments.v1.SettlementService";
/// The largest file that is read. It is sent in parts.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// `ordinal settlement …`
pub async fn settlement(
    client: &Client,
    out: &Output,
    verb: SettlementVerb,
) -> Result<(), Failure> {
    let method = |name: &str| format!("{SERVICE}/{name}");
    match verb {
        SettlementVerb::Import { psp, file, validate_only } => {
            import(client, out, (&psp, &file), validate_only).await?;
        }
        SettlementVerb::List { psp, page } => {
            let request = json!({ "psp": psp });
            let method = method("ListSettlements");
            pages(client, out, &method, request, &page, show::settlements).await?;
        }
        SettlementVerb::Show { settlement_id } => {
            let request = json!({ "settlement_id": settlement_id });
            let answer = client.call(&method("GetSettlement"), request).await?;
            out.answer(&answer, show::settlement);
        }
        SettlementVerb::Lines { psp, settlement, state, page } => {
            let mut request = json!({ "psp": psp, "settlement_id": settlement });
            if let Some(state) = state {
                let known = "payments.v1.SettlementLineState";
                request["state"] = json!(client.enum_value(known, &state)?);
            }
            let method = method("ListSettlementLines");
            pages(client, out, &method, request, &page, show::settlement_lines).await?;
        }
        SettlementVerb::Missing { psp, days, page } => {
            let request = json!({ "psp": psp, "older_than_days": days });
            let method = method("ListUnsettled");
            pages(client, out, &method, request, &page, show::unsettled).await?;
        }
        SettlementVerb::Resolve { psp, line_id, what, validate_only, why } => {
            let request = json!({
                "psp": psp, "line_id": line_id, "to": what.to.unwrap_or_default(),
                "write_off": what.write_off, "reason": why.reason, "validate_only": validate_only,
            });
            let answer = client.call(&method("ResolveSettlementLine"), request).await?;
            out.answer(&answer, |out, answer| {
                show::only_would(out, validate_only);
                show::settlement_line(out, answer);
            });
        }
    }
    Ok(())
}

/// Sends a file, in parts where it is too large for one call: all of them are tried before the
/// first is kept, so that a line that is refused is one of a file of which nothing was imported.
async fn import(
    client: &Client,
    out: &Output,
    (psp, file): (&str, &Path),
    validate_only: bool,
) -> Result<(), Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| wrong(&error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(&format!("has {size} bytes, and a report at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let parts = parts(&text);
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let send = async |(nth, part): (usize, &String), validate_only: bool| {
        let of_parts = format!("{name} ({} of {})", nth + 1, parts.len());
        let file_name = if parts.len() == 1 { &name } else { &of_parts };
        let request = json!({
            "psp": psp, "report": part, "file_name": file_name, "validate_only": validate_only,
        });
        client.call(&format!("{SERVICE}/ImportSettlement"), request).await
    };
    if parts.len() > 1 {
        for part in parts.iter().enumerate() {
            send(part, true).await?;
        }
    }
    for part in parts.iter().enumerate() {
        let answer = send(part, validate_only).await?;
        out.answer(&answer, |out: &Output, answer: &Value| {
            show::only_would(out, validate_only);
            if answer["replayed"] == true {
                out.line("imported before: nothing was changed");
            }
            show::settlement(out, answer);
        });
    }
    Ok(())
}

/// A report in parts of which each is one: the names of its columns, and as many lines as go into
/// one call. The same file has the same parts, so that they are known again.
fn parts(text: &str) -> Vec<String> {
    if text.len() <= REPORT_BYTES_MAX && text.lines().count() <= REPORT_LINES_MAX + 1 {
        return vec![text.to_owned()];
    }
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut parts = Vec::new();
    let (mut part, mut lines) = (format!("{first}\n"), 0);
    for line in rest.split_inclusive('\n') {
        if lines == REPORT_LINES_MAX || part.len() + line.len() > REPORT_BYTES_MAX {
            parts.push(std::mem::replace(&mut part, format!("{first}\n")));
            lines = 0;
        }
        part.push_str(line);
        lines += 1;
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_report_is_sent_in_parts_that_are_reports() {
        let line = "a,b,c\n";
        let small = format!("one,two,three\n{line}");
        assert_eq!(parts(&small), std::slice::from_ref(&small));
        let large = format!("one,two,three\n{}", line.repeat(2 * REPORT_LINES_MAX + 1));
        let parts = parts(&large);
        let lines: Vec<usize> = parts.iter().map(|part| part.lines().count() - 1).collect();
        assert_eq!(lines, [REPORT_LINES_MAX, REPORT_LINES_MAX, 1]);
        assert!(parts.iter().all(|part| part.starts_with("one,two,three\n")));
        let wide = format!("one\n{}", format!("{}\n", "x".repeat(1_000)).repeat(1_000));
        let parts = super::parts(&wide);
        assert!(parts.len() == 2 && parts.iter().all(|part| part.len() <= REPORT_BYTES_MAX));
    }
}
