"""What MkDocs calls: pages that are generated, and links to files outside of `docs`."""

from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from api_pages import api_pages
from command_page import command_page
from http_page import http_page
from links import ROOT, Site, shown
from settings_page import settings_page

FURTHER = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
"""Pages outside of `docs` that the navigation has."""
site = Site()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, and what pages link to."""
    for place, text in reference():
        files.append(File.generated(config, place, content=text))
    for file in files.documentation_pages():
        if file.generated_by is None:
            site.add(f"docs/{file.src_uri}")
    for path in FURTHER:
        site.add(path)
    for place, path in (site.pages | site.others).items():
        if files.get_file_from_path(place) is None:
            text = shown(path)
            given = {"abs_src_path": str(ROOT / path)} if text is None else {"content": text}
            files.append(File.generated(config, place, **given))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the page's links."""
    return site.rewritten(page.file.src_uri, markdown)


def reference() -> Iterator[tuple[str, str]]:
    """The pages that are made from the code, each with its place."""
    yield "reference/commands.md", command_page()
    yield "reference/settings.md", settings_page()
    yield "reference/http.md", http_page()
    yield from api_pages()
