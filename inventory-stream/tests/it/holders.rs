//! Orders that hold units of a product.

use inventory_stream::grpc::proto::{self, StockHolder};
use shared_events::stream::Dialect;
use tonic::Code;

use crate::edge::{Stock, fields, served, set};
use crate::on_both::on_both;
use crate::support::Story;

fn listing(sku: &str) -> proto::ListStockHoldersRequest {
    proto::ListStockHoldersRequest { sku: sku.to_owned(), ..Default::default() }
}

/// All holders of a product, in pages of this size.
pub async fn holders(client: &mut Stock, sku: &str, page_size: i32) -> Vec<StockHolder> {
    let mut request = proto::ListStockHoldersRequest { page_size, ..listing(sku) };
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let page = client.list_stock_holders(request.clone()).await.unwrap().into_inner();
        assert!(page.holders.len() <= usize::try_from(page_size).unwrap());
        all.extend(page.holders);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
    panic!("the list has no end");
}

async fn holders_are_listed_with_the_units_they_hold(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 100).await;
    bench.set("AB", 100).await;
    let mut stories: Vec<Story> = (0..8).map(|_| Story::new()).collect();
    let placed: Vec<_> =
        stories.iter_mut().map(|story| story.placed(&[("A", 3), ("AB", 1), ("A", 2)])).collect();
    let other = Story::new().placed(&[("AB", 5)]);
    bench.follow(&placed).await.unwrap();
    bench.follow(&[other, Story::new().placed(&[("A", 1_000)])]).await.unwrap();
    let facts = [
        stories[0].cancelled(),
        stories[1].shipped(&[(1, "A", 3), (2, "AB", 1), (3, "A", 2)]),
        stories[2].shipped(&[(1, "A", 3), (3, "A", 2)]),
        stories[3].shipped(&[(1, "A", 1)]),
        stories[4].lines_cancelled(&[(1, "A", 3)]),
    ];
    bench.follow(&facts).await.unwrap();
    let held = [(3, 4, true), (4, 2, false), (5, 5, false), (6, 5, false), (7, 5, false)];
    let mut expected: Vec<_> = held
        .map(|(story, units, shipped)| (stories[story].order_id.to_string(), units, shipped))
        .to_vec();
    expected.sort();
    for page_size in [1, 2, 100] {
        let found = holders(&mut client, "A", page_size).await;
        assert!(found.iter().all(|one| one.placed_at.is_some()));
        let found: Vec<_> =
            found.into_iter().map(|one| (one.order_id, one.units, one.partly_shipped)).collect();
        assert_eq!(found, expected, "{page_size}");
    }
    // All units held are the units reserved.
    for sku in ["A", "AB"] {
        let units: i64 = holders(&mut client, sku, 100).await.iter().map(|one| one.units).sum();
        assert_eq!(units, bench.level(sku).await.1, "{sku}");
    }
    let page = client.list_stock_holders(listing("A")).await.unwrap().into_inner();
    assert_eq!(page.stock.unwrap().reserved, 21);
    bench.sums_hold().await;
}

async fn a_product_without_stock_or_holders_says_so(dialect: Dialect) {
    let (_bench, mut client) = served(dialect).await;
    let status = client.list_stock_holders(listing("A")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    client.set_stock(set("A", 1)).await.unwrap();
    assert!(holders(&mut client, "A", 10).await.is_empty());
    let wrong = proto::ListStockHoldersRequest { page_token: "x".to_owned(), ..listing("A") };
    assert_eq!(fields(&client.list_stock_holders(wrong).await.unwrap_err()), ["page_token"]);
    assert_eq!(fields(&client.list_stock_holders(listing("a\u{7}b")).await.unwrap_err()), ["sku"]);
}

on_both! {
    holders_are_listed_with_the_units_they_hold
    a_product_without_stock_or_holders_says_so
}
