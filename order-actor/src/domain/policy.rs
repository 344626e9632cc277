use std::time::Duration;

/// What a shop configures: time windows, when goods of returns are received, and how addresses are
/// checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an order may stay unconfirmed before it is cancelled.
    pub confirm_within: Duration,
    /// How long after fulfilment a return may be requested.
    pub return_within: Duration,
    /// How long a return may wait for judgement before operators are reminded.
    pub judge_within: Duration,
    /// How long an order with a payment plan may wait for its money once stock holds its units.
    pub pay_within: Duration,
    /// Whether goods of a return are received after its approval, where the approval says nothing
    /// of them.
    pub receive_later: bool,
    /// Whether the region and the postal code of a new address must be ones of its country.
    pub check_addresses: bool,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Policy {
    /// The windows by their names, such as `return-within`.
    #[must_use]
    pub const fn windows(&self) -> [(&'static str, Duration); 4] {
        [
            ("confirm-within", self.confirm_within),
            ("return-within", self.return_within),
            ("judge-within", self.judge_within),
            ("pay-within", self.pay_within),
        ]
    }
}

impl Default for Policy {
    /// 15 minutes, 30 days, 3 days, 15 minutes; goods are received with the approval.
    fn default() -> Self {
        Self {
            confirm_within: Duration::from_secs(15 * 60),
            return_within: DAY * 30,
            judge_within: DAY * 3,
            pay_within: Duration::from_secs(15 * 60),
            receive_later: false,
            check_addresses: false,
        }
    }
}
