"""Ranked lists through the command."""

import json
from pathlib import Path

import polars as pl
import pytest
from test_cli_data import run

from ccf_llm.data.dataset import Dataset

LISTS = Path(__file__).parents[1] / "evaluation" / "recorded" / "lists.parquet"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rows = [("u", "a", 1, 1, "train"), ("v", "b", 1, 2, "train"), ("u", "c", 1, 3, "test"), ("v", "a", 1, 4, "test")]
    columns = ["user_id", "item_id", "label", "timestamp", "split"]
    items = pl.DataFrame({"item_id": list("abcd"), "title": list("ABCD"), "genres": ["Crime, War", "War", "War", ""]})
    Dataset.from_frames(pl.DataFrame(rows, columns, orient="row"), items).save(tmp_path / "data")
    return tmp_path / "data"


def test_prints_every_method_and_writes_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lists = pl.read_parquet(LISTS).with_columns(pl.col("method").replace("weak", "[bold]weak"))
    lists.write_parquet(tmp_path / "lists.parquet")
    assert run(monkeypatch, "evaluate", "--lists", tmp_path / "lists.parquet", "--json", tmp_path / "out.json") == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["models"].keys() == {"good", "[bold]weak"}
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    (best, second), figures = lines[:2], result["models"]["[bold]weak"]
    ahead = figures["diff"]["good"]
    assert best[::4] == ["good", "-"]
    low, high = ahead["ndcg@10_ci"]
    assert second[0] == "[bold]weak"
    assert second[2] == f"{figures['ndcg@10']:.4f}"
    assert second[4] == f"{ahead['ndcg@10']:+.4f} ({low:+.4f} to {high:+.4f})"
    assert "shared by two users" in printed
    assert "coverage" not in printed


def test_a_data_set_opens_further_figures(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    rows = [("m", "u", "c", 1, 2.0, True, 1), ("m", "u", "b", 2, 1.0, False, 1), ("m", "v", "c", 1, 0.0, False, 1)]
    columns = ["method", "user_id", "item_id", "rank", "score", "relevant", "targets"]
    path = tmp_path / "lists.parquet"
    pl.DataFrame(rows, columns, orient="row").write_parquet(path)
    assert run(monkeypatch, "evaluate", "--lists", path, "--data", dataset, "--json", tmp_path / "out.json") == 0
    assert "coverage" in capsys.readouterr().out
    model = json.loads((tmp_path / "out.json").read_text())["models"]["m"]
    assert (model["ndcg@2"], model["coverage@2"], model["overlap@2"], model["diversity@2"]) == (0.5, 0.5, 1, 0)
    assert model["slices"]["history 1-5"]["users"] == 2
    assert run(monkeypatch, "evaluate", "--lists", path, "--data", dataset, "--part", "valid") == 2
    assert "targets in the lists and 0 in the data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lists", "none.parquet"], "error: none.parquet: no such file\n"),
        (
            ["--method", "mf", "--lists", "x.parquet"],
            "error: give the folder of a run, or --method and --data, or --lists\n",
        ),
        ([], "error: give the folder of a run, or --method and --data, or --lists\n"),
        (["--lists", "x.parquet", "--part", "train"], "error: --part train: choose valid or test\n"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "evaluate", *arguments) == 2
    assert capsys.readouterr().err == message


def test_groups_of_users_are_told_of_in_both_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    users = [f"u{n:02}" for n in range(50)]
    met = [("a", 1, 1, "train"), ("b", 0, 1, "train"), ("c", 1, 2, "test"), ("d", 0, 2, "test")]
    rows = [
        (user, item, label ^ (n % 2 == 0 and time == 2), time, part)
        for n, user in enumerate(users)
        for item, label, time, part in met
    ]
    interactions = pl.DataFrame(rows, ["user_id", "item_id", "label", "timestamp", "split"], orient="row")
    people = pl.DataFrame({"user_id": users, "gender": ["M", "F"] * 25, "city": ["Rome", "Bonn"] * 25})
    items = pl.DataFrame({"item_id": list("abcd"), "title": list("ABCD")})
    Dataset.from_frames(interactions, items, users=people).save(tmp_path / "data")
    lists = pl.DataFrame({"method": "m", "user_id": users, "item_id": "c", "rank": 1, "score": 1.0, "targets": 1})
    lists.with_columns(relevant=pl.Series([n % 2 == 1 for n in range(50)])).write_parquet(tmp_path / "lists.parquet")
    for method, figure in (
        (["--lists", tmp_path / "lists.parquet"], "ndcg@1"),
        (["--method", "item_user_mean"], "auc"),
    ):
        assert run(monkeypatch, "evaluate", *method, "--data", tmp_path / "data", "--json", tmp_path / "out.json") == 0
        assert "gender: female" in capsys.readouterr().out
        [model] = json.loads((tmp_path / "out.json").read_text())["models"].values()
        assert model["people"].keys() == {"gender"}  # no city
        female, male = (model["people"]["gender"][name] for name in ("female", "male"))
        assert female["rest"] == pytest.approx(female[figure] - male[figure])
    assert run(monkeypatch, "evaluate", "--lists", tmp_path / "lists.parquet", "--data", tmp_path / "data") == 0
    assert (
        "gender: female │    25 │ 1.0000 (1.0000 to 1.0000) │ +1.0000 (+1.0000 to +1.0000)" in capsys.readouterr().out
    )
