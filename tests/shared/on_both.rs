//! A test for each database, in every crate that stores on both.

/// Runs each of these tests on both databases; they take the database's dialect. Behind
/// `two_threads:` their tasks run beside them, as those do that must not wait for each other.
macro_rules! on_both {
    (two_threads: $($name:ident $(,)?)*) => {
        $crate::on_both::on_both! {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)] $($name)*
        }
    };
    (#[$test:meta] $($name:ident)*) => {
        mod on_sqlite {
            $(
                #[$test]
                async fn $name() {
                    super::$name(shared_events::stream::Dialect::Sqlite).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[$test]
                async fn $name() {
                    super::$name(shared_events::stream::Dialect::Postgres).await;
                }
            )*
        }
    };
    ($($name:ident $(,)?)*) => {
        $crate::on_both::on_both! { #[tokio::test] $($name)* }
    };
}
pub(crate) use on_both;
