"""`ccf-llm recommend`: for a user, for a person known by titles, for all users; or items like one."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccf_llm.cli.answer import Answer
from ccf_llm.cli.engine import WORKERS, Address, Engine, Workers, check_engine
from ccf_llm.distributed.cluster import connected
from ccf_llm.errors import CCFError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccf_llm.recommend.recommender import Person, Recommender

WHOM, WHAT, HOW, OUT = "For whom", "From what", "In which order", "Output"
ORDERS = ("fused", "cf", "text", "next")
FEWER = "try fewer of them"
NAMED = 4
"""Titles that are named where a search finds several."""


def recommend(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    user: Annotated[
        str | None, typer.Option(help="Id of a user of the run's data set.", metavar="ID", rich_help_panel=WHOM)
    ] = None,
    liked: Annotated[
        list[str] | None,
        typer.Option(help="A liked title (or part of it); repeat for more.", metavar="TITLE", rich_help_panel=WHOM),
    ] = None,
    about: Annotated[
        list[str] | None,
        typer.Option(
            help="With --liked: what is known of the person, such as age=34; repeat for more.",
            metavar="COLUMN=VALUE",
            rich_help_panel=WHOM,
        ),
    ] = None,
    similar_to: Annotated[
        str | None,
        typer.Option(
            help="Instead: what is like this item (its id, or words of its title).",
            metavar="ITEM",
            rich_help_panel=WHOM,
        ),
    ] = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Every user of the data set, into --output.", rich_help_panel=WHOM)
    ] = False,
    users: Annotated[
        Path | None,
        typer.Option(
            help="With --all-users: only those in this table's column user_id.", metavar="FILE", rich_help_panel=WHOM
        ),
    ] = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(help="Choose from these items only; repeat for more.", metavar="ID", rich_help_panel=WHAT),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(help="The same from a table with a column item_id.", metavar="FILE", rich_help_panel=WHAT),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option(help="Never recommend this item; repeat for more.", metavar="ID", rich_help_panel=WHAT),
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Only items of this category, such as a genre.", rich_help_panel=WHAT)
    ] = None,
    one_edition: Annotated[
        bool,
        typer.Option(
            "--one-edition",
            help="Of the editions of a work (one title but for brackets and subtitle, one author) only the best.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Also what the user has met.", rich_help_panel=WHAT)
    ] = False,
    new_items: Annotated[
        Path | None,
        typer.Option(
            help="Items that came after training: item_id, title and the columns that the model reads.",
            metavar="FILE",
            rich_help_panel=WHAT,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="fused: the model; next: what people with these likes chose next; cf: CF alone; text: closeness of "
            "titles alone. Left out: fused of a model that has learned what people choose next, else next.",
            rich_help_panel=HOW,
        ),
    ] = None,
    diversity: Annotated[
        float, typer.Option(help="From 0 to 1: how much it counts that items are unlike.", rich_help_panel=HOW)
    ] = 0.0,
    retrieve: Annotated[int, typer.Option(help="How many items the model re-ranks.", rich_help_panel=HOW)] = 100,
    text_share: Annotated[
        float | None,
        typer.Option(
            help="Share of these that is retrieved by title, not by CF. Left out: 0.2, of a ranking model 0.",
            rich_help_panel=HOW,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.", rich_help_panel=OUT)] = 10,
    why: Annotated[
        bool, typer.Option("--why", help="Also which likes raise each score; takes longer.", rich_help_panel=OUT)
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Show them in the run's report.", rich_help_panel=OUT)] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead, for machines.", rich_help_panel=OUT)
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --all-users: the Parquet file. The same command goes on after a stop.",
            metavar="FILE",
            rich_help_panel=OUT,
        ),
    ] = None,
    engine: Engine = None,
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Recommend items: CF and titles retrieve, the language model re-ranks.

    For a user, with reasons: [bold]ccf-llm recommend runs/demo --user 5 --why[/bold]

    For a person: [bold]ccf-llm recommend runs/demo --liked "Toy Story" --liked "Aladdin"[/bold]

    Like an item: [bold]ccf-llm recommend runs/demo --similar-to "Toy Story"[/bold]

    For everybody: [bold]ccf-llm recommend runs/demo --all-users -o best.parquet[/bold]
    """
    modes = {"--user": user is not None, "--liked": bool(liked), "--similar-to": similar_to is not None}
    modes["--all-users"] = all_users
    given = {
        "--about": bool(about),
        "--users": users is not None,
        "--candidate": bool(candidate),
        "--candidates": candidates is not None,
        "--deny": bool(deny),
        "--category": category is not None,
        "--one-edition": one_edition,
        "--keep-seen": keep_seen,
        "--order": order is not None,
        "--diversity": diversity != 0,
        "--why": why,
        "--keep": keep,
        "--json": as_json,
        "--output": output is not None,
        "--engine": engine is not None,
    }
    _check(modes, given, order)
    check_engine(engine, {"--workers": workers, "--address": address})
    from ccf_llm.recommend.opening import open_recommender

    opening = partial(open_recommender, run, retrieve, text_share, new_items)
    choice: dict[str, Any] = {
        "candidates": _candidates(candidate, candidates),
        "deny": deny or [],
        "category": category,
        "one_edition": one_edition,
        "order": order or ("fused" if why or about else None),
        "diversity": diversity,
    }
    if output is not None:
        ids = None if users is None else _ids(users, "user_id")
        workers = (workers or WORKERS) if engine else None
        with connected(address, cpus=workers) if engine else nullcontext():
            _all_users(opening, output, ids, workers, k=k, filter_seen=not keep_seen, **choice)
        return
    recommender = _open(opening)
    if similar_to is not None:
        item = _item(recommender, similar_to)
        items = recommender.similar(item["item_id"], k).to_dicts()
        reason = None if items else "the catalogue holds no other item"
        answer = Answer(f"those who like {item['title']}", [item["title"]], items, reason)
    else:
        if user is not None:
            found = recommender.recommend([user], k, filter_seen=not keep_seen, **choice).drop("user_id")
            person, title = recommender.person(user, filter_seen=not keep_seen), f"user {user}"
        else:
            matches = [_find(recommender, words, "--liked") for words in liked or []]
            ids = [match["item_id"] for match in matches]
            known = _about(about)
            found = recommender.recommend_for_history(ids, k, about=known, **choice)
            person = recommender.stranger(ids, known)
            title = f"a person who likes {', '.join(match['title'] for match in matches)}"
        history = [recommender.catalogue.titles[code - 1] for code in person.history[-10:]]
        items = found.to_dicts()
        if why and items:
            items = _with_reasons(recommender, person, items)
        reason = None if items else _why_empty(recommender, person, choice)
        answer = Answer(title, history, items, reason)
    answer.give(run if keep else None, as_json=as_json)


# What has no meaning for whom; --all-users alone writes a file.
NOT_FOR = {
    "--user": ("--users", "--output", "--engine", "--about"),
    "--liked": ("--users", "--output", "--engine", "--keep-seen"),
    "--similar-to": (
        *(
            "--about",
            "--users",
            "--output",
            "--engine",
            "--keep-seen",
            "--candidate",
            "--candidates",
            "--deny",
            "--category",
        ),
        "--one-edition",
        *("--order", "--diversity", "--why", "--keep"),
    ),
    "--all-users": ("--about", "--why", "--keep", "--json"),
}


def _check(modes: dict[str, bool], given: dict[str, bool], order: str | None) -> None:
    """Options that contradict each other are said before anything is loaded."""
    chosen = [mode for mode, is_given in modes.items() if is_given]
    if len(chosen) != 1:
        raise CCFError("give one of --user ID, --liked TITLE (once or more), --similar-to ITEM and --all-users")
    for option in NOT_FOR[chosen[0]]:
        if given[option]:
            raise CCFError(f"{option} has no meaning with {chosen[0]}; leave one of them out")
    if modes["--all-users"] and not given["--output"]:
        raise CCFError("--output is missing: name the Parquet file that --all-users is written to")
    if order is not None and order not in ORDERS:
        raise CCFError(f"--order {order}: choose one of {', '.join(ORDERS)}")
    if given["--why"] and order not in (None, "fused"):
        raise CCFError(f"--why gives the model's reasons, but --order {order} does not ask it; leave one of them out")


def _about(fields: list[str] | None) -> dict[str, str]:
    """`COLUMN=VALUE` by column."""
    for field in fields or []:
        if "=" not in field:
            raise CCFError(f"--about {field}: write it as COLUMN=VALUE, such as age=34")
    return dict(field.split("=", 1) for field in fields or [])


def _open(opening: "Callable[[], Recommender]") -> "Recommender":
    recommender = opening()
    if not recommender.model.network.uses_llm:
        typer.echo(
            "note: on valid the language model added nothing, so likes alone decide and it is not asked", err=True
        )
    return recommender


def _all_users(
    opening: "Callable[[], Recommender]", output: Path, users: list[str] | None, workers: int | None, **options: Any
) -> None:
    """Into a file: by workers of Ray, or by this process."""
    from ccf_llm.cli.progress import Bars
    from ccf_llm.distributed.recommend import by_ray
    from ccf_llm.recommend.to_file import one_by_one, recommend_all

    write = by_ray(opening, workers) if workers else one_by_one
    with Bars() as bars:
        recommend_all(_open(opening), output, users, progress=bars.users, write=write, **options)
    typer.echo(str(output))


def _candidates(one_by_one: list[str] | None, table: Path | None) -> list[str] | None:
    if not one_by_one and table is None:
        return None
    return [*(one_by_one or []), *(_ids(table, "item_id") if table is not None else [])]


def _ids(table: Path, column: str) -> list[str]:
    from ccf_llm.data.ids import id_column
    from ccf_llm.data.importers.columns import read_table
    from ccf_llm.data.validate import require

    frame = read_table(table)
    require(frame, str(table), [column])
    return id_column(frame[column], str(table)).to_list()


def _item(recommender: "Recommender", item: str) -> dict[str, Any]:
    """An item by its id, else by words of its title."""
    from ccf_llm.data.ids import did_you_mean

    code = recommender.model.item_vocabulary.code
    if code(item):
        return {"item_id": item, "title": recommender.catalogue.titles[code(item) - 1]}
    return _find(recommender, item, "--similar-to", did_you_mean(item, code, FEWER))


def _find(recommender: "Recommender", words: str, option: str, remedy: str = FEWER) -> dict[str, Any]:
    try:
        matches = recommender.find_items(words)
    except CCFError as error:
        raise CCFError(f"{option}: {error}") from None
    if len(matches) == 0:
        raise CCFError(f"{option} {words}: no title in the catalogue holds these words; {remedy}")
    best, *others = matches["title"].head(NAMED).to_list()
    if words.casefold() != best.casefold():
        more = f"; also found ({len(matches) - 1}): {', '.join(others)}" if others else ""
        typer.echo(f"note: {option} {words}: taken for {best}{more}", err=True)
    return dict(matches.row(0, named=True))


def _why_empty(recommender: "Recommender", person: "Person", choice: dict[str, Any]) -> str:
    from ccf_llm.recommend.recommender import Filters

    filters = Filters(choice["candidates"], choice["deny"], choice["category"])
    return recommender.why_empty(person, filters) or "the search found nothing"


def _with_reasons(recommender: "Recommender", person: "Person", items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each item with the likes that raise its score."""
    from ccf_llm.recommend.explain import explain

    found = explain(recommender, person, [item["item_id"] for item in items])
    rows = found.rows_by_key("item_id", named=True)
    return [item | {"reasons": rows.get(item["item_id"], [])} for item in items]
