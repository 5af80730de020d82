from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True))
def test_encode_and_decode_are_inverse(ids: list[str]) -> None:
    vocabulary = Vocabulary.of(ids)
    assert len(vocabulary) == len(ids)
    assert vocabulary.encode(vocabulary.ids).tolist() == list(range(1, len(ids) + 1))
    assert vocabulary.decode(vocabulary.encode(ids)) == ids


@given(st.permutations(["10", "9", "007", "b", "B", "", "-3", "9.5", "123456789012345678901"]))
def test_codes_depend_on_the_ids_alone(ids: list[str]) -> None:
    vocabulary = Vocabulary.of(ids + ids[:3])
    assert vocabulary.ids.to_list() == ["", "9", "B", "b", "-3", "10", "007", "9.5", "123456789012345678901"]
    assert vocabulary.sha256 == Vocabulary.of(sorted(ids)).sha256


def test_another_order_or_other_ids_have_another_hash() -> None:
    hashes = [Vocabulary(pl.Series("id", ids)).sha256 for ids in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])]
    assert len(set(hashes)) == 4


def test_codes_are_translated_by_ids() -> None:
    ours, theirs = Vocabulary.of(["a", "b", "c"]), Vocabulary.of(["c", "x", "b"])
    assert ours.translated(theirs).tolist() == [0, 0, 1, 2]


def test_unknown_ids_become_code_0() -> None:
    codes = Vocabulary.of(["a", "b", "a"]).encode(pl.Series(["b", None, "x", "a"]))
    assert codes.tolist() == [2, 0, 0, 1]
    assert codes.dtype == np.int64


def test_categorical_ids_have_the_codes_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccf_llm.data.slices.SLICE", 2)
    ids = pl.Series(["b", None, "x", "a", "b"])
    vocabulary = Vocabulary.of(ids.head(2).append(ids.tail(2)))
    assert Vocabulary.of(ids.cast(pl.Categorical)) == Vocabulary.of(ids)
    assert vocabulary.encode(ids.cast(pl.Categorical)).tolist() == vocabulary.encode(ids).tolist() == [2, 0, 0, 1, 2]


@pytest.mark.parametrize("code", [0, 3, -1])
def test_decoding_a_code_without_an_id_is_an_error(code: int) -> None:
    with pytest.raises(CCFError, match="codes 1 to 2"):
        Vocabulary.of(["a", "b"]).decode([code])


def test_save_and_load(tmp_path: Path) -> None:
    vocabulary = Vocabulary(pl.Series("id", ["ä", "007", "🎬"]))
    vocabulary.save(tmp_path / "items.parquet")
    assert Vocabulary.load(tmp_path / "items.parquet") == vocabulary
    assert vocabulary != Vocabulary(pl.Series("id", ["007", "ä", "🎬"]))


def test_a_foreign_or_cut_file_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a", "a"]}).write_parquet(tmp_path / "twice.parquet")
    with pytest.raises(CCFError, match="not a vocabulary"):
        Vocabulary.load(tmp_path / "twice.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "twice.parquet").read_bytes()[:50])
    with pytest.raises(CCFError, match=r"cut\.parquet: not a readable Parquet file"):
        Vocabulary.load(tmp_path / "cut.parquet")
