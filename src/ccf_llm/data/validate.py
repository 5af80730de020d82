"""Frames as they come from outside -> frames that the rest of the package can rely on.

Every fault is a `CCFError` of one line that names the frame, the column, the first row or id, and the remedy.
Rows are counted from 0.
"""

from typing import NamedTuple

import polars as pl

from ccf_llm.data.manifest import PARTS
from ccf_llm.errors import CCFError

LARGEST_TIME = 100_000_000_000  # seconds: the year 5138. Milliseconds have passed it since 1973.


class Checked(NamedTuple):
    """Clean interactions and how many fully identical rows were dropped from them."""

    frame: pl.DataFrame
    dropped: int


def check_items(items: pl.DataFrame) -> pl.DataFrame:
    """item_id (str, unique), title (str, not empty), then every further column as text, missing text empty."""
    require(items, "items", ["item_id", "title"])
    ids = _ids(items, "items", "item_id")
    _unique(ids, "items", "item_id")
    frame = items.select(ids, *(_text(items[name], "items") for name in items.columns if name != "item_id"))
    empty = frame.filter(pl.col("title").str.strip_chars() == "")
    if len(empty):
        raise CCFError(f"items: item {empty['item_id'][0]!r} has an empty title ({len(empty)} in all); give it a title")
    return frame.select("item_id", "title", pl.exclude("item_id", "title"))


def check_users(users: pl.DataFrame) -> pl.DataFrame:
    """user_id (str, unique), then every further column as text, missing text empty."""
    require(users, "users", ["user_id"])
    ids = _ids(users, "users", "user_id")
    _unique(ids, "users", "user_id")
    return users.select(ids, *(_text(users[name], "users") for name in users.columns if name != "user_id"))


def check_interactions(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    *,
    like_threshold: float,
    rating_range: tuple[float, float] | None = None,
) -> Checked:
    """user_id, item_id (str), label (i8), timestamp (i64), and rating (f32), split (str), history (list[str]) if given.

    `items` is the checked items frame. Other columns are left behind.
    """
    require(interactions, "interactions", ["user_id", "item_id", "timestamp"])
    columns = [_ids(interactions, "interactions", name) for name in ("user_id", "item_id")]
    rating = _rating(interactions, rating_range) if "rating" in interactions.columns else None
    if "label" in interactions.columns:
        columns.append(_label(interactions))
    elif rating is not None:
        columns.append((rating >= like_threshold).cast(pl.Int8).alias("label"))
    else:
        raise CCFError("interactions: neither a `label` nor a `rating` column; name one of the columns so")
    columns.append(_timestamp(interactions))
    if rating is not None:
        columns.append(rating.cast(pl.Float32))
    if "split" in interactions.columns:
        columns.append(_split(interactions))
    if "history" in interactions.columns:
        columns.append(_history(interactions, items))
    frame = pl.DataFrame(columns)
    if len(frame) == 0:
        raise CCFError("interactions: there are no rows; give at least one interaction")
    _known_items(frame["item_id"], items, "interactions")
    return _without_duplicates(frame)


def require(frame: pl.DataFrame, what: str, columns: list[str]) -> None:
    """Raise `CCFError` naming the first of `columns` that `frame` lacks, and those that it has."""
    for name in columns:
        if name not in frame.columns:
            raise CCFError(f"{what}: no column `{name}`; it has {', '.join(frame.columns)}; rename or add the column")


def _ids(frame: pl.DataFrame, what: str, name: str) -> pl.Series:
    ids = _text(_no_nulls(frame[name], what), what, remedy="ids must be texts or whole numbers")
    if (ids == "").any():
        raise CCFError(f"{what}: row {_first(ids == '')} has an empty {name}; give it an id or remove the row")
    return ids


def _text(values: pl.Series, what: str, remedy: str = "make it text") -> pl.Series:
    """Texts, whole numbers and lists of texts as text. Whole floats lose their `.0`: a gap in a column makes them."""
    if values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        values = whole if (whole == values).fill_null(values.is_null()).all() else values
        if remedy != "make it text" and values.dtype.is_float():
            raise CCFError(f"{what}: column `{values.name}` holds numbers with a fraction; {remedy}")
    if isinstance(values.dtype, pl.List):
        values = values.cast(pl.List(pl.String)).list.join(", ")
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise CCFError(f"{what}: column `{values.name}` has the type {values.dtype}; {remedy}")
    return values.cast(pl.String).fill_null("")


def _unique(ids: pl.Series, what: str, name: str) -> None:
    twice = ids.is_duplicated()
    if twice.any():
        raise CCFError(f"{what}: {name} {ids[_first(twice)]!r} occurs more than once; keep one row per id")


def _known_items(ids: pl.Series, items: pl.DataFrame, what: str) -> None:
    unknown = ids.filter(~ids.is_in(items["item_id"].implode()))
    if len(unknown):
        raise CCFError(
            f"{what}: item {unknown[0]!r} is not among the items ({unknown.n_unique()} such items in {len(unknown)} "
            "places); add them to the items or remove the rows"
        )


def _rating(frame: pl.DataFrame, allowed: tuple[float, float] | None) -> pl.Series:
    ratings = _numbers(frame["rating"], pl.Float64)
    if not (finite := ratings.is_finite()).all():
        raise CCFError(f"interactions: the rating in row {_first(~finite)} is not finite; correct or remove it")
    if allowed is not None and not (inside := ratings.is_between(*allowed)).all():
        row = _first(~inside)
        raise CCFError(
            f"interactions: the rating {ratings[row]} in row {row} is outside {allowed[0]} to {allowed[1]}; correct it"
        )
    return ratings


def _label(frame: pl.DataFrame) -> pl.Series:
    labels = _numbers(frame["label"], pl.Float64)
    wrong = ~((labels == 0) | (labels == 1))
    if wrong.any():
        row = _first(wrong)
        raise CCFError(f"interactions: the label {labels[row]:g} in row {row} is neither 0 nor 1; correct it")
    return labels.cast(pl.Int8)


def _timestamp(frame: pl.DataFrame) -> pl.Series:
    """Whole seconds since 1970. Dates and times are turned into them, fractions of a second cut off."""
    values = frame["timestamp"]
    if values.dtype.is_temporal() and values.dtype in (pl.Date, pl.Datetime):
        values = values.dt.epoch("s")
    numbers = _numbers(values, pl.Int64 if values.dtype.is_integer() or values.dtype == pl.String else pl.Float64)
    seconds = numbers.cast(pl.Int64, strict=False)
    wrong = (seconds.is_null()) | (seconds != numbers) | (seconds < 0)
    if wrong.any():
        row = _first(wrong)
        raise CCFError(
            f"interactions: the timestamp {numbers[row]} in row {row} is not a whole, positive number of seconds since "
            "1970; convert it"
        )
    if (large := seconds > LARGEST_TIME).any():
        row = _first(large)
        raise CCFError(
            f"interactions: the timestamp {seconds[row]} in row {row} is not in seconds; if these are milliseconds, "
            "divide by 1000"
        )
    return seconds


def _split(frame: pl.DataFrame) -> pl.Series:
    parts = _text(frame["split"].cast(pl.String), "interactions").replace("", None)
    wrong = ~parts.is_in(PARTS).fill_null(True)
    if wrong.any():
        row = _first(wrong)
        raise CCFError(f"interactions: the split {parts[row]!r} in row {row} is none of {', '.join(PARTS)} or null")
    return parts


def _history(frame: pl.DataFrame, items: pl.DataFrame) -> pl.Series:
    what = "interactions, column `history`"
    histories = _no_nulls(frame["history"], "interactions")
    if not isinstance(histories.dtype, pl.List):
        raise CCFError("interactions: the column `history` does not hold lists of item ids; make it so or leave it out")
    histories = histories.cast(pl.List(pl.String))
    if (holed := histories.list.eval(pl.element().is_null()).list.any()).any():
        raise CCFError(f"{what}: the list in row {_first(holed)} lacks an item id; fill it in or remove it")
    _known_items(histories.explode().drop_nulls().rename("item_id"), items, what)
    return histories


def _numbers(values: pl.Series, dtype: type[pl.Float64] | type[pl.Int64]) -> pl.Series:
    """Cast to numbers; nulls and texts that are no numbers are named."""
    values = _no_nulls(values, "interactions")
    if values.dtype == pl.String:
        # Integers are often written by other tools as 881250949.0, which a cast to integers refuses.
        values = values.str.strip_chars().str.strip_suffix(".0") if dtype is pl.Int64 else values.str.strip_chars()
    elif not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise CCFError(f"interactions: column `{values.name}` has the type {values.dtype}; make it numbers")
    numbers = values.cast(dtype, strict=False)
    if (wrong := numbers.is_null()).any():
        row = _first(wrong)
        raise CCFError(f"interactions: {values.name} {values[row]!r} in row {row} is not a number; correct it")
    return numbers


def _no_nulls(values: pl.Series, what: str) -> pl.Series:
    if values.null_count():
        row = _first(values.is_null())
        raise CCFError(f"{what}: no {values.name} in row {row} ({values.null_count()} missing); fill in or remove them")
    return values


def _without_duplicates(frame: pl.DataFrame) -> Checked:
    """Fully identical rows are dropped; rows that share user, item and second but differ otherwise are an error."""
    distinct = frame.unique(maintain_order=True) if len(frame) != _events(frame) else frame
    if len(distinct) != _events(distinct):
        twice = distinct.filter(pl.struct("user_id", "item_id", "timestamp").is_duplicated()).row(0, named=True)
        raise CCFError(
            f"interactions: user {twice['user_id']!r}, item {twice['item_id']!r}, timestamp {twice['timestamp']} "
            "occurs more than once with different values; keep one of them"
        )
    return Checked(distinct, len(frame) - len(distinct))


def _events(frame: pl.DataFrame) -> int:
    return int(frame.select(pl.struct("user_id", "item_id", "timestamp").n_unique()).item())


def _first(mask: pl.Series) -> int:
    return int(mask.fill_null(False).arg_true()[0])
