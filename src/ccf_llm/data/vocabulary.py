"""Ids outside, integer codes inside."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.rows import Codes
from ccf_llm.data.slices import slices
from ccf_llm.errors import CCFError
from ccf_llm.io.hashing import pieces_sha256
from ccf_llm.io.parquet import read_parquet, write_parquet


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A two-way map between n ids (strings) and the codes 1..n. Code 0 is padding or an unknown id.

    Examples:
        >>> films = Vocabulary.of(["tt2", "tt1"])
        >>> films.encode(["tt2", "tt9"])
        array([2, 0])
    """

    ids: pl.Series
    """(n,) distinct strings; the id at position p has code p + 1."""

    @classmethod
    def of(cls, ids: pl.Series | Iterable[str]) -> Self:
        """The vocabulary of `ids`, in an order that depends on the ids alone (see `shortest_first`)."""
        series = ids if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)
        some = [ids.unique().cast(pl.String) for _, ids in slices(series)]
        distinct = pl.concat([pl.Series(dtype=pl.String), *some]).unique().drop_nulls().alias("id").to_frame()
        return cls(distinct.sort(shortest_first("id"))["id"])

    def __len__(self) -> int:
        """Number of ids, padding not counted."""
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        """Equal when the same ids have the same codes."""
        return isinstance(other, Vocabulary) and self.ids.equals(other.ids)

    def __hash__(self) -> int:
        """Consistent with equality, cheap."""
        return hash((len(self.ids), self.ids.first(), self.ids.last()))

    def encode(self, ids: pl.Series | Iterable[str]) -> Codes:
        """(N,) codes of N ids; an id that is not known, or null, becomes 0."""
        series = ids if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)
        if series.dtype == pl.Categorical:
            places, distinct = places_of(series)
            return self.encode(distinct)[places]
        codes = np.empty(len(series), dtype=np.int64)
        for begin, some in slices(series.cast(pl.String)):
            found = some.to_frame("id").join(self._codes, on="id", how="left", maintain_order="left")["code"]
            codes[begin : begin + len(found)] = found.fill_null(0).to_numpy()
        return codes

    def code(self, one: str) -> int:
        """The code of one id, 0 where it is not known; quicker than `encode` for a few."""
        return self._positions.get(one, 0)

    def decode(self, codes: Codes | Iterable[int]) -> list[str]:
        """The ids of codes 1..n; any other code is a `CCFError`."""
        wanted = np.asarray(list(codes), dtype=np.int64)
        wrong = wanted[(wanted < 1) | (wanted > len(self))]
        if len(wrong):
            raise CCFError(f"code {wrong[0]} names no id: the vocabulary has the codes 1 to {len(self)}")
        return [str(text) for text in self.ids.gather(wanted - 1)]

    @cached_property
    def sha256(self) -> str:
        """Hash of the ids in their order: vocabularies of one hash give every id the same code."""
        return pieces_sha256(one.encode() for one in self.ids)

    def translated(self, other: "Vocabulary") -> Codes:
        """(n + 1,) the code in `other` of each code here: what is indexed by it is then in the other's codes."""
        return np.concatenate([np.zeros(1, dtype=np.int64), other.encode(self.ids)])

    @cached_property
    def _codes(self) -> pl.DataFrame:
        return self.ids.to_frame("id").with_columns(pl.int_range(1, len(self) + 1, dtype=pl.Int64).alias("code"))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {one: code for code, one in enumerate(self.ids, start=1)}

    def save(self, path: Path) -> None:
        """Write the ids, in code order, as a Parquet file of one column."""
        write_parquet(self.ids.to_frame("id"), path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; a damaged or foreign file is a `CCFError`."""
        frame = read_parquet(path)
        if frame.columns != ["id"] or frame["id"].dtype != pl.String or frame["id"].n_unique() != len(frame):
            raise CCFError(f"{path}: not a vocabulary (one column `id` of distinct texts); save the model again")
        return cls(frame["id"])


def vocabulary_of(items: pl.DataFrame) -> Vocabulary:
    """The vocabulary of a catalogue: item code c is row c - 1."""
    return Vocabulary(items["item_id"].alias("id"))


def places_of(ids: pl.Series) -> tuple[NDArray[np.int32], pl.Series]:
    """(N,) where each of N ids, a categorical column, stands among the distinct ones, and these as texts."""
    distinct, physical = ids.unique(), ids.to_physical()
    most = int(physical.max() or 0)  # type: ignore[arg-type]  # a number
    places = np.zeros(most + 2, dtype=np.int32)  # the last one for null
    places[distinct.to_physical().fill_null(len(places) - 1).to_numpy()] = np.arange(len(distinct))
    return places[physical.fill_null(len(places) - 1).to_numpy()], distinct.cast(pl.String)


def shortest_first(column: str) -> list[pl.Expr]:
    """Sort keys of a column of ids: the shorter first, those of one length by their characters.

    So ids that people number stand as people count them.

    Examples:
        >>> pl.DataFrame({"id": ["u10", "u9", "10", "9"]}).sort(shortest_first("id"))["id"].to_list()
        ['9', '10', 'u9', 'u10']
    """
    return [pl.col(column).str.len_bytes(), pl.col(column)]
