use std::sync::Arc;

use ledger::Ledger;
use ledger::grpc::FILE_DESCRIPTOR_SET;
use tonic::service::interceptor::InterceptedService;

use crate::edge::calls::Rpc;
use crate::edge::with_caller;
use crate::engine::building::Building;
use crate::engine::service::{Follow, Process, Service, Store};

/// The ledger.
pub static SERVICE: Service = Service {
    name: "ledger",
    keeps: "money",
    runs: "The ledger: accounts, entries, holds",
    answers: "The ledger, for the other roles",
    has_journal: false,
    store: Store {
        migrator: ledger::migrator,
        exchanged: &[],
        kept_in: &["accounts"],
        // A new file would lose what everybody has.
        anew: None,
        added_later: true,
    },
    descriptors: FILE_DESCRIPTOR_SET,
    path: "/ordinal.ledger.",
    rpcs: &[Rpc { name: "ordinal.ledger.v1.LedgerService", message_bytes_max: 64 * 1024 }],
    published: None,
    followers: &[],
    processes: &[Process { name: "ledger", port: 30, flags: &[] }],
    open: |building| Box::pin(open(building)),
};

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let database = building.database(&SERVICE).await?;
    let ledger = Ledger::new(database, Arc::clone(&building.now));
    building.routes.add_service(InterceptedService::new(ledger.grpc(), with_caller));
    // Every process of the role books what it is asked for: a batch has the book to itself.
    building.followers.run(|stop| ledger.run(stop));
    Ok(Box::new(|_| Ok(())))
}
