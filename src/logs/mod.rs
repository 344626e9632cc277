//! Logs: lines for people, or JSON for programs. They are written by a thread of their own, so that
//! nothing waits for whoever reads them.
//! Never here: what is logged.

mod json; // a line of JSON
mod object; // a flat JSON object, field by field
mod queue; // lines that wait to be written

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use shared_events::traces;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use queue::Queue;

/// The variable that says in which form lines are: `json`, or `text` for people.
pub const FORMAT: &str = "ORDINAL_LOG_FORMAT";

/// The flag that says the same.
const FLAG: &str = "--log-format";

/// What is logged unless `RUST_LOG` says otherwise.
const FILTER: &str = "warn,access=info";

/// Targets of what may say more than `info`: our own. A library may show below that what it sends
/// and receives, which is personal data and tokens.
const OWN: &[&str] = &[
    "access",
    "edge_auth",
    "event_journal",
    "inventory_stream",
    "ledger",
    "notification",
    "order_actor",
    "ordinal",
    "payment",
    "psp",
    "service_edge",
    "shared_events",
    "web_edge",
    "web_openapi",
];

/// Whether lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);
/// Which process this is.
static PROCESS: OnceLock<Process> = OnceLock::new();

/// Which process writes a line.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name among the services, such as `ordinal-orders`.
    pub service: String,
    /// Its name among those of its role.
    pub node: String,
    /// Its role.
    pub role: &'static str,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is text or json".to_owned()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Json { "json" } else { "text" })
    }
}

/// Writes lines to stderr until it is dropped, which writes those that wait.
pub struct Logs(Queue);

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Begins to write what `RUST_LOG` asks for, as `ORDINAL_LOG_FORMAT` or these arguments say: the first
/// lines are about the arguments themselves.
pub fn begin(arguments: impl Iterator<Item = OsString>) -> Logs {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let queue = Queue::begin();
    let is_terminal = std::io::stderr().is_terminal();
    // Fails where a test has a subscriber of its own.
    let _ = subscriber(filter, queue.clone(), is_terminal).try_init();
    tell_panics(queue.clone());
    let asked = flagged(arguments).or_else(|| std::env::var(FORMAT).ok());
    if asked.is_some_and(|format| format == "json") {
        use_format(LogFormat::Json);
    }
    Logs(queue)
}

/// Writes the lines that this filter asks for, and those that are always asked for.
fn subscriber(
    mut filter: EnvFilter,
    queue: Queue,
    ansi: bool,
) -> impl Subscriber + Send + Sync + 'static {
    // What a line belongs to is a span; it is made only where lines are JSON. A panic is told
    // whatever else is: only this file says something under its name.
    let always = [(traces::CONTEXT, Level::INFO), (module_path!(), Level::ERROR)];
    for (target, level) in always {
        if let Ok(directive) = format!("{target}={level}").parse() {
            filter = filter.add_directive(directive);
        }
    }
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields::default())
        .event_format(Lines::default())
        .with_ansi(ansi)
        .with_writer(queue);
    tracing_subscriber::registry().with(filter).with(filter_fn(is_told)).with(lines)
}

/// Writes a panic as a line, with its place only: what it says may be a value. The process may end
/// right after it, so it waits until the line is written.
fn tell_panics(queue: Queue) {
    std::panic::set_hook(Box::new(move |panic| {
        let at = panic.location().map(ToString::to_string);
        // As `RUST_BACKTRACE` asks for it. It has names and places.
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        let thread = std::thread::current();
        tracing::error!(at, thread = thread.name(), backtrace = trace, "panicked");
        queue.flush();
    }));
}

/// What the flag says, as `--log-format json` or `--log-format=json`.
fn flagged(arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<String> {
    let mut arguments = arguments.filter_map(|it| it.into_string().ok());
    while let Some(argument) = arguments.next() {
        let Some(rest) = argument.strip_prefix(FLAG) else { continue };
        match rest.strip_prefix('=') {
            Some(value) => return Some(value.to_owned()),
            None if rest.is_empty() => return arguments.next(),
            None => {}
        }
    }
    None
}

/// Writes lines in this form from now on.
pub fn use_format(format: LogFormat) {
    let json = format == LogFormat::Json;
    JSON.store(json, Ordering::Relaxed);
    traces::name_in_logs(json);
}

/// Names this process in each line of JSON from now on; the first name stays.
pub fn name(process: Process) {
    let _ = PROCESS.set(process);
}

fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Whether what is said there may be written at all.
fn is_told(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let krate = target.split_once("::").map_or(target, |(first, _)| first);
    *metadata.level() <= Level::INFO || OWN.contains(&krate)
}

/// A line in the form that is asked for.
#[derive(Default)]
struct Lines(Format<Full>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match is_json() {
            true => json::write(context, writer, event),
            false => self.0.format_event(context, writer, event),
        }
    }
}

/// Fields, in the form that is asked for.
#[derive(Default)]
struct Fields {
    text: DefaultFields,
    json: JsonFields,
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        match is_json() {
            true => self.json.format_fields(writer, fields),
            false => self.text.format_fields(writer, fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_format_is_found_in_both_spellings() {
        let found = |arguments: &[&str]| flagged(arguments.iter().map(Into::into));
        for arguments in [
            &["serve", "--log-format", "json"][..],
            &["serve", "--log-format=json"],
            &["--log-formats", "text", "--log-format=json"],
        ] {
            assert_eq!(found(arguments).as_deref(), Some("json"), "{arguments:?}");
        }
        assert_eq!(found(&["serve", "--log-format"]), None);
        assert_eq!(found(&["serve"]), None);
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_a_line_with_its_place_only_whatever_is_asked_for() {
        for filter in [FILTER, "off", "access=info", "order_actor=debug", "ordinal=off"] {
            let kept = Kept::default();
            let queue = Queue::to(kept.clone());
            tell_panics(queue.clone());
            let subscriber = subscriber(EnvFilter::new(filter), queue, false);
            let panicking = std::thread::Builder::new().name("panicking".to_owned()).spawn(|| {
                tracing::subscriber::with_default(subscriber, || {
                    tracing::debug!("not asked for");
                    panic!("MARKER-STREET")
                });
            });
            panicking.unwrap().join().unwrap_err();
            // It is there already: the hook waits for it.
            let line = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert_eq!(line.lines().count(), 1, "{filter}: {line}");
            let place = "ERROR ordinal::logs: panicked at=\"src/logs/mod.rs:";
            assert!(line.contains(place), "{filter}: {line}");
            let names_nothing_else =
                line.contains("thread=\"panicking\"") && !line.contains("MARKER");
            assert!(names_nothing_else, "{filter}: {line}");
        }
    }

    #[test]
    fn a_format_is_named_as_it_is_shown() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
