"""Tables as people have them, through the command: what is read, what is refused, what is said."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_cli_data import run

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe

ITEMS = "item_id,title,genres\n" + "".join(f"{i},T{i},Crime|Drama\n" for i in range(8))


class Tables:
    """A folder with tables; `run` imports them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def run(self, clicks: str, *options: str, items: str = ITEMS) -> tuple[int, str, dict[str, Any]]:
        """The exit code, what was said on standard error from the first note or error on, and the summary."""
        (self.folder / "clicks.csv").write_text(clicks)
        (self.folder / "items.csv").write_text(items)
        tables = (self.folder / "clicks.csv", "--items", self.folder / "items.csv", "-o", self.folder / "out")
        code = run(self.monkeypatch, "data", "import", *tables, "--json", *options)
        printed = self.capsys.readouterr()
        return (
            code,
            re.sub(r"\A.*?^(?=note|error)", "", printed.err, flags=re.DOTALL | re.MULTILINE),
            json.loads(printed.out or "{}"),
        )


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tables:
    return Tables(tmp_path, monkeypatch, capsys)


def rated(ratings: list[float], header: str = "user_id,item_id,rating,timestamp") -> str:
    lines = [f"u{i % 3},{i % 8},{rating},{10**9 + 2 * i}" for i, rating in enumerate(ratings)]
    return "\n".join([header, *lines])


def test_a_scale_up_to_ten_is_asked_about_and_the_answer_obeyed(tables: Tables) -> None:
    clicks = rated([1, 5, 6, 7, 8, 9, 10, 0])
    code, said, _ = tables.run(clicks)
    assert code == 2
    assert said.startswith("error: interactions: which ratings are likes? They go from 1 to 10 (1: 1, 5: 1, ")
    assert said.count("\n") == 1
    assert not (tables.folder / "out").exists()
    code, said, summary = tables.run(clicks, "--like-threshold", "7")
    assert (code, said) == (0, "note: left out: interactions rated 0, which means not rated (1)\n")
    assert (summary["likes"], summary["like_threshold"], summary["share_of_likes"]) == (4, 7.0, 0.5714)
    assert summary["left_out"] == {"interactions rated 0, which means not rated": 1}
    assert (summary["rows_read"], summary["ratings"]["10"]) == (8, 1)
    assert summary["first"] == "2001-09-09T01:46:40+00:00"


def test_what_was_named_decides_and_the_other_is_said_to_be_ignored(tables: Tables) -> None:
    clicks = "user_id,item_id,stars,label,timestamp\nu,1,5,0,1700000000\nv,2,1,1,1700000009\n"
    code, said, _ = tables.run(clicks, "--rating-column", "stars")
    assert code == 0
    assert said.count("the column `label` is ignored") == said.count("\n") == 1
    assert Dataset.load(tables.folder / "out").interactions["label"].to_list() == [1, 0]


def test_no_times_are_said_and_the_split_is_drawn(tables: Tables) -> None:
    lines = [f"u{i},{item},{(i + item) % 2}" for i in range(20) for item in range(8)]
    code, said, summary = tables.run("\n".join(["user_id,item_id,label", *lines]))
    assert code == 0
    assert "note: interactions: no column `timestamp` with times in it" in said
    assert summary["first"] is None
    assert run(tables.monkeypatch, "data", "split", tables.folder / "out", "-o", tables.folder / "split") == 0
    printed = tables.capsys.readouterr()
    assert "note: split: without times the rows were drawn per user" in printed.err
    assert "interactions: no column" not in printed.err
    assert "drawn per user" in printed.out
    assert run(tables.monkeypatch, "data", "describe", tables.folder / "split") == 0
    assert "\nnotes\n  interactions: no column `timestamp`" in tables.capsys.readouterr().out


def test_clicks_and_row_numbers_are_said(tables: Tables) -> None:
    code, said, summary = tables.run("user_id,item_id,timestamp\nu,1,0\nu,2,1\nv,3,2\n")
    assert code == 0
    assert said.count("note: ") == len(summary["notes"]) == 3
    assert "every row counts as a like" in said
    assert "0 to 2 are the numbers of the rows" in said
    assert "the rating task needs both likes and dislikes" in said


def test_unknown_items_are_counted_or_dropped(tables: Tables) -> None:
    clicks = rated([5, 1, 4, 2], "user_id,item_id,rating,timestamp").replace("u0,0", "u0,zz")
    items = ITEMS + "8,,Crime\n"
    code, said, _ = tables.run(clicks, items=items)
    assert code == 2
    assert "item '8' has an empty title (1 in all); interactions: item 'zz' is not among" in said
    code, said, summary = tables.run(clicks, "--drop-unknown", items=items)
    assert code == 0
    assert said == "note: left out: items without a title (1)\nnote: left out: interactions of unknown items (1)\n"
    assert summary["left_out"] == {"items without a title": 1, "interactions of unknown items": 1}
    assert (summary["interactions"], summary["items"]) == (3, 8)


def test_encoding_and_separator(tables: Tables) -> None:
    gbk = tables.folder / "titles.csv"
    gbk.write_bytes("item_id^title\n1^红楼梦\n2^A &amp; B\n".encode("gbk"))
    (tables.folder / "clicks.csv").write_text(
        "user_id^item_id^label^timestamp\nu^1.0^1^2024-03-01\nu^2.0^0^2024-03-02\n"
    )
    options = ("--items", gbk, "--encoding", "gbk", "--separator", "^", "-o", tables.folder / "out")
    assert run(tables.monkeypatch, "data", "import", tables.folder / "clicks.csv", *options) == 0
    dataset = Dataset.load(tables.folder / "out")
    assert dataset.items["title"].to_list() == ["红楼梦", "A & B"]
    assert dataset.interactions["item_id"].to_list() == ["1", "2"]
    assert describe(dataset)["first"] == "2024-03-01T00:00:00+00:00"


def test_lists_of_genres_are_words(tables: Tables) -> None:
    tables.run(rated([5, 1]))
    assert Dataset.load(tables.folder / "out").items["genres"][0] == "Crime, Drama"
