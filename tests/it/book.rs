//! The book of docs/: links resolve, every page is in the summary, and the tests, figures and dates
//! that pages name are correct.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

/// Maximum width of prose.
const COLUMNS: usize = 100;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that people read, by its path from the root, except the report of the benchmarks.
fn pages() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root()).unwrap() {
        keep(&entry.unwrap().path(), &mut found);
    }
    for folder in ["docs", "examples", "k8s"] {
        walk(&root().join(folder), &mut found);
    }
    found.remove("BENCHMARKS.md");
    assert!(found.contains_key("README.md") && found.contains_key("docs/quickstart.md"));
    found
}

fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            walk(&path, found);
        } else {
            keep(&path, found);
        }
    }
}

fn keep(path: &Path, found: &mut BTreeMap<String, String>) {
    if path.is_file() && path.extension().is_some_and(|extension| extension == "md") {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        found.insert(name, fs::read_to_string(path).unwrap());
    }
}

/// Targets of the links and pictures of a page.
fn links(page: &str) -> Vec<String> {
    Parser::new_ext(page, Options::ENABLE_TABLES)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.to_string())
            }
            _ => None,
        })
        .collect()
}

/// The anchors of a page's headings, as code hosts and mdBook make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(page, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let mut anchor = slug.clone();
                let mut again = 0;
                while !found.insert(anchor) {
                    again += 1;
                    anchor = format!("{slug}-{again}");
                }
            }
            _ => {}
        }
    }
    found
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A path without its dots: `docs/../proto` is `proto`.
fn plain(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            other => parts.push(other.as_os_str().to_string_lossy().into_owned()),
        }
    }
    parts.join("/")
}

#[test]
fn links_of_the_book_lead_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    for (name, page) in &pages {
        for link in links(page) {
            if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(name).parent().unwrap();
            let target = if path.is_empty() { name.clone() } else { plain(&folder.join(path)) };
            let there = root().join(&target).exists();
            let found = anchor.is_empty()
                || pages.get(&target).is_some_and(|page| anchors(page).contains(anchor));
            if !there || !found {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_summary_of_the_book_names_every_page_once() {
    let pages = pages();
    let named = links(&pages["docs/SUMMARY.md"]);
    let named: Vec<String> = named
        .iter()
        .filter(|link| !link.is_empty())
        .map(|link| plain(&Path::new("docs").join(link)))
        .collect();
    let once: BTreeSet<&String> = named.iter().collect();
    assert_eq!(once.len(), named.len(), "{named:#?}");
    let missing: Vec<&String> = pages
        .keys()
        .filter(|name| name.starts_with("docs/") && *name != "docs/SUMMARY.md")
        .filter(|name| !once.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

/// Tables, code and links may be wider; comments are ignored.
#[test]
fn prose_of_the_book_wraps() {
    let mut wide = Vec::new();
    for (name, page) in &pages() {
        let mut code = false;
        for (number, line) in page.lines().enumerate() {
            let begins = line.trim_start();
            code ^= begins.starts_with("```");
            let exempt = code || begins.starts_with('|') || line.contains("](");
            let seen: usize = outside(line).map(|part| part.chars().count()).sum();
            if !exempt && seen > COLUMNS {
                wide.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

/// The text of a line outside comments.
fn outside(line: &str) -> impl Iterator<Item = &str> {
    line.split("<!--").enumerate().map(|(part, text)| {
        if part == 0 { text } else { text.split_once("-->").map_or("", |(_, after)| after) }
    })
}

#[test]
fn decisions_of_the_book_have_a_date_a_status_and_what_was_not_chosen() {
    let pages = pages();
    let decisions: Vec<_> =
        pages.iter().filter(|(name, _)| name.starts_with("docs/decisions/")).collect();
    assert!(decisions.len() >= 20);
    for (number, (name, page)) in (1..).zip(decisions) {
        assert!(page.starts_with(&format!("# {number}. ")), "{name} is no decision {number}");
        let status = page.lines().nth(2).unwrap_or_default();
        let (date, status) = status.split_once(", ").unwrap_or_default();
        assert!(date.parse::<jiff::civil::Date>().is_ok(), "{name} says no date");
        let known = status.starts_with("accepted") || status.starts_with("superseded by [");
        assert!(known, "{name} does not say whether it holds");
        assert!(page.contains("Why not"), "{name} does not say what was not chosen, and why");
    }
}

/// A test that is renamed or dropped must be updated where it is named.
#[test]
fn tests_named_in_the_guarantees_of_the_book_exist() {
    let sources = sources();
    let page = &pages()["docs/guarantees.md"];
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        for name in last_cell(row) {
            let there = is_there(name, &sources) || root().join(name).exists();
            assert!(there, "docs/guarantees.md names {name}, which is not there");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} tests are named");
}

/// Each failure case and each point of the crash matrix has a row, with tests or the reason why there
/// are none.
#[test]
fn cases_of_money_of_the_book_name_tests_that_exist() {
    let sources = sources();
    let page = &pages()["docs/money-cases.md"];
    let (cases, points) = page.split_once("\n## The crash matrix\n").unwrap();
    for (part, last) in [(cases, 44), (points, 22)] {
        let mut numbers = Vec::new();
        for row in part.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let Ok(number) = cells[0].parse::<u32>() else { continue };
            numbers.push(number);
            assert_eq!(cells.len(), 4, "{row}");
            let names: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
            for name in &names {
                assert!(is_there(name, &sources), "{number}: {name} is not there");
            }
            assert!(!names.is_empty() || cells[3].starts_with("no test: "), "{row}");
        }
        assert_eq!(numbers, (1..=last).collect::<Vec<u32>>());
    }
}

/// The names in the last cell of a row.
fn last_cell(row: &str) -> impl Iterator<Item = &str> {
    let cell = row.trim_matches('|').rsplit('|').next().unwrap();
    cell.split('`').skip(1).step_by(2)
}

/// Every case by which others failed, and how many there are of each kind.
#[test]
fn each_case_of_others_in_the_book_has_a_test_that_exists() {
    let sources = sources();
    let page = &pages()["docs/edge-cases.md"];
    let of_row = |row: &str| row.split('|').nth(1).unwrap_or_default().trim().to_owned();
    let rows: BTreeMap<String, &str> =
        page.lines().filter(|line| line.starts_with("| ")).map(|row| (of_row(row), row)).collect();
    for (kind, count) in [("G", 20), ("A", 16), ("T", 13)] {
        for number in 1..=count {
            let case = format!("{kind}{number}");
            let row = rows.get(&case).unwrap_or_else(|| panic!("{case} has no row"));
            let mut named = 0;
            for name in last_cell(row) {
                assert!(is_there(name, &sources), "{case} names {name}, which is not there");
                named += 1;
            }
            assert!(named > 0, "{case} names no test");
        }
    }
}

#[test]
fn modules_named_in_the_limits_of_the_book_exist() {
    let sources = sources();
    let page = &pages()["docs/limits.md"];
    let modules = page.split("module `").skip(1).map(|rest| rest.split_once('`').unwrap().0);
    let modules: Vec<&str> = modules.collect();
    assert!(modules.len() > 10, "{modules:?}");
    for module in modules {
        assert!(sources.contains_key(module), "docs/limits.md names {module}, which is not there");
    }
}

/// Code and tests of all crates, by the name of their module.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let members = fs::read_dir(root()).unwrap().map(|member| member.unwrap().path());
    for folder in members.chain([root()]).filter(|folder| folder.join("Cargo.toml").exists()) {
        for folder in ["src", "tests"].map(|name| folder.join(name)) {
            if folder.exists() {
                read(&folder, &mut found);
            }
        }
    }
    found
}

/// Whether `module::a_test`, `module::beginning_of_one*` or `module::*` exists, with macros'
/// modules between.
fn is_there(name: &str, sources: &BTreeMap<String, String>) -> bool {
    let mut parts = name.split("::");
    let module = parts.next().unwrap();
    let Some(test) = parts.last() else { return false };
    let Some(text) = sources.get(module) else { return false };
    match test.strip_suffix('*') {
        Some(beginning) => text.contains(&format!("fn {beginning}")),
        None => text.contains(&format!("fn {test}(")),
    }
}

/// Sources by the name of their module; those of the same name together.
fn read(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let module = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
            found.entry(module(&path)).or_default().push_str(&text);
            // A module in a folder also has the name of that folder.
            found.entry(module(folder)).or_default().push_str(&text);
        }
    }
}

const OPENS: &str = "<!-- bench:";
const CLOSES: &str = "<!-- /bench -->";

/// `<!-- bench:ROW / CASE / WHO -->3,665<!-- /bench -->` is the median of a figure of
/// BENCHMARKS.json, `<!-- bench:ROW / GOAL -->` of the value reached for a goal.
/// `ORDINAL_WRITE_GOLDEN=1` rewrites them.
#[test]
fn figures_of_the_book_are_those_of_the_benchmarks() {
    let report = fs::read_to_string(root().join("BENCHMARKS.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut quoted = 0;
    for (name, page) in pages().iter().filter(|(name, _)| *name != "CHANGELOG.md") {
        let mut parts = page.split(OPENS);
        let mut written = parts.next().unwrap().to_owned();
        for part in parts {
            let (key, rest) = part.split_once(" -->").unwrap();
            let (_, rest) = rest.split_once(CLOSES).unwrap();
            let lined = written.rsplit('\n').next().unwrap().trim();
            assert!(!lined.is_empty(), "{name}: a comment that begins a line is a block of HTML");
            let figure = figure(&report, key).unwrap_or_else(|| panic!("{name}: no {key:?}"));
            written.push_str(&format!("{OPENS}{key} -->{}{CLOSES}{rest}", shown(figure)));
            quoted += 1;
        }
        let golden = std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some();
        if golden && &written != page {
            fs::write(root().join(name), &written).unwrap();
        }
        assert!(
            golden || &written == page,
            "{name} differs; ORDINAL_WRITE_GOLDEN=1 writes it anew"
        );
    }
    assert!(quoted > 10, "only {quoted} figures are quoted");
}

fn figure(report: &Value, key: &str) -> Option<f64> {
    let (row, what) = key.split_once(" / ")?;
    let rows = report["rows"].as_array()?;
    let row = rows.iter().find(|found| found["number"] == row)?;
    let goal = row["goals"].as_array()?.iter().find(|goal| goal["what"] == what);
    if let Some(goal) = goal {
        return goal["reached"]["median"].as_f64();
    }
    let (case, who) = what.rsplit_once(" / ")?;
    let mut figures = row["figures"].as_array()?.iter();
    let figure = figures.find(|figure| figure["case"] == case && figure["who"] == who)?;
    figure["value"]["median"].as_f64()
}

/// As the report shows it: an integer from a hundred on, three digits below.
fn shown(figure: f64) -> String {
    if figure < 10.0 {
        return format!("{figure:.2}");
    }
    if figure < 100.0 {
        return format!("{figure:.1}");
    }
    let digits = format!("{figure:.0}");
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join(",")
}
