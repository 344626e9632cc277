/// The id of the trace in a `traceparent` of W3C Trace Context: version, trace, span and flags, in
/// lower-case hexadecimal digits. None if it is not one, also where an id is zero or the version is
/// `ff`; W3C asks that it is ignored then.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = traceparent.split('-');
    let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let hex = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    let valid = hex && version != "ff" && !is_zero(trace) && !is_zero(span);
    (valid && parts.next().is_none()).then_some(trace)
}

/// Characters of a `tracestate` that are kept; W3C asks for as many at least.
pub const TRACE_STATE_MAX: usize = 512;
/// Entries that a `tracestate` may have.
const STATES_MAX: usize = 32;
/// Entries that are longer make room first.
const STATE_LONG: usize = 128;
/// The longest key, and the longest value, of an entry.
const STATE_PART_MAX: usize = 256;

/// What systems added to a trace for themselves, in a `tracestate` of W3C Trace Context: without
/// empty entries and spaces around them. Where it is longer than [`TRACE_STATE_MAX`], entries of
/// more than 128 characters go first, then the last ones. None where it has no entry, and where
/// anything of it is malformed; W3C asks that it is ignored as a whole then.
#[must_use]
pub fn trace_state(text: &str) -> Option<String> {
    let entries = text.split(',').map(|entry| entry.trim_matches([' ', '\t']));
    let mut kept: Vec<&str> = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for entry in entries.filter(|entry| !entry.is_empty()) {
        let (key, value) = entry.split_once('=')?;
        let is_another = kept.len() < STATES_MAX && !keys.contains(&key);
        (is_another && is_state_key(key) && is_state_value(value)).then_some(())?;
        kept.push(entry);
        keys.push(key);
    }
    let joined = |kept: &[&str]| {
        let length: usize = kept.iter().map(|entry| entry.len() + 1).sum();
        length.saturating_sub(1)
    };
    if joined(&kept) > TRACE_STATE_MAX {
        kept.retain(|entry| entry.len() <= STATE_LONG);
    }
    while joined(&kept) > TRACE_STATE_MAX {
        kept.pop();
    }
    (!kept.is_empty()).then(|| kept.join(","))
}

fn is_state_key(key: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_next = |byte: u8| is_first(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= STATE_PART_MAX
        && key.bytes().next().is_some_and(is_first)
        && key.bytes().all(is_next)
}

fn is_state_value(value: &str) -> bool {
    // Printable, without the characters between entries and between key and value.
    let is_part = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    (1..=STATE_PART_MAX).contains(&value.len()) && value.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_state_is_kept_as_it_came() {
        for (sent, kept) in [
            ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
            (" rojo=00f067aa0ba902b7 ,\tcongo=t 1,,", "rojo=00f067aa0ba902b7,congo=t 1"),
            ("0vendor@a-b_c*d/e=~!-+", "0vendor@a-b_c*d/e=~!-+"),
        ] {
            assert_eq!(trace_state(sent).as_deref(), Some(kept));
        }
        let many = |count| -> String {
            (0..count).map(|nth| format!("k{nth}=v")).collect::<Vec<_>>().join(",")
        };
        assert_eq!(trace_state(&many(32)), Some(many(32)));
        assert_eq!(trace_state(&many(33)), None);
    }

    #[test]
    fn a_malformed_trace_state_is_dropped_as_a_whole() {
        let long = "a".repeat(257);
        for malformed in [
            "",
            " , ",
            "a",
            "a=",
            "=a",
            "a=1,b",
            "a=1,a=2",
            "A=1",
            "_a=1",
            "a b=1",
            "a=1=2",
            "a=\u{e9}",
            "a=\n",
            &format!("{long}=1"),
            &format!("a={long}"),
        ] {
            assert_eq!(trace_state(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_long_trace_state_loses_long_entries_first_and_then_the_last() {
        let entry = |key: &str, length: usize| format!("{key}={}", "x".repeat(length));
        let exact = [entry("a", 248), entry("b", 256)].join(",");
        let exact = format!("{exact},c=1");
        assert_eq!(exact.len(), TRACE_STATE_MAX + 1);
        assert_eq!(trace_state(&exact).as_deref(), Some("c=1"));
        let fits = exact.replacen("xx", "x", 1);
        assert_eq!(trace_state(&fits), Some(fits.clone()));
        let short: Vec<String> = (0..6).map(|nth| entry(&format!("k{nth}"), 97)).collect();
        // Five of 100 characters, and the commas.
        assert_eq!(trace_state(&short.join(",")), Some(short[..5].join(",")));
        // Nothing is left of one that has long entries only.
        assert_eq!(
            trace_state(&[entry("a", 250), entry("b", 256), entry("c", 200)].join(",")),
            None
        );
    }

    #[test]
    fn a_trace_is_named_in_one_way_only() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(trace_id(&format!("00-{trace}-{span}-01")), Some(trace));
        for malformed in [
            "",
            "-",
            "---",
            trace,
            &format!("00-{trace}"),
            &format!("00-{trace}-{span}"),
            &format!("00-{trace}-{span}-"),
            &format!("00-{trace}-{span}-1"),
            &format!("00-{trace}-{span}-01-"),
            &format!("00-{trace}-{span}-01-00"),
            &format!("0-{trace}-{span}-01"),
            &format!("0g-{trace}-{span}-01"),
            &format!("00-{}-{span}-01", &trace[1..]),
            &format!("00-{trace}0-{span}-01"),
            &format!("00-{}-{span}-01", trace.to_ascii_uppercase()),
            &format!("00-{trace}-{}-01", &span[1..]),
            &format!("00-{trace}-{}-01", span.to_ascii_uppercase()),
            &format!("00-{trace}-{span}-0A"),
            &format!(" 00-{trace}-{span}-01"),
            &format!("00_{trace}_{span}_01"),
            &format!("00-{}é-{span}-01", &trace[2..]),
            &format!("ff-{trace}-{span}-01"),
            &format!("00-{}-{span}-01", "0".repeat(32)),
            &format!("00-{trace}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(trace_id(malformed), None, "{malformed}");
        }
    }
}
