"""When interactions happened: what tables hold -> whole seconds since 1970 (UTC)."""

import numpy as np
import polars as pl

from ccf_llm.data.reading import Reading
from ccf_llm.data.slices import slices
from ccf_llm.errors import CCFError

LARGEST_TIME = 100_000_000_000  # seconds: the year 5138. Milliseconds have passed it since 1973.
LEAST_TIME = 31_536_000  # the end of 1970: numbers below are years, days, positions rather than seconds
ISO = (
    r"^(?P<date>\d{4}-\d{1,2}-\d{1,2})"
    r"(?:[T ]+(?P<time>\d{1,2}:\d{2}(?::\d{2})?)(?:[.,]\d+)?)?"
    r" ?(?P<zone>Z|z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?$"
)
NO_TIMES = "`data split` draws the rows of each user, and no history looks beyond train"


def seconds(values: pl.Series, reading: Reading) -> pl.Series:
    """Numbers of seconds, dates and ISO times as whole seconds; fractions are cut off, no zone means UTC.

    `values` (N,) without nulls. Raises `CCFError` naming the first row that is no such time, or in another unit.
    """
    if values.dtype in (pl.Date, pl.Datetime):
        found = values.dt.epoch("s")
    elif values.dtype == pl.String:
        found = _of_texts(values.str.strip_chars(), reading)
    elif values.dtype.is_numeric():
        found = _whole(values.cast(pl.Float64))
    else:
        raise CCFError(f"interactions: column `timestamp` has the type {values.dtype}; make it seconds or ISO times")
    _check(values, found)
    return found.alias("timestamp")


def look_at_times(times: pl.Series, reading: Reading) -> pl.Series:
    """The times (N,), or zeros where all are equal, which says nothing; what looks odd is noted."""
    n, values = len(times), times.to_numpy()
    if n < 2:
        return times
    first, last = int(values.min()), int(values.max())
    if first == last:
        reading.timed = False
        reading.note(f"interactions: all timestamps are {first}, which is as good as no times: {NO_TIMES}")
        return times * 0
    if first in (0, 1) and n > 2 and (values == np.arange(first, first + n)).all():
        reading.note(
            f"interactions: the timestamps {first} to {last} are the numbers of the rows; unless they are in the order "
            'of time, import without times: --timestamp-column ""'
        )
    elif last < LEAST_TIME:
        reading.note(
            f"interactions: the timestamps {first} to {last} all lie in 1970, so they are hardly seconds since then; "
            "their order is used as it is"
        )
    return times


def _of_texts(texts: pl.Series, reading: Reading) -> pl.Series:
    numbers = texts.cast(pl.Float64, strict=False)
    if (rounded := texts.str.contains(r"(?i)^\d.*e\+?\d+$") & numbers.is_not_null()).any():
        example = texts.filter(rounded)[0]
        reading.note(
            f"interactions: timestamps such as {example} were rounded by a spreadsheet; export them as whole numbers"
        )
    if numbers.null_count() == 0:
        days = texts.str.to_date("%Y%m%d", strict=False)  # 20240301: as seconds, all would be of a few weeks of 1970
        written = texts.str.contains(r"^(?:19[7-9]|20)\d{6}$") & days.is_not_null()
        return days.dt.epoch("s") if written.all() else _whole(numbers)
    return pl.concat([_of_iso(some, numbers.slice(begin, len(some))) for begin, some in slices(texts)])


def _of_iso(texts: pl.Series, numbers: pl.Series) -> pl.Series:
    """Dates and times; where a text is a number, that."""
    parts = texts.str.replace_all("/", "-", literal=True).str.extract_groups(ISO).struct.unnest()
    day = parts["date"].str.to_date("%Y-%m-%d", strict=False).dt.epoch("s")
    clock = parts["time"].fill_null("0:00").str.split(":").list.eval(pl.element().cast(pl.Int64))
    hours, minutes, rest = (clock.list.get(i, null_on_oob=True).fill_null(0) for i in range(3))
    zone = parts["zone"].str.replace(":", "", literal=True)
    offset = zone.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0) * 3600
    offset += zone.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0) * 60
    ahead = pl.select(pl.when(zone.str.starts_with("-")).then(-offset).otherwise(offset)).to_series()
    moment = day + hours * 3600 + minutes * 60 + rest - ahead
    clear = (hours < 24) & (minutes < 60) & (rest <= 60)
    return pl.select(pl.when(clear).then(pl.coalesce(_whole(numbers), moment))).to_series()


def _whole(numbers: pl.Series) -> pl.Series:
    return numbers.floor().cast(pl.Int64, strict=False)


def _check(values: pl.Series, found: pl.Series) -> None:
    if (wrong := found.is_null()).any():
        row = int(wrong.arg_true()[0])
        raise CCFError(
            f"interactions: the timestamp {values[row]!r} in row {row} is neither a number of seconds since 1970 nor a "
            "time such as 2024-03-01T18:30:00Z; convert it"
        )
    if (wrong := found < 0).any():
        row = int(wrong.arg_true()[0])
        raise CCFError(f"interactions: the timestamp {values[row]} in row {row} is before 1970; correct it")
    if (wrong := found > LARGEST_TIME).any():
        row = int(wrong.arg_true()[0])
        raise CCFError(
            f"interactions: the timestamp {values[row]} in row {row} is not in seconds; if these are milliseconds, "
            "divide by 1000 (microseconds: by 1000000)"
        )
