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

#[cfg(test)]
mod tests {
    use super::*;

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
