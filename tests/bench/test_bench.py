"""The benchmarks measure what they say, on a tiny model; their figures on the real one stand in benchmarks/."""

from pathlib import Path

import pytest

import tiny
from ccf_llm.bench.plots import plot_growth
from ccf_llm.bench.rerank import bench_rerank, smaller
from ccf_llm.bench.scoring import bench_growth, bench_scoring
from ccf_llm.bench.setting import Setting
from ccf_llm.bench.training import bench_training
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.text.sentences import SentenceEncoder


@pytest.fixture
def setting(tiny_llm: Path, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr("ccf_llm.bench.machine.SHAPES", ((64, 64, 64),))
    monkeypatch.setattr("ccf_llm.bench.scoring.SECONDS", 0.01)
    monkeypatch.setattr("ccf_llm.bench.rerank.SECONDS", 0.01)
    monkeypatch.setattr("ccf_llm.bench.rerank.CALLS", 3)
    tiny_data.save(tmp_path / "data")
    return Setting.open(tmp_path / "data", str(tiny_llm), "cpu")


def test_scoring(setting: Setting) -> None:
    lines: list[str] = []
    found = bench_scoring(setting, candidates=9, users=2, say=lines.append)
    assert len(lines) == len(found["techniques"]) == 8
    assert found["max_abs_diff_fp32"] <= 1e-5
    assert found["spearman_bf16"] > 0.9
    assert found["short_suffix_tokens"] < found["suffix_tokens"] < found["prefix_tokens"]
    assert found["speedup"] == pytest.approx(found["fast_per_s"] / found["naive_per_s"], abs=0.01)
    assert 0 < found["mfu"] < 1
    assert found["peak_rss_mb"] > 100
    assert (found["candidates"], found["users"]) == (9, 2)


def test_reranking(setting: Setting, tmp_path: Path) -> None:
    lines: list[str] = []
    encoder = SentenceEncoder(tiny.write_sentence_encoder(tmp_path / "encoder"))
    found = bench_rerank(setting, layers=1, plain_per_s=10.0, encoder=encoder, say=lines.append)
    ways = {way["way"]: way for way in found}
    assert len(lines) == len(ways) == 14
    for name in (
        "2 layers, history in words, target in words",
        "1 layers, history as one token, target as one token",
        "1 layers, history as one token, target as the token that answers",
    ):
        assert 0 < ways[name]["known_p50_ms"] <= ways[name]["known_p95_ms"]
    assert ways["sentence encoder, titles read anew"]["dtype"] == "float32"
    assert "known_p50_ms" not in ways["sentence encoder, vectors kept"]
    for way in ways.values():
        assert way["ratio_100"] == pytest.approx(way["per_s_100"] / 10, abs=0.02)
        assert 0 < way["least_ms"] <= way["p50_ms"] <= way["p95_ms"]


def test_the_smaller_model(setting: Setting) -> None:
    assert (smaller(setting, None), smaller(setting, 2)) == (1, 2)
    with pytest.raises(CCFError, match=r"llm\.layers: 3, but .* has 2 layers"):
        smaller(setting, 3)


def test_training(setting: Setting) -> None:
    found = bench_training(setting, rows=40, say=lambda line: None)
    assert found["max_rel_grad_diff"] <= 1e-5
    assert found["targets_per_pack"] > 1
    assert found["tokens_per_target"] < found["tokens_per_prompt"]
    assert found["speedup"] == pytest.approx(found["packed_samples_per_s"] / found["naive_samples_per_s"], abs=0.01)


def test_growth_and_its_plot(setting: Setting, tmp_path: Path) -> None:
    growth = bench_growth(setting, most=10, say=lambda line: None)
    assert [point["candidates"] for point in growth["by_candidates"]] == [1, 10]
    assert [point["items"] for point in growth["by_catalogue"]] == [1000, 10_000, 100_000]
    assert all(point["seconds"] > 0 for points in growth.values() for point in points)
    plot_growth(growth, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_more_users_than_there_are(setting: Setting) -> None:
    with pytest.raises(CCFError, match=r"--users 999: tiny has \d+ known users in its test part"):
        bench_scoring(setting, users=999)
