"""`ccf-llm evaluate --lists`: the tables of ranked lists."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccf_llm.cli.show import print_table

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
        from ccf_llm.evaluation.people import people_of

        dataset = open_dataset(data)
        known = replace(Known.of(dataset, part, among), people=people_of(dataset, dataset.user_vocabulary))
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
    print_table(title, ["method", "users", f"NDCG@{k}", "interval", f"against {best}"], lines)
    new = about.get("new_items")
    share = f", where {_figure(new['share_of_targets'])} of the targets are new" if new else ""
    for title, figures in ((f"accuracy of the first {k}", ACCURACY), (f"what stands in the first {k}{share}", SHOWN)):
        there = [figure for figure in figures if f"{figure}@{k}" in ranked[0][1]]
        lines = [[name, *(_figure(row[f"{figure}@{k}"]) for figure in there)] for name, row in ranked]
        print_table(title, ["method", *(figures[figure] for figure in there)], lines)
    print_people(result["models"], best, f"ndcg@{k}")


def print_people(models: dict[str, Any], method: str, figure: str) -> None:
    """The figures of a method for each group of users, where there are some."""
    from ccf_llm.reports.people import people_lines

    lines = []
    for line in people_lines(models, [method], figure):
        [cell] = line["cells"]
        (low, high), (least, most) = cell["value_ci"], cell["rest_ci"]
        lines.append(
            [
                f"{line['by']}: {line['group']}",
                str(line["users"]),
                f"{_figure(cell['value'])} ({_figure(low)} to {_figure(high)})",
                f"{_figure(cell['rest'], '+.4f')} ({_figure(least, '+.4f')} to {_figure(most, '+.4f')})",
                _figure(cell["popular"], ".0%"),
            ]
        )
    if lines:
        heads = ["group", "users", figure.upper(), "against all others", "popular items"]
        print_table(f"{method} by group of users, 95 % intervals", heads, lines)


def _interval(row: dict[str, Any], k: int, form: str) -> str:
    low, high = (_figure(end, form) for end in row[f"ndcg@{k}_ci"])
    return f"{low} to {high}"


def _figure(value: float | None, form: str = ".4f") -> str:
    """A figure is None where it is not defined, as where no user has a target."""
    return "-" if value is None else format(value, form)
