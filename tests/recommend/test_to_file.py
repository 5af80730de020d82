from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.io.files import only_one
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.recommend import to_file
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.recommend.to_file import recommend_all

pytestmark = pytest.mark.usefixtures("by_the_model")


@pytest.fixture(scope="module")
def recommender(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> Recommender:
    early = Dataset.from_frames(
        tiny_data.interactions.sort("timestamp").drop("split").head(250), tiny_data.items, name="early"
    )
    model = CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items)
    return Recommender(model, early, retrieve=12)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_file, "PART", 8)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of the model scores."""
    rows_of: list[int] = []
    plain = CCFLLM.score_rows

    def counted(model: CCFLLM, rows: Rows, *rest: Any) -> Any:
        rows_of.append(len(rows))
        return plain(model, rows, *rest)

    monkeypatch.setattr(CCFLLM, "score_rows", counted)
    return rows_of


def test_all_users_are_in_the_file_as_one_by_one(recommender: Recommender, tmp_path: Path, calls: list[int]) -> None:
    done: list[tuple[int, int]] = []
    recommend_all(recommender, tmp_path / "all.parquet", k=4, progress=lambda *users: done.append(users))
    found = pl.read_parquet(tmp_path / "all.parquet")
    users = recommender.dataset.user_vocabulary.ids.to_list()
    assert done == [(8, 30), (16, 30), (24, 30), (30, 30)]
    assert len(calls) == 4  # several users in a call
    alone = pl.concat([recommender.recommend([user], 4) for user in users])
    assert found.drop("score", "probability").equals(alone.drop("score", "probability"))
    np.testing.assert_allclose(found["score"], alone["score"], atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


def test_a_call_that_was_stopped_goes_on(recommender: Recommender, tmp_path: Path, calls: list[int]) -> None:
    def stop(done: int, total: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"k": 3, "filter_seen": False}
    with pytest.raises(KeyboardInterrupt):
        recommend_all(recommender, tmp_path / "all.parquet", progress=stop, **options)
    assert not (tmp_path / "all.parquet").exists()
    assert len(calls) == 2
    recommend_all(recommender, tmp_path / "all.parquet", **options)
    assert len(calls) == 4  # only what was missing
    recommend_all(recommender, tmp_path / "whole.parquet", **options)
    assert pl.read_parquet(tmp_path / "all.parquet").equals(pl.read_parquet(tmp_path / "whole.parquet"))


@pytest.mark.parametrize("change", ["options", "users", "model", "data", "retrieve"])
def test_parts_of_another_call_are_never_mixed_in(
    recommender: Recommender,
    make_network: Callable[..., CCFNetwork],
    tiny_data: Dataset,
    tmp_path: Path,
    calls: list[int],
    change: str,
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    users = [f"u{i}" for i in range(1, 17)]
    output = tmp_path / "all.parquet"
    with pytest.raises(KeyboardInterrupt):
        recommend_all(recommender, output, users, k=3, progress=stop)
    calls.clear()
    k = 4 if change == "options" else 3
    if change == "users":
        users = users[::-1]
    if change == "model":
        network = tiny.stir(make_network(), seed=9)
        other = CCFLLM(network, tiny_data.user_vocabulary, tiny_data.items)
        recommender = Recommender(other, recommender.dataset, retrieve=12)
    if change == "data":
        recommender = Recommender(recommender.model, tiny_data, retrieve=12)
    if change == "retrieve":
        recommender = Recommender(recommender.model, recommender.dataset, retrieve=5)
    recommend_all(recommender, output, users, k=k)
    assert len(calls) == 2
    expected = recommender.recommend(users, k)
    assert pl.read_parquet(output)["item_id"].to_list() == expected["item_id"].to_list()


def test_some_users_each_once_and_none(recommender: Recommender, tmp_path: Path) -> None:
    recommend_all(recommender, tmp_path / "some.parquet", ["u3", "u1", "u3"], k=2)
    assert pl.read_parquet(tmp_path / "some.parquet")["user_id"].to_list() == ["u3", "u3", "u1", "u1"]
    recommend_all(recommender, tmp_path / "none.parquet", [])
    nobody = pl.read_parquet(tmp_path / "none.parquet")
    assert nobody.schema == recommender.recommend([]).schema
    assert len(nobody) == 0


@pytest.mark.parametrize(
    ("users", "options", "message"),
    [
        (["u1", "nobody"], {}, "user 'nobody': not in data set early"),
        (["u1"], {"k": 0}, "k is 0"),
        (["u1"], {"diversity": 2.0}, "diversity is 2.0; choose from 0"),
        (["u1"], {"candidates": ["i99"]}, "candidates: no item 'i99'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    recommender: Recommender, tmp_path: Path, users: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CCFError, match=message):
        recommend_all(recommender, tmp_path / "all.parquet", users, **options)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_write_the_same_parts(recommender: Recommender, tmp_path: Path) -> None:
    recommend_all(recommender, tmp_path / "before.parquet", ["u1"])
    with (
        only_one(tmp_path / "all.parquet.parts", "writing recommendations"),
        pytest.raises(CCFError, match=r"all.parquet.parts: another process is writing recommendations there"),
    ):
        recommend_all(recommender, tmp_path / "all.parquet", ["u1"])
    recommend_all(recommender, tmp_path / "all.parquet", ["u1"])
    assert pl.read_parquet(tmp_path / "all.parquet").equals(pl.read_parquet(tmp_path / "before.parquet"))


def test_a_folder_of_something_else_is_left_alone(recommender: Recommender, tmp_path: Path) -> None:
    (tmp_path / "all.parquet.parts").mkdir()
    (tmp_path / "all.parquet.parts" / "thesis.txt").write_text("years of work")
    with pytest.raises(CCFError, match=r"all.parquet.parts: is in the way and holds no parts"):
        recommend_all(recommender, tmp_path / "all.parquet", ["u1"])
    assert (tmp_path / "all.parquet.parts" / "thesis.txt").exists()
