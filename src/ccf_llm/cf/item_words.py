"""What items' texts say, as numbers: categories, years, and vectors of an encoder."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.categories import categories
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError


@dataclass(frozen=True, eq=False)
class ItemWords:
    """By item code; row 0 is empty. A column of width 0 is one that the items do not have."""

    categories: Floats
    """(n_items + 1, g) 1 where an item has a category."""
    years: Floats
    """(n_items + 1,) NaN where it is not known."""
    vectors: Floats
    """(n_items + 1, d) around their mean, of length 1; zeros where there is none."""

    @classmethod
    def of(cls, items: pl.DataFrame, vectors: NDArray[np.floating[Any]] | None = None) -> Self:
        """Read a data set's items, whose row c - 1 is code c.

        The year is that of the column `year`, else the one in brackets that ends a title. `vectors` are (n_items, d),
        from any encoder of the titles; raises `CCFError` where their number is another.
        """
        if vectors is not None and (vectors.ndim != 2 or len(vectors) != len(items)):
            raise CCFError(f"vectors: shape {vectors.shape} for {len(items)} items; give one row for each item")
        found = categories(items)
        if found is None:
            found = np.zeros((len(items), 0))
        return cls(
            categories=_after_nothing(found),
            years=_after_nothing(_years(items), np.nan),
            vectors=_after_nothing(np.zeros((len(items), 0)) if vectors is None else _directions(vectors)),
        )

    def arrays(self) -> dict[str, Floats]:
        """All of it by name, to be written."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _years(items: pl.DataFrame) -> NDArray[np.float64]:
    year = pl.col("title").str.extract(r"\((\d{4})\)\s*$")
    if "year" in items.columns:
        year = pl.coalesce(pl.col("year").cast(pl.String).str.extract(r"^(\d{4})$"), year)
    return items.select(year.cast(pl.Float64)).to_series().fill_null(np.nan).to_numpy()


def _directions(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Without what all texts share, which would make everything alike."""
    there = np.abs(vectors).sum(1) > 0
    centred = np.where(there[:, None], vectors - vectors[there].mean(0) if there.any() else vectors, 0.0)
    directions: NDArray[np.float64] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return directions


def _after_nothing(values: NDArray[np.float64], nothing: float = 0.0) -> Floats:
    """With a row for code 0."""
    return np.concatenate([np.full((1, *values.shape[1:]), nothing), values]).astype(np.float32)
