"""What a run was trained on: its users, its items and its rows, so that nothing else is read with its codes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.identity import Identity
from ccf_llm.data.manifest import Part
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError
from ccf_llm.io.files import read_json, write_json
from ccf_llm.io.integrity import check_folder, sealed_folder
from ccf_llm.io.parquet import read_parquet, write_parquet

ROW = ["user_id", "item_id", "timestamp"]


@dataclass(frozen=True)
class TrainedOn:
    """The data of a run, kept beside what was made from it."""

    identity: Identity
    """Of the data set."""
    users: Vocabulary
    items: Vocabulary
    learned: pl.DataFrame
    """user_id, item_id, timestamp and split of all rows of train and valid."""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """What training on a data set reads of it."""
        learned = dataset.interactions.filter(pl.col("split").is_in(["train", "valid"])).select(*ROW, "split")
        return cls(dataset.identity, dataset.user_vocabulary, dataset.item_vocabulary, learned)

    def save(self, folder: Path) -> None:
        """Write it, atomically."""
        with sealed_folder(folder) as temporary:
            self.users.save(temporary / "users.parquet")
            self.items.save(temporary / "items.parquet")
            write_parquet(self.learned, temporary / "rows.parquet")
            write_json(temporary / "identity.json", self.identity.to_json())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; a `CCFError` where it is missing or damaged."""
        if not (folder / "identity.json").is_file():
            raise CCFError(f"{folder}: does not say what the run was trained on; run ccf-llm train again")
        check_folder(folder)
        users, items = (Vocabulary.load(folder / f"{name}.parquet") for name in ("users", "items"))
        identity = Identity.from_json(read_json(folder / "identity.json"), str(folder / "identity.json"))
        if (users.sha256, items.sha256) != (identity.users, identity.items):
            raise CCFError(f"{folder}: its users or items are not those of its identity.json; run ccf-llm train again")
        return cls(identity, users, items, read_parquet(folder / "rows.parquet"))

    def check_same(self, dataset: Dataset) -> None:
        """Raise `CCFError` where a data set is not the one of the run: lists go by all that people met before."""
        if dataset.identity != self.identity:
            raise CCFError(
                f"data set {dataset.name!r}: has changed since this run was trained; run ccf-llm train again"
            )

    def rows(self, dataset: Dataset, part: Part) -> Rows:
        """The rows of one part of a data set in this run's codes, if they may be measured.

        Raises:
            CCFError: some of them were training rows of this run or, in test, rows that it was chosen on; or they ask
                for items that it does not know.
        """
        found = dataset.rows(part).recoded(
            dataset.user_vocabulary.translated(self.users), dataset.item_vocabulary.translated(self.items)
        )
        if found.sha256 == getattr(self.identity, part):
            return found
        asked = dataset.interactions.filter(pl.col("split") == part)
        for other in ("train", "valid"):
            known = asked.join(self.learned.filter(pl.col("split") == other), on=ROW, how="semi")
            if len(known) and other != part:
                raise CCFError(
                    f"data set {dataset.name!r}: {len(known):,} of its {len(asked):,} {part} rows were {other} rows "
                    "when this run was trained, so it knows their answers; train again, or restore the split"
                )
        if unknown := int((found.items == 0).sum()):
            raise CCFError(
                f"data set {dataset.name!r}: {unknown:,} of its {len(asked):,} {part} rows are of items that this run "
                "does not know; run ccf-llm train again"
            )
        return found

    @cached_property
    def counts(self) -> tuple[Codes, Codes]:
        """Training rows of each user code and of each item code; code 0 has none."""
        train = self.learned.filter(pl.col("split") == "train")
        users, items = self.users.encode(train["user_id"]), self.items.encode(train["item_id"])
        return np.bincount(users, minlength=len(self.users) + 1), np.bincount(items, minlength=len(self.items) + 1)

    def check(self, made_from: dict[str, str | None] | None, what: str) -> None:
        """Raise `CCFError` where `what` was made from other data than this run's."""
        if made_from is None or {name: made_from.get(name) for name in self.identity.learned} != self.identity.learned:
            raise CCFError(f"{what}: was not made from the data of this run; run ccf-llm train again")
