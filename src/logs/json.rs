use std::fmt;

use order_actor::clock::{Clock as _, SystemClock};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::PROCESS;
use super::object::Object;

/// A line: when, how bad, where, what; then which process, the call or command that it belongs to,
/// and the event's own fields, all on one level.
pub(super) fn write<S, N>(
    context: &FmtContext<'_, S, N>,
    mut writer: Writer<'_>,
    event: &Event<'_>,
) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let metadata = event.metadata();
    let mut line = begun(metadata.level().as_str(), metadata.target());
    for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
        if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
            line.extend(&fields.fields);
        }
    }
    event.record(&mut line);
    writeln!(writer, "{line}")
}

/// The line that says how many were left out.
pub(super) fn omitted(lines: u64) -> String {
    let mut line = begun("WARN", module_path!());
    line.put("message", "log lines were left out");
    line.put("omitted", lines);
    format!("{line}\n")
}

fn begun(level: &str, target: &str) -> Object {
    let mut line = Object::default();
    line.put("ts", SystemClock.now().to_string());
    line.put("level", level);
    line.put("target", target);
    line.put("message", "");
    if let Some(process) = PROCESS.get() {
        line.put("service", process.service.as_str());
        line.put("node", process.node.as_str());
        line.put("role", process.role);
    }
    line
}
