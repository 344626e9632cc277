use std::time::Duration;

use crate::domain::Role;
use crate::limits;

/// Limits on awake orders and waiting calls. ractor's mailboxes are unbounded, so the registry
/// counts in front of them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Orders awake at the same time.
    pub awake_max: usize,
    /// Commands waiting for one order.
    pub waiting_max: usize,
    /// Calls waiting for all orders together. Customers may use seven eighths of these places, so
    /// that the engine's own reactions, services and operators always find one.
    pub calls_max: usize,
    /// How long an idle order stays awake.
    pub idle_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            awake_max: limits::ORDERS_AWAKE_MAX,
            waiting_max: limits::COMMANDS_WAITING_MAX,
            calls_max: limits::CALLS_WAITING_MAX,
            idle_max: limits::IDLE_MAX,
        }
    }
}

impl Limits {
    /// The number of waiting calls at which a call of this role is refused.
    pub(super) const fn calls_max_of(&self, role: Role) -> usize {
        match role {
            Role::Customer => self.calls_max - self.calls_max / 8,
            Role::Service | Role::Ops | Role::Engine => self.calls_max,
        }
    }
}
