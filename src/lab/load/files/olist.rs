//! The files of Olist's data set, joined: orders in their order, with items, customers and payments
//! from an index on disk, so that memory holds one order at a time.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use sqlx::{Row as _, SqlitePool};

use super::cells::{Decimal, DecimalMark};
use super::mapping::Mapping;
use super::rows::{Raw, Row};
use crate::client::Failure;
use crate::lab::load::purchases::temporary;
use crate::lab::load::records::Records;

/// Rows that are written to the index at once.
const BATCH: usize = 1_000;

/// A decoded file with the separator of its columns.
pub struct Table {
    /// Its path, for messages.
    pub path: String,
    /// Its text.
    pub file: Box<dyn Read + Send>,
    /// Its separator.
    pub separator: u8,
}

/// The files of the data set.
pub struct Tables {
    /// Orders.
    pub orders: Table,
    /// Their items.
    pub items: Table,
    /// Their customers.
    pub customers: Table,
    /// Their payments, where they are given.
    pub payments: Option<Table>,
}

/// Cells by the names of their columns.
type Named = BTreeMap<String, String>;

/// The heading of a file and its records.
struct Cells {
    records: Records,
    names: Vec<String>,
    path: String,
}

impl Cells {
    fn new(table: Table, needed: &[&str]) -> Result<Self, Failure> {
        let path = table.path;
        let mut records = Records::separated(table.file, table.separator, true);
        let head = records.next().with_context(|| path.clone())?.unwrap_or_default();
        let name = |column| String::from_utf8_lossy(head.field(column)).trim().to_owned();
        let names: Vec<String> = (0..head.len()).map(name).collect();
        if let Some(name) = needed.iter().find(|name| !names.iter().any(|known| known == *name)) {
            let text = format!("{path}: the heading has no column {name}; see docs/importing.md");
            return Err(Failure::Usage(text));
        }
        Ok(Self { records, names, path })
    }

    /// The next record by the names of its columns, with its line and what is wrong with it.
    fn next(&mut self) -> Result<Option<(Row, Named)>, Failure> {
        let record = self.records.next().with_context(|| self.path.clone())?;
        Ok(record.map(|record| {
            let cell = |column| String::from_utf8_lossy(record.field(column)).trim().to_owned();
            let cells = self.names.iter().enumerate().map(|(at, name)| (name.clone(), cell(at)));
            let mut row = Row::default();
            (row.line, row.fault) = (record.line, record.fault.clone());
            (row, cells.collect())
        }))
    }
}

/// The orders of the data set.
pub struct Olist {
    orders: Cells,
    index: SqlitePool,
    mapping: Arc<Mapping>,
    has_payments: bool,
    done: HashSet<String>,
    _directory: tempfile::TempDir,
}

impl Olist {
    /// Writes the index.
    ///
    /// # Errors
    /// Usage where a column is missing; where a file cannot be read, or the system has no space for
    /// temporary files.
    pub async fn new(tables: Tables, mapping: &Arc<Mapping>) -> Result<Self, Failure> {
        let (directory, index) = temporary().await?;
        sqlx::raw_sql(
            "CREATE TABLE item (of TEXT, line BIGINT, cells TEXT);
             CREATE TABLE customer (of TEXT, line BIGINT, cells TEXT);
             CREATE TABLE payment (of TEXT, line BIGINT, cells TEXT);
             CREATE INDEX item_of ON item (of);
             CREATE INDEX customer_of ON customer (of);
             CREATE INDEX payment_of ON payment (of)",
        )
        .execute(&index)
        .await
        .context("temporary index")?;
        let needed = ["order_id", "customer_id"];
        let orders = Cells::new(tables.orders, &needed)?;
        let needed = ["order_id", "order_item_id", "product_id", "price", "freight_value"];
        write(&index, "item", "order_id", Cells::new(tables.items, &needed)?).await?;
        let needed = ["customer_id", "customer_unique_id"];
        write(&index, "customer", "customer_id", Cells::new(tables.customers, &needed)?).await?;
        let has_payments = tables.payments.is_some();
        if let Some(payments) = tables.payments {
            let needed = ["order_id", "payment_value"];
            write(&index, "payment", "order_id", Cells::new(payments, &needed)?).await?;
        }
        let (mapping, done) = (Arc::clone(mapping), HashSet::new());
        Ok(Self { orders, index, mapping, has_payments, done, _directory: directory })
    }

    /// The next order.
    ///
    /// # Errors
    /// Where the file or the index cannot be read.
    pub async fn next(&mut self) -> Result<Option<Raw>, Failure> {
        let Some((found, mut cells)) = self.orders.next()? else { return Ok(None) };
        let get = |cells: &Named, name: &str| cells.get(name).cloned().unwrap_or_default();
        let number = get(&cells, "order_id");
        let customers = self.read("customer", &get(&cells, "customer_id")).await?;
        if let Some((_, customer)) = customers.into_iter().next() {
            cells.extend(customer);
        }
        if self.has_payments {
            let mut sum = Decimal::ZERO;
            for (_, payment) in self.read("payment", &number).await? {
                let value = get(&payment, "payment_value");
                let value = Decimal::parse(&value, self.mapping.decimal_mark);
                sum = sum.plus(value.unwrap_or(Decimal::ZERO));
            }
            let mut sum = sum.to_string();
            if self.mapping.decimal_mark == DecimalMark::Comma {
                sum = sum.replace('.', ",");
            }
            cells.insert("payment_value".to_owned(), sum);
        }
        let mut order = Row::of(found.line, &cells, &self.mapping);
        order.fault = found.fault;
        let mut rows = vec![order];
        for (line, item) in self.read("item", &number).await? {
            rows.push(Row::of(line, &item, &self.mapping));
        }
        let is_repeated = !self.done.insert(number.clone());
        let mut raw = Raw::of(number, rows, &self.mapping);
        raw.is_repeated = is_repeated;
        Ok(Some(raw))
    }

    async fn read(&self, table: &'static str, of: &str) -> Result<Vec<(u64, Named)>, Failure> {
        let select = format!("SELECT line, cells FROM {table} WHERE of = ?1 ORDER BY line");
        let rows = sqlx::query(&select).bind(of).fetch_all(&self.index).await;
        let mut found = Vec::new();
        for row in rows.context("temporary index")? {
            let line: i64 = row.try_get(0).context("temporary index")?;
            let cells: String = row.try_get(1).context("temporary index")?;
            let cells = serde_json::from_str(&cells).context("temporary index")?;
            found.push((u64::try_from(line).unwrap_or(0), cells));
        }
        Ok(found)
    }
}

/// Writes a file into its table of the index, by this column. Rows that are none of the table's are
/// left out: their order lacks them, and its total tells.
async fn write(
    index: &SqlitePool,
    table: &'static str,
    by: &str,
    mut cells: Cells,
) -> Result<(), Failure> {
    let insert = format!(
        "INSERT INTO {table} SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)"
    );
    let mut batch = Vec::new();
    loop {
        let next = cells.next()?;
        let is_end = next.is_none();
        if let Some((row, cells)) = next {
            let of = cells.get(by).cloned().unwrap_or_default();
            let cells = serde_json::to_string(&cells).context("temporary index")?;
            batch.push(json!([of, row.line, cells]));
        }
        if batch.len() == BATCH || is_end {
            let rows = serde_json::to_string(&batch).context("temporary index")?;
            sqlx::query(&insert).bind(rows).execute(index).await.context("temporary index")?;
            batch.clear();
        }
        if is_end {
            return Ok(());
        }
    }
}
