//! Why a call was refused: every stable reason of every service, with its gRPC status, its meaning
//! and its remedy. docs/reasons.md is generated from it.
//! Never here: how a refusal is sent, or its message in one case.

mod table; // the reasons, in alphabetical order

pub use table::Reason;

/// The gRPC status of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCode {
    /// `ABORTED`
    Aborted,
    /// `ALREADY_EXISTS`
    AlreadyExists,
    /// `CANCELLED`
    Cancelled,
    /// `DATA_LOSS`
    DataLoss,
    /// `DEADLINE_EXCEEDED`
    DeadlineExceeded,
    /// `FAILED_PRECONDITION`
    FailedPrecondition,
    /// `INTERNAL`
    Internal,
    /// `INVALID_ARGUMENT`
    InvalidArgument,
    /// `NOT_FOUND`
    NotFound,
    /// `OUT_OF_RANGE`
    OutOfRange,
    /// `PERMISSION_DENIED`
    PermissionDenied,
    /// `RESOURCE_EXHAUSTED`
    ResourceExhausted,
    /// `UNAUTHENTICATED`
    Unauthenticated,
    /// `UNAVAILABLE`
    Unavailable,
    /// `UNIMPLEMENTED`
    Unimplemented,
    /// `UNKNOWN`
    Unknown,
}

impl StatusCode {
    /// Every status.
    pub const ALL: [Self; 16] = [
        Self::Aborted,
        Self::AlreadyExists,
        Self::Cancelled,
        Self::DataLoss,
        Self::DeadlineExceeded,
        Self::FailedPrecondition,
        Self::Internal,
        Self::InvalidArgument,
        Self::NotFound,
        Self::OutOfRange,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::Unauthenticated,
        Self::Unavailable,
        Self::Unimplemented,
        Self::Unknown,
    ];

    /// Statuses of calls that failed through no fault of their callers. The rules of
    /// deploy/prometheus count the same.
    pub const FAULTS: [Self; 5] =
        [Self::Unknown, Self::Internal, Self::Unavailable, Self::DataLoss, Self::DeadlineExceeded];

    /// Whether a call with this status failed through no fault of its caller.
    #[must_use]
    pub fn is_fault(self) -> bool {
        Self::FAULTS.contains(&self)
    }

    /// The name, such as `NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "ABORTED",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Cancelled => "CANCELLED",
            Self::DataLoss => "DATA_LOSS",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Internal => "INTERNAL",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The table: for each reason its stable code, its statuses (the usual one first), what happened,
/// and what to do about it. A reason exists only with its row.
macro_rules! reasons {
    (
        $(
            $code:literal => $name:ident [ $status:ident $(, $more:ident)* ]
                $meaning:literal, $remedy:literal;
        )*
    ) => {
        /// Why a call was refused. Programs compare the code, which keeps its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $( #[doc = $meaning] $name, )*
        }

        impl Reason {
            /// Every reason, in alphabetical order.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// As programs compare it: `ErrorInfo.reason`, `FieldViolation.reason`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }

            /// The gRPC statuses that it is sent with, the usual one first.
            #[must_use]
            pub const fn statuses(self) -> &'static [StatusCode] {
                match self { $( Self::$name => &[ StatusCode::$status $(, StatusCode::$more)* ], )* }
            }

            /// The usual status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $( Self::$name => StatusCode::$status, )* }
            }

            /// What happened.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$name => $meaning, )* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $( Self::$name => $remedy, )* }
            }

            /// The reason with this code, if there is one.
            #[must_use]
            pub fn of(code: &str) -> Option<Self> {
                match code { $( $code => Some(Self::$name), )* _ => None }
            }
        }
    };
}
pub(super) use reasons;

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}
