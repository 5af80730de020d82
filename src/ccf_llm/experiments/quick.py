"""Does a language model help on these data? A small comparison, and its answer in one sentence."""

from typing import Any

from ccf_llm.cf.gbm import import_lightgbm
from ccf_llm.cf.settings import FittedKind
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import TREES_WORDS, RunConfig, alone
from ccf_llm.reports.page import signed

LISTS, PEOPLE, VALID_PEOPLE = 600, 400, 200
"""Of the ranking task: lists to learn from, people whose lists are measured, and people to choose by. Some ten minutes
on two cores with 12 layers of SmolLM2-135M."""
ROWS, USER_ROWS = 3000, 5
"""Of the rating task: rows of each stage, and of a user's in test."""
ONCE = {"epochs": 1, "evaluations": 1, "average": 0}


def quick_config(config: RunConfig) -> RunConfig:
    """The main method of a run in a small size, one pass over a few lists or rows, in a folder of its own."""
    small = alone(config, config.main)
    size, depth = config.ranking.size, config.ranking.depth
    few = {"rows": LISTS * size, "valid_rows": VALID_PEOPLE * depth} if config.ranks else {"rows": ROWS}
    stages = {
        name: stage.model_copy(update={**few, "rows": min(few["rows"], stage.rows or few["rows"]), **ONCE})
        for name, stage in small.stages.items()
    }
    update: dict[str, Any] = {"stages": stages, "output": config.output.with_name(f"{config.output.name}-quick")}
    trees = _has_trees()
    if config.ranks:
        update["ranking"] = config.ranking.model_copy(update={"people": PEOPLE, "trees": trees})
        rivals: tuple[FittedKind, ...] = ("popularity",)
    else:
        split = config.data.split.model_copy(update={"max_rows_per_user": USER_ROWS})
        update["data"] = config.data.model_copy(update={"split": split})
        rivals = ("gbm_words",) if trees else ()
    update["cf"] = small.cf.model_copy(update={"compare": rivals})
    return small.model_copy(update=update)


def quick_rows(config: RunConfig) -> list[str]:
    """What is measured of a small run: the main method, and what is simpler."""
    simple = [*config.resolved.cf_rows, *([TREES_WORDS] if config.ranks and config.ranking.trees else [])]
    return [*simple, config.main]


def answer(table: dict[str, Any]) -> str:
    """Whether the main row of a comparison is ahead of the best row without a language model, in one sentence."""
    key, figure = ("ndcg", "ndcg@10") if table.get("task") == "ranking" else ("auc", "auc")
    simple = [row for row in table["rows"] if row["llm"] is None and row["vs_main"] and row[figure] is not None]
    if not simple:
        return "Whether a language model helps cannot be told: no row without one was measured beside it."
    best = max(simple, key=lambda row: row[figure])
    gap, low, high = (None if end is None else -end for end in _turned(best["vs_main"][key]))
    if gap is None or low is None or high is None:
        return f"Whether a language model helps cannot be told: its lead over {best['method']} is not defined here."
    told = f"{signed(gap)} {figure.upper()} against {best['method']}, 95 % interval {signed(low)} to {signed(high)}"
    if low > 0:
        return f"A language model helps on these data: {told}."
    if high <= 0:
        return f"A language model of this size does not help on these data: {told}."
    return f"Whether a language model helps cannot be told from so small a trial: {told}."


def _turned(gap: list[float | None]) -> tuple[float | None, float | None, float | None]:
    """`[difference, low, high]` of the other side: its ends change places."""
    difference, low, high = gap
    return difference, high, low


def _has_trees() -> bool:
    try:
        import_lightgbm()
    except CCFError:
        return False
    return True
