use std::fmt;

/// What is done at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Money is reserved.
    Authorize,
    /// Reserved money is taken.
    Capture,
    /// Reserved money is given back.
    Void,
    /// Taken money is paid back.
    Refund,
    /// A seller is paid out.
    Payout,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Authorize, Self::Capture, Self::Void, Self::Refund, Self::Payout];

    /// Its name, such as `capture`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Payout => "payout",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
