from datetime import UTC, date, datetime

import polars as pl
import pytest

from ccf_llm.data.reading import Reading
from ccf_llm.data.times import look_at_times, seconds
from ccf_llm.errors import CCFError

MARCH = 1_709_294_400  # 2024-03-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1709294400", MARCH),
        (" 1709294400.0 ", MARCH),
        ("1709294400.75", MARCH),
        ("1.7E+09", 1_700_000_000),
        ("2024-03-01T12:00:00Z", MARCH),
        ("2024-03-01 12:00:00", MARCH),
        ("2024-03-01T12:00", MARCH),
        ("2024-03-01T12:00:00.999999", MARCH),
        ("2024-03-01T14:00:00+02:00", MARCH),
        ("2024-03-01 06:30:00-0530", MARCH),
        ("2024-03-01 13:00:00 +01", MARCH),
        ("2024-03-01 12:00:00 UTC", MARCH),
        ("2024/3/1 12:00", MARCH),
        ("2024-03-01", MARCH - 43_200),
        ("20240301", MARCH - 43_200),
    ],
)
def test_times_as_texts(text: str, moment: int) -> None:
    assert seconds(pl.Series("timestamp", [text]), Reading()).to_list() == [moment]


def test_times_of_other_types_and_mixed_texts() -> None:
    aware = pl.Series("timestamp", [datetime(2024, 3, 1, 12, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo")
    assert seconds(aware, Reading()).to_list() == [MARCH]
    assert seconds(pl.Series("timestamp", [date(2024, 3, 1)]), Reading()).to_list() == [MARCH - 43_200]
    assert seconds(pl.Series("timestamp", [5.75, 6.0]), Reading()).to_list() == [5, 6]
    mixed = pl.Series("timestamp", ["7", "2024-03-01", "2024-03-01T12:00:00Z"])
    assert seconds(mixed, Reading()).to_list() == [7, MARCH - 43_200, MARCH]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "01/03/2024",
            "'01/03/2024' in row 1 is neither a number of seconds since 1970 nor a time such as 2024-03-01T18",
        ),
        ("2024-02-30", "'2024-02-30' in row 1 is neither"),
        ("2024-03-01T25:00", "row 1 is neither"),
        ("yesterday", "row 1 is neither"),
        ("inf", "row 1 is neither"),
        ("1969-07-20", "1969-07-20 in row 1 is before 1970"),
        ("1709294400000", "1709294400000 in row 1 is not in seconds; if these are milliseconds, divide by 1000"),
        ("1709294400000000", "microseconds: by 1000000"),
    ],
)
def test_what_is_no_time_in_seconds_is_named(text: str, message: str) -> None:
    with pytest.raises(CCFError, match=message):
        seconds(pl.Series("timestamp", ["2024-03-01", text]), Reading())


def test_rounded_times_and_row_numbers_are_noted() -> None:
    reading = Reading()
    seconds(pl.Series("timestamp", ["1.7E+09", "1700000001"]), reading)
    look_at_times(pl.Series("timestamp", range(1, 6)), reading)
    assert [note.split(" ")[1:4] for note in reading.notes] == [
        ["timestamps", "such", "as"],
        ["the", "timestamps", "1"],
    ]
    assert "1.7E+09 were rounded" in reading.notes[0]
    assert "1 to 5 are the numbers of the rows" in reading.notes[1]
    quiet = Reading()
    look_at_times(pl.Series("timestamp", [MARCH, MARCH + 2, MARCH + 1]), quiet)
    assert (quiet.notes, quiet.timed) == ([], True)
    look_at_times(pl.Series("timestamp", [2024, 2021]), quiet)
    assert "2021 to 2024 all lie in 1970, so they are hardly seconds" in quiet.notes[0]
