"""Check the built site without a network: every link, picture and anchor exists, every page is reached from the index.

python docs/check_site.py docs/_build
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The targets of a page's links and pictures, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note `href`, `src` and `id`."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


def broken(folder: Path) -> list[str]:
    """One sentence for each broken link and each page that the index does not lead to."""
    pages = {path.resolve(): Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts}
    errors, leads = [], {}
    for path, page in pages.items():
        leads[path] = set()
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.is_file():
                errors.append(f"{path.relative_to(folder.resolve())}: {target} does not exist.")
            elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].anchors:
                errors.append(f"{path.relative_to(folder.resolve())}: {target} has no such anchor.")
            leads[path].add(file)
    reached, new = set(), {(folder / "index.html").resolve()}
    while new:
        reached |= new
        new = {file for path in new for file in leads.get(path, ())} - reached
    return errors + [
        f"{path.relative_to(folder.resolve())}: no page leads here." for path in pages if path not in reached
    ]


def main() -> None:
    """Print what is broken, and exit with 1 if anything is."""
    errors = broken(Path(sys.argv[1]))
    print("\n".join(errors) if errors else f"{sys.argv[1]}: all links, pictures and anchors exist.")
    sys.exit(bool(errors))


if __name__ == "__main__":
    main()
