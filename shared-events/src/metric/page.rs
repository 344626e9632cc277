//! The page, in the text format of Prometheus or as OpenMetrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::kinds::Buckets;
use super::{About, Exemplar, Format, Kind, Unit, table};

const NANOS: u64 = 1_000_000_000;
/// Series of one metric that are observed; more are left out.
const OBSERVED_MAX: usize = 4_096;

/// A value of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A time.
    Time(Duration),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Number(u64::from(is))
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

/// A page for a scraper: what was observed now, and what is counted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Lines by the metric's name.
    lines: BTreeMap<&'static str, Vec<String>>,
    /// As it is written.
    format: Format,
}

impl Page {
    /// Adds what another page has.
    pub fn extend(&mut self, other: &Self) {
        for (name, lines) in &other.lines {
            self.lines.entry(name).or_default().extend(lines.iter().cloned());
        }
    }

    /// The text: what was added, and every metric that is counted here.
    #[must_use]
    pub fn text(self) -> String {
        self.written(Format::Text)
    }

    /// The same, in this format.
    #[must_use]
    pub fn written(mut self, format: Format) -> String {
        self.format = format;
        for metric in table::ALL {
            metric.write(&mut self);
        }
        let mut text = String::new();
        for about in table::ALL.iter().map(|metric| metric.about()) {
            let Some(lines) = self.lines.get(about.name) else { continue };
            let (family, kind) = match format {
                Format::Text => (about.name, about.kind.name()),
                Format::OpenMetrics => family(about),
            };
            let _ = writeln!(text, "# HELP {family} {}\n# TYPE {family} {kind}", about.help);
            for line in lines {
                text.push_str(line);
                text.push('\n');
            }
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    pub(super) fn add(&mut self, about: About, labels: &[&str], value: Value) {
        let lines = self.lines.entry(about.name).or_default();
        if lines.len() >= OBSERVED_MAX {
            return;
        }
        let value = match value {
            Value::Number(number) => number.to_string(),
            Value::Time(time) => seconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        };
        lines.push(format!("{}{} {value}", about.name, braced(about.labels, labels, None)));
    }

    pub(super) fn add_buckets(
        &mut self,
        about: About,
        labels: &[&str],
        bounds: &[u64],
        buckets: &Buckets,
    ) {
        let About { name, unit, .. } = about;
        let shown = |value: u64| match unit {
            Unit::Seconds => seconds(value),
            Unit::Number => value.to_string(),
        };
        let lines = self.lines.entry(name).or_default();
        let mut count = 0_u64;
        for (nth, bucket) in buckets.counts.iter().take(bounds.len() + 1).enumerate() {
            count = count.wrapping_add(bucket.load(Ordering::Relaxed));
            let bound = bounds.get(nth).map_or_else(|| "+Inf".to_owned(), |bound| shown(*bound));
            let labels = braced(about.labels, labels, Some(&bound));
            let exemplar = match self.format {
                Format::Text => None,
                Format::OpenMetrics => buckets.exemplars.last(nth),
            };
            let exemplar =
                exemplar.map_or_else(String::new, |(value, of)| named(of, &shown(value)));
            lines.push(format!("{name}_bucket{labels} {count}{exemplar}"));
        }
        let labels = braced(about.labels, labels, None);
        lines.push(format!("{name}_sum{labels} {}", shown(buckets.sum.load(Ordering::Relaxed))));
        lines.push(format!("{name}_count{labels} {count}"));
    }
}

/// The name and the kind of a metric as OpenMetrics has them: `_total` is a counter's suffix there,
/// and no part of its name. Where another metric has the rest of the name, nothing is said of the
/// kind: the names of values are the same in both formats.
fn family(about: About) -> (&'static str, &'static str) {
    let About { name, kind, .. } = about;
    if kind != Kind::Counter {
        return (name, kind.name());
    }
    let is_free = |rest: &&str| table::ALL.iter().all(|metric| metric.about().name != *rest);
    match name.strip_suffix("_total").filter(is_free) {
        Some(rest) => (rest, kind.name()),
        None => (name, "unknown"),
    }
}

/// A trace that is in a bucket, behind the bucket's number.
fn named(of: Exemplar, value: &str) -> String {
    let Exemplar { trace, span, at } = of;
    let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
    format!(
        " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} {value} {seconds}.{micros:06}"
    )
}

/// Labels with their values, as the format writes them.
fn braced(names: &[&str], values: &[&str], bound: Option<&str>) -> String {
    let mut text = String::new();
    let bound = bound.map(|bound| ("le", bound));
    for (name, value) in names.iter().copied().zip(values.iter().copied()).chain(bound) {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// Nanoseconds as seconds, exactly.
fn seconds(nanos: u64) -> String {
    let (whole, rest) = (nanos / NANOS, nanos % NANOS);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Kind, Metric as _, Observed};

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds(500_000), "0.0005");
        assert_eq!(seconds(10 * NANOS), "10");
        assert_eq!(seconds(1_250_000_000), "1.25");
        assert_eq!(seconds(0), "0");
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(braced(&["a", "b"], &["x\"\\\n", ""], None), r#"{a="x\"\\\n",b=""}"#);
        assert_eq!(braced(&[], &[], Some("+Inf")), r#"{le="+Inf"}"#);
        assert_eq!(braced(&[], &[], None), "");
    }

    #[test]
    fn a_bucket_names_a_trace_where_the_format_has_them() {
        let about = crate::metric::table::COMMAND_DURATION.about();
        let buckets = Buckets::default();
        let of = Exemplar { trace: 0xaf, span: 0x1b, at: 1_772_442_000_000_042 };
        buckets.counts[1].store(3, Ordering::Relaxed);
        buckets.exemplars.keep(1, 2 * NANOS, of);
        for (format, line) in [
            (Format::Text, r#"ordinal_command_duration_seconds_bucket{command="Place",le="2"} 3"#),
            (
                Format::OpenMetrics,
                "ordinal_command_duration_seconds_bucket{command=\"Place\",le=\"2\"} 3 \
                 # {trace_id=\"000000000000000000000000000000af\",span_id=\"000000000000001b\"} \
                 2 1772442000.000042",
            ),
        ] {
            let mut page = Page { format, ..Page::default() };
            page.add_buckets(about, &["Place"], &[NANOS, 2 * NANOS], &buckets);
            assert_eq!(page.lines[about.name][1], line);
            assert!(!page.lines[about.name][0].contains('#') && page.lines[about.name].len() == 5);
        }
    }

    #[test]
    fn openmetrics_has_an_end_and_counters_without_their_suffix() {
        let page = || {
            let mut page = Page::default();
            table::SPANS_DROPPED.is(&mut page, [], 3_u64);
            page
        };
        let (text, open) = (page().text(), page().written(Format::OpenMetrics));
        assert!(text.contains("# TYPE ordinal_spans_dropped_total counter\n"), "{text}");
        assert!(open.contains("# TYPE ordinal_spans_dropped counter\n"), "{open}");
        for page in [&text, &open] {
            assert!(page.contains("\nordinal_spans_dropped_total 3\n"), "{page}");
        }
        assert!(open.ends_with("\n# EOF\n") && !text.contains("EOF"));
        // No two metrics have one name.
        let mut names: Vec<_> = table::ALL.iter().map(|metric| family(metric.about()).0).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn what_is_not_in_the_table_is_not_on_the_page() {
        static STRANGE: Observed<0> = Observed::number("strange", &[], "Not in the table.");
        assert_eq!(STRANGE.about().kind, Kind::Gauge);
        let mut page = Page::default();
        STRANGE.is(&mut page, [], 1_u64);
        assert!(!page.text().contains("strange"));
    }
}
