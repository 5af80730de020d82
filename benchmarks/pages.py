"""Fill the tables that stand between marks in pages from the committed results.

python benchmarks/pages.py            # writes the pages anew
python benchmarks/pages.py --check    # writes nothing and fails where a page would change
"""

import io
import re
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

BENCHMARKS = Path(__file__).parent
TABLES = {
    "README.md": {"short": "comparison.py --short ranking/ml-100k/table.json"},
    "benchmarks/README.md": {
        "ranking ml-100k": "comparison.py ranking/ml-100k/table.json",
        "ranking ml-latest-small": "comparison.py ranking/ml-latest-small/table.json",
        "table": "table.py ml-100k/seed-*.json",
        "comparison": "comparison.py ml-1m/table.json",
        "speed": "speed.py speed/scoring-*.json speed/training-*.json",
    },
    "benchmarks/ranking/README.md": {
        "over l3ae": "comparison.py ranking/ml-100k-l3ae/table.json",
        "all lists": "comparison.py ranking/ml-100k-l3ae-all/table.json",
    },
    "benchmarks/ml-1m-slots/README.md": {"slots": "comparison.py ml-1m-slots/table.json"},
    "benchmarks/ifdb/README.md": {
        "ranking ifdb": "comparison.py ifdb/time/table.json",
        "rating ifdb": "comparison.py ifdb/rating/table.json",
    },
    "docs/speed.md": {
        "attention": "speed/table.py speed/attention.json",
        "compiled": "speed/table.py speed/compiled.json",
        "forms": "speed/table.py ml-100k/templates.json",
    },
    "docs/scaling.md": {
        "rows": "scale/table.py scale/rows.json scale/import.json",
        "mapped": "scale/table.py scale/mapped.json scale/mapped-20m.json",
        "catalogue": "scale/table.py scale/catalogue-1m.json",
        "gpu": "gpu_memory.py",
    },
    "docs/serving.md": {"table": "serving/table.py"},
}
"""By page and mark: the script of this folder, and its files."""


def filled(page: str) -> str:
    """The page, between each pair of marks what its script prints."""
    text = (BENCHMARKS.parent / page).read_text(encoding="utf-8")
    for mark, command in TABLES[page].items():
        table = f"<!-- {mark} -->\n{printed(*command.split())}\n<!-- /{mark} -->"
        text, found = re.subn(f"(?s)<!-- {mark} -->.*?<!-- /{mark} -->", lambda _, table=table: table, text)
        if found != 1:
            sys.exit(f"{page}: {found} places for a table; put it between <!-- {mark} --> and <!-- /{mark} --> once")
    return text


def printed(script: str, *words: str) -> str:
    """What a script of this folder prints."""
    files = [str(path) for word in words for path in sorted(BENCHMARKS.glob(word))]
    sys.argv = [script, *(word for word in words if word.startswith("--")), *files]
    with redirect_stdout(io.StringIO()) as output:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    return output.getvalue().strip()


def main(arguments: list[str]) -> None:
    """Write the pages, or say which would change."""
    for page in TABLES:
        text = filled(page)
        path = BENCHMARKS.parent / page
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            sys.exit(f"{page}: its tables are not those of the results; run python benchmarks/pages.py")


if __name__ == "__main__":
    main(sys.argv[1:])
