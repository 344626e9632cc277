//! A page of metrics: read by HTTP, parsed to whole numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// A page does not take longer.
const WITHIN: Duration = Duration::from_secs(2);
/// A page is not longer.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Values are kept in billionths: times in nanoseconds.
pub(super) const ONE: u128 = 1_000_000_000;

type Labels = BTreeMap<String, String>;

/// What a process counted at an instant.
pub(super) struct Reading {
    pub(super) at: Instant,
    series: BTreeMap<String, Vec<(Labels, u128)>>,
}

impl Reading {
    /// Of the door at this address.
    pub(super) async fn of(address: &str) -> Result<Self, String> {
        let page = timeout(WITHIN, page(address)).await;
        let page = page.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        page.map(|page| Self::parsed(&page, Instant::now()))
    }

    /// Of this page; lines that are not understood are left out.
    pub(super) fn parsed(page: &str, at: Instant) -> Self {
        let mut series: BTreeMap<String, Vec<(Labels, u128)>> = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((head, value)) = line.rsplit_once(' ') else { continue };
            let Some(value) = number(value) else { continue };
            let (name, labels) = head.split_once('{').unwrap_or((head, ""));
            series.entry(name.to_owned()).or_default().push((labels_of(labels), value));
        }
        Self { at, series }
    }

    /// All series of a metric.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &(Labels, u128)> {
        self.series.get(name).into_iter().flatten()
    }

    /// The sum of the series with these labels; none without any.
    pub(super) fn sum(&self, name: &str, with: &[(&str, &[&str])]) -> Option<u128> {
        let fits = |labels: &Labels| {
            with.iter().all(|(label, values)| {
                labels.get(*label).is_some_and(|value| values.contains(&value.as_str()))
            })
        };
        let mut values = self.all(name).filter(|(labels, _)| fits(labels)).map(|(_, value)| *value);
        let first = values.next()?;
        Some(values.fold(first, u128::saturating_add))
    }

    /// A label of a metric's first series.
    pub(super) fn label(&self, name: &str, label: &str) -> String {
        let first = self.all(name).next();
        first.and_then(|(labels, _)| labels.get(label)).cloned().unwrap_or_default()
    }
}

async fn page(address: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut answer).await.map_err(failed)?;
    let answer = String::from_utf8(answer).map_err(|_| "the answer is no text".to_owned())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer broke off")?;
    match head.lines().next() {
        Some(status) if status.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err("no metrics are there".to_owned()),
    }
}

/// A decimal number in billionths.
pub(super) fn number(text: &str) -> Option<u128> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let rest = if rest.is_empty() { 0 } else { format!("{rest:0<9}").get(..9)?.parse().ok()? };
    whole.parse::<u128>().ok()?.checked_mul(ONE)?.checked_add(rest)
}

/// Labels as they stand between braces.
fn labels_of(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (mut value, mut end, mut escaped) = (String::new(), after.len(), false);
        for (at, character) in after.char_indices() {
            match (escaped, character) {
                (true, 'n') => value.push('\n'),
                (true, other) => value.push(other),
                (false, '\\') => {}
                (false, '"') => {
                    end = at + 1;
                    break;
                }
                (false, other) => value.push(other),
            }
            escaped = !escaped && character == '\\';
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = after.get(end..).unwrap_or_default();
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_billionths() {
        assert_eq!(number("12"), Some(12 * ONE));
        assert_eq!(number("0.0005"), Some(500_000));
        assert_eq!(number("1.25"), Some(1_250_000_000));
        assert_eq!([number("+Inf"), number("NaN"), number("")], [None, None, None]);
    }

    #[test]
    fn labels_are_read_with_their_escapes() {
        let page = "# HELP a b\na{x=\"1,\\\"}\\\\\",y=\"\"} 3\na{x=\"2\",y=\"z\"} 4\nb 5\n";
        let reading = Reading::parsed(page, Instant::now());
        assert_eq!(reading.label("a", "x"), "1,\"}\\");
        assert_eq!(reading.sum("a", &[]), Some(7 * ONE));
        assert_eq!(reading.sum("a", &[("x", &["2"])]), Some(4 * ONE));
        assert_eq!(reading.sum("b", &[]), Some(5 * ONE));
        assert_eq!(reading.sum("c", &[]), None);
    }
}
