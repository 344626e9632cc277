//! Results as JSON, as a page and as plots. Never here: measuring.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::measure::{Runs, Spread};
use crate::meter::Cost;
use crate::plot;

/// A report, as stored in its file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Time of its start, RFC 3339.
    pub date: String,
    /// Whether it is a quick run.
    pub quick: bool,
    /// The commit that was measured.
    pub commit: String,
    /// The machine, versions and settings, by name.
    pub setting: Vec<(String, String)>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the time goes, by the name of the workload.
    #[serde(default)]
    pub costs: Vec<(String, Cost)>,
}

/// A comparison.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub number: String,
    /// What is measured.
    pub title: String,
    /// Setup, and what has to be known about it.
    pub setup: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The goals and whether they were reached.
    pub goals: Vec<Goal>,
    /// Limitations and other remarks.
    pub notes: Vec<String>,
    /// Duration in seconds.
    pub seconds: f64,
}

/// A measured contender.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The case, such as `64 callers`.
    pub case: String,
    /// The contender.
    pub who: String,
    /// The unit, such as `commands/s`.
    pub unit: String,
    /// The value.
    pub value: Spread,
    /// Latencies in microseconds: median and 99th percentile.
    pub latency: Option<(Spread, Spread)>,
}

/// A goal of the suite.
#[derive(Debug, Serialize, Deserialize)]
pub struct Goal {
    /// The comparison.
    pub what: String,
    /// The value reached.
    pub reached: Spread,
    /// The bound.
    pub bound: Bound,
    /// The unit; empty for a ratio.
    pub unit: String,
}

/// What a goal requires of the median.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing: the value is only reported.
    Told,
}

impl Bound {
    /// Whether it is met; none where nothing is required.
    pub fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::Told => None,
        }
    }
}

impl Row {
    /// A row without figures yet.
    pub fn new(number: &str, title: &str, setup: &str) -> Self {
        Self {
            number: number.to_owned(),
            title: title.to_owned(),
            setup: setup.split_whitespace().collect::<Vec<_>>().join(" "),
            figures: Vec::new(),
            goals: Vec::new(),
            notes: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Adds the runs of a contender.
    pub fn runs(&mut self, case: &str, who: &str, unit: &str, runs: &Runs) {
        self.figures.push(Figure {
            case: case.to_owned(),
            who: who.to_owned(),
            unit: unit.to_owned(),
            value: runs.rates(),
            latency: Some((runs.quantile(0.5), runs.quantile(0.99))),
        });
    }

    /// Adds a figure without latencies.
    pub fn figure(&mut self, case: &str, who: &str, unit: &str, value: Spread) {
        let (case, who, unit) = (case.to_owned(), who.to_owned(), unit.to_owned());
        self.figures.push(Figure { case, who, unit, value, latency: None });
    }

    /// Adds a goal.
    pub fn goal(&mut self, what: &str, reached: Spread, bound: Bound, unit: &str) {
        let (what, unit) = (what.to_owned(), unit.to_owned());
        self.goals.push(Goal { what, reached, bound, unit });
    }

    /// Prints the row on the terminal.
    pub fn print(&self) {
        println!("{}. {} ({:.0} s)", self.number, self.title, self.seconds);
        for Figure { case, who, unit, value, latency } in &self.figures {
            let p99 = latency.as_ref().map(|(_, p99)| p99.median / 1_000.0);
            let p99 = p99.map(|p99| format!(", p99 {p99:.2} ms")).unwrap_or_default();
            println!("   {case}: {who}: {} {unit}{p99}", spread(*value));
        }
        for Goal { what, reached, bound, unit } in &self.goals {
            let met = match bound.met(reached.median) {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "",
            };
            println!("   → {what}: {} {unit} ({bound:?}) {met}", spread(*reached));
        }
        for note in &self.notes {
            println!("   {note}");
        }
    }

    /// Adds a remark.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Writes the page, the plots and the JSON into a directory.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let plots = directory.join("benchmarks/plots");
        std::fs::create_dir_all(&plots)?;
        let mut drawn = HashSet::new();
        for row in &self.rows {
            if plot::row(row, &plots)? {
                drawn.insert(row.number.as_str());
            }
        }
        for (name, cost) in &self.costs {
            cost.draw(&plots.join(format!("flame-{name}.svg")))?;
        }
        std::fs::write(directory.join("BENCHMARKS.json"), serde_json::to_vec_pretty(self)?)?;
        std::fs::write(directory.join("BENCHMARKS.md"), self.page(&drawn)?)?;
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one page, from its title to its notes")]
    fn page(&self, drawn: &HashSet<&str>) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        writeln!(page, "# Benchmarks\n")?;
        writeln!(
            page,
            "Written by `scripts/bench{}`; every figure was measured in that one run, contenders alternating. Figures are medians with\n\
             (minimum–maximum) of the runs, ratios are taken round by round. Compare ratios, not machines.\n",
            if self.quick { " --quick`, a quick run only: `" } else { "" }
        )?;
        for (name, value) in &self.setting {
            writeln!(page, "- {name}: {value}")?;
        }
        writeln!(page, "- date: {}", self.date)?;
        writeln!(page, "- commit: {}\n", self.commit)?;
        writeln!(page, "## Goals\n\n| Row | Goal | Asked | Reached | |\n|---|---|---|---|---|")?;
        for row in &self.rows {
            for goal in &row.goals {
                let asked = match goal.bound {
                    Bound::AtLeast(least) => format!("≥ {}", short(least)),
                    Bound::AtMost(most) => format!("≤ {}", short(most)),
                    Bound::Told => "–".to_owned(),
                };
                let met = match goal.bound.met(goal.reached.median) {
                    Some(true) => "met",
                    Some(false) => "**not met**",
                    None => "",
                };
                let unit = &goal.unit;
                let reported = matches!(goal.bound, Bound::Told);
                let unit = if unit.is_empty() { "×".to_owned() } else { format!(" {unit}") };
                let reached = spread(goal.reached);
                let asked = if reported { asked } else { asked + &unit };
                writeln!(
                    page,
                    "| {} | {} | {asked} | {reached}{unit} | {met} |",
                    row.number, goal.what
                )?;
            }
        }
        for row in &self.rows {
            writeln!(page, "\n## {}. {}\n\n{}\n", row.number, row.title, row.setup)?;
            if drawn.contains(row.number.as_str()) {
                writeln!(page, "![row {0}](benchmarks/plots/row-{0}.svg)\n", row.number)?;
            }
            writeln!(page, "| Case | Who | | | p50 | p99 |\n|---|---|---|---|---|---|")?;
            for figure in &row.figures {
                let millis = |micros: &Spread| {
                    let in_millis = |value: f64| value / 1_000.0;
                    let Spread { min, median, max } = *micros;
                    spread(Spread {
                        min: in_millis(min),
                        median: in_millis(median),
                        max: in_millis(max),
                    }) + " ms"
                };
                let (p50, p99) = figure
                    .latency
                    .as_ref()
                    .map(|(p50, p99)| (millis(p50), millis(p99)))
                    .unwrap_or_default();
                let Figure { case, who, unit, value, .. } = figure;
                writeln!(page, "| {case} | {who} | {} | {unit} | {p50} | {p99} |", spread(*value))?;
            }
            if !row.notes.is_empty() {
                writeln!(page)?;
            }
            for note in &row.notes {
                writeln!(page, "- {note}")?;
            }
        }
        if self.costs.is_empty() {
            return Ok(page);
        }
        writeln!(
            page,
            "\n## Where the time goes\n\n\
             Measured apart from the rows, with Postgres counting its statements and perf sampling, which costs some performance. CPU of each process, context switches (a thread\n\
             waited, or was preempted), and statements including their waits, each per order. Flame graphs are of all processes\n\
             together. Our binaries were built with frame pointers, also for the rows."
        )?;
        for (name, cost) in &self.costs {
            writeln!(page, "\n### {}\n", cost.of)?;
            if cost.flame.is_some() {
                writeln!(page, "[flame graph](benchmarks/plots/flame-{name}.svg)\n")?;
            }
            page.push_str(&cost.page()?);
        }
        Ok(page)
    }
}

/// A number with three digits, or an integer.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        let whole = format!("{value:.0}");
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index) % 3 == 0 && grouped != "-" {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Median (minimum–maximum), or the single value.
pub fn spread(spread: Spread) -> String {
    let Spread { min, median, max } = spread;
    if short(min) == short(max) {
        short(median)
    } else {
        format!("{} ({}–{})", short(median), short(min), short(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::ProcessCost;

    #[test]
    fn numbers_have_three_digits_or_are_whole() {
        let shown = [0.5, 1.234, 23.45, 345.6, 4_567.8, 1_234_567.0].map(short);
        assert_eq!(shown, ["0.50", "1.23", "23.4", "346", "4,568", "1,234,567"]);
        assert_eq!(spread(Spread::once(2.0)), "2.00");
        assert_eq!(spread(Spread::of([1.0, 2.0, 3.0])), "2.00 (1.00–3.00)");
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_says_what_was_met() {
        let mut row = Row::new("1", "things", "here");
        row.figure("one", "Ordinal", "things/s", Spread::once(5_000.0));
        row.figure("one", "another", "things/s", Spread::once(2_500.0));
        row.goal("against another", Spread::once(2.0), Bound::AtLeast(1.5), "");
        row.goal("never", Spread::once(2.0), Bound::AtMost(1.0), "s");
        let processes = vec![ProcessCost {
            name: "us".to_owned(),
            cpu_micros: 12.0,
            waits: 0.5,
            put_aside: 0.0,
        }];
        let flame = Some(b"<svg/>".to_vec());
        let of = "things done".to_owned();
        let cost = Cost { of, orders: 7, processes, flame, ..Cost::default() };
        let report = Report {
            date: "2026-01-01T00:00:00Z".to_owned(),
            quick: false,
            commit: "abc".to_owned(),
            setting: vec![("machine".to_owned(), "two cores".to_owned())],
            rows: vec![row],
            costs: vec![("things".to_owned(), cost)],
        };
        let directory = tempfile::tempdir().unwrap();
        report.write(directory.path()).unwrap();
        let page = std::fs::read_to_string(directory.path().join("BENCHMARKS.md")).unwrap();
        assert!(page.contains("| 1 | against another | ≥ 1.50× | 2.00× | met |"), "{page}");
        assert!(page.contains("| 1 | never | ≤ 1.00 s | 2.00 s | **not met** |"), "{page}");
        let plot = directory.path().join("benchmarks/plots/row-1.svg");
        assert!(std::fs::read_to_string(plot).unwrap().contains("<svg"));
        assert!(
            page.contains("### things done\n\n[flame graph](benchmarks/plots/flame-things.svg)")
        );
        assert!(page.contains("| us | 12 | 0.50 | 0.00 |"), "{page}");
        assert!(directory.path().join("benchmarks/plots/flame-things.svg").exists());
        let read = Report::read(&directory.path().join("BENCHMARKS.json")).unwrap();
        assert_eq!(read.rows[0].figures.len(), 2);
    }
}
