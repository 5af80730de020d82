"""Tables in pages that a script prints from committed results."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def table_of(page: Path, mark: str, script: str, *files: Path) -> str:
    """What `benchmarks/<script>` prints for `files`, held equal to what stands between the marks of a page."""
    run = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, files)]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", text, flags=re.DOTALL)
    assert found is not None
    assert found[1] == printed
    return printed
