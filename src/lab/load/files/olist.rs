//! The files of Olist's data set, joined: orders in their order, with items, customers and payments
//! from an index on disk, so that memory holds one order at a time.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use sqlx::SqlitePool;

use super::cells::{Decimal, DecimalMark};
use super::mapping::{Columns, Mapping};
use super::rows::{self, Raw, Row};
use crate::client::Failure;
use crate::lab::load::purchases::temporary;
use crate::lab::load::records::{Fault, Records};

/// Rows that are written to the index at once.
const BATCH: usize = 1_000;
/// The stable code of rows that belong to no order of the file of orders.
const ORDER_UNKNOWN: &str = "ORDER_UNKNOWN";

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
    // Those of columns that something is read from.
    used: HashSet<String>,
    path: String,
}

impl Cells {
    fn new(table: Table, needed: &[&str], mapping: &Mapping) -> Result<Self, Failure> {
        let path = table.path;
        let mut records = Records::separated(table.file, table.separator, true);
        let head = records.next().with_context(|| path.clone())?.unwrap_or_default();
        let name = |column| String::from_utf8_lossy(head.field(column)).trim().to_owned();
        let names: Vec<String> = (0..head.len()).map(name).collect();
        if let Some(name) = needed.iter().find(|name| !names.iter().any(|known| known == *name)) {
            let text = format!("{path}: the heading has no column {name}; see docs/importing.md");
            return Err(Failure::Usage(text));
        }
        let mapped = mapping.columns.values().flat_map(Columns::names).map(String::as_str);
        let read = mapped.chain(needed.iter().copied()).map(str::to_owned);
        Ok(Self { records, names, used: read.collect(), path })
    }

    /// The next record by the names of its columns, with its line and what is wrong with it.
    fn next(&mut self) -> Result<Option<(Row, Named)>, Failure> {
        let record = self.records.next().with_context(|| self.path.clone())?;
        Ok(record.map(|record| {
            let cell = |column| String::from_utf8_lossy(record.field(column)).trim().to_owned();
            let cells = self.names.iter().enumerate().map(|(at, name)| (name.clone(), cell(at)));
            let cells: Named = cells.collect();
            let used = cells.iter().filter(|(name, _)| self.used.contains(*name));
            let texts = used.map(|(name, text)| (name, text.as_str()));
            let fault = rows::fault(&record, self.names.len(), texts);
            let mut row = Row::default();
            (row.line, row.fault) = (record.line, fault);
            (row, cells)
        }))
    }
}

/// A row of the index: its line, what is wrong with it, its cells.
type Found = (u64, Option<Fault>, Named);

/// The orders of the data set.
pub struct Olist {
    orders: Cells,
    index: SqlitePool,
    mapping: Arc<Mapping>,
    has_payments: bool,
    // Eight bytes of each number.
    done: HashSet<u64>,
    // Orders and their customers that are not in the index yet.
    seen: Vec<(String, String)>,
    // Paths of the files, by their tables.
    paths: BTreeMap<&'static str, String>,
    // How many of the unknown were told; none before the last order.
    unknown: Option<i64>,
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
            "CREATE TABLE item (of TEXT, line BIGINT, cells TEXT, code TEXT, detail TEXT);
             CREATE TABLE customer (of TEXT, line BIGINT, cells TEXT, code TEXT, detail TEXT);
             CREATE TABLE payment (of TEXT, line BIGINT, cells TEXT, code TEXT, detail TEXT);
             CREATE TABLE seen_order (of TEXT PRIMARY KEY) WITHOUT ROWID;
             CREATE TABLE seen_customer (of TEXT PRIMARY KEY) WITHOUT ROWID;
             CREATE INDEX item_of ON item (of);
             CREATE INDEX customer_of ON customer (of);
             CREATE INDEX payment_of ON payment (of)",
        )
        .execute(&index)
        .await
        .context("temporary index")?;
        let mut paths = BTreeMap::from([
            ("order", tables.orders.path.clone()),
            ("item", tables.items.path.clone()),
            ("customer", tables.customers.path.clone()),
        ]);
        let needed = ["order_id", "customer_id"];
        let orders = Cells::new(tables.orders, &needed, mapping)?;
        let needed = ["order_id", "order_item_id", "product_id", "price", "freight_value"];
        let items = Cells::new(tables.items, &needed, mapping)?;
        write(&index, "item", "order_id", items).await?;
        let needed = ["customer_id", "customer_unique_id"];
        let customers = Cells::new(tables.customers, &needed, mapping)?;
        write(&index, "customer", "customer_id", customers).await?;
        let has_payments = tables.payments.is_some();
        if let Some(payments) = tables.payments {
            let needed = ["order_id", "payment_value"];
            paths.insert("payment", payments.path.clone());
            let payments = Cells::new(payments, &needed, mapping)?;
            write(&index, "payment", "order_id", payments).await?;
        }
        let (mapping, done) = (Arc::clone(mapping), HashSet::new());
        let (seen, unknown) = (Vec::new(), None);
        Ok(Self {
            orders,
            index,
            mapping,
            has_payments,
            done,
            seen,
            paths,
            unknown,
            _directory: directory,
        })
    }

    /// The next order; after the last one, what the other files have of orders that are not there.
    ///
    /// # Errors
    /// Where the file or the index cannot be read.
    pub async fn next(&mut self) -> Result<Option<Raw>, Failure> {
        let Some((found, mut cells)) = self.orders.next()? else {
            return self.next_unknown().await;
        };
        let get = |cells: &Named, name: &str| cells.get(name).cloned().unwrap_or_default();
        let (number, customer) = (get(&cells, "order_id"), get(&cells, "customer_id"));
        self.seen.push((number.clone(), customer.clone()));
        if self.seen.len() == BATCH {
            self.keep_seen().await?;
        }
        let mut faults = vec![found.fault];
        let customers = self.read("customer", &customer).await?;
        // Where it stands twice the first row counts, if all are rows of the table.
        for (nth, (line, fault, customer)) in customers.into_iter().enumerate() {
            faults.push(fault.map(|fault| self.fault_of("customer", line, &fault)));
            if nth == 0 {
                cells.extend(customer);
            }
        }
        if self.has_payments {
            let mut sum = Decimal::ZERO;
            for (line, fault, payment) in self.read("payment", &number).await? {
                faults.push(fault.map(|fault| self.fault_of("payment", line, &fault)));
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
        order.fault = faults.into_iter().flatten().next();
        let mut rows = vec![order];
        for (line, fault, item) in self.read("item", &number).await? {
            let mut row = Row::of(line, &item, &self.mapping);
            row.fault = fault.map(|fault| self.fault_of("item", line, &fault));
            rows.push(row);
        }
        let is_repeated = !self.done.insert(rows::mark(&number));
        let mut raw = Raw::of(number, rows, &self.mapping);
        raw.is_repeated = is_repeated;
        Ok(Some(raw))
    }

    /// A fault of a row in another file than that of the orders.
    fn fault_of(&self, table: &str, line: u64, fault: &Fault) -> Fault {
        let path = self.paths.get(table).map_or("", String::as_str);
        Fault { code: fault.code, detail: format!("{path}, line {line}: {}", fault.detail) }
    }

    async fn keep_seen(&mut self) -> Result<(), Failure> {
        let seen = serde_json::to_string(&std::mem::take(&mut self.seen));
        let seen = seen.context("temporary index")?;
        for (table, column) in [("seen_order", 0), ("seen_customer", 1)] {
            let insert = format!(
                "INSERT OR IGNORE INTO {table} SELECT value ->> {column} FROM json_each(?1)"
            );
            let kept = sqlx::query(&insert).bind(&seen).execute(&self.index).await;
            kept.context("temporary index")?;
        }
        Ok(())
    }

    /// The rows of the next order, or of the next customer, that the file of orders does not have.
    async fn next_unknown(&mut self) -> Result<Option<Raw>, Failure> {
        if self.unknown.is_none() {
            self.keep_seen().await?;
            let find = "CREATE TABLE unknown (of TEXT, is_customer BIGINT);
                 INSERT INTO unknown
                 SELECT of, 0 AS is_customer FROM (SELECT of FROM item UNION SELECT of FROM payment)
                 WHERE of NOT IN (SELECT of FROM seen_order)
                 UNION ALL
                 SELECT DISTINCT of, 1 FROM customer
                 WHERE of NOT IN (SELECT of FROM seen_customer)";
            sqlx::raw_sql(find).execute(&self.index).await.context("temporary index")?;
        }
        let place = self.unknown.unwrap_or(0);
        let select = "SELECT of, is_customer FROM unknown WHERE rowid > ?1 ORDER BY rowid LIMIT 1";
        let found: Option<(String, i64)> = sqlx::query_as(select)
            .bind(place)
            .fetch_optional(&self.index)
            .await
            .context("temporary index")?;
        self.unknown = Some(place.saturating_add(1));
        let Some((of, is_customer)) = found else { return Ok(None) };
        let tables = if is_customer == 1 { vec!["customer"] } else { vec!["item", "payment"] };
        let orders = self.paths.get("order").map_or("", String::as_str);
        let mut rows = Vec::new();
        for table in tables {
            for (line, fault, _) in self.read(table, &of).await? {
                let detail = format!("no order of it is in {orders}");
                let fault = fault.unwrap_or(Fault { code: ORDER_UNKNOWN, detail });
                let mut row = Row::default();
                (row.line, row.fault) = (line, Some(self.fault_of(table, line, &fault)));
                rows.push(row);
            }
        }
        Ok(Some(Raw::of(of, rows, &self.mapping)))
    }

    async fn read(&self, table: &'static str, of: &str) -> Result<Vec<Found>, Failure> {
        let select =
            format!("SELECT line, cells, code, detail FROM {table} WHERE of = ?1 ORDER BY line");
        let rows = sqlx::query_as(&select).bind(of).fetch_all(&self.index).await;
        let rows: Vec<(i64, String, Option<String>, Option<String>)> =
            rows.context("temporary index")?;
        let mut found = Vec::new();
        for (line, cells, code, detail) in rows {
            let cells = serde_json::from_str(&cells).context("temporary index")?;
            let fault = code.map(|code| Fault::of(&code, detail.unwrap_or_default()));
            let fault = fault.map(|fault| fault.context("temporary index")).transpose()?;
            found.push((u64::try_from(line).unwrap_or(0), fault, cells));
        }
        Ok(found)
    }
}

/// Writes a file into its table of the index, by this column, with what is wrong with its rows.
async fn write(
    index: &SqlitePool,
    table: &'static str,
    by: &str,
    mut cells: Cells,
) -> Result<(), Failure> {
    let insert = format!(
        "INSERT INTO {table} SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
         FROM json_each(?1)"
    );
    let mut batch = Vec::new();
    loop {
        let next = cells.next()?;
        let is_end = next.is_none();
        if let Some((row, cells)) = next {
            let of = cells.get(by).cloned().unwrap_or_default();
            let cells = serde_json::to_string(&cells).context("temporary index")?;
            let fault = row.fault.as_ref();
            let (code, detail) = fault.map(|fault| (fault.code, &fault.detail)).unzip();
            batch.push(json!([of, row.line, cells, code, detail]));
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
