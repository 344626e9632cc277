use std::fmt;
use std::str::FromStr;

/// The bit of the flags that says that a trace is recorded.
const SAMPLED: u8 = 1;

/// A span in a trace, as the header `traceparent` of W3C Trace Context names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// This span of this trace. Neither is zero; a zero is taken as one.
    #[must_use]
    pub fn new(trace: u128, span: u64, sampled: bool) -> Self {
        Self { trace: trace.max(1), span: span.max(1), sampled }
    }

    /// The trace.
    #[must_use]
    pub const fn trace(self) -> u128 {
        self.trace
    }

    /// The span.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.span
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }

    /// The same, as not recorded.
    #[must_use]
    pub const fn unsampled(self) -> Self {
        Self { sampled: false, ..self }
    }

    /// Another span of the trace.
    #[must_use]
    pub(super) fn with_span(self, span: u64) -> Self {
        Self::new(self.trace, span, self.sampled)
    }

    /// The trace, in hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span, in hexadecimal digits.
    #[must_use]
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }
}

/// What is no `traceparent`. W3C asks that it is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context")]
pub struct NoContext;

impl FromStr for TraceContext {
    type Err = NoContext;

    fn from_str(text: &str) -> Result<Self, NoContext> {
        crate::contract::trace_id(text).ok_or(NoContext)?;
        let mut parts = text.split('-').skip(1);
        let mut part = || parts.next().unwrap_or_default();
        let trace = u128::from_str_radix(part(), 16).map_err(|_| NoContext)?;
        let span = u64::from_str_radix(part(), 16).map_err(|_| NoContext)?;
        let flags = u8::from_str_radix(part(), 16).map_err(|_| NoContext)?;
        Ok(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_shown_as_it_is_read() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context: TraceContext = text.parse().unwrap();
        assert_eq!((context.to_string().as_str(), context.is_sampled()), (text, true));
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.unsampled().to_string(), text.replace("-01", "-00"));
        // Other flags say nothing about us.
        assert!(text.replace("-01", "-03").parse::<TraceContext>().unwrap().is_sampled());
        assert_eq!("".parse::<TraceContext>(), Err(NoContext));
        assert_eq!(TraceContext::new(0, 0, false).to_string().len(), text.len());
    }
}
