use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ledger::domain::{AccountName, EntryId, HoldId, WALLET_CURRENCIES_MAX, wallet_of, wallets_of};
use ledger::grpc::FILE_DESCRIPTOR_SET;
use ledger::{Ledger, store};
use service_edge::Wire;
use shared_events::contract::{CustomerId, Origin};
use shared_events::stream::{Database, Pace};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use crate::edge::admin::{Find, Found, Sought, Thing};
use crate::edge::calls::Rpc;
use crate::edge::with_caller;
use crate::engine::building::Building;
use crate::engine::service::{Follow, Follower, Log, Process, Runs, Service, Store};

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
        kept_in: &["cursors", "accounts"],
        // A new file would lose what everybody has.
        anew: None,
        added_later: true,
    },
    descriptors: FILE_DESCRIPTOR_SET,
    path: "/ordinal.ledger.",
    rpcs: &[
        Rpc { name: "ordinal.ledger.v1.LedgerService", message_bytes_max: 64 * 1024 },
        Rpc { name: "ordinal.ledger.v1.WalletService", message_bytes_max: 64 * 1024 },
    ],
    published: None,
    told: false,
    followers: &[ENTRIES],
    processes: &[Process { name: "ledger", port: 30, flags: &[] }],
    open: |building| Box::pin(open(building)),
};

/// What payments say of money.
pub const ENTRIES: Follower = Follower {
    name: "ledger-entries",
    follows: Log::Facts(Origin::Payments),
    // Nobody waits for it.
    pace: Pace::Every(Duration::from_millis(20)),
    scope: Runs::Once,
    contacts: false,
};

async fn open(building: &mut Building) -> anyhow::Result<Follow> {
    let database = building.database(&SERVICE).await?;
    building.finders.push((SERVICE.name, find(database.clone())));
    let now = building.clock_beside(store::newest(&database).await?);
    let ledger = Ledger::new(database, now);
    building.routes.add_service(InterceptedService::new(ledger.grpc(), with_caller));
    let wallets = ledger.wallets(building.stop_edge.clone());
    building.routes.add_service(InterceptedService::new(wallets, with_caller));
    building.ledger = Some(here(&ledger));
    // Every process of the role books what it is asked for: a batch has the book to itself.
    let books = ledger.clone();
    building.followers.run(|stop| books.run(stop));
    Ok(Box::new(move |building| {
        // Without payments nothing is to be booked of them.
        if building.publishes(Origin::Payments) {
            building.follow_facts(&ENTRIES, ledger.follower())?;
        }
        Ok(())
    }))
}

/// What the ledger has by an identifier.
fn find(database: Database) -> Find {
    Arc::new(move |sought: Arc<Sought>| {
        let database = database.clone();
        Box::pin(async move { found(&database, &sought).await })
    })
}

/// Entries, holds, accounts and wallets with this identifier.
async fn found(database: &Database, sought: &Sought) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    if let Some(id) = sought.id() {
        if store::entry(database, EntryId::from(id)).await?.is_some() {
            found.push(Found::by_id(Thing::Entry, id));
        }
        if store::find_hold(database, HoldId::from(id)).await?.is_some() {
            found.push(Found::by_id(Thing::Hold, id));
        }
        let begin = wallets_of(CustomerId::from_uuid(id));
        let named = store::accounts(database, &begin, "", WALLET_CURRENCIES_MAX).await?;
        // Others may have a name that begins so.
        if named.iter().any(|account| wallet_of(&account.terms.name).is_some()) {
            found.push(Found::by_id(Thing::Wallet, id));
        }
    }
    if let Ok(name) = sought.text().parse::<AccountName>()
        && store::account(database, &name).await?.is_some()
    {
        found.push(Found::by_id(Thing::Account, name));
    }
    Ok(found)
}

/// The ledger of this process, as other services of it call it: whoever calls says who it is.
fn here(ledger: &Ledger) -> Wire {
    let never = |never: Infallible| -> Status { match never {} };
    BoxCloneSyncService::new(ServiceBuilder::new().map_err(never).service(ledger.grpc()))
}
