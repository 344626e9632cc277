//! A shop whose journal alone is restored to an earlier state: all else is as it was.

use crate::history::{copy, psql};
use crate::paid_orders::{self, Shop};
use crate::support::PostgresServer;

/// The journal of a shop that is stopped, as it is kept and put back.
pub enum OlderJournal {
    /// Its file.
    Sqlite,
    /// Its database on this server, which has one for all else.
    Postgres(PostgresServer),
}

impl OlderJournal {
    pub fn on_sqlite() -> (Shop, Self) {
        (Shop::open(paid_orders::on_sqlite), Self::Sqlite)
    }

    /// With the database that this flag names, whose value is this and the URL.
    pub fn on_postgres(flag: &str, before: &str) -> (Shop, Self) {
        let server = PostgresServer::start();
        let url = server.url();
        let (head, _) = url.rsplit_once('/').unwrap();
        for name in ["journal", "others"] {
            psql(&url, &format!("CREATE DATABASE {name}"));
        }
        let flags = vec![
            flag.to_owned(),
            format!("{before}{head}/journal"),
            "--database-url".to_owned(),
            format!("{head}/others"),
        ];
        (Shop::open(|_| flags), Self::Postgres(server))
    }

    pub fn keep(&self, shop: &Shop) {
        match self {
            Self::Sqlite => {
                let [data, kept] = folders(shop);
                std::fs::create_dir_all(&kept).unwrap();
                copy(&data, &kept, "journal");
            }
            Self::Postgres(server) => {
                psql(&server.url(), "CREATE DATABASE before TEMPLATE journal");
            }
        }
    }

    pub fn restore(&self, shop: &Shop) {
        match self {
            Self::Sqlite => {
                let [data, kept] = folders(shop);
                copy(&kept, &data, "journal");
            }
            Self::Postgres(server) => {
                psql(&server.url(), "DROP DATABASE journal");
                psql(&server.url(), "CREATE DATABASE journal TEMPLATE before");
            }
        }
    }
}

fn folders(shop: &Shop) -> [std::path::PathBuf; 2] {
    ["data", "kept"].map(|name| shop.folder.path().join(name))
}
