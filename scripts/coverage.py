"""Reads which lines the tests ran: a table by crate, or the gate of scripts/coverage.

    coverage.py TOOLS COUNTS PAGE      writes the page
    coverage.py TOOLS COUNTS --gate    exits with 1 where the domain or the contract is below its
                                       bound, or a crate below its floor in docs/coverage.md
    coverage.py TOOLS COUNTS --write   writes these floors

TOOLS has `cov` and `profparser` of llvm_profparser; COUNTS is the folder of scripts/coverage:
*.profraw, and built.jsonl of cargo.
"""

import collections
import json
import math
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In percent of the executable lines.
EACH_CRATE, PURE = 85, 95
# Domain and contract: pure code, so nothing excuses a line that no test runs.
PURE_FOLDERS = ("order-actor/src/domain", "inventory-stream/src/domain", "ledger/src/domain",
                "payment/src/domain", "shared-events/src/contract")
# Where the floors of crates are.
FLOORS_PAGE = ROOT / "docs/coverage.md"
# A crate's row among them; a dash until a run has written its floor.
FLOOR = re.compile(r"\| `([\w-]+)` \| (?:(\d+) %|–) \|")
# A line without code of its own: nothing, a comment, or the end of something.
EMPTY = re.compile(r"\s*(//.*|[\])}]+[;,]*|)")


def binaries(counts):
    """The programs that were run: tests, and what tests start."""
    built = map(json.loads, (counts / "built.jsonl").read_text().splitlines())
    return sorted({one["executable"] for one in built if one.get("executable")})


def profiles(tools, counts):
    """The counts that can be read. A process that was killed while it wrote leaves some that cannot:
    what they say is missing, which can only lower a figure."""
    for profile in sorted(counts.glob("*.profraw")):
        shown = subprocess.run([tools / "profparser", "show", "--input", profile], capture_output=True)
        if shown.returncode == 0:
            yield profile
        else:
            print(f"not read, because it is not whole: {profile.name}", file=sys.stderr)


def lines_of(tools, counts):
    """Per file of ours: how many executable lines it has, and those that no test ran."""
    command = [tools / "cov", "show"]
    for profile in profiles(tools, counts):
        command += ["--instr-profile", profile]
    for binary in binaries(counts):
        command += ["--object", binary]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace", check=True).stdout
    found, file = collections.defaultdict(lambda: [0, []]), None
    for row in shown.splitlines():
        if line := re.fullmatch(r" *(\d+)\| *(\d*)\|(.*)", row):
            number, times, code = line.groups()
            if file and times and not EMPTY.fullmatch(code):
                found[file][0] += 1
                if times == "0":
                    found[file][1].append(int(number))
        elif row:
            path = pathlib.Path(row)
            name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
            # Benchmarks are run, not tested.
            file = name if re.match(r"(?!benchmarks/|target/)(.*/)?src/", name) else None
    return sorted((file, there, missed) for file, (there, missed) in found.items())


def add(files, place_of):
    sums = collections.defaultdict(lambda: [0, 0])
    for file, there, missed in files:
        if place := place_of(file):
            sums[place][0] += there
            sums[place][1] += there - len(missed)
    return dict(sorted(sums.items()))


def pure(file):
    return next((folder for folder in PURE_FOLDERS if file.startswith(f"{folder}/")), None)


def crate(file):
    return "ordinal" if file.startswith("src/") else file.split("/")[0]


def folder(file):
    return file.rsplit("/", 1)[0]


def share(there, run):
    return 100 * run / there


def crates():
    """The crates whose lines count: all but the benchmarks, which are run and not tested."""
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    return sorted({"ordinal", *members} - {"benchmarks"})


def parts(page, what):
    """The text before a part of a page, the part, and the text behind it, by the part's markers."""
    text = pathlib.Path(page).read_text()
    opens, closes = f"<!-- {what} -->", f"<!-- /{what} -->"
    for marker in (opens, closes):
        if text.count(marker) != 1:
            sys.exit(f"{page} has {marker} {text.count(marker)} times, not once")
    head, _, rest = text.partition(opens)
    part, _, tail = rest.partition(closes)
    return head + opens, part, closes + tail


def floors():
    """What each crate must keep, in percent; none where no run has written it."""
    _, rows, _ = parts(FLOORS_PAGE, "floors")
    return {name: int(floor) if floor else None for name, floor in FLOOR.findall(rows)}


def floor_of(there, run):
    """What a crate must have, or a percent less than it has: a process that is killed loses its
    counts."""
    return min(EACH_CRATE, math.floor(share(there, run)) - 1)


def gate_crates(files):
    """What is wrong with crates."""
    found, bounds = add(files, crate), floors()
    for name in crates():
        if name not in found:
            yield f"{name} is not counted"
            continue
        had, bound = share(*found[name]), bounds.get(name)
        said = "no floor yet" if bound is None else f"floor {bound} %"
        print(f"{name:32} {found[name][1]:5} of {found[name][0]:5} lines {had:6.1f} %, {said}")
        if name not in bounds:
            yield f"{name} has no row among the floors of docs/coverage.md"
        elif bound is not None and had < bound:
            yield f"{name} is below its floor of {bound} of 100 lines"
    for name in sorted(bounds.keys() - set(crates())):
        yield f"{name}, among the floors of docs/coverage.md, is no crate"


def gate(files):
    for file, _, missed in files:
        if missed and pure(file):
            print(f"{file}: not run:", *missed)
    found = add(files, pure)
    wrong = [f"{folder} is not counted" for folder in PURE_FOLDERS if folder not in found]
    for folder, (there, run) in found.items():
        print(f"{folder:32} {run:5} of {there:5} lines {share(there, run):6.1f} %")
    low = [folder for folder, sums in found.items() if share(*sums) < PURE]
    wrong += [f"{folder} is below {PURE} of 100 lines" for folder in low]
    wrong += gate_crates(files)
    if wrong:
        sys.exit("\n".join(wrong))


def write_floors(files):
    found = add(files, crate)
    missing = [name for name in crates() if name not in found]
    if missing:
        sys.exit(f"not counted: {', '.join(missing)}")
    # A floor that stands is lowered by hand only.
    stand = floors()
    high = {name: max(floor_of(*found[name]), stand.get(name) or 0) for name in crates()}
    rows = ["| Crate | Floor |", "|---|---|"] + [f"| `{name}` | {high[name]} % |" for name in high]
    head, _, tail = parts(FLOORS_PAGE, "floors")
    body = "\n".join(rows)
    FLOORS_PAGE.write_text(f"{head}\n{body}\n{tail}")
    print(body)


def table(sums, what):
    rows = [f"| {what} | Lines | Run by tests | |", "|---|---|---|---|"]
    for place, (there, run) in sums.items():
        rows.append(f"| `{place}` | {there} | {run} | {share(there, run):.1f} % |")
    return rows


def page(files, target):
    head, _, tail = parts(target, "figures")
    lowest = sorted(
        (entry for entry in add(files, folder).items() if share(*entry[1]) < EACH_CRATE),
        key=lambda entry: share(*entry[1]),
    )
    figures = table(add(files, crate), "Crate") + [""] + table(add(files, pure), "Pure")
    figures += ["", f"Folders below {EACH_CRATE} %:", ""] + table(dict(lowest), "Folder")
    body = "\n".join(figures)
    pathlib.Path(target).write_text(f"{head}\n{body}\n{tail}")
    print(body)


def main():
    tools, counts, what = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    files = lines_of(tools, counts)
    match what:
        case "--gate":
            gate(files)
        case "--write":
            write_floors(files)
        case _:
            page(files, what)


if __name__ == "__main__":
    main()
