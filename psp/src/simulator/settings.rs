use std::time::Duration;

use super::hooks::HookOdds;
use super::script::Odds;
use crate::Capabilities;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How a simulator behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name as a provider.
    pub name: String,
    /// Begins its references, so that those of two simulators differ.
    pub seed: u64,
    /// What happens to calls by itself.
    pub odds: Odds,
    /// What happens to webhooks.
    pub hook_odds: HookOdds,
    /// Whether webhooks are queued at all.
    pub webhooks: bool,
    /// What it can do. An authorisation stands and a key lives as long as it says there.
    pub capabilities: Capabilities,
    /// Its fee of a capture, in hundredths of a percent; rounded down.
    pub fee_bps: u32,
    /// How long every answer takes.
    pub latency: Duration,
    /// How long a slow answer takes.
    pub slow: Duration,
    /// When things happen that happen later.
    pub times: Times,
}

/// How long after a call something happens that its script says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// What is worked on is done.
    pub settle: Duration,
    /// What was declined succeeds.
    pub late_success: Duration,
    /// An authorisation is taken back.
    pub reversal: Duration,
    /// A capture or refund fails.
    pub failure: Duration,
    /// A dispute opens.
    pub dispute: Duration,
    /// A dispute is judged, after it opened.
    pub verdict: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "simulator".to_owned(),
            seed: 0,
            odds: Odds::default(),
            hook_odds: HookOdds::default(),
            webhooks: false,
            capabilities: Capabilities {
                multi_capture: true,
                partial_refund: true,
                release_remainder: true,
                payouts: true,
                authorization_seconds: 7 * 24 * 3600,
                key_seconds: 24 * 3600,
                grace_seconds: 30,
            },
            fee_bps: 290,
            latency: Duration::ZERO,
            slow: Duration::from_secs(2),
            times: Times::default(),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            settle: 5 * MINUTE,
            late_success: 2 * HOUR,
            reversal: HOUR,
            failure: 5 * DAY,
            dispute: 10 * DAY,
            verdict: 30 * DAY,
        }
    }
}
