"""`CCFLLM`: a trained model with its users and items, as the public API offers it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.cross_fit import align
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.frame import as_frame
from ccf_llm.data.ids import did_you_mean, id_column
from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.data.validate import check_items, check_users
from ccf_llm.data.vocabulary import Vocabulary, vocabulary_of
from ccf_llm.errors import CCFError
from ccf_llm.io.progress import Tick
from ccf_llm.model.build import details_of, encoder_of, told_by_code, told_of_users
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import DataRecord, ModelInfo
from ccf_llm.model.store import load_model, save_model
from ccf_llm.prompts.details import columns_of
from ccf_llm.scoring import PrefixCache, SharedPrefixScorer

About = Mapping[str, str | int | float | None]
"""What is known of a person, by column of the users."""


class CCFLLM:
    """A trained recommender model: ids in, log-odds out. Any thread may score; calls take turns.

    Examples:
        >>> model = CCFLLM.load("runs/demo/models/ccf_llm")                      # doctest: +SKIP
        >>> model.score(pl.DataFrame({"user_id": ["42"], "item_id": ["50"]}))    # doctest: +SKIP
    """

    def __init__(
        self,
        network: CCFNetwork,
        users: Vocabulary,
        items: pl.DataFrame,
        info: ModelInfo | None = None,
        cache: PrefixCache | None = None,
    ) -> None:
        """Put the parts together; `load` and `ccf_llm.fit` do so from a folder and from data.

        Args:
            network: over the codes of `users` and `items`.
            users: the users that the network was trained on.
            items: item_id, title and further columns; item code c is row c - 1.
            info: what else it needs, and what it was made from.
            cache: where it keeps histories that it has read: that of a model over the same language model, or its own.
        """
        self.network = network
        self.users = users
        self.items = items
        self.item_vocabulary = vocabulary_of(items)
        self.info = info or ModelInfo()
        self.details = columns_of(self.info.details)
        """Columns of the items whose words are told beside the title."""
        self.user_details = columns_of(self.info.user_details)
        """Columns of the users that are told."""
        self.scorer = SharedPrefixScorer(
            network, memory_mb=self.info.memory_mb, cache=PrefixCache() if cache is None else cache
        )

    @staticmethod
    def fit(*args: Any, **options: Any) -> "CCFLLM":
        """`ccf_llm.fit`."""
        import ccf_llm

        return ccf_llm.fit(*args, **options)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Self:
        """Read a saved model; a `CCFError` says what is missing or damaged."""
        return cls(*load_model(Path(folder), device=device))

    def with_items(self, items: pl.DataFrame) -> Self:
        """The same model over further items, which then can be recommended and scored by their words.

        Weights are shared with this model, not copied, and so is what memory keeps of histories. CF knows as little of
        the new items as of any without a training row; train again once people have met them.

        Args:
            items: item_id and title, and the columns whose words the model reads (`details`); others are left behind.

        Raises:
            CCFError: a column or a title is missing, or an id is there twice or in the catalogue already.
        """
        new = check_items(as_frame(items, "items"))
        for column in self.details:
            if column not in new.columns:
                raise CCFError(f"items: no column '{column}', whose words the model reads; add it (it may be empty)")
        known = new.filter(pl.col("item_id").is_in(self.items["item_id"].implode()))
        if len(known):
            raise CCFError(f"items: item '{known['item_id'][0]}' is in the model's catalogue already; leave it out")
        words = details_of(new, self.info.details, self.network.encoder.tokenizer)
        network = self.network.with_items(new["title"].to_list(), words)
        new = new.select(column for column in self.items.columns if column in new.columns)
        return type(self)(
            network, self.users, pl.concat([self.items, new], how="diagonal"), self.info, self.scorer.cache
        )

    def over(self, dataset: Dataset) -> Self:
        """The model over the items of a data set too: those that it does not know are added to its own."""
        new = dataset.items.filter(~pl.col("item_id").is_in(self.items["item_id"].implode()))
        return self.with_items(new) if len(new) else self

    def refreshed(self, dataset: Dataset, cf: CFModel) -> Self:
        """The same model over the users and items of a data set, as a CF model that was fitted on it sees them.

        Language model, fusion and blend are shared with this model. The vectors that `cf` shows are turned, in place,
        into the space of this model's, by the items that both know.

        Raises:
            CCFError: the data set lacks a column that the model reads, or an item that its prompt shows as an example.
        """
        network, info = self.network, self.info
        encoder = network.encoder
        align(cf, network.cf, dataset.item_vocabulary.translated(self.item_vocabulary))
        users = told_by_code(dataset.users, dataset.user_vocabulary, info.user_details, encoder.tokenizer)
        shots = tuple(shot.recoded(self.item_vocabulary.translated(dataset.item_vocabulary)) for shot in encoder.shots)
        prompts = encoder_of(dataset.items, cf, encoder.tokenizer, encoder.template, info.details, users, shots)
        data = DataRecord(name=dataset.name, source=dataset.source, identity=dataset.identity.to_json())
        return type(self)(
            network.over(prompts, cf), dataset.user_vocabulary, dataset.items, info.model_copy(update={"data": data})
        )

    def save(self, folder: str | Path) -> None:
        """Write the model to `folder`, atomically."""
        save_model(self.network, self.users, self.items, self.info, Path(folder))

    def score(self, pairs: pl.DataFrame, dataset: Dataset | None = None) -> pl.DataFrame:
        """Score pairs of user and item.

        Args:
            pairs: columns user_id and item_id, texts or whole numbers (`data.ids`), in a frame of polars or of another
                library that speaks Arrow, such as pandas. A user that the model does not know is scored as a cold one.
            dataset: where the users' likes are read from, and what is told of them; without it their history is empty,
                and what is told is what the model was trained with.

        Returns:
            The pairs, their ids as texts, with `score` (log-odds) and `probability`.

        Raises:
            CCFError: a column is missing, a row has no id or a fraction for one, or an item is not in the catalogue.
        """
        pairs = as_frame(pairs, "pairs")
        for column in ("user_id", "item_id"):
            if column not in pairs.columns:
                raise CCFError(f"pairs: no column '{column}'; give user_id and item_id")
        pairs = pairs.with_columns(id_column(pairs[column], "pairs") for column in ("user_id", "item_id"))
        unknown = pairs.filter(~pl.col("item_id").is_in(self.items["item_id"].implode()).fill_null(False))
        if len(unknown):
            item = unknown["item_id"][0]
            remedy = did_you_mean(item, self.item_vocabulary.code, "leave its rows out")
            raise CCFError(f"pairs: no item '{item}' in the model's catalogue; {remedy}")
        likes = self.likes(dataset, pairs["user_id"].unique()) if dataset is not None else {}
        rows = self.rows(pairs["user_id"].to_list(), pairs["item_id"].to_list(), likes)
        if dataset is not None and (words := self.user_words(dataset)):
            told = [words.get(user) for user in pairs["user_id"]]
            rows = replace(rows, user_words=np.array(told, dtype=object))
        scores = self.score_rows(rows)
        return pairs.with_columns(score=pl.Series(scores), probability=pl.Series(probability(scores)))

    def likes(self, dataset: Dataset, users: Iterable[str]) -> dict[str, Codes]:
        """What users like by a data set, oldest first, in the model's codes; without items that it does not know."""
        own = dataset.item_vocabulary.translated(self.item_vocabulary)
        likes = {user: own[dataset.likes_of(user)] for user in users}
        return {user: codes[codes > 0] for user, codes in likes.items()}

    def user_words(self, dataset: Dataset) -> dict[str, str]:
        """What a data set tells of its users, by id; of nobody where the model reads nothing of users."""
        users = dataset.users
        if users is None or not set(self.user_details) & set(users.columns):
            return {}
        told = told_of_users(users, self.info.user_details, self.network.encoder.tokenizer)
        return dict(zip(users["user_id"], told, strict=True))

    def words_about(self, about: About) -> str:
        """What is told of a person, of whom `about` holds columns, such as `{"age": 34, "occupation": "doctor"}`.

        Raises:
            CCFError: a column that the model does not read.
        """
        for column in about:
            if column not in self.user_details:
                known = f"reads {', '.join(self.user_details)}" if self.user_details else "reads nothing of users"
                raise CCFError(f"about: {column!r} is not told; this model {known}; leave it out")
        frame = check_users(pl.DataFrame({"user_id": ["0"], **{column: [value] for column, value in about.items()}}))
        return told_of_users(frame, self.info.user_details, self.network.encoder.tokenizer)[0]

    def rows(self, user_ids: list[str], item_ids: list[str], likes: dict[str, Codes]) -> Rows:
        """Rows that ask for a score of each pair, with each user's likes (item codes, oldest first) as history."""
        users = list(likes)
        ends = np.cumsum([len(likes[u]) for u in users], dtype=np.int64)
        span = {u: (int(end) - len(likes[u]), int(end)) for u, end in zip(users, ends, strict=True)}
        spans = np.array([span.get(u, (0, 0)) for u in user_ids], dtype=np.int64).reshape(-1, 2)
        n = len(user_ids)
        return Rows(
            users=self.users.encode(user_ids),
            items=self.item_vocabulary.encode(item_ids),
            labels=np.full(n, -1, dtype=np.int8),
            timestamps=np.zeros(n, dtype=np.int64),
            likes=np.concatenate([np.zeros(0, dtype=np.int64), *(likes[u] for u in users)]),
            start=spans[:, 0],
            end=spans[:, 1],
        )

    def score_rows(self, rows: Rows, tick: Tick | None = None) -> Floats:
        """(N,) log-odds of encoded rows."""
        return self.scorer.score(rows, tick)

    def forget(self) -> None:
        """Drop what scoring keeps in memory of the histories that it has read."""
        self.scorer.forget()


def probability(scores: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The sigmoid of log-odds."""
    return 1 / (1 + np.exp(-scores.astype(np.float64)))
