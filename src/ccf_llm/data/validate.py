"""Frames as they come from outside -> frames that the rest of the package can rely on.

Every fault is a `CCFError` of one line that names the frame, the column, the first row or id, and the remedy.
Rows are counted from 0.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl

from ccf_llm.data.frame import as_frame
from ccf_llm.data.ids import id_column
from ccf_llm.data.manifest import PARTS
from ccf_llm.data.ratings import choose_threshold, not_rated, note_one_class
from ccf_llm.data.reading import Reading
from ccf_llm.data.slices import slices
from ccf_llm.data.texts import is_visible, plain_texts
from ccf_llm.data.times import NO_TIMES, look_at_times, seconds
from ccf_llm.data.vocabulary import places_of
from ccf_llm.errors import CCFError

SPACES = r"^[\s\x{200b}\x{feff}]+|[\s\x{200b}\x{feff}]+$"
LIKE_RATINGS = r"(?i)^(?:.*[-_ ])?(?:ratings?|stars?|scores?|labels?|likes?|liked|overall|grades?)$"


class Checked(NamedTuple):
    """Clean tables, how many fully identical rows were dropped, and from which rating on an item is liked."""

    frame: pl.DataFrame
    items: pl.DataFrame
    dropped: int
    like_threshold: float | None
    """None where no rating decided."""


class Labels(NamedTuple):
    """(N,) 1 liked, 0 not, null not rated; and where they come from."""

    values: pl.Series
    source: str
    """label, rating, or empty: every row counts as a like."""
    like_threshold: float | None = None


def check_tables(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    *,
    like_threshold: float | None = None,
    rating_range: tuple[float, float] | None = None,
    drop_unknown: bool = False,
    reading: Reading,
) -> Checked:
    """Both tables, checked against each other.

    Interactions get user_id, item_id (categorical), label (i8), timestamp (i64), and rating (f32), split (str), history
    (list[str]) if given; other columns are left behind. Items get what `check_items` gives. Without timestamps all are
    0; without ratings and labels every row is a like. Such things are noted in `reading`.
    """
    items, interactions = _items(items), as_frame(interactions, "interactions")
    require(interactions, "interactions", ["user_id", "item_id"])
    if len(interactions) == 0:
        raise CCFError("interactions: there are no rows; give at least one interaction")
    reading.rows = len(interactions)
    ids = [_repeated_ids(interactions, "interactions", name) for name in ("user_id", "item_id")]
    rating = _rating(interactions, rating_range) if "rating" in interactions.columns else None
    labels = _labels(interactions, rating, like_threshold, reading)
    columns = [*ids, labels.values, _timestamp(interactions, reading)]
    if rating is not None:
        columns.append(rating.cast(pl.Float32))
    if "split" in interactions.columns:
        columns.append(_split(interactions))
    if "history" in interactions.columns:
        columns.append(_history(interactions))
    frame = pl.DataFrame(columns).filter(pl.col("label").is_not_null())
    reading.leave_out("interactions rated 0, which means not rated", reading.rows - len(frame))
    frame, items = _fitting(frame, items, drop_unknown, reading)
    frame, dropped = _without_duplicates(frame, reading.timed)
    note_one_class(frame["label"], labels.source, reading)
    return Checked(frame, items, dropped, labels.like_threshold)


def check_items(items: pl.DataFrame) -> pl.DataFrame:
    """item_id (str, unique), title (str, not empty), then every further column as text, missing text empty."""
    items = _items(items)
    if fault := _untitled(items):
        raise CCFError(f"items: {fault}; give it a title")
    return items


def check_users(users: pl.DataFrame) -> pl.DataFrame:
    """user_id (str, unique), then every further column as text, missing text empty."""
    return _described(as_frame(users, "users"), "users", "user_id")


def require(frame: pl.DataFrame, what: str, columns: Iterable[str], remedy: str = "rename or add the column") -> None:
    """Raise `CCFError` naming the first of `columns` that `frame` lacks, those that it has, and the remedy."""
    for name in columns:
        if name not in frame.columns:
            raise CCFError(f"{what}: no column `{name}`; it has {', '.join(frame.columns)}; {remedy}")


def _items(items: pl.DataFrame) -> pl.DataFrame:
    items = as_frame(items, "items")
    require(items, "items", ["item_id", "title"])
    return _described(items, "items", "item_id").select("item_id", "title", pl.exclude("item_id", "title"))


def _described(frame: pl.DataFrame, what: str, name: str) -> pl.DataFrame:
    """One row per id, with texts that describe it."""
    require(frame, what, [name])
    ids = _ids(frame, what, name)
    if (twice := ids.is_duplicated()).any():
        one = ids[_first(twice)]
        spelled = frame[name].cast(pl.String).filter(ids == one).unique(maintain_order=True).to_list()
        shown = f", written {' and '.join(map(repr, spelled))}" if len(spelled) > 1 else ""
        raise CCFError(f"{what}: {name} {one!r} occurs more than once{shown}; keep one row per id")
    return frame.select(ids, *(plain_texts(_text(frame[other], what)) for other in frame.columns if other != name))


def _ids(frame: pl.DataFrame, what: str, name: str) -> pl.Series:
    """Ids as text, without spaces around them. Whole numbers that a tool wrote as 10.0 are 10, in text too."""
    ids = id_column(frame[name], what).str.replace_all(SPACES, "")
    if ids.str.ends_with(".0").any() and ids.str.contains(r"^-?\d+(?:\.0)?$").all():
        ids = ids.str.strip_suffix(".0")
    if (ids == "").any():
        raise CCFError(f"{what}: row {_first(ids == '')} has an empty {name}; give it an id or remove the row")
    return ids


def _repeated_ids(frame: pl.DataFrame, what: str, name: str) -> pl.Series:
    """What `_ids` gives, of a column that names the same ones over and over: categorical, each looked at once."""
    values = frame[name]
    if values.dtype.is_integer():
        values = values.cast(pl.String)
    if values.dtype not in (pl.String, pl.Categorical) or values.null_count():
        return _ids(frame, what, name).cast(pl.Categorical)
    values = values.cast(pl.Categorical)
    places, distinct = places_of(values)
    if (distinct.str.replace_all(SPACES, "") == "").any():
        return _ids(frame, what, name).cast(pl.Categorical)  # which says where
    ids = _ids(distinct.to_frame(), what, name)
    return values if ids.equals(distinct) else ids.cast(pl.Categorical).gather(places)


def _text(values: pl.Series, what: str) -> pl.Series:
    """Texts, whole numbers and lists of texts as text. Whole floats lose their `.0`: a gap in a column makes them."""
    if values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        values = whole if (whole == values).fill_null(values.is_null()).all() else values
    if isinstance(values.dtype, pl.List):
        values = values.cast(pl.List(pl.String)).list.join(", ")
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise CCFError(f"{what}: column `{values.name}` has the type {values.dtype}; make it text")
    return values.cast(pl.String).fill_null("")


def _untitled(items: pl.DataFrame) -> str:
    """What is wrong with the titles, or nothing."""
    untitled = items.filter(~is_visible(items["title"]))["item_id"]
    return f"item {untitled[0]!r} has an empty title ({len(untitled)} in all)" if len(untitled) else ""


def _unknown(ids: pl.Series, items: pl.DataFrame) -> str:
    """Which of `ids` are not among the items, or nothing."""
    known = items["item_id"].implode()
    if ids.unique().cast(pl.String).is_in(known).all():
        return ""
    unknown = ids.cast(pl.String).filter(~ids.cast(pl.String).is_in(known))
    like = [one for one in items["item_id"] if _bare(one) == _bare(unknown[0])]
    hint = f", but {like[0]!r} is" if like else ""
    return (
        f"item {unknown[0]!r} is not among the items{hint} ({unknown.n_unique()} such items in {len(unknown)} places)"
    )


def _bare(one: str) -> str:
    """What different spellings of an id share."""
    return one.casefold().removesuffix(".0").lstrip("0")


def _fitting(
    frame: pl.DataFrame, items: pl.DataFrame, drop_unknown: bool, reading: Reading
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Interactions of known items, and items with titles: what is not is dropped if asked, else named all at once."""
    histories = frame["history"].explode().drop_nulls() if "history" in frame.columns else None
    if not drop_unknown:
        faults = {"items": _untitled(items), "interactions": _unknown(frame["item_id"], items)}
        if histories is not None:
            faults["interactions, column `history`"] = _unknown(histories, items)
        found = "; ".join(f"{where}: {fault}" for where, fault in faults.items() if fault)
        if found:
            raise CCFError(f"{found}; correct the tables, or leave such rows out with --drop-unknown")
        return frame, items
    titled = items.filter(is_visible(items["title"]))
    known = titled["item_id"].implode()
    kept = frame.filter(pl.col("item_id").cast(pl.String).is_in(known))
    reading.leave_out("items without a title", len(items) - len(titled))
    reading.leave_out("interactions of unknown items", len(frame) - len(kept))
    if len(kept) == 0:
        raise CCFError("interactions: none is of a known item; check that both tables name the items alike")
    if histories is not None:
        ids = titled["item_id"]
        kept = kept.with_columns(pl.col("history").list.filter(pl.element().is_in(ids.to_list())))
    return kept, titled


def _labels(
    interactions: pl.DataFrame, rating: pl.Series | None, like_threshold: float | None, reading: Reading
) -> Labels:
    if "label" in interactions.columns:
        if rating is not None:
            reading.note("interactions: `label` decides what is a like; `rating` is kept as information")
        if like_threshold is not None:
            reading.note("interactions: `label` decides what is a like; --like-threshold has no say")
        return Labels(_label(interactions), "label")
    if rating is not None:
        rated = ~not_rated(rating)
        threshold = choose_threshold(rating.filter(rated)) if like_threshold is None else like_threshold
        likes = (rating >= threshold).cast(pl.Int8).to_frame("label").select(pl.when(rated).then("label"))
        return Labels(likes["label"], "rating", threshold)
    if like := [name for name in interactions.columns if pl.Series([name]).str.contains(LIKE_RATINGS)[0]]:
        raise CCFError(
            f"interactions: no column `rating` or `label`; if `{like[0]}` is one, give --rating-column {like[0]} (or "
            "--label-column), else remove it"
        )
    reading.note("interactions: neither a `label` nor a `rating` column, so every row counts as a like")
    return Labels(pl.Series("label", [1] * len(interactions), dtype=pl.Int8), "")


def _rating(frame: pl.DataFrame, allowed: tuple[float, float] | None) -> pl.Series:
    ratings = _numbers(frame["rating"])
    if not (finite := ratings.is_finite()).all():
        raise CCFError(f"interactions: the rating in row {_first(~finite)} is not finite; correct or remove it")
    if allowed is not None and not (inside := ratings.is_between(*allowed)).all():
        row = _first(~inside)
        raise CCFError(
            f"interactions: the rating {ratings[row]} in row {row} is outside {allowed[0]} to {allowed[1]}; correct it"
        )
    return ratings


def _label(frame: pl.DataFrame) -> pl.Series:
    values = frame["label"]
    if values.dtype in (pl.String, pl.Categorical):
        values = values.cast(pl.String).str.to_lowercase().replace({"true": "1", "false": "0"})
    labels = _numbers(values)
    wrong = ~((labels == 0) | (labels == 1))
    if wrong.any():
        row = _first(wrong)
        raise CCFError(f"interactions: the label {labels[row]:g} in row {row} is neither 0 nor 1; correct it")
    return labels.cast(pl.Int8)


def _timestamp(frame: pl.DataFrame, reading: Reading) -> pl.Series:
    if "timestamp" not in frame.columns or frame["timestamp"].null_count() == len(frame):
        reading.timed = False
        reading.note(f"interactions: no column `timestamp` with times in it: {NO_TIMES}")
        return pl.Series("timestamp", [0] * len(frame), dtype=pl.Int64)
    values = _no_nulls(frame["timestamp"], "interactions")
    if values.dtype == pl.Categorical:
        values = values.cast(pl.String)
    return look_at_times(seconds(values, reading), reading)


def _split(frame: pl.DataFrame) -> pl.Series:
    parts = _text(frame["split"].cast(pl.String), "interactions").replace("", None)
    wrong = ~parts.is_in(PARTS).fill_null(True)
    if wrong.any():
        row = _first(wrong)
        raise CCFError(f"interactions: the split {parts[row]!r} in row {row} is none of {', '.join(PARTS)} or null")
    return parts


def _history(frame: pl.DataFrame) -> pl.Series:
    what = "interactions, column `history`"
    histories = _no_nulls(frame["history"], "interactions")
    if not isinstance(histories.dtype, pl.List):
        raise CCFError("interactions: the column `history` does not hold lists of item ids; make it so or leave it out")
    histories = histories.cast(pl.List(pl.String))
    if (holed := histories.list.eval(pl.element().is_null()).list.any()).any():
        raise CCFError(f"{what}: the list in row {_first(holed)} lacks an item id; fill it in or remove it")
    return histories


def _numbers(values: pl.Series) -> pl.Series:
    """Cast to numbers; nulls and texts that are no numbers are named."""
    values = _no_nulls(values, "interactions")
    if values.dtype == pl.Categorical:
        places, distinct = places_of(values)
        if not (numbers := _number(distinct)).null_count():
            return numbers.gather(places)
        values = values.cast(pl.String)  # the row is told
    if values.dtype == pl.String:
        numbers = _number(values)
    elif values.dtype.is_numeric() or values.dtype == pl.Boolean:
        numbers = values.cast(pl.Float64, strict=False)
    else:
        raise CCFError(f"interactions: column `{values.name}` has the type {values.dtype}; make it numbers")
    if (wrong := numbers.is_null()).any():
        row = _first(wrong)
        raise CCFError(f"interactions: {values.name} {values[row]!r} in row {row} is not a number; correct it")
    return numbers


def _number(texts: pl.Series) -> pl.Series:
    """Null where a text is none; 4,5 is one in much of Europe."""
    return texts.str.strip_chars().str.replace(r"^([-+]?\d+),(\d{1,2})$", "$1.$2").cast(pl.Float64, strict=False)


def _no_nulls(values: pl.Series, what: str) -> pl.Series:
    if values.null_count():
        row = _first(values.is_null())
        raise CCFError(f"{what}: no {values.name} in row {row} ({values.null_count()} missing); fill in or remove them")
    return values


def _without_duplicates(frame: pl.DataFrame, timed: bool) -> tuple[pl.DataFrame, int]:
    """Fully identical rows are dropped; rows that share user, item and second but differ otherwise are an error."""
    events = ("user_id", "item_id", "timestamp")
    hashes = np.concatenate([rows.select(pl.struct(events).hash()).to_series() for _, rows in slices(frame)])
    ordered = np.sort(hashes)
    alike = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(alike):
        return frame, 0
    alike_rows = frame.with_row_index("row").filter(np.isin(hashes, alike))  # and some whose hashes happen to be equal
    distinct = alike_rows.unique(frame.columns, keep="first", maintain_order=True)
    if (twice := distinct.filter(pl.struct(events).is_duplicated())).height:
        one = twice.row(0, named=True)
        when = f", timestamp {one['timestamp']}" if timed else ""
        raise CCFError(
            f"interactions: user {one['user_id']!r}, item {one['item_id']!r}{when} "
            "occurs more than once with different values; keep one of them"
        )
    kept = np.ones(len(frame), dtype=bool)
    kept[alike_rows["row"].to_numpy()] = False
    kept[distinct["row"].to_numpy()] = True
    return frame.filter(kept), len(alike_rows) - len(distinct)


def _first(mask: pl.Series) -> int:
    return int(mask.fill_null(False).arg_true()[0])
