//! Modules of one folder depend on each other one way, in every crate, but for the circles that are
//! listed here with their reason.
//!
//! A module depends on another where a path in its files, or in those below it, ends there. Paths
//! are followed through what a `mod.rs` or a `lib.rs` shows of others, so that the face of a folder
//! is no dependency by itself. Nothing is asked between a folder and what is in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::layers::{CRATES, sources};

/// Modules that depend on each other in a circle, and why they are not taken apart.
struct Circle {
    folder: &'static str,
    modules: &'static str,
    why: &'static str,
}

/// All that there are: a row without its circle, or with other modules than it has, fails as a
/// circle without its row does.
const CIRCLES: &[Circle] = &[
    Circle {
        folder: "shared-events/src",
        modules: "stream traces",
        why: "a follower's batch has a span, and a span of a batch is begun from the items that \
              are read",
    },
    Circle {
        folder: "shared-events/src/contract",
        modules: "body envelope",
        why: "a fact is its envelope with a body, and a body that cannot be read is the fact's \
              error",
    },
    Circle {
        folder: "shared-events/src/metric",
        modules: "kinds page table",
        why: "a metric writes itself on a page, and the page says of every row of the table that \
              it is there",
    },
    Circle {
        folder: "shared-events/src/stream",
        modules: "database migrations session",
        why: "opening a database is all three; they share its dialect and its errors",
    },
    Circle {
        folder: "shared-events/src/traces",
        modules: "span tracer",
        why: "a span ends at the tracer that began it",
    },
    Circle {
        folder: "edge-auth/src",
        modules: "fetch issuer keys",
        why: "keys are fetched when one is missing, by the times of their issuer, which bound the \
              fetch",
    },
    Circle {
        folder: "web-edge/src",
        modules: "front grpc_web live rest",
        why: "the front gives a request to one of the others, and each asks it for its settings \
              and calls through it",
    },
    Circle {
        folder: "web-edge/src/rest",
        modules: "routes rpc",
        why: "a route is made of a method, whose mistakes are those of a route",
    },
    Circle {
        folder: "web-edge/src/rest",
        modules: "exact json",
        why: "numbers are read exactly by the reader of JSON, and are wrong by its errors",
    },
    Circle {
        folder: "web-edge/src/rest",
        modules: "answer call lines request stream",
        why: "a call reads its request and writes its answer, and both depend on how it is spelled",
    },
    Circle {
        folder: "order-actor/src/actor",
        modules: "checks mailbox meter names order_actor recovered registry supervisor traced",
        why: "one thing: the registry starts actors, which answer through mailboxes that the \
              registry shares",
    },
    Circle {
        folder: "order-actor/src/domain",
        modules: "backorder caller correction counts details edit edit_events event event_defaults \
              evolve guards hold note order outcomes parcel payment payment_events payment_parts \
              payment_plan person rejection return_events returns",
        why: "one vocabulary: an order is what its events did to it, and events are made of parts \
              of an order",
    },
    Circle {
        folder: "order-actor/src/grpc",
        modules: "changes edge tail",
        why: "a watch of the edge is a tail of changes, which hides from a customer what the edge \
              hides",
    },
    Circle {
        folder: "order-actor/src/grpc",
        modules: "commands execute",
        why: "a stream's command is parsed as a call's, and the list of commands executes both",
    },
    Circle {
        folder: "order-actor/src/grpc/render",
        modules: "parcels returns",
        why: "a parcel that was undone is shown as a return, and a return names parcels",
    },
    Circle {
        folder: "order-actor/src/grpc/render",
        modules: "edits event",
        why: "an edit is shown with its lines, which an event shows, too",
    },
    Circle {
        folder: "order-actor/src/outbox",
        modules: "edits returns translate",
        why: "the one match of translate in three files, with its helpers",
    },
    Circle {
        folder: "order-actor/src/projections",
        modules: "order_summaries summary_row",
        why: "a row is a summary as the table has it",
    },
    Circle {
        folder: "inventory-stream/src/domain",
        modules: "backorder edit levels parts places reservation step",
        why: "one step of stock: what a reservation takes is what the levels of its products lose",
    },
    Circle {
        folder: "inventory-stream/src/store",
        modules: "backorders reservations",
        why: "a reservation that waits has rows in both tables, which are written and read \
              together",
    },
    Circle {
        folder: "inventory-stream/src/store",
        modules: "locations places set",
        why: "stock is set where a location is, and a location is moved by setting stock",
    },
    Circle {
        folder: "notification/src",
        modules: "channel compose config http ledger route sms templates webhook",
        why: "settings name channels, channels send what the ledger has, and errors of sending are \
              the channel's",
    },
    Circle {
        folder: "notification/src/templates",
        modules: "lines values",
        why: "lines of a message are values, and values have lines",
    },
    Circle {
        folder: "notification/src/templates",
        modules: "check files",
        why: "files are checked as they are read, and a check names the file",
    },
    Circle {
        folder: "payment/src/domain",
        modules: "case decide event evolve goods observe payment react theirs unheard vanished",
        why: "one vocabulary: a case is what its events did to it, and events are made of parts of \
              a case",
    },
    Circle {
        folder: "psp/src/simulator",
        modules: "later machine",
        why: "what happens later happens to the machine, in two files because of its length",
    },
    Circle {
        folder: "src/edge",
        modules: "access account admin body calls certificates connections forward principal \
              refusals shares slots token_file",
        why: "one stack of layers: who calls, on which connection, what it may take, and what \
              became of it",
    },
    Circle {
        folder: "src/engine",
        modules: "building files followers gateway health metrics peers reconcile service services \
              settings stores",
        why: "a row of a service opens itself in a process under construction, which is made by \
              the rows",
    },
    Circle {
        folder: "src/lab/load",
        modules: "files invoices plan",
        why: "a plan is read from files of two kinds, which say their problems as a plan does",
    },
    Circle {
        folder: "src/lab/load/files",
        modules: "division prices",
        why: "a discount is divided by the prices that it changes",
    },
    Circle {
        folder: "src/verbs",
        modules: "args tls token",
        why: "verbs of tokens and certificates have their arguments beside them, and share one of \
              the others",
    },
    Circle {
        folder: "src/verbs",
        modules: "config settings variables",
        why: "a setting comes from a file, a variable or a flag, and says from which",
    },
    Circle {
        folder: "src/verbs/args",
        modules: "corrections edits orders place",
        why: "verbs of an order are in four files because of their length, and share flags",
    },
    Circle {
        folder: "src/verify",
        modules: "goods_paid of_ledger of_messages of_money of_orders of_payments of_stock stores",
        why: "stores ask the laws of each service, which read by the pages of stores",
    },
    Circle {
        folder: "benchmarks/src",
        modules: "plot report",
        why: "a report draws plots of its rows",
    },
];

/// Re-exports of re-exports that are followed.
const STEPS_MAX: usize = 8;

/// A module's path in its crate; the crate itself has none.
type Module = Vec<String>;

/// What a `use` brings into a module.
struct Import {
    path: Vec<String>,
    /// Its name here.
    name: String,
    /// Whether others see it here, too.
    is_shown: bool,
}

/// The files of a crate.
#[derive(Default)]
struct Files {
    /// What each imports.
    imports: BTreeMap<Module, Vec<Import>>,
    /// The code of each, without its imports and its tests.
    code: BTreeMap<Module, String>,
}

fn owned(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The paths of a `use`, each with its name.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let parts = |path: &str| -> Vec<String> {
        path.split("::")
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    };
    let Some((head, rest)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path = parts(path);
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let last = path.last().cloned().unwrap_or_default();
        let name = if alias.is_empty() { last } else { alias.trim().to_owned() };
        return vec![(path, name)];
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut found, mut depth, mut begin) = (Vec::new(), 0_u32, 0);
    for (at, character) in inside.char_indices().chain([(inside.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let one = inside[begin..at].trim();
                if !one.is_empty() {
                    for (path, name) in leaves(one) {
                        let path = [parts(head), path].concat();
                        let last = path.last().cloned().unwrap_or_default();
                        found.push((path, if name.is_empty() { last } else { name }));
                    }
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The imports of a file, and the rest of its code.
fn split_imports(code: &str) -> (Vec<Import>, String) {
    let (mut imports, mut rest, mut lines) = (Vec::new(), String::new(), code.lines());
    while let Some(line) = lines.next() {
        let begin = line.trim_start();
        let is_shown = begin.starts_with("pub");
        let statement = match begin.strip_prefix("pub") {
            Some(within) if within.starts_with('(') => {
                within.split_once(") ").map_or("", |(_, statement)| statement)
            }
            Some(statement) => statement.trim_start(),
            None => begin,
        };
        let Some(tree) = statement.strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push(' ');
            tree.push_str(lines.next().expect("a `use` has an end"));
        }
        let tree = tree.split(';').next().unwrap_or_default();
        let found = leaves(tree).into_iter();
        imports.extend(found.map(|(path, name)| Import { path, name, is_shown }));
    }
    (imports, rest)
}

/// What a character of a name is.
fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

impl Files {
    fn of(folder: &str) -> Self {
        let mut files = Self::default();
        for (file, code) in sources(folder) {
            let inside = file.strip_prefix(folder).unwrap_or(&file).trim_start_matches('/');
            let parts = inside.trim_end_matches(".rs").split('/');
            let module: Module =
                parts.filter(|part| !["lib", "mod"].contains(part)).map(str::to_owned).collect();
            // What a program's own file names is the whole crate.
            if module == ["main"] {
                continue;
            }
            let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let (imports, code) = split_imports(code);
            files.imports.insert(module.clone(), imports);
            files.code.insert(module, code);
        }
        files
    }

    /// The path from the crate, as `module` says it; none where it begins in another crate.
    fn rooted(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                let above = module.get(..module.len().checked_sub(up)?)?;
                Some([above, &path[up..]].concat())
            }
            _ => {
                let below = [module, std::slice::from_ref(first)].concat();
                self.code.contains_key(&below).then(|| [module, path].concat())
            }
        }
    }

    /// The module where a path from the crate ends; none where that is another crate.
    fn end_of(&self, path: &[String], steps: usize) -> Option<Module> {
        let mut here = Module::new();
        for (nth, part) in path.iter().enumerate() {
            let below = [here.as_slice(), std::slice::from_ref(part)].concat();
            if self.code.contains_key(&below) {
                here = below;
                continue;
            }
            let imports = self.imports.get(&here).into_iter().flatten();
            for import in imports.filter(|import| import.name == *part && steps > 0) {
                let shown = self.rooted(&here, &import.path)?;
                if shown != path[..=nth] {
                    let path = [shown.as_slice(), &path[nth + 1..]].concat();
                    return self.end_of(&path, steps - 1);
                }
            }
            return Some(here);
        }
        Some(here)
    }

    /// The modules that each depends on.
    fn dependencies(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let mut found = BTreeMap::new();
        for (module, code) in &self.code {
            let words: BTreeSet<&str> = code.split(|c: char| !is_of_name(c)).collect();
            let imports = self.imports.get(module).into_iter().flatten();
            // What is only shown to others is no dependency of the module itself.
            let imports = imports.filter(|one| !one.is_shown || words.contains(one.name.as_str()));
            let mut paths: Vec<Vec<String>> = imports.map(|one| one.path.clone()).collect();
            for word in code.split(|c: char| !is_of_name(c) && c != ':') {
                let parts: Vec<&str> = word.trim_end_matches("::").split("::").collect();
                if parts.len() > 1 {
                    paths.push(owned(&parts));
                }
            }
            let ends =
                paths.iter().filter_map(|path| self.end_of(&self.rooted(module, path)?, STEPS_MAX));
            found.insert(module, ends.filter(|end| end != module).collect());
        }
        found
    }
}

/// What each of the modules in a folder depends on in the same folder.
fn within<'a>(
    folder: &[String],
    dependencies: &'a BTreeMap<&'a Module, BTreeSet<Module>>,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let child = |module: &'a Module| -> Option<&'a str> {
        module.strip_prefix(folder)?.first().map(String::as_str)
    };
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (&module, others) in dependencies {
        let Some(own) = child(module) else { continue };
        let others = others.iter().filter_map(child).filter(|other| *other != own);
        found.entry(own).or_default().extend(others);
    }
    found
}

/// The greatest groups in which each depends on each.
fn circles<'a>(dependencies: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<Vec<&'a str>> {
    let mut reached: BTreeMap<&'a str, BTreeSet<&'a str>> = BTreeMap::new();
    for &one in dependencies.keys() {
        let (mut found, mut next) = (BTreeSet::new(), vec![one]);
        while let Some(here) = next.pop() {
            for &other in dependencies.get(here).into_iter().flatten() {
                if found.insert(other) {
                    next.push(other);
                }
            }
        }
        reached.insert(one, found);
    }
    let mut circles = BTreeSet::new();
    for (&one, from_it) in &reached {
        // Those that it reaches and that reach it, itself among them; none outside of circles.
        let back = from_it.iter().copied().filter(|other| reached[other].contains(one));
        let circle: Vec<&'a str> = back.collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles
}

/// Each circle of a crate: its folder and its modules, as a row names them.
fn circles_of(folder: &str) -> BTreeSet<(String, String)> {
    let files = Files::of(folder);
    let dependencies = files.dependencies();
    let folders: BTreeSet<&[String]> = files
        .code
        .keys()
        .filter_map(|module| module.split_last().map(|(_, above)| above))
        .collect();
    let mut found = BTreeSet::new();
    for inside in folders {
        let names = std::iter::once(folder).chain(inside.iter().map(String::as_str));
        let name = names.collect::<Vec<_>>().join("/");
        for circle in circles(&within(inside, &dependencies)) {
            found.insert((name.clone(), circle.join(" ")));
        }
    }
    found
}

#[test]
fn circles_between_modules_are_listed_with_their_reason() {
    let folders = CRATES.into_iter().chain(["benchmarks/src"]);
    let found: BTreeSet<(String, String)> = folders.flat_map(circles_of).collect();
    let listed: BTreeSet<(String, String)> =
        CIRCLES.iter().map(|one| (one.folder.to_owned(), one.modules.to_owned())).collect();
    assert_eq!(listed.len(), CIRCLES.len(), "a circle is listed twice");
    assert!(CIRCLES.iter().all(|one| !one.why.is_empty()), "a circle has no reason");
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}\nno longer so: {gone:#?}");
}

#[test]
fn a_path_through_a_face_leads_to_the_circle_behind_it() {
    let code = |module: &str, code: &str| {
        let module: Module =
            module.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        (module, split_imports(code))
    };
    let mut files = Files::default();
    for (module, (imports, code)) in [
        code("", "pub use one::One;\npub use other::{Other, Another as Third};\n"),
        code("one", "use crate::Other;\npub struct One(Other);\n"),
        code("other", "pub struct Other;\nfn f(one: super::One) {}\n"),
        code("third", "use crate::{One, other::Other};\nfn g(a: std::vec::Vec<One>) {}\n"),
    ] {
        files.imports.insert(module.clone(), imports);
        files.code.insert(module, code);
    }
    let dependencies = files.dependencies();
    assert!(dependencies[&Module::new()].is_empty(), "a face that only shows depends on nothing");
    assert_eq!(dependencies[&owned(&["third"])].len(), 2);
    let all = within(&[], &dependencies);
    assert_eq!(circles(&all).into_iter().collect::<Vec<_>>(), [["one", "other"]]);
}
