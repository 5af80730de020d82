"""Links between files of the repository as links of the site, so that a page's links work in both places."""

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
"""The path of a link, without what follows a `#`; not that of another site."""
CODE = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


@dataclass
class Site:
    """Which file of the repository stands where in the site: `docs` at its top, the README as its start, and below
    `repository` whatever else a page links to.
    """

    pages: dict[str, str] = field(default_factory=dict)
    """Place in the site -> path in the repository of the pages that have links."""
    others: dict[str, str] = field(default_factory=dict)
    """The same of what a page outside of `docs` shows, and of pictures and data."""

    def add(self, path: str) -> None:
        """Take in a page, and all that it and its targets link to outside of `docs`."""
        if path in self.pages.values():
            return
        self.pages[place_of(path)] = path
        for link in LINK.findall((ROOT / path).read_text(encoding="utf-8")):
            target = resolve(path, link)
            if target.startswith("docs/") or not (ROOT / target).exists():
                continue  # the site's own check names what is missing
            if target.endswith(".md"):
                self.add(target)
            else:
                self.others[place_of(target)] = target

    def rewritten(self, place: str, text: str) -> str:
        """The page's text with its links as the site needs them."""
        path = self.pages.get(place)
        if path is None:
            return text
        start = posixpath.dirname(place)
        return LINK.sub(lambda link: posixpath.relpath(place_of(resolve(path, link[1])), start or "."), text)


def resolve(path: str, link: str) -> str:
    """The path in the repository of what a page links to; of a folder, its README where it has one."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return f"{target}/README.md" if (ROOT / target / "README.md").is_file() else target


def place_of(path: str) -> str:
    """Where a file of the repository stands in the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    shown = (ROOT / path).is_dir() or Path(path).suffix in CODE
    return f"repository/{path}.md" if shown else f"repository/{path}"


def shown(path: str) -> str | None:
    """A page that shows a text file, or names what a folder holds; None: it is copied as it is."""
    file = ROOT / path
    if file.is_dir():
        return "\n".join([f"# {path}\n", *sorted(f"- `{inside.name}`" for inside in file.iterdir())])
    language = CODE.get(file.suffix)
    return language and f"# {path}\n\n```{language}\n{file.read_text(encoding='utf-8')}```\n"
