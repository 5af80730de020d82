"""`ccf-llm evaluate`: measure a run, one CF method on any data set, or ranked lists."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccf_llm.cli.engine import check_alone
from ccf_llm.cli.lists import evaluate_file, print_lists, print_people
from ccf_llm.errors import CCFError

if TYPE_CHECKING:
    from ccf_llm.experiments.folder import RunFolder


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="Folder of a trained run.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Instead of a run: item_user_mean, mf, lightgcn, sasrec, din, ensemble, gbm, gbm_words."),
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of a run: also write its lists here. Without one: read ranked lists of any methods. Parquet; "
            "docs/ranking.md.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="With --method or --lists: a data set with a split (folder or name).")
    ] = None,
    among: Annotated[
        str,
        typer.Option(help="With --lists and --data: all, or new for lists of new items among themselves."),
    ] = "all",
    part: Annotated[str, typer.Option(help="valid or test. Choose on valid; test is for the final figure.")] = "test",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")
    ] = None,
) -> None:
    """Measure AUC, UAUC and more, or NDCG and more of ranked lists, with intervals from a bootstrap over users.

    A trained run: [bold]ccf-llm evaluate runs/demo[/bold]; of the ranking task with every row's lists:
    [bold]ccf-llm evaluate runs/demo --lists FILE.parquet[/bold]

    A baseline on any data set: [bold]ccf-llm evaluate --method item_user_mean --data FOLDER --json out.json[/bold]

    Ranked lists of any methods: [bold]ccf-llm evaluate --lists FILE.parquet[/bold]; with --data also coverage, novelty,
    diversity and slices.
    """
    check_alone("evaluate")
    if part not in ("valid", "test"):
        raise CCFError(f"--part {part}: choose valid or test")
    if among not in ("all", "new"):
        raise CCFError(f"--among {among}: choose all or new")
    if among == "new" and (lists is None or data is None or run is not None):
        raise CCFError("--among new: tells what the lists of a file are of; give it with --lists and --data alone")
    if (run is not None) + (method is not None) + (lists is not None and run is None) != 1:
        raise CCFError("give the folder of a run, or --method and --data, or --lists")
    if lists is not None and run is None:
        evaluate_file(lists, data, part, json_file, among)  # type: ignore[arg-type]
        return
    from ccf_llm.cli.progress import Bars
    from ccf_llm.data.named import open_dataset
    from ccf_llm.experiments.evaluate import evaluate_run
    from ccf_llm.experiments.evaluate_rating import evaluate_cf
    from ccf_llm.experiments.folder import RunFolder
    from ccf_llm.io.files import write_json

    if run is not None:
        with Bars() as bars:
            metrics = evaluate_run(RunFolder(run), part=part, say=bars.say, scoring=bars.scoring)  # type: ignore[arg-type]
        if lists is not None:
            _write_lists(RunFolder(run), metrics, part, lists)
    else:
        if data is None:
            raise CCFError("--data is missing: name the data set that --method is measured on")
        metrics = evaluate_cf(str(method), open_dataset(data), part=part)  # type: ignore[arg-type]
    if json_file is not None:
        write_json(json_file, metrics)
    print_figures(metrics)


def print_figures(metrics: dict[str, Any]) -> None:
    """The tables of either task."""
    if metrics.get("task") == "ranking":
        print_lists(metrics.get("sample") or metrics)  # where language models saw some users, all rows of these alone
        if "new_items" in metrics:
            print_lists(metrics["new_items"], "new items among themselves, lists")
    else:
        _print_table(metrics)


def _write_lists(run: "RunFolder", metrics: dict[str, Any], part: Any, path: Path) -> None:
    from ccf_llm.evaluation.lists import read_lists, write_lists
    from ccf_llm.experiments.evaluate_ranking import list_file

    if metrics.get("task") != "ranking":
        raise CCFError("--lists: this run is of the rating task, which has no lists; leave --lists out")
    write_lists(read_lists(list_file(run, part)), path)
    if "new_items" in metrics:
        write_lists(read_lists(list_file(run, part, "new")), path.with_stem(f"{path.stem}-new"))


def _print_table(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ccf_llm.evaluation.doubtful import MARK, footnotes

    table = Table(title=f"{metrics['dataset']}, {metrics['rows']['rows']:,} rows, 95 % intervals over users")
    marked = metrics["rows"].get("doubtful", {})
    uauc = f"UAUC {MARK}" if "uauc" in marked else "UAUC"
    table.caption = "\n".join(footnotes({figure: why for figure, why in marked.items() if figure == "uauc"})) or None
    for column in ("method", "AUC", "interval", uauc, "users", "log loss"):
        table.add_column(column, justify="left" if column == "method" else "right")
    ranked = sorted(metrics["models"].items(), key=lambda pair: -(pair[1]["auc"] or 0))
    for name, row in ranked:
        low, high = (_figure(end, 3) for end in row["auc_ci"])
        users = str(row["uauc_users"])
        table.add_row(
            name, _figure(row["auc"]), f"{low} - {high}", _figure(row["uauc"]), users, _figure(row["log_loss"])
        )
    Console().print(table)
    print_people(metrics["models"], ranked[0][0], "auc")


def _figure(value: float | None, digits: int = 4) -> str:
    """A figure is None where it is not defined, as the UAUC where no user has both classes."""
    return "-" if value is None else f"{value:.{digits}f}"
