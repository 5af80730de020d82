"""A loaded model with everything that answering needs; replaced as a whole when a new model is swapped in."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Codes
from ccf_llm.data.validate import check_items
from ccf_llm.errors import CCFError
from ccf_llm.experiments.folder import model_folder
from ccf_llm.io.hashing import files_sha256
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.recommender import Person, Recommender
from ccf_llm.serving.added import AddedItem
from ccf_llm.serving.problems import ProblemError
from ccf_llm.serving.store import LIKES, UserRecord

MAX_HISTORY = 500
NO_CODES: Codes = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Served:
    """One version of the model."""

    recommender: Recommender
    version: str
    """Changes with any byte of the model's files."""
    trained: Recommender
    """Without the items that were added over HTTP."""

    @property
    def model(self) -> CCFLLM:
        """The model itself."""
        return self.recommender.model

    @classmethod
    def load(cls, path: Path, retrieve: int) -> Self:
        """Load a model folder, or the main model of a run folder, and try it.

        Raises:
            CCFError: it is missing or damaged, its data set is not there, or its scores are no numbers.
        """
        folder = model_folder(path)
        version = _version(folder)
        model = CCFLLM.load(folder)
        data = model.info.data
        if data is None or data.source is None:
            raise CCFError(f"{folder}: does not say where its data set is; serve a model that ccf-llm train has made")
        dataset = open_dataset(data.source)
        if _version(folder) != version:
            raise _written_anew(folder)
        recommender = Recommender(model, dataset, retrieve)
        served = cls(recommender, version, recommender)
        served._try()
        return served

    def is_current(self, path: Path) -> bool:
        """Whether the model's files are still those that were loaded."""
        return _version(model_folder(path)) == self.version

    def with_added(self, items: Sequence[AddedItem]) -> Self:
        """The same over items that were added, but for those that the model has come to know by itself."""
        new = [item for item in items if not self.trained.model.item_vocabulary.code(item.item_id)]
        if len(new) == len(self.recommender.catalogue) - len(self.trained.catalogue):
            return self
        return replace(self, recommender=self.trained.with_items(self._frame(new)))

    def added(self, item_id: str, words: dict[str, str]) -> AddedItem:
        """An item in the words in which it is kept, without columns that are empty.

        Raises `CCFError` for a column that the catalogue does not have, and `ProblemError` 422 for an id or a title
        that cannot be kept as it is.
        """
        known = self.model.items.columns[1:]
        for column in words:
            if column not in known:
                raise CCFError(f"{column}: the catalogue has no such column, but {', '.join(known)}; leave it out")
        frame = pl.DataFrame({"item_id": [item_id], **{column: [text] for column, text in words.items()}})
        try:
            (row,) = check_items(frame).to_dicts()
        except CCFError as error:
            raise ProblemError(422, str(error)) from None
        if row["item_id"] != item_id:
            raise ProblemError(422, f"item_id: {item_id!r} would become {row['item_id']!r}; write it so")
        return _in_words(row)

    def known(self, item_id: str) -> AddedItem | None:
        """An item of the trained catalogue in its words; None for one that was added, or is not there."""
        code = self.trained.model.item_vocabulary.code(item_id)
        return _in_words(self.model.items.row(code - 1, named=True)) if code else None

    def person(self, user_id: str | None, record: UserRecord, history: list[str], *, filter_seen: bool) -> Person:
        """What the data set, the events and the request know of a person, put together.

        An event replaces what was known of its item before: what counts as a like comes last in the history, a dislike
        is seen but not liked, a withdrawal leaves neither. Items that this model does not know are passed over.
        """
        asked = self.recommender.codes(history, "history")
        known = Person(0, NO_CODES, NO_CODES)
        if user_id is not None and not record.erased:
            known = self.recommender.person(user_id)
        latest = self.latest_events(record)
        liked = [item for item, kind in latest.items() if kind in LIKES]
        met = [item for item, kind in latest.items() if kind != "withdraw"]
        likes = np.concatenate([_without(known.history, latest), np.array(liked, dtype=np.int64), asked])[-MAX_HISTORY:]
        seen = np.union1d(_without(known.seen, latest), np.array(met, dtype=np.int64)) if filter_seen else NO_CODES
        # What a request names as liked is never its answer.
        return Person(known.user, likes, np.union1d(seen, asked).astype(np.int64), known.words)

    def latest_events(self, record: UserRecord) -> dict[int, str]:
        """Item code -> kind of its last event, in the order of these."""
        vocabulary = self.recommender.model.item_vocabulary
        latest: dict[int, str] = {}
        for item_id, kind in record.events:
            if code := vocabulary.code(item_id):
                latest.pop(code, None)
                latest[code] = kind
        return latest

    def item(self, code: int) -> dict[str, Any]:
        """An item as answers show it."""
        catalogue = self.recommender.catalogue
        return {
            "item_id": catalogue.ids[code - 1],
            "title": catalogue.titles[code - 1],
            "details": catalogue.details[code - 1] if catalogue.details else "",
        }

    def _frame(self, items: Sequence[AddedItem]) -> pl.DataFrame:
        """As `CCFLLM.with_items` takes them: a column that the model reads is there, if empty."""
        columns = dict.fromkeys(["title", *self.model.details, *(column for item in items for column in item.words)])
        texts = {column: [item.words.get(column, "") for item in items] for column in columns}
        return pl.DataFrame({"item_id": [item.item_id for item in items], **texts})

    def _try(self) -> None:
        """Compute what is computed once, and score a person with and one without likes."""
        catalogue = self.recommender.catalogue
        first = np.arange(1, min(len(catalogue), 20) + 1)
        catalogue.similar(1)
        with suppress(CCFError):  # nobody likes anything in the data: who asks for the order `next` is told
            self.recommender.following.prepare()
        for history in (NO_CODES, first[:3]):
            shortlist = self.recommender.shortlist(Person(0, history, NO_CODES), 10)
            scores = self.recommender.model.score_rows(shortlist.rows())
            if not np.isfinite(scores).all() or not np.isfinite(catalogue.collaborative_shares).all():
                raise CCFError("model: its scores are not finite; train it again")


def _in_words(row: dict[str, Any]) -> AddedItem:
    return AddedItem(row["item_id"], {column: text for column, text in row.items() if column != "item_id" and text})


def _version(folder: Path) -> str:
    try:
        return files_sha256(folder, "**/*")[:12]
    except FileNotFoundError:
        raise _written_anew(folder) from None


def _written_anew(folder: Path) -> CCFError:
    return CCFError(f"{folder}: was written anew while it was read; load it again")


def _without(codes: Codes, latest: dict[int, str]) -> Codes:
    return codes[~np.isin(codes, list(latest))] if latest else codes
