"""Reads the report of cargo-tarpaulin: a table by crate, or the gate of scripts/coverage.

    coverage.py REPORT PAGE      writes the page
    coverage.py --gate REPORT    exits with 1 where the domain or the contract is below its bound
"""

import collections
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In percent of the executable lines.
EACH_CRATE, PURE = 85, 95
# Domain and contract: pure code, so nothing excuses a line that no test runs.
PURE_FOLDERS = ("order-actor/src/domain", "inventory-stream/src/domain", "ledger/src/domain",
                "shared-events/src/contract")


def lines_of(report):
    """Per file: how many executable lines it has, and those that no test ran."""
    for file in json.loads(pathlib.Path(report).read_text())["files"]:
        path = pathlib.Path(*file["path"])
        if path.is_relative_to(ROOT) and "src" in path.parts:
            missed = [trace["line"] for trace in file["traces"] if not trace["stats"]["Line"]]
            if file["traces"]:
                yield path.relative_to(ROOT).as_posix(), len(file["traces"]), missed


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


def gate(report):
    files = list(lines_of(report))
    for file, _, missed in files:
        if missed and pure(file):
            print(f"{file}: not run:", *missed)
    found = add(files, pure)
    missing = [folder for folder in PURE_FOLDERS if folder not in found]
    for folder, (there, run) in found.items():
        print(f"{folder:32} {run:5} of {there:5} lines {share(there, run):6.1f} %")
    low = [folder for folder, sums in found.items() if share(*sums) < PURE]
    if low or missing:
        sys.exit(f"below {PURE} of 100 lines, or not in the report: {', '.join(low + missing)}")


def table(sums, what):
    rows = [f"| {what} | Lines | Run by tests | |", "|---|---|---|---|"]
    for place, (there, run) in sums.items():
        rows.append(f"| `{place}` | {there} | {run} | {share(there, run):.1f} % |")
    return rows


def page(report, target):
    files = list(lines_of(report))
    text = pathlib.Path(target).read_text()
    for marker in ("<!-- figures -->", "<!-- /figures -->"):
        if text.count(marker) != 1:
            sys.exit(f"{target} has {marker} {text.count(marker)} times, not once")
    head, _, rest = text.partition("<!-- figures -->")
    _, _, tail = rest.partition("<!-- /figures -->")
    lowest = sorted(
        (entry for entry in add(files, folder).items() if share(*entry[1]) < EACH_CRATE),
        key=lambda entry: share(*entry[1]),
    )
    figures = table(add(files, crate), "Crate") + [""] + table(add(files, pure), "Pure")
    figures += ["", f"Folders below {EACH_CRATE} %:", ""] + table(dict(lowest), "Folder")
    body = "\n".join(figures)
    pathlib.Path(target).write_text(f"{head}<!-- figures -->\n{body}\n<!-- /figures -->{tail}")
    print(body)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--gate"]:
        gate(sys.argv[2])
    else:
        page(*sys.argv[1:3])
