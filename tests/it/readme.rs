//! README and the quickstart show what happens: their commands are run in order against the real
//! program. And the page of settings matches `ordinal serve --help`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::book::root;
use crate::support::{Engine, PATIENCE};

/// The address in pages; in tests the engine takes a free port.
const SHOWN_AT: &str = "127.0.0.1:7400";
/// A line of a page that stands for any lines.
const ANYTHING: &str = "…";
/// Verbs that change nothing: repeated until they print what is shown.
const LOOKS: [&str; 8] =
    ["get", "list", "status", "history", "movements", "diff", "verify", "health"];

/// A command of a page with its expected output.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The commands of a page's blocks of ```console, in order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut console = false;
    for line in page.lines() {
        if line.starts_with("```") {
            console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| console) {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
        } else if console && !line.trim().is_empty() {
            steps.last_mut().expect("output without a command").shown.push(masked(line));
        }
    }
    steps
}

/// Text that differs from run to run, each with its placeholder: `0` is a digit, `x` a hexadecimal
/// one.
const DIFFERS: [(&str, &str); 4] = [
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "HASH"),
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "ID"),
    ("0000-00-00T00:00:00", "TIME"),
    ("127.0.0.1:", "ADDRESS"),
];

fn is_like(text: &str, pattern: &str) -> bool {
    text.len() >= pattern.len()
        && std::iter::zip(text.bytes(), pattern.bytes()).all(|(byte, like)| match like {
            b'0' if pattern.contains('T') => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => byte == other,
        })
}

/// A line without ids, times, ports, hashes and the width of columns.
fn masked(line: &str) -> String {
    let mut rest = line;
    let mut masked = String::new();
    while let Some(first) = rest.chars().next() {
        if let Some((pattern, name)) = DIFFERS.iter().find(|(like, _)| is_like(rest, like)) {
            masked.push_str(name);
            rest = &rest[pattern.len()..];
            // After a port and a fraction of a second.
            rest = match *name {
                "ADDRESS" => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
                "TIME" => rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'),
                _ => rest,
            };
        } else {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    masked.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fits(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, shown)) if first == ANYTHING => {
            (0..=printed.len()).any(|skipped| fits(shown, &printed[skipped..]))
        }
        Some((first, shown)) => printed
            .split_first()
            .is_some_and(|(line, printed)| line == first && fits(shown, printed)),
    }
}

/// A directory in which the commands of a page are run, with its engine once that is started.
struct Desk {
    folder: TempDir,
    engine: Option<Engine>,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_ordinal"), programs.join("ordinal")).unwrap();
        symlink(root().join("examples"), folder.path().join("examples")).unwrap();
        let program = |name: &str, text: &str| {
            fs::write(programs.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("cargo", "[ \"$1 $2\" = 'run --' ] && shift 2 && exec ordinal \"$@\"");
        program("python", "exec \"${ORDINAL_TEST_PYTHON:?scripts/test makes one}\" \"$@\"");
        Self { folder, engine: None }
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap();
        let programs = self.folder.path().join("programs");
        command.env("PATH", format!("{}:{path}", programs.display()));
        for variable in ["ORDINAL_AS", "ORDINAL_TOKEN", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.env("ORDINAL_LISTEN", "127.0.0.1:0").stdin(Stdio::null());
        let mut text = text.to_owned();
        if let Some(engine) = &self.engine {
            command.env("ORDINAL_ADDRESS", &engine.address);
            text = text.replace(SHOWN_AT, engine.address.trim_start_matches("http://"));
        }
        command.args(["-c", &text]).current_dir(self.folder.path());
        command
    }

    /// Starts the engine and leaves it running; returns its first output.
    fn serve(&mut self, step: &Step) -> Vec<String> {
        let mut command = self.command(&format!("exec {}", step.command));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let printed: Vec<String> = lines.take(step.shown.len()).map(Result::unwrap).collect();
        let address = printed.iter().find_map(|line| line.strip_prefix("listening on "));
        let address = address.and_then(|line| line.split(' ').next()).unwrap_or_default();
        self.engine = Some(Engine { process, address: address.to_owned(), metrics: None });
        printed.iter().map(|line| masked(line)).collect()
    }

    /// Runs a command to its end; returns its output.
    fn run(&self, step: &Step) -> Vec<String> {
        let output = self.command(&step.command).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        let refused = step.shown.iter().any(|line| line.starts_with("error: "));
        assert_eq!(output.status.success(), !refused, "{}: {printed}", step.command);
        printed.lines().filter(|line| !line.trim().is_empty()).map(masked).collect()
    }
}

fn follow(page: &str) {
    let page = fs::read_to_string(root().join(page)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 5);
    let mut desk = Desk::new();
    for step in &steps {
        if step.command.starts_with("ordinal serve") {
            let printed = desk.serve(step);
            assert!(fits(&step.shown, &printed), "{}: {printed:#?}", step.command);
            continue;
        }
        let looks = step.command.split(' ').take(3).any(|word| LOOKS.contains(&word));
        let patience = Instant::now() + PATIENCE;
        loop {
            let printed = desk.run(step);
            if fits(&step.shown, &printed) {
                break;
            }
            let again = looks && Instant::now() < patience;
            assert!(again, "{} is shown as {:#?} and says {printed:#?}", step.command, step.shown);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn commands_of_the_readme_print_what_it_shows() {
    follow("README.md");
}

#[test]
fn commands_of_the_quickstart_print_what_it_shows() {
    follow("docs/quickstart.md");
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 150, "README.md has more than 150 lines");
}

const OPENS: &str = "<!-- settings:";
const CLOSES: &str = "<!-- /settings -->";

/// `ORDINAL_WRITE_GOLDEN=1` rewrites the page.
#[test]
fn settings_of_the_page_are_those_of_the_program() {
    let file = root().join("docs/configuration.md");
    let page = fs::read_to_string(&file).unwrap();
    let (head, rest) = page.split_once(OPENS).unwrap();
    let (marker, _) = rest.split_once("-->\n").unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["serve", "--help"])
        .env_clear()
        .output()
        .unwrap();
    let settings = settings(&String::from_utf8(help.stdout).unwrap());
    assert!(settings.matches("\n- `--").count() > 40, "{settings}");
    let made = format!("{head}{OPENS}{marker}-->\n{settings}\n{CLOSES}\n");
    let golden = std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some();
    if golden {
        fs::write(&file, &made).unwrap();
    }
    assert!(
        golden || page == made,
        "docs/configuration.md differs; ORDINAL_WRITE_GOLDEN=1 writes it anew"
    );
}

/// A setting as `--help` shows it.
#[derive(Default)]
struct Setting {
    flag: String,
    variable: String,
    default: Option<String>,
    words: String,
}

impl Setting {
    fn name(&self) -> &str {
        self.flag.split(' ').next().unwrap()
    }

    fn take(&mut self, line: &str) {
        let bracketed = |name: &str| line.strip_prefix(name)?.strip_suffix(']');
        if let Some(variable) = bracketed("[env: ") {
            variable.trim_end_matches('=').clone_into(&mut self.variable);
        } else if let Some(default) = bracketed("[default: ") {
            self.default = Some(default.to_owned());
        } else if let Some(values) = bracketed("[possible values: ") {
            self.say(&format!("One of {values}"));
        } else if let Some((value, meaning)) =
            line.strip_prefix("- ").and_then(|line| line.split_once(':'))
        {
            self.say(&format!("`{value}`: {}", meaning.trim()));
        } else if !line.is_empty() && line != "Possible values:" {
            self.words.push(' ');
            self.words.push_str(&line.replace('<', "\\<"));
        }
    }

    /// Adds a sentence.
    fn say(&mut self, sentence: &str) {
        let end = if self.words.ends_with('.') { "" } else { "." };
        write!(self.words, "{end} {sentence}.").unwrap();
    }
}

/// The groups of `--help` as a page has them.
fn settings(help: &str) -> String {
    let mut page = String::new();
    let mut group: Vec<Setting> = Vec::new();
    for line in help.lines().chain(["End:"]) {
        let begins = line.trim_start();
        if let Some(title) = line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
            write_group(&mut page, &mut std::mem::take(&mut group));
            if !["Options", "Output", "End"].contains(&title) {
                write!(page, "\n## {title}\n\n").unwrap();
            }
        } else if line.starts_with("      --") {
            let flag = begins.replace(['<', '>'], "");
            group.push(Setting { flag, ..Setting::default() });
        } else if line.starts_with("          ")
            && let Some(setting) = group.last_mut()
        {
            setting.take(begins);
        }
    }
    page
}

fn write_group(page: &mut String, group: &mut [Setting]) {
    // Settings before the first group and after the last are described in the page's prose.
    if !page.contains("\n## ") || group.iter().any(|setting| setting.name() == "--json") {
        return;
    }
    let files: BTreeMap<String, String> =
        group.iter().map(|file| (file.name().to_owned(), file.variable.clone())).collect();
    for setting in group {
        if setting.name().strip_suffix("-file").is_some_and(|of| files.contains_key(of)) {
            continue;
        }
        let mut head = format!("- `{}`, `{}`", setting.flag, setting.variable);
        if let Some(default) = &setting.default {
            write!(head, ", default `{default}`").unwrap();
        }
        page.push_str(&wrapped(&head, "  "));
        page.push_str("  \\\n");
        let file = format!("{}-file", setting.name());
        if let Some(variable) = files.get(&file) {
            setting.say(&format!("From a file: `{file}`, `{variable}`"));
        }
        let end = if setting.words.ends_with('.') { "" } else { "." };
        page.push_str(&wrapped(&format!("  {}{end}", setting.words.trim()), "  "));
        page.push('\n');
    }
}

/// At most 100 columns wide, except for longer words.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    let begins = text.len() - text.trim_start().len();
    lines[0].push_str(&text[..begins]);
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() > 100 {
            lines.push(format!("{indent}{word}"));
        } else {
            if !line.trim().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
