"""Checks a book that mdBook built: every link and picture of every page leads to a file, and every anchor to
an element.

    book.py FOLDER      the HTML

Exits with 1 and the links that lead nowhere.
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = set(), {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name"):
                self.anchors.add(value)
            if name in ("href", "src") and value:
                self.targets.add(value)


def main():
    book = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path.read_text()) for path in sorted(book.rglob("*.html"))}
    # The printed whole repeats what the pages have, by other addresses; HTML beside the pages is none of them.
    repeated = ("print.html", "404.html", "toc.html")
    source = book.parent / "src"
    is_page = lambda path: path.name not in repeated and not (source / path.relative_to(book)).exists()
    checked = {path: page for path, page in pages.items() if is_page(path)}
    links, broken = 0, []
    for path, page in checked.items():
        for target in sorted(page.targets):
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            links += 1
            there = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            anchor = urllib.parse.unquote(parts.fragment)
            known = pages[there].anchors if there in pages else {anchor}
            if not there.exists() or anchor not in known:
                broken.append(f"{path.relative_to(book)}: {target}")
    for link in broken:
        print(link)
    if broken or not links:
        sys.exit(f"{len(broken)} of {links} links lead nowhere")
    print(f"{links} links of {len(checked)} pages lead somewhere")


if __name__ == "__main__":
    main()
