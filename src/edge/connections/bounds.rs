use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept free for stores, logs and other processes.
const DESCRIPTORS_KEPT: usize = 256;
/// Connections by default, if there are descriptors for them.
const CONNECTIONS_MAX: usize = 8_192;
/// Connections of one customer in any case, where an eighth of all is fewer.
const OF_ONE_CUSTOMER_MIN: usize = 16;
const AGE: Duration = Duration::from_secs(300);
const GRACE: Duration = Duration::from_secs(35);

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub connections: usize,
    /// From one address.
    pub of_one_address: usize,
    /// Of one customer.
    pub of_one_customer: usize,
    /// Of all customers together: the rest is kept for services and operators.
    pub of_customers: usize,
    /// After this plus up to as much again a connection takes no new calls, so that clients spread
    /// over nodes.
    pub age: Duration,
    /// How long calls under way may take after that. Streams are ended 5 s before, or halfway where
    /// that is later.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::within_descriptors(None, None, None)
    }
}

impl Bounds {
    /// As many as asked for, if there are descriptors for them beside those kept for stores.
    #[must_use]
    pub fn within_descriptors(
        asked: Option<usize>,
        of_one_address: Option<usize>,
        of_one_customer: Option<usize>,
    ) -> Self {
        let files = getrlimit(Resource::Nofile).current;
        let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
        // With very few descriptors, half of them.
        let most = files.saturating_sub(DESCRIPTORS_KEPT).max(files / 2).max(1);
        let connections = asked.unwrap_or(CONNECTIONS_MAX).min(most);
        // A proxy brings many clients from one address.
        let of_one_address = of_one_address.unwrap_or(connections / 2).clamp(1, connections);
        let of_customers = connections - connections / 4;
        let of_one_customer = of_one_customer.unwrap_or((connections / 8).max(OF_ONE_CUSTOMER_MIN));
        let of_one_customer = of_one_customer.clamp(1, of_customers);
        let (age, grace) = (AGE, GRACE);
        Self { connections, of_one_address, of_one_customer, of_customers, age, grace }
    }
}

/// Raises the limit of open files to the maximum the system allows.
pub fn take_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
