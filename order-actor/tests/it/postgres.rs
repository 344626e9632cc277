//! Databases and schemas in the Postgres server for tests.

use shared_events::chance::Chance;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};

/// The server for tests.
pub fn server() -> String {
    std::env::var("ORDINAL_TEST_POSTGRES")
        .expect("ORDINAL_TEST_POSTGRES must name a Postgres database for tests")
}

pub fn schema() -> String {
    format!("t_{}", Chance::system().uuid().simple())
}

pub async fn pool(url: &str, schema: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("search_path", schema)]).disable_statement_logging();
    PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
}

/// The databases that all tests share; each test uses its own schemas in them.
pub async fn database(nth: usize) -> String {
    let name = format!("ordinal_spread_{nth}");
    let mut connection = PgConnection::connect(&server()).await.unwrap();
    let known = "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)";
    let known: bool =
        sqlx::query_scalar(known).bind(&name).fetch_one(&mut connection).await.unwrap();
    if !known {
        // Another test may have created it meanwhile.
        let _ = connection.execute(format!("CREATE DATABASE {name}").as_str()).await;
    }
    let (server, _) = server().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    format!("{server}/{name}")
}
