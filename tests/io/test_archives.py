"""What a zip may not do."""

import gzip
import struct
import zipfile
from pathlib import Path

import polars as pl
import pytest

import tiny
from ccf_llm.data.importers import import_path
from ccf_llm.errors import CCFError
from ccf_llm.io import archives, parquet
from ccf_llm.io.archives import read_gzip, read_member
from ccf_llm.io.parquet import read_parquet

RATINGS, ITEMS = "7\t1\t5\t100\n", "1|Toy Story (1995)|01-Jan-1995||http://x|" + "|".join("0" * 19) + "\n"


def test_members_that_point_outside_write_nothing(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "t.zip").write_bytes(tiny.zipped({"../../u.data": RATINGS, "/etc/ccf-llm/u.item": ITEMS}))
    link = zipfile.ZipInfo("ml/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(inside / "t.zip", "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert import_path(inside / "t.zip").items["title"].to_list() == ["Toy Story (1995)"]
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "t.zip"]
    assert not Path("/etc/ccf-llm").exists()


def test_a_bomb_is_refused_by_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.zip"
    path.write_bytes(tiny.zipped({"u.data": RATINGS * 20_000, "u.item": ITEMS}))
    assert len(read_member(path, "u.data")) == 20_000 * len(RATINGS)
    monkeypatch.setattr(archives, "SMALL", 1000)
    with pytest.raises(CCFError, match=r"t\.zip: u\.data would unpack to 200,000 bytes; if it is to be trusted"):
        import_path(path)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"0" * 200_000))
    with pytest.raises(CCFError, match=r"t\.csv\.gz would unpack to more than 2\d,\d{3} bytes; if it is to be trusted"):
        read_gzip(tmp_path / "t.csv.gz")
    monkeypatch.undo()
    assert read_gzip(tmp_path / "t.csv.gz") == b"0" * 200_000
    monkeypatch.setattr(archives, "free_memory", lambda: 1000)
    with pytest.raises(CCFError, match="would unpack to 200,000 bytes"):
        read_member(path, "u.data")


def test_a_zip_that_lies_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    content = tiny.zipped({"u.data": RATINGS * 20_000})
    size = struct.pack("<I", 200_000)
    path.write_bytes(content.replace(size, struct.pack("<I", 10)))
    with pytest.raises(CCFError, match=r"t\.zip: a damaged zip"):
        read_member(path, "u.data")


@pytest.mark.parametrize("place", [35, 41, -57, -74])
def test_a_damaged_zip_is_one_line(place: int, tmp_path: Path) -> None:
    """Found by fuzzing: what is packed, or its list of contents, is not what it was."""
    content = bytearray(tiny.zipped({"u.data": RATINGS * 9, "u.item": ITEMS}))
    content[place] ^= 0xFF
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(CCFError, match=r"t\.zip: [^\n]+$"):
        import_path(tmp_path / "t.zip")


def test_a_parquet_file_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.parquet"
    pl.DataFrame({"user_id": pl.repeat("u", 500_000, eager=True)}).write_parquet(path)
    assert path.stat().st_size < 5000
    assert len(read_parquet(path)) == 500_000
    monkeypatch.setattr(parquet, "free_memory", lambda: 1_000_000)
    with pytest.raises(CCFError, match=r"bomb\.parquet: 500,000 rows of 1 columns do not fit into memory; give fewer"):
        read_parquet(path)
