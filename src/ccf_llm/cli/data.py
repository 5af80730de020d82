"""`ccf-llm data`: get, import, split and look at data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccf_llm.cli.show import JsonOption, show
from ccf_llm.errors import CCFError

if TYPE_CHECKING:
    from ccf_llm.data.dataset import Dataset

app = typer.Typer(no_args_is_help=True, help="Get, import, split and describe data sets.", rich_markup_mode="rich")

Source = Annotated[str, typer.Argument(help="Folder of a data set, or a name such as ml-100k.", metavar="DATA")]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="A rating of at least this is a like. Left out: 4, where the ratings go up to 5 and 4 parts them."
    ),
]


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ml-100k: MovieLens-100K, with titles, years and genres.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if it is in the cache.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch a data set known by name into the cache, once.

    Example: [bold]ccf-llm data fetch ml-100k[/bold]
    """
    from ccf_llm.data.dataset import Dataset
    from ccf_llm.data.describe import describe as summary_of
    from ccf_llm.data.named import fetch as fetch_named

    folder = fetch_named(name, force=force)
    show({"folder": str(folder)} | summary_of(Dataset.load(folder)), as_json=as_json)


@app.command("import")
def import_data(
    source: Annotated[
        Path, typer.Argument(help="Folder (or zip of MovieLens) in a known format (docs/data.md), or your own table.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the data set to.")],
    items: Annotated[Path | None, typer.Option(help="Your table of items: .csv, .tsv, .jsonl or .parquet.")] = None,
    users: Annotated[Path | None, typer.Option(help="Your table of users, if there is one.")] = None,
    user_column: Annotated[
        str | None, typer.Option(help="Its name in your tables, if it is not plain.", show_default="user_id")
    ] = None,
    item_column: Annotated[
        str | None, typer.Option(help="Its name in your tables, if it is not plain.", show_default="item_id")
    ] = None,
    timestamp_column: Annotated[
        str | None,
        typer.Option(
            help='Its name in your tables (seconds, dates or ISO times); "" if nobody knows the times.',
            show_default="timestamp",
        ),
    ] = None,
    rating_column: Annotated[str | None, typer.Option(help="Its name, if it is not called rating.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Its name (1 liked, 0 not), if it is not called label.")
    ] = None,
    title_column: Annotated[str | None, typer.Option(help="Its name in your items.", show_default="title")] = None,
    like_threshold: Threshold = None,
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", help="Leave out interactions of unknown items, and items without a title.")
    ] = False,
    dedupe_titles: Annotated[
        bool,
        typer.Option("--dedupe-titles", help="Editions of a work (one title, one author) become one item."),
    ] = False,
    min_interactions: Annotated[
        int, typer.Option(help="Keep users and items with at least so many interactions among those kept.", min=0)
    ] = 0,
    encoding: Annotated[
        str, typer.Option(help="Of text tables, such as gbk or cp1251. Left out: UTF-8, UTF-16 or Windows-1252.")
    ] = "",
    separator: Annotated[
        str,
        typer.Option(help="Of text tables; `tab` for tabs. Left out: the comma, semicolon, tab or bar of the header."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking whether all was read right.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn data in another format into a data set folder. What was found out is shown, and asked for on a terminal.

    A published release: [bold]ccf-llm data import ml-1m.zip -o data/ml-1m[/bold]

    Your own tables: [bold]ccf-llm data import clicks.csv --items books.csv --item-column book -o data/books[/bold]
    """
    from ccf_llm.cli.understood import Understood
    from ccf_llm.data.core import k_core
    from ccf_llm.data.importers import Columns, Tables, TextFormat, dataset_of, format_of, guess_columns
    from ccf_llm.text.works import one_item_a_work

    _check_output(output)
    how = TextFormat(encoding, "\t" if separator in ("tab", "\\t") else separator)
    given = {
        "user": user_column,
        "item": item_column,
        "timestamp": timestamp_column,
        "label": label_column,
        "rating": rating_column,
        "title": title_column,
    }
    named = {field: column for field, column in given.items() if column is not None}
    columns = None
    if items is None:
        known = format_of(source)
        own = [f"--{field}-column" for field in named] + ["--users"] * (users is not None)
        if own:
            raise CCFError(
                f"{own[0]}: of {source} the columns are known ({known.format}); leave it out, or name your own tables "
                "by --items"
            )
        dataset, name = known.read(like_threshold, drop_unknown, how), known.format
    else:
        tables, name = Tables.read(source, items, users, how), "your own tables"
        columns = guess_columns(tables, Columns(**named), sure=named)
        dataset = dataset_of(
            tables,
            columns,
            name=output.resolve().name,
            like_threshold=like_threshold,
            drop_unknown=drop_unknown,
            reading=how.reading,
        )
    if dedupe_titles:
        dataset = one_item_a_work(dataset)
    if min_interactions:
        dataset = k_core(dataset, min_interactions)
    Understood(name, dataset, how, columns).confirm(
        source,
        {
            "--items": items,
            "--users": users,
            "--drop-unknown": drop_unknown,
            "--dedupe-titles": dedupe_titles,
            "--min-interactions": min_interactions,
            "--output": output,
        },
        yes=yes,
    )
    _finish(dataset, output, dataset.reading.notes, as_json=as_json)


@app.command()
def split(
    data: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the split data set to.")],
    by: Annotated[
        Literal["global", "user", "last"],
        typer.Option(
            help="Two moments for all users (the rating task); or for ranking each user's likes in time, in shares, or "
            "each user's last like as test and the one before as valid."
        ),
    ] = "global",
    train: Annotated[
        float | None,
        typer.Option(help="Share of the interactions, the oldest. Left out: 0.8; by user, 0.7."),
    ] = None,
    valid: Annotated[float, typer.Option(help="Share of the interactions that follow; the rest is test.")] = 0.1,
    max_rows_per_user: Annotated[
        int | None, typer.Option(help="Keep at most so many rows of a user in valid and in test.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of that choice, and of the lots.")] = 0,
    new_items: Annotated[
        float, typer.Option(help="Share of the items whose rows are all test, so that training never meets them.")
    ] = 0.0,
    new_items_by: Annotated[
        Literal["time", "drawn"],
        typer.Option(help="Which: those first met last, or some drawn with the seed, as where there are no times."),
    ] = "time",
    as_json: JsonOption = False,
) -> None:
    """Split a data set by time into train, valid and test; without times, by lot.

    Example: [bold]ccf-llm data split ml-100k --max-rows-per-user 25 -o data/ml-100k-split[/bold]

    For ranking: [bold]ccf-llm data split ml-100k --by user -o data/ml-100k-ranking[/bold]
    """
    from ccf_llm.data.named import open_dataset
    from ccf_llm.data.split import split_dataset

    whole = open_dataset(data)
    dataset = split_dataset(
        whole,
        train,
        valid,
        by=by,
        max_rows_per_user=max_rows_per_user,
        seed=seed,
        new_items=new_items,
        new_items_by=new_items_by,
    )
    _finish(dataset, output, dataset.reading.notes[len(whole.reading.notes) :], as_json=as_json)


@app.command()
def forget(
    data: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the data set to.")],
    user: Annotated[list[str], typer.Option(help="Id of somebody to leave out; may be repeated.")] = [],  # noqa: B006
    store: Annotated[
        str, typer.Option(help="URL of a server's event store: all who were erased there are left out.", metavar="URL")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Leave people out of a data set, so that nothing is learned from them any more.

    Example: [bold]ccf-llm data forget ml-100k --store sqlite:///runs/demo/events.sqlite -o data/ml-100k[/bold]
    """
    from ccf_llm.data.forget import without_users
    from ccf_llm.data.named import open_dataset

    whole = open_dataset(data)
    known, gone = whole.user_vocabulary, set(user)
    if unknown := [one for one in user if not known.code(one)]:
        raise CCFError(f"--user {unknown[0]}: not in data set {whole.name}; check its spelling")
    if store:
        from ccf_llm.cli.serve import require_server

        require_server()
        from ccf_llm.serving.store import EventStore

        with EventStore(store) as events:
            gone |= set(events.erased_among(known.ids))
    left = without_users(whole, gone)
    _finish(left, output, [f"{len(gone):,} users were left out"], as_json=as_json)


@app.command()
def describe(
    data: Source,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page with plots here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a data set holds, which task fits it, who the figures will rest on, and what is wrong with it.

    What has no split yet is looked at as the task that fits would have it split.

    Example: [bold]ccf-llm data describe ml-100k --html ml-100k.html[/bold]
    """
    from ccf_llm.data.examine import examine
    from ccf_llm.data.named import open_dataset

    found = examine(open_dataset(data))
    if html is not None:
        from ccf_llm.io.files import write_text
        from ccf_llm.reports.data_page import render_data

        write_text(html, render_data(found))
    show(found if as_json else {key: value for key, value in found.items() if key != "histograms"}, as_json=as_json)


def _finish(dataset: "Dataset", output: Path, notes: list[str], *, as_json: bool) -> None:
    """Save the data set, say what is to be known on standard error, and show what it holds."""
    from ccf_llm.data.describe import describe as summary_of
    from ccf_llm.io.fetch import announce

    _check_output(output)
    dataset.save(output)
    for note in notes:
        announce(f"note: {note}")
    summary = {"folder": str(output)} | summary_of(dataset)
    show(summary if as_json else summary | {"notes": []}, as_json=as_json)


def _check_output(folder: Path) -> None:
    """A data set may be replaced by another one; nothing else may be."""
    if folder.exists() and not (folder / "schema.json").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CCFError(f"{folder}: exists and is not a data set; give another folder with --output")
