"""`ccf-llm evaluate --lists`: the tables of ranked lists."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccf_llm.data.manifest import Part
    from ccf_llm.evaluation.known import Among

ACCURACY = {"recall": "Recall", "precision": "Precision", "hit_rate": "hit rate", "mrr": "MRR", "map": "MAP"}
SHOWN = {
    "overlap": "shared by two users",
    "most_shown": "most shown",
    "coverage": "coverage",
    "gini": "Gini",
    "novelty": "novelty, bits",
    "long_tail": "long tail",
    "diversity": "diversity",
    "new": "new items",
    "new_hits": "new among hits",
}


def evaluate_file(lists: Path, data: str | None, part: "Part", json_file: Path | None, among: "Among" = "all") -> None:
    """Measure the lists of a file, with what the data set knows where one is named, and print the tables."""
    from ccf_llm.evaluation.known import Known
    from ccf_llm.evaluation.lists import read_lists
    from ccf_llm.evaluation.ranking import evaluate_lists
    from ccf_llm.io.files import write_json

    read = read_lists(lists)
    known = None
    if data is not None:
        from ccf_llm.data.named import open_dataset

        known = Known.of(open_dataset(data), part, among)
    result = evaluate_lists(read, known)
    if json_file is not None:
        write_json(json_file, result)
    print_lists(result)


def print_lists(result: dict[str, Any], of: str = "lists") -> None:
    """NDCG, best first, with paired differences to the best; other accuracy; what lists are like beyond being right."""
    from ccf_llm.evaluation.doubtful import footnotes

    about, k = result["lists"], result["lists"]["k"]
    ranked = sorted(result["models"].items(), key=lambda pair: -(pair[1][f"ndcg@{k}"] or 0))
    best = ranked[0][0]
    lines = []
    for name, row in ranked:
        ahead = row["diff"].get(best)
        against = f"{_figure(ahead[f'ndcg@{k}'], '+.4f')} ({_interval(ahead, k, '+.4f')})" if ahead else "-"
        lines.append([name, str(row["users"]), _figure(row[f"ndcg@{k}"]), _interval(row, k, ".4f"), against])
    title = "\n".join(
        [f"{of} of {about['users']:,} users, 95 % intervals over users", *footnotes(about.get("doubtful", {}))]
    )
    _print(title, ["method", "users", f"NDCG@{k}", "interval", f"against {best}"], lines)
    new = about.get("new_items")
    share = f", where {_figure(new['share_of_targets'])} of the targets are new" if new else ""
    for title, figures in ((f"accuracy of the first {k}", ACCURACY), (f"what stands in the first {k}{share}", SHOWN)):
        there = [figure for figure in figures if f"{figure}@{k}" in ranked[0][1]]
        lines = [[name, *(_figure(row[f"{figure}@{k}"]) for figure in there)] for name, row in ranked]
        _print(title, ["method", *(figures[figure] for figure in there)], lines)


def _print(title: str, columns: list[str], lines: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if number else "left", no_wrap=not number)
    for line in lines:
        table.add_row(*map(Text, line))  # names of methods are data, never markup
    Console().print(table)


def _interval(row: dict[str, Any], k: int, form: str) -> str:
    low, high = (_figure(end, form) for end in row[f"ndcg@{k}_ci"])
    return f"{low} to {high}"


def _figure(value: float | None, form: str = ".4f") -> str:
    """A figure is None where it is not defined, as where no user has a target."""
    return "-" if value is None else format(value, form)
