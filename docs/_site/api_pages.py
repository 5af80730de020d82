"""The reference of the Python API: what `ccf_llm` exports, and a page for each folder of the package."""

from collections.abc import Iterator

import ccf_llm
from links import ROOT

PACKAGE = ROOT / "src" / "ccf_llm"
NOT_SHOWN = ("cli",)
"""Folders whose reference is another page."""
OPENING = (
    "# Python API\n\nWhat `from ccf_llm import ...` gives. The folders of the package follow the way of the data.\n\n"
)


def api_pages() -> Iterator[tuple[str, str]]:
    """Each page with its place, as Markdown that mkdocstrings fills."""
    lines = []
    for name in ccf_llm.__all__:
        home = getattr(ccf_llm, name)
        about = (home.__doc__ or "").splitlines()[0]
        lines.append(f"- [`{name}`][{home.__module__}.{name}]: {about}\n")
    lines += [f"\n::: ccf_llm.{module}\n" for module in ("errors", "settings")]
    yield "reference/python/index.md", OPENING + "".join(lines)
    for room in sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")):
        if room not in NOT_SHOWN:
            modules = sorted(path.stem for path in (PACKAGE / room).glob("[!_]*.py"))
            inside = "\n".join(f"::: ccf_llm.{room}.{module}\n" for module in modules)
            yield f"reference/python/{room}.md", f"# ccf_llm.{room}\n\n{inside}"
