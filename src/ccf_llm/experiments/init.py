"""A configuration for a data set and this machine, as a commented file."""

from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from jinja2 import Environment, FunctionLoader, StrictUndefined

from ccf_llm.cf.ease import bytes_for
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.personal import looks_personal
from ccf_llm.data.texts import is_list
from ccf_llm.data.which_task import which_task
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import config_of
from ccf_llm.experiments.folder import open_split
from ccf_llm.io.memory import free_memory
from ccf_llm.llm.runtime import available_cpus
from ccf_llm.training.stage import ListConfig

LISTS, CANDIDATES, ROWS = 4.0, 500.0, 12.0
"""What a core without AVX512 does in a second: lists of 24 learned from and candidates scored, by 6 layers of
SmolLM2-135M (benchmarks/ranking/ml-100k-l3ae), rows of the rating task learned from, by all (an estimate)."""
GPU = 100
"""A GPU does at least so many cores' work (docs/speed.md: 1,600 lists a second)."""
FIXED = 60.0
"""Seconds that loading, the retriever and its folds take at least."""
CUTS = 20
"""Moments of a person's past at most, of which each makes a list, as in all shipped configurations."""
MOMENTS = 8
"""Moments that all share, where items keep coming, as in configs/ranking-ifdb.yaml."""
MEASURED_EACH = 2000
"""After so many lists, or more, the state is measured, and the best one is kept."""
MOST_COLUMNS, MOST_TOKENS, LONG = 4, 48, 60
"""Of what is told of items: columns, tokens of a long one, and characters of which it is one."""


@dataclass(frozen=True)
class Machine:
    """What there is to compute with."""

    cores: int
    memory: float | None
    """Free, in bytes; None where the system does not tell."""
    gpu: bool

    @classmethod
    def here(cls) -> Self:
        """This machine."""
        return cls(available_cpus(), free_memory(), torch.cuda.is_available())

    @property
    def speed(self) -> int:
        """Times a core's."""
        return max(self.cores, GPU) if self.gpu else self.cores

    def __str__(self) -> str:
        memory = "" if self.memory is None else f", {self.memory / 1e9:.0f} GB free"
        return f"{self.cores} cores{memory}, {'a GPU' if self.gpu else 'no GPU'}"


@dataclass(frozen=True)
class Draft:
    """A configuration that fits."""

    text: str
    """The file."""
    summary: dict[str, Any]
    """What was chosen and what it will cost, for people and machines."""


def draft_config(dataset: Dataset, source: str, machine: Machine, minutes: float, llm: str = "smollm2-135m") -> Draft:
    """The configuration of a run of about so many minutes on a data set.

    Args:
        dataset: read from `source`, with or without a split.
        source: what the file names.
        machine: it will run on.
        minutes: to train and measure in; at least 2.
        llm: the base model. Costs are those of the default.

    Raises:
        CCFError: too little time, or data that cannot be split or ranked.
    """
    if minutes < 2:
        raise CCFError(f"--minutes {minutes:g}: loading and the retriever take as long; give at least 2")
    fit = which_task(dataset)
    name = Path(source).resolve().name
    values: dict[str, Any] = {
        "name": name,
        "output": f"runs/{name}",
        "source": source,
        "llm": llm,
        "fit": fit,
        "split": None if dataset.split else fit.by,
        "details": told(dataset.items),
        "machine": str(machine),
        "minutes": f"{minutes:g}",
        "gpu": machine.gpu,
    }
    seconds = 60 * minutes - FIXED
    if fit.task == "ranking":
        values |= _lists(dataset, machine, seconds, fit.arriving)
        values |= {"retriever": _retriever(dataset, machine, fit.arriving), "moments": MOMENTS}
    else:
        values |= _rows(dataset, machine, seconds)
    loader = FunctionLoader(lambda name: files(__package__).joinpath(name).read_text(encoding="utf-8"))
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    text = environment.get_template(f"init_{fit.task}.yaml.j2").render(values) + "\n"
    open_split(config_of(text, Path("draft.yaml")))  # what cannot be split is said before it is written
    sizes = ("retriever", "lists", "rows", "people", "valid_people")
    chosen: dict[str, Any] = {key: values[key] for key in sizes if key in values}
    return Draft(
        text,
        {
            "task": fit.task,
            "why": {"ranking": fit.ranking, "rating": fit.rating},
            "split": fit.by if dataset.split is None else dataset.split.rule,
            "told_of_items": [detail["column"] for detail in values["details"]],
            **chosen,
            "machine": str(machine),
            "minutes": round((values["seconds"] + FIXED) / 60, 1),
        },
    )


def told(items: pl.DataFrame) -> list[dict[str, Any]]:
    """The columns that a language model should be told of, each with its budget: short ones and lists first.

    Left out are numbers but years, addresses, what is empty nearly everywhere or the same everywhere, and what looks
    personal.
    """
    found = []
    for name in items.columns[2:]:
        texts = items[name].cast(pl.String).fill_null("").str.strip_chars()
        there = texts.filter(texts != "")
        numbers = there.str.contains(r"^[-+\d.,]+$").mean() if len(there) else 1.0
        usable = len(there) > 0.1 * len(texts) and there.n_unique() > 1
        is_text = numbers < 0.5 or "year" in name.casefold()  # type: ignore[operator]  # a mean of booleans
        if not usable or not is_text or there.str.starts_with("http").any():
            continue
        if looks_personal(there):
            continue
        length = float(there.str.len_chars().median())  # type: ignore[arg-type]  # of whole numbers
        before = "by " if name.casefold() in ("author", "authors") else ""
        most = MOST_TOKENS if is_list(name) or length > LONG else None
        found.append({"column": name, "before": before, "most": most, "long": length > LONG and not is_list(name)})
    return sorted(found, key=lambda detail: bool(detail["long"]))[:MOST_COLUMNS]


def _retriever(dataset: Dataset, machine: Machine, arriving: bool) -> str:
    """L3AE, or EASE where titles have no words or items keep coming, where the matrices fit into half of the memory;
    else what grows with the items alone.
    """
    liked = dataset.interactions.filter(pl.col("label") == 1)["item_id"].n_unique()
    if machine.memory is None or bytes_for(liked) < machine.memory / 2:
        in_words = dataset.items["title"].str.contains(r"\pL{2}").mean()
        return "l3ae" if in_words > 0.5 and not arriving else "ease"  # type: ignore[operator]  # a mean of booleans
    return "als" if find_spec("implicit") else "knn"


def _lists(dataset: Dataset, machine: Machine, seconds: float, arriving: bool) -> dict[str, Any]:
    """Half of the time for learning, the rest for measuring; never more lists or people than there are.

    A list is of 24 items, fewer where the catalogue is so small that people would like most of them. Of a person there
    are about half as many as likes: the first third and what is held out make none. Of moments that all share, of about
    half of the people of each. Of many, some states on the way are measured too.
    """
    users = len(dataset.user_vocabulary)
    likes = dataset.interactions.filter(pl.col("label") == 1)
    own = likes.group_by("user_id").agg(pl.col("item_id").n_unique())["item_id"]
    size = int(np.clip((likes["item_id"].n_unique() - (own.quantile(0.95) or 0)) // 2, 4, ListConfig().size))
    there = _people_of_moments(likes) // 2 if arriving else int((own // 2).clip(0, CUTS).sum())
    lists = int(np.clip(0.5 * seconds * LISTS * machine.speed, 20, max(there, 20)))
    evaluations = int(np.clip(lists // MEASURED_EACH, 1, 4))
    people = int(np.clip(0.3 * seconds * CANDIDATES * machine.speed / 100, 50, users))
    valid = int(np.clip(0.2 * seconds * CANDIDATES * machine.speed / 100 / evaluations, 50, 600))
    cost = lists / (LISTS * machine.speed) + 100 * (people + valid * evaluations) / (CANDIDATES * machine.speed)
    batch = int(np.clip(lists // 30, 1, 120 if machine.gpu else 10))
    sizes = {"size": size, "positives": min(ListConfig().positives, size // 3), "batch_lists": batch, "cuts": CUTS}
    sizes |= {"evaluations": evaluations}
    return {"lists": lists, "people": people, "valid_people": valid, "seconds": cost, **sizes}


def _people_of_moments(likes: pl.DataFrame) -> int:
    """How many come to like something after a moment and before the next, of all moments."""
    train = likes.sort("timestamp").head(int(0.8 * len(likes))).with_row_index("place")
    first = int(ListConfig().earliest * len(train))
    later = train.filter(pl.col("place") >= first)
    stretch = (pl.col("place") - first) * MOMENTS // max(len(later), 1)
    return int(later.select(pl.struct("user_id", stretch).n_unique()).item())


def _rows(dataset: Dataset, machine: Machine, seconds: float) -> dict[str, Any]:
    """Two stages of as many rows, four fifths of the time."""
    rows = int(np.clip(0.4 * seconds * ROWS * machine.speed, 50, len(dataset.interactions)))
    return {"rows": rows, "batch_rows": 128 if machine.gpu else 16, "seconds": 2.5 * rows / (ROWS * machine.speed)}
