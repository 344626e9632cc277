use crate::edge::peers::Identity;

/// Where the other services answer; each may be several processes.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Order nodes.
    pub orders: Vec<String>,
    /// The stock service.
    pub inventory: Vec<String>,
    /// The message service.
    pub notifications: Vec<String>,
    /// Who this process is to them.
    pub identity: Identity,
}
