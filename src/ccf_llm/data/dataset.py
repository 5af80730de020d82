"""The data set: interactions and items with text, validated, with their codes and histories."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from ccf_llm.data.history import given_histories, rolling_histories, within_parts
from ccf_llm.data.identity import Identity
from ccf_llm.data.ids import Id, as_id
from ccf_llm.data.lots import lots_of_rows
from ccf_llm.data.manifest import PARTS, Part, SplitManifest, given_split
from ccf_llm.data.reading import Reading
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.data.slices import SLICE
from ccf_llm.data.validate import check_items, check_tables, check_users
from ccf_llm.data.vocabulary import Vocabulary, shortest_first, vocabulary_of
from ccf_llm.errors import CCFError
from ccf_llm.io.files import read_json, write_json
from ccf_llm.io.integrity import MANIFEST, check_folder, sealed_folder
from ccf_llm.io.parquet import read_parquet, write_parquet

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Who met what, when, and whether they liked it; and what the items are called.

    Make one with `from_frames` or `load`, which check everything and put it in an order that depends on the content
    alone: the same rows give the same data set, and so the same codes, models and scores, in whichever order they come.
    """

    name: str
    """What people call it."""
    interactions: pl.DataFrame
    """user_id (str), item_id (str), label (i8), timestamp (i64, seconds); if the source has them, rating (f32),
    split (str: train, valid, test or null) and history (list[str]). By user, time and item."""
    items: pl.DataFrame
    """item_id (str), title (str), then further text columns such as year and genres; every item, also those that
    nobody has met, by id."""
    users: pl.DataFrame | None = None
    """user_id (str), then text columns."""
    split: SplitManifest | None = None
    """How `interactions` was split; present exactly if it has the column `split`."""
    like_threshold: float | None = 4.0
    """A rating of at least this is a like; None where no rating decided."""
    duplicates_dropped: int = 0
    """Fully identical interactions that the source held and that were dropped."""
    source: str | None = None
    """What `open_dataset` finds it by again; None for one that a program has made."""
    reading: Reading = field(default_factory=Reading)
    """Whether there are times, what was left out, and what a person should know."""

    @classmethod
    def from_frames(
        cls,
        interactions: pl.DataFrame,
        items: pl.DataFrame,
        *,
        users: pl.DataFrame | None = None,
        name: str = "data",
        like_threshold: float | None = None,
        rating_range: tuple[float, float] | None = None,
        drop_unknown: bool = False,
        reading: Reading | None = None,
    ) -> "Dataset":
        """Check the frames and make a data set of them.

        `interactions` needs user_id and item_id, and should have timestamp and label (0/1) or rating; `items` needs
        item_id and title. Ids may be texts or whole numbers. `like_threshold` None: chosen where the scale of the
        ratings leaves no doubt. `drop_unknown` leaves out interactions of unknown items and items without a title.
        `reading` takes what is to be known. Raises `CCFError` with one line on the first fault (see `data.validate`).
        """
        reading = Reading() if reading is None else reading
        checked = check_tables(
            interactions,
            items,
            like_threshold=like_threshold,
            rating_range=rating_range,
            drop_unknown=drop_unknown,
            reading=reading,
        )
        frame = _in_order(checked.frame)
        return cls(
            name=name,
            interactions=frame,
            items=checked.items.sort(shortest_first("item_id")),
            users=None if users is None else check_users(users).sort(shortest_first("user_id")),
            split=given_split(frame) if "split" in frame.columns else None,
            like_threshold=checked.like_threshold,
            duplicates_dropped=checked.dropped,
            reading=reading,
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Dataset":
        """Read what `save` wrote; `open_dataset` reads other formats too."""
        folder = Path(folder)
        schema = _read_schema(folder)
        users = folder / "users.parquet"
        try:
            dataset = cls.from_frames(
                read_parquet(folder / "interactions.parquet"),
                read_parquet(folder / "items.parquet"),
                users=read_parquet(users) if users.exists() else None,
                name=schema["name"],
            )
        except CCFError as error:
            raise error if str(folder) in str(error) else CCFError(f"{folder}: {error}") from None
        return replace(
            dataset,
            split=_read_split(folder, dataset.interactions),
            like_threshold=schema["like_threshold"],
            duplicates_dropped=schema["duplicates_dropped"],
            reading=_read_reading(folder, schema),
        )

    @classmethod
    def pieces(cls, folder: str | Path, rows: int = SLICE // 2) -> "Iterator[Dataset]":
        """What `save` wrote, some users with all of their rows at a time: about so many `rows`, or up to twice as many.

        Users come in the order of their codes; each piece has all items, by the codes of the whole, and no table of
        users. Histories are those of the whole, and so is a split of the pieces by their users' own time. Files are
        held against their hashes, and what they say is not checked again. Raises `CCFError` for a folder that has no
        hashes or another order, as another program or an old version may have written it.
        """
        folder, before, remedy = Path(folder), (0, ""), "load the data set and save it again"
        schema = _read_schema(folder)
        items = check_items(read_parquet(folder / "items.parquet")).sort(shortest_first("item_id"))
        whole = cls(schema["name"], pl.DataFrame(), items, reading=_read_reading(folder, schema))
        for frame in _by_whole_users(folder / "interactions.parquet", rows):
            piece = whole.with_tables(frame, items)
            ids = piece.user_vocabulary.ids
            first, last = ((len(one.encode()), one) for one in (ids[0], ids[-1]))
            if first <= before or not (folder / MANIFEST).is_file():
                raise CCFError(f"{folder}: its rows are not known to be sound and by user; {remedy}")
            before = last
            yield piece

    def with_tables(self, interactions: pl.DataFrame, items: pl.DataFrame) -> "Dataset":
        """A copy that holds some of its rows and items, or with other ids. A split is kept, its manifest made anew."""
        frame = _in_order(interactions)
        split = given_split(frame) if "split" in frame.columns else None
        return replace(self, interactions=frame, items=items, split=split, reading=copy.deepcopy(self.reading))

    def save(self, folder: str | Path) -> None:
        """Write the data set as a folder; it appears once it is complete."""
        with sealed_folder(Path(folder)) as temporary:
            schema = {
                "format": FORMAT,
                "name": self.name,
                "like_threshold": self.like_threshold,
                "duplicates_dropped": self.duplicates_dropped,
                "reading": self.reading.to_json(),
            }
            write_json(temporary / "schema.json", schema)
            write_parquet(self.interactions, temporary / "interactions.parquet")
            write_parquet(self.items, temporary / "items.parquet")
            if self.users is not None:
                write_parquet(self.users, temporary / "users.parquet")
            if self.split is not None:
                write_json(temporary / "splits" / "manifest.json", self.split.model_dump(mode="json"))

    @cached_property
    def user_vocabulary(self) -> Vocabulary:
        """The users of the interactions, by id."""
        return Vocabulary.of(self.interactions["user_id"])

    @cached_property
    def item_vocabulary(self) -> Vocabulary:
        """All items, in the order of the items frame: item code c is row c - 1 of `items`."""
        return vocabulary_of(self.items)

    @cached_property
    def identity(self) -> Identity:
        """What tells this data set from every other: what is made from one is never used with another."""
        parts = {part: self.rows(part).sha256 for part in PARTS} if self.split is not None else {}
        return Identity(
            users=self.user_vocabulary.sha256, items=self.item_vocabulary.sha256, all=self._rows.sha256, **parts
        )

    def rows(self, split: Part | Literal["all"] | None = None) -> Rows:
        """The interactions of one part (None or "all": every one) as codes, in the order of the frame.

        Histories come from all interactions of the data set, whatever their part: at test time a user's earlier likes
        are known input. A like counts for later rows only, never for rows of its own second, nor for rows of an earlier
        part where a split is not by time (see `history_notes`). Where nobody knows the times, rows of train stand in an
        order drawn by lot, and those of valid and test know what was liked in train. Histories that the source gives
        stay as they are.
        """
        if split is None or split == "all":
            return self._rows
        if "split" not in self.interactions.columns:
            raise CCFError(f"data set {self.name!r} has no split; make one with `ccf-llm data split`")
        if split not in PARTS:
            raise CCFError(f"split {split!r} is none of {', '.join(PARTS)}, all")
        return self._rows.take((self.interactions["split"] == split).fill_null(False).to_numpy())

    def likes_of(self, user_id: Id) -> Codes:
        """What the user likes, oldest first: each item once, by its latest label; empty for a user never met.

        Ids are texts or whole numbers.
        """
        mine = self._rows_of(as_id(user_id, "user_id"))
        rows = self._rows.take(mine)
        # The source's history may reach back before the first interaction.
        given = rows.history(int(np.argmax(rows.end - rows.start))) if "history" in self.interactions.columns else ()
        liked = dict.fromkeys(int(item) for item in given)
        for item, label in zip(rows.items.tolist(), rows.labels.tolist(), strict=True):
            if label == 1:
                liked.setdefault(item)
            else:
                liked.pop(item, None)
        return np.array(list(liked), dtype=np.int64)

    def seen_items(self, user_id: Id) -> Codes:
        """The distinct items that the user met, liked or not, in code order; empty for a user never met."""
        user_id = as_id(user_id, "user_id")
        seen: Codes = np.union1d(self._rows.items[self._rows_of(user_id)], self.likes_of(user_id))
        return seen

    @property
    def oldest_first(self) -> NDArray[np.int64]:
        """(N,) the rows of `rows()` by user and, of each, oldest first; where nobody knows the times, by lot."""
        return self._by_user.order

    @property
    def history_notes(self) -> list[str]:
        """What was done so that no history holds an answer, in words; empty where nothing had to be done."""
        if self.split is None or not (leaking := self._encoded[1]):
            return []
        why = "A split by time needs no such repair (`ccf-llm data split`)"
        if self.split.new_items is not None:
            why = "Rows of new items are test, whenever they were"
        return [
            f"split: {leaking:,} rows come, in time, after rows of a later part; what these say was left out of their "
            f"histories. {why}"
        ]

    @property
    def _rows(self) -> Rows:
        return self._encoded[0]

    @cached_property
    def _encoded(self) -> tuple[Rows, int]:
        """All interactions as codes, and how many histories would have held an answer of a later part."""
        frame, leaking = self.interactions, 0
        users, items = self.user_vocabulary.encode(frame["user_id"]), self.item_vocabulary.encode(frame["item_id"])
        labels, timestamps = frame["label"].to_numpy(writable=True), frame["timestamp"].to_numpy(writable=True)
        if "history" in frame.columns:
            lengths = frame["history"].list.len().to_numpy().astype(np.int64)
            flat = frame["history"].filter(frame["history"].list.len() > 0).explode()
            histories = given_histories(users, self.item_vocabulary.encode(flat), lengths)
        elif "split" in frame.columns:
            numbers = frame["split"].replace_strict({part: n for n, part in enumerate(PARTS)}, default=-1)
            parts = numbers.cast(pl.Int64).to_numpy()
            histories, leaking = within_parts(users, items, labels, self._moments, parts)
        else:
            histories = rolling_histories(users, items, labels, self._moments)
        return Rows(users, items, labels, timestamps, *histories), leaking

    @cached_property
    def _moments(self) -> NDArray[np.int64]:
        """(N,) what orders a user's rows: their times or, where nobody knows these, lots, train before all else."""
        if self.reading.timed:
            return self.interactions["timestamp"].to_numpy(writable=True)
        moments = np.argsort(np.argsort(lots_of_rows(self.interactions, seed=0).to_numpy())).astype(np.int64)
        if "split" in self.interactions.columns:
            moments[(self.interactions["split"] != "train").fill_null(True).to_numpy()] = len(moments)
        return moments

    @cached_property
    def _by_user(self) -> "_ByUser":
        order = np.lexsort((self._moments, self._rows.users))
        bounds = np.searchsorted(self._rows.users[order], np.arange(len(self.user_vocabulary) + 2))
        return _ByUser(order, bounds)

    def _rows_of(self, user_id: str) -> NDArray[np.int64]:
        """The user's rows, oldest first."""
        code = self.user_vocabulary.code(user_id)
        order, bounds = self._by_user
        return order[bounds[code] : bounds[code + 1]]


class _ByUser(NamedTuple):
    """Row numbers sorted by user and time; the rows of user code u are `order[bounds[u]:bounds[u + 1]]`."""

    order: NDArray[np.int64]
    bounds: NDArray[np.int64]


def _in_order(interactions: pl.DataFrame) -> pl.DataFrame:
    """Sorted by user, time and item, with texts for ids. No two rows share all three."""
    users, items = (
        Vocabulary.of(interactions[name]).encode(interactions[name]).astype(np.int32) for name in ("user_id", "item_id")
    )
    order = np.lexsort((items, interactions["timestamp"].to_numpy(), users))
    return interactions[order].with_columns(pl.col("user_id", "item_id").cast(pl.String))


def _by_whole_users(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """A table that stands by user, in pieces of about one size."""
    table = pl.scan_parquet(path, glob=False)
    total = table.select(pl.len()).collect().item()
    size, cut = -(-total // max(1, total // rows)), pl.DataFrame()
    for end in range(size, total + size, size):
        some = table.slice(end - size, size).collect()
        frame = pl.concat([cut, some]) if len(cut) else some
        if end < total:
            last = frame["user_id"] == frame["user_id"][-1]  # the next piece may have more of this user
            frame, cut = frame.filter(~last), frame.filter(last)
        if len(frame):
            yield frame


def _read_schema(folder: Path) -> dict[str, Any]:
    """What describes a saved data set whose files are as they were written."""
    path = folder / "schema.json"
    if not path.is_file():
        raise CCFError(f"{folder}: no saved data set; make one with `ccf-llm data fetch` or `ccf-llm data import`")
    check_folder(folder)
    schema = read_json(path)
    if not isinstance(schema, dict) or schema.get("format") != FORMAT:
        raise CCFError(f"{path}: not a data set of format {FORMAT}; import it again with this version")
    types = {"name": str, "like_threshold": (int, float, type(None)), "duplicates_dropped": int}
    for key, kind in types.items():
        if key not in schema or not isinstance(schema[key], kind):  # type: ignore[arg-type]
            raise CCFError(f"{path}: `{key}` is missing or of the wrong type; import the data again")
    return schema


def _read_reading(folder: Path, schema: dict[str, Any]) -> Reading:
    return Reading.from_json(schema.get("reading"), str(folder / "schema.json"))


def _read_split(folder: Path, interactions: pl.DataFrame) -> SplitManifest | None:
    if "split" not in interactions.columns:
        return None
    path = folder / "splits" / "manifest.json"
    if not path.exists():
        return given_split(interactions)
    try:
        manifest = SplitManifest.model_validate(read_json(path))
    except ValidationError as error:
        fault = error.errors()[0]
        raise CCFError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; split the data again") from None
    manifest.check(interactions, str(folder))
    return manifest
