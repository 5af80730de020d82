"""Ids as people have them, and tables as they have them."""

from collections import UserList
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from ccf_llm.data.frame import as_frame
from ccf_llm.data.ids import as_id, as_ids, did_you_mean, id_column
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError


@pytest.mark.parametrize(
    "ids",
    [
        ["880", "1"],
        [880, 1],
        (880.0, "1"),
        np.array([880, 1], dtype=np.int32),
        np.array([880.0, 1.0], dtype=np.float32),
        np.array(["880", "1"]),
        pl.Series([880.0, 1.0]),
        pl.Series(["880", "1"], dtype=pl.Categorical),
        (np.int64(i) for i in (880, 1)),
        {880: None, 1: None}.keys(),
        UserList([880, 1]),
    ],
)
def test_ids_of_any_kind_are_texts(ids: Any) -> None:
    assert as_ids(ids, "users") == ["880", "1"]


@pytest.mark.parametrize("one", ["88", 88, 88.0, np.int64(88), np.array(88)])
def test_one_id_is_a_list_of_one(one: Any) -> None:
    assert as_ids(one, "users") == ["88"]


@pytest.mark.parametrize("id_", ["880.0", " 880 ", "007", ""])
def test_a_text_stays_as_it_is(id_: str) -> None:
    assert as_id(id_, "user") == id_


@pytest.mark.parametrize(
    ("ids", "given"),
    [
        (["1", None], "None at position 1"),
        ([True], "True at position 0"),
        (np.array([1, np.nan]), "nan at position 1"),
        ([880.5], "880.5 at position 0"),
        ([2.0**60], "1.152921504606847e+18 at position 0"),
        ([["1"]], "list object at position 0"),
        (pl.DataFrame({"user_id": ["1"]}), "Series object at position 0"),
        (None, "None"),
        (False, "False"),
        (b"1", "bytes object"),
        ({"1": 1}, "dict object"),
    ],
)
def test_what_is_no_id_is_named_with_its_position(ids: Any, given: str) -> None:
    with pytest.raises(CCFError) as fault:
        as_ids(ids, "users")
    assert str(fault.value) == f"users: {given} is no id; give texts or whole numbers"


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["880", "1"], pl.String),
        (["880", "1"], pl.Categorical),
        (["880", "1"], pl.Enum(["1", "880"])),
        ([880, 1], pl.UInt16),
        ([880.0, 1.0], pl.Float64),
        ([880.0, 1.0], pl.Float32),
        ([Decimal("880.00"), Decimal(1)], pl.Decimal(10, 2)),
    ],
)
def test_a_column_of_ids_is_text(values: list[Any], dtype: Any) -> None:
    ids = id_column(pl.Series("user_id", values, dtype=dtype), "pairs")
    assert ids.equals(pl.Series("user_id", ["880", "1"]), check_dtypes=True, check_names=True)
    assert len(id_column(pl.Series("user_id", []), "pairs")) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, None], "no user_id in row 1 (1 missing); fill in or remove them"),
        ([880.0, float("nan"), None], "no user_id in row 1 (2 missing); fill in or remove them"),
        ([880.0, 880.5], "user_id 880.5 in row 1 is no id; give texts or whole numbers"),
        ([float("inf")], "user_id inf in row 0 is no id; give texts or whole numbers"),
        ([1.0, 2.0**60], "user_id 1.152921504606847e+18 in row 1 is no id; give texts or whole numbers"),
        (["a", ""], "row 1 has an empty user_id; give it an id or remove the row"),
        ([True], "column `user_id` has the type Boolean; ids must be texts or whole numbers"),
        ([[1]], "column `user_id` has the type List(Int64); ids must be texts or whole numbers"),
    ],
)
def test_a_row_without_an_id_is_named_with_its_column(values: list[Any], message: str) -> None:
    with pytest.raises(CCFError) as fault:
        id_column(pl.Series("user_id", values), "pairs")
    assert str(fault.value).startswith("pairs: ")
    assert str(fault.value).removeprefix("pairs: ") == message


@pytest.mark.parametrize(
    ("unknown", "remedy"),
    [
        ("10.0", "did you mean '10'?"),
        (" 10.00 ", "did you mean '10'?"),
        ("ana ", "did you mean 'ana'?"),
        ("7", "did you mean '7.0'?"),
        ("11", "look it up"),
        ("", "look it up"),
    ],
)
def test_a_known_spelling_is_hinted_at(unknown: str, remedy: str) -> None:
    assert did_you_mean(unknown, Vocabulary.of(["10", "ana", "7.0"]).code, "look it up") == remedy


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_frames_of_other_libraries_are_read(make: Callable[[dict[str, list[int]]], Any]) -> None:
    columns = {"user_id": [1, 2], "item_id": [3, 4]}
    assert as_frame(make(columns), "pairs").equals(pl.DataFrame(columns))


class Foreign:
    """A frame that does not keep its promise."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise TypeError("could not convert 'x'\nsecond line")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": [1]}, "pairs: dict is no table; give a data frame of polars or pandas"),
        ([("1", "2")], "pairs: list is no table; give a data frame of polars or pandas"),
        (None, "pairs: NoneType is no table; give a data frame of polars or pandas"),
        (pl.LazyFrame(), "pairs: is a LazyFrame; collect() it first"),
        (Foreign(), "pairs: cannot be read as a table (could not convert 'x'); give a polars frame"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(table: Any, message: str) -> None:
    with pytest.raises(CCFError) as fault:
        as_frame(table, "pairs")
    assert str(fault.value) == message
