"""The pages of the documentation: links among them, and the reference that is made from the code."""

from pathlib import Path

import pytest
import yaml

from command_page import command_page
from http_page import http_page, openapi
from links import LINK, ROOT, Site, resolve

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    path = str(page.relative_to(ROOT))
    made = ("docs/reference/",)  # by the build, which checks links to them
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target = resolve(path, link)
        assert target.startswith(made) or (ROOT / target).exists(), link


def test_links_out_of_the_docs_are_those_of_the_site() -> None:
    site = Site()
    site.add("docs/howto/gpu.md")
    site.add("benchmarks/README.md")
    assert site.pages["repository/benchmarks/README.md"] == "benchmarks/README.md"
    assert site.others["repository/configs/rating-demo.yaml.md"] == "configs/rating-demo.yaml"
    text = "[](../docs/speed.md#how) [](../configs/rating-demo.yaml) [](ml-1m/README.md) [](https://x.org/a.md) [](#f)"
    assert site.rewritten("repository/benchmarks/README.md", text) == (
        "[](../../speed.md#how) [](../configs/rating-demo.yaml.md) [](ml-1m/README.md) [](https://x.org/a.md) [](#f)"
    )


def test_every_page_has_its_place() -> None:
    places = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    for page in (ROOT / "docs").rglob("*.md"):
        assert f"'{page.relative_to(ROOT / 'docs')}'" in places


def test_the_reference_has_every_command_and_address() -> None:
    commands = command_page()
    assert all(f"`ccf-llm {name}`" in commands for name in ("train", "data import", "bench scoring"))
    assert "[bold]" not in commands
    addresses = http_page()
    assert all(f"{path}`" in addresses for path in openapi()["paths"])
