//! Access: every method of every service, by every role, and without one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use ordinal::access::Access;
use ordinal::client::{Client, Connection, Failure};
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;
use uuid::Uuid;

use crate::shop::{On, Shop};

/// Methods and the roles that may call them; what an order itself allows is refused separately.
pub const TABLE: &str = "
admin.v1.AdminService/DropDeadLetter                        ops
admin.v1.AdminService/FreezeShard                           ops
admin.v1.AdminService/GetDeadLetter                         ops
admin.v1.AdminService/GetHealth                             ops
admin.v1.AdminService/ListDeadLetters                       ops
admin.v1.AdminService/ListFollowers                         ops
admin.v1.AdminService/ListOperatorActions                   ops
admin.v1.AdminService/ListQuarantined                       ops
admin.v1.AdminService/ListShards                            ops
admin.v1.AdminService/MoveShard                             ops
admin.v1.AdminService/PauseFollower                         ops
admin.v1.AdminService/PutBackDeadLetters                    ops
admin.v1.AdminService/RebuildReadModel                      ops
admin.v1.AdminService/ResumeFollower                        ops
admin.v1.AdminService/ResumeTimers                          ops
admin.v1.AdminService/UnfreezeShard                         ops
admin.v1.AdminService/GetJournal                         ops
admin.v1.AdminService/AcceptJournal                         ops
admin.v1.AdminService/IssueToken                            ops service
admin.v1.AdminService/GetOverview                           ops
admin.v1.AdminService/Lookup                                ops
admin.v1.AdminService/GetMe                                 customer ops service
facts.v1.FactService/GetHeads                               ops service
facts.v1.FactService/Compare                               ops service
facts.v1.FactService/ReadFacts                              ops service
inventory.v1.InventoryService/AdjustStock                   ops service
inventory.v1.InventoryService/BatchSetStock                 ops service
inventory.v1.InventoryService/GetReservation                customer ops service
inventory.v1.InventoryService/GetStock                      ops service
inventory.v1.InventoryService/ListLocations                 ops service
inventory.v1.InventoryService/ListMovements                 ops service
inventory.v1.InventoryService/ListStock                     ops service
inventory.v1.InventoryService/ListStockHolders              ops service
inventory.v1.InventoryService/SetBackorder                  ops
inventory.v1.InventoryService/SetLocation                   ops
inventory.v1.InventoryService/SetStock                      ops service
ledger.v1.LedgerService/GetAccount                          ops service
ledger.v1.LedgerService/GetEntry                            ops service
ledger.v1.LedgerService/GetHold                             ops service
ledger.v1.LedgerService/ListAccounts                        ops service
ledger.v1.LedgerService/ListEntries                         ops service
ledger.v1.LedgerService/OpenAccount                         ops service
ledger.v1.LedgerService/PostEntry                           ops service
ledger.v1.LedgerService/PostHold                            ops service
ledger.v1.LedgerService/ReserveFunds                        ops service
ledger.v1.LedgerService/VoidHold                            ops service
ledger.v1.WalletService/CorrectWallet                       ops service
ledger.v1.WalletService/GetWallet                           customer ops service
ledger.v1.WalletService/TopUpWallet                         ops service
ledger.v1.WalletService/WatchWallet                         customer ops service
notifications.v1.NotificationService/GetNotification        ops service
notifications.v1.NotificationService/ListNotifications      customer ops service
notifications.v1.NotificationService/ReplayWebhooks         ops
notifications.v1.NotificationService/ResendNotification     ops
orders.v1.JournalService/DiffOrder                          customer ops service
orders.v1.JournalService/ListOrderEvents                    customer ops service
orders.v1.JournalService/ReadEvents                         ops
orders.v1.OrderService/AddNote                              customer ops service
orders.v1.OrderService/ApproveReturn                        customer ops service
orders.v1.OrderService/CancelOrder                          customer ops service
orders.v1.OrderService/CorrectOrder                         customer ops service
orders.v1.OrderService/EditOrder                            customer ops service
orders.v1.OrderService/ExecuteCommands                      customer ops service
orders.v1.OrderService/FulfillOrder                         customer ops service
orders.v1.OrderService/GetOrder                             customer ops service
orders.v1.OrderService/HoldOrder                            customer ops service
orders.v1.OrderService/ListOrders                           customer ops service
orders.v1.OrderService/ListReturns                          customer ops service
orders.v1.OrderService/PlaceOrder                           customer ops service
orders.v1.OrderService/ReceiveReturn                        customer ops service
orders.v1.OrderService/RecordDelivery                       customer ops service
orders.v1.OrderService/RejectReturn                         customer ops service
orders.v1.OrderService/ReleaseHold                          customer ops service
orders.v1.OrderService/RequestReturn                        customer ops service
orders.v1.OrderService/UndoShipment                         customer ops service
orders.v1.OrderService/UpdateShipment                       customer ops service
orders.v1.OrderService/WatchOrders                          customer ops service
payments.v1.PaymentService/Attempt                          customer ops service
payments.v1.PaymentService/GetOperation                     ops service
payments.v1.PaymentService/GetPayment                       ops service
payments.v1.PaymentService/ListPayments                     customer ops service
payments.v1.PaymentService/ListStuckOperations              ops service
payments.v1.PaymentService/ListWebhooks                     ops service
payments.v1.PaymentService/ResolveOperation                 ops
payments.v1.PaymentService/ResolveWebhook                   ops
payments.v1.PayoutService/GetPayout                         ops service
payments.v1.PayoutService/GetPayoutRun                      ops service
payments.v1.PayoutService/ListPayouts                       ops service
payments.v1.PayoutService/ResolvePayout                     ops
payments.v1.PayoutService/RetryPayout                       ops
payments.v1.PayoutService/RunPayouts                        ops service
payments.v1.SettlementService/GetSettlement                 ops service
payments.v1.SettlementService/ImportSettlement              ops service
payments.v1.SettlementService/ListSettlementLines           ops service
payments.v1.SettlementService/ListSettlements               ops service
payments.v1.SettlementService/ListUnsettled                 ops service
payments.v1.SettlementService/ResolveSettlementLine         ops
";

/// What a token of scope `returns` may call; of a stream of commands, receiving alone.
const DESK: [&str; 9] = [
    "admin.v1.AdminService/GetMe",
    "orders.v1.JournalService/DiffOrder",
    "orders.v1.JournalService/ListOrderEvents",
    "orders.v1.OrderService/ExecuteCommands",
    "orders.v1.OrderService/GetOrder",
    "orders.v1.OrderService/ListOrders",
    "orders.v1.OrderService/ListReturns",
    "orders.v1.OrderService/ReceiveReturn",
    "orders.v1.OrderService/WatchOrders",
];

/// The code with which an empty call ends; a stream that stays open has begun successfully.
async fn code(client: &Client, method: &str) -> Code {
    let streams = ["ReadEvents", "ReadFacts", "WatchOrders", "WatchWallet"];
    let outcome = if streams.iter().any(|stream| method.ends_with(stream)) {
        match client.stream(method, json!({})).await {
            Ok(mut stream) => stream.next().await.transpose().map(drop),
            Err(failure) => Err(failure),
        }
    } else {
        client.call(method, json!({})).await.map(drop)
    };
    match outcome {
        Ok(()) => Code::Ok,
        Err(Failure::Status(status)) => status.code(),
        Err(failure) => panic!("{method}: {failure}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_is_checked_for_every_role_and_without_one() {
    let folder = TempDir::new().unwrap();
    let customer = Uuid::now_v7().to_string();
    let roles = [("ops", "anna"), ("service", "shop"), ("customer", customer.as_str())];
    let token = |role: &str| format!("{role}-token-of-a-test-of-enough-characters");
    let lines: String = roles
        .iter()
        .map(|(role, subject)| {
            let (token, role) = (token(role), role.to_uppercase());
            format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
        })
        .collect();
    let path = folder.path().join("tokens.toml");
    let (desk, scoped) = (token("desk"), "role = \"SERVICE\"\nscopes = [\"returns\"]");
    let desk_line = format!("[[tokens]]\ntoken = \"{desk}\"\nsubject = \"desk\"\n{scoped}\n");
    std::fs::write(&path, lines + &desk_line).unwrap();
    let mut shop = Shop::open(On::Sqlite).await;
    shop.restart(|settings| settings.access = Access::from_file(&path).unwrap()).await;
    let connect = async |token: Option<String>| {
        let connection = Connection {
            address: Some(shop.address.clone()),
            caller: None,
            token,
            ca: None,
            cert: None,
            cert_key: None,
            timeout: Duration::from_secs(30),
        };
        Client::connect(&connection).await.unwrap()
    };
    let nobody = connect(None).await;
    let forged = connect(Some(token("nobody"))).await;
    // Claimed roles count for nothing once there are tokens.
    let claimed = shop.as_caller("ops", "anna").await;

    let methods: BTreeSet<String> = nobody
        .pool()
        .services()
        .flat_map(|service| {
            let name = service.full_name().trim_start_matches("ordinal.").to_owned();
            let methods: Vec<_> =
                service.methods().map(|method| format!("{name}/{}", method.name())).collect();
            methods
        })
        .collect();
    let table: BTreeMap<String, BTreeSet<&str>> = TABLE
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.collect()))
        })
        .collect();
    assert_eq!(methods, table.keys().cloned().collect(), "the table names every method");

    for (role, _) in roles {
        let client = connect(Some(token(role))).await;
        for (method, allowed) in &table {
            let denied = code(&client, method).await == Code::PermissionDenied;
            assert_eq!(denied, !allowed.contains(role), "{method} by {role}");
        }
    }
    // A service of scope `returns` may call less than other services.
    let client = connect(Some(desk)).await;
    for method in &methods {
        let denied = code(&client, method).await == Code::PermissionDenied;
        assert_eq!(denied, !DESK.contains(&method.as_str()), "{method} by the returns desk");
    }
    for method in &methods {
        for client in [&nobody, &forged, &claimed] {
            assert_eq!(code(client, method).await, Code::Unauthenticated, "{method}");
        }
    }
    shop.stop().await;
}
