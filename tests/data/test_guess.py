from pathlib import Path

import pytest

from ccf_llm.data.importers import Columns, Tables, guess_columns


def guess(folder: Path, interactions: str, items: str, named: Columns | None = None) -> Columns:
    """The guess for tables with these columns."""
    (folder / "a.csv").write_text(f"{interactions}\n")
    (folder / "i.csv").write_text(f"{items}\n")
    return guess_columns(Tables.read(folder / "a.csv", folder / "i.csv"), named or Columns())


@pytest.mark.parametrize(
    ("interactions", "items", "found"),
    [
        ("user_id,item_id,rating,timestamp", "item_id,title", Columns()),
        ("User-ID;ISBN;stars", "ISBN;Book-Title;by", Columns("User-ID", "ISBN", rating="stars", title="Book-Title")),
        ("customer,sku,when", "sku,product_name", Columns("customer", "sku", "when", title="product_name")),
        ("uid,pid,liked,Date", "pid,Name,title", Columns("uid", "pid", "Date", label="liked")),
        ("who,book,stars,score", "book,shelf", Columns(item="book")),
        ("userId,item,a,b", "item,a,b", Columns("userId")),
        ("user_id,item_id,date,created", "item_id,name,last_name", Columns()),
    ],
)
def test_what_looks_like_it_is_taken_where_there_is_one(
    tmp_path: Path, interactions: str, items: str, found: Columns
) -> None:
    assert guess(tmp_path, interactions, items) == found


def test_what_is_named_stays(tmp_path: Path) -> None:
    named = Columns(user="who", timestamp="", rating="stars")
    assert guess(tmp_path, "who,user,item,stars,score,date", "item,title", named) == Columns(
        "who", "item", "", rating="stars"
    )
