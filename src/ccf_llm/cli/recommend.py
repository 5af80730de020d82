"""`ccf-llm recommend`: for a user of the data, or for a person known only by titles they like."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ccf_llm.errors import CCFError


def recommend(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    user: Annotated[str | None, typer.Option(help="Id of a user of the run's data set.")] = None,
    liked: Annotated[list[str] | None, typer.Option(help="A liked title (or part of it); repeat for more.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    retrieve: Annotated[int, typer.Option(help="How many of the CF model's best items are re-ranked.")] = 100,
    keep: Annotated[bool, typer.Option("--keep", help="Show them in the run's report.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead, for machines.")] = False,
) -> None:
    """Recommend items: the CF model retrieves, the language model re-ranks.

    For a user: [bold]ccf-llm recommend runs/demo --user 5[/bold]

    For a person: [bold]ccf-llm recommend runs/demo --liked "Toy Story" --liked "Aladdin" --liked "Babe"[/bold]
    """
    if (user is None) == (not liked):
        raise CCFError("give either --user ID or --liked TITLE (once or more)")
    from ccf_llm.api import CCFLLM
    from ccf_llm.data.titles import reading_order
    from ccf_llm.recommend import Recommender
    from ccf_llm.runs.folder import RunFolder, open_split
    from ccf_llm.runs.report import keep_recommendations

    folder = RunFolder(run)
    config = folder.load_config()
    recommender = Recommender(CCFLLM.load(folder.model(config.main)), open_split(config), retrieve)
    if user is not None:
        found = recommender.recommend([user], k).drop("user_id")
        codes = recommender.dataset.likes_of(user)[-10:]
        history = [reading_order(title) for title in recommender.model.items["title"].gather(codes - 1)]
        title = f"user {user}"
    else:
        matches = [_find(recommender.find_items(words), words) for words in liked or []]
        found = recommender.recommend_for_history([match["item_id"] for match in matches], k)
        history = [match["title"] for match in matches]
        title = f"a person who likes {', '.join(history)}"
    if keep:
        keep_recommendations(folder, title, history, found.to_dicts())
    if as_json:
        typer.echo(json.dumps({"for": title, "history": history, "items": found.to_dicts()}, ensure_ascii=False))
    else:
        _print_table(title, found.to_dicts())


def _find(matches: Any, words: str) -> dict[str, Any]:
    if len(matches) == 0:
        raise CCFError(f"--liked {words}: no title in the catalogue holds these words; try fewer of them")
    return dict(matches.row(0, named=True))


def _print_table(title: str, items: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"Recommended for {title}"), min_width=60)
    for column in ("rank", "title", "probability"):
        table.add_column(column, justify="left" if column == "title" else "right")
    for item in items:
        table.add_row(str(item["rank"]), escape(item["title"]), f"{item['probability']:.2f}")
    Console().print(table)
