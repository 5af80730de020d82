"""Logs of any size have a shop's shape, and what is measured on them is measured."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from ccf_llm.bench.generated import Log
from ccf_llm.bench.plots import plot_scale
from ccf_llm.bench.scale import PARTS, _growth, _measure, bench_scale
from ccf_llm.cli import app
from ccf_llm.errors import CCFError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    Log(6000, users=100).write(folder / "log", "csv")
    return folder


def test_a_log_has_the_shape_of_a_shops(tmp_path: Path) -> None:
    log = Log(20_000, seed=3)
    log.write(tmp_path / "log")
    rows, items = (pl.read_parquet(tmp_path / f"log/{name}.parquet") for name in ("interactions", "items"))
    assert 0.99 * log.rows < len(rows) <= log.rows
    assert (log.n_users, len(items), items["item_id"].n_unique()) == (400, 1414, 1414)
    assert rows["timestamp"].is_sorted()
    assert rows["item_id"].is_in(items["item_id"].implode()).all()
    assert not rows.select(pl.struct("user_id", "item_id", "timestamp").is_duplicated()).to_series().any()
    assert rows["rating"].unique().sort().to_list() == [1, 2, 3, 4, 5]
    for name in ("item_id", "user_id"):
        counts = np.sort(rows[name].value_counts()["count"].to_numpy())[::-1]
        assert 0.25 < counts[: len(counts) // 10].sum() / counts.sum() < 0.8  # a tenth has far more than its share
    early, late = rows.head(2000), rows.tail(2000)
    assert early["item_id"].n_unique() < late["item_id"].n_unique()


def test_a_seed_gives_the_same_log_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("parquet", "csv", "jsonl"):
        Log(500).write(tmp_path / form, form)
    expected = pl.read_parquet(tmp_path / "parquet/interactions.parquet")
    for found in (
        pl.read_csv(tmp_path / "csv/interactions.csv"),
        pl.read_ndjson(tmp_path / "jsonl/interactions.jsonl"),
    ):
        assert_frame_equal(found, expected, check_dtypes=False)
    Log(500, seed=1).write(tmp_path / "other")
    assert not pl.read_parquet(tmp_path / "other/interactions.parquet").equals(expected)


def test_what_cannot_be_generated(tmp_path: Path) -> None:
    with pytest.raises(CCFError, match="rows 5, users -1, items 0: give 1 or more"):
        Log(5, users=-1).write(tmp_path / "log")
    assert not (tmp_path / "log").exists()
    run = CliRunner().invoke(app, ["bench", "generate", "--rows", "200", "-o", str(tmp_path / "log"), "--form", "csv"])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "log/interactions.csv").read_text().count("\n") > 190
    with pytest.raises(CCFError, match="log: exists"):
        CliRunner().invoke(app, ["bench", "generate", "-o", str(tmp_path / "log")], catch_exceptions=False)


def test_every_part_reads_what_those_before_it_wrote(folder: Path) -> None:
    for part in PARTS:
        found = _measure(part, folder)
        assert found["seconds"] >= 0
        assert found["peak_mb"] > found["own_mb"] > 10
    assert (folder / "split/splits/manifest.json").is_file()


def test_a_part_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    lines: list[str] = []
    found = bench_scale([2000], parts=["import"], scratch=tmp_path, say=lines.append)
    (point,) = found["parts"]["import"]["points"]
    assert (point["rows"], found["parts"]["import"]["exponent"], len(lines)) == (2000, None, 1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CCFError, match="--part nothing: is none of import, load, split, histories, als, sasrec"):
        bench_scale([2000], parts=["nothing"])


def test_growth_is_fitted_and_plotted(tmp_path: Path) -> None:
    points = [
        {"rows": n, "seconds": 1, "cpu_seconds": 2e-6 * n**1.05, "peak_mb": n / 2**13, "own_mb": 9}
        for n in (1e6, 2e6, 4e6)
    ]
    growth = _growth(points)
    assert growth == {"exponent": pytest.approx(1.05, abs=1e-3), "bytes_per_row": 128.0, "own_bytes_per_row": 0.0}
    plot_scale({"import": growth | {"points": points}}, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
