//! How a page is written, and which way a scraper asks for.

/// The most that a quality may be, in thousandths.
const BEST: u16 = 1_000;

/// How a page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0, in which buckets name traces.
    OpenMetrics,
}

impl Format {
    /// Its type, as the header of an answer says it.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The one that a header `Accept` asks for: OpenMetrics where it is named, and text is not
    /// preferred.
    #[must_use]
    pub fn asked_for(accept: &str) -> Self {
        let best = |wanted: fn(&Range<'_>) -> bool| {
            let ranges = accept.split(',').filter_map(Range::of).filter(wanted);
            ranges.map(|range| range.quality).max().unwrap_or(0)
        };
        let asked = best(|range| {
            let is_ours = range.version.is_none_or(|version| version == "1.0.0");
            range.kind.eq_ignore_ascii_case("application/openmetrics-text") && is_ours
        });
        let text = best(|range| range.kind.eq_ignore_ascii_case("text/plain"));
        if asked > 0 && asked >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// One of the types that a header accepts.
struct Range<'a> {
    kind: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { kind: parts.next()?, version: None, quality: BEST };
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            match name.trim_end() {
                "version" => range.version = Some(value.trim().trim_matches('"')),
                "q" => range.quality = thousandths(value.trim())?,
                _ => {}
            }
        }
        Some(range)
    }
}

/// A number from 0 to 1 with up to three digits after the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_part = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = if is_part { format!("{part:0<3}").parse().ok()? } else { return None };
    match whole {
        "0" => Some(part),
        "1" => Some(BEST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_written_for_those_who_ask_for_it() {
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Format::OpenMetrics),
            ("application/openmetrics-text;version=\"1.0.0\"", Format::OpenMetrics),
            // As Prometheus asks, old and new.
            (
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.501", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
            ("application/openmetrics-text;q=0.0001", Format::Text),
        ] {
            assert_eq!(Format::asked_for(accept), expected, "{accept}");
        }
    }
}
