import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ccf_llm.errors import CCFError
from ccf_llm.evaluation import evaluate_lists, top_lists
from ccf_llm.evaluation.known import Known
from ccf_llm.reports.plots import ndcg_by_likes, ndcg_by_row, write_png
from ccf_llm.reports.ranking_report import in_words, overview_table, render_ranking_report, verdict
from html_reader import Reader

HOSTILE = "<script>alert(1)</script> & $x^2$ \u05d4 \u6620"
USERS, ITEMS = [f"u{n}" for n in range(80)], [f"i{n}" for n in range(30)]


def make_lists(strengths: dict[str, float], rng: np.random.Generator, targets: Any, users: int) -> pl.DataFrame:
    """Lists of the first `users`, the better the stronger."""
    return pl.concat(
        top_lists(
            name,
            USERS[:users],
            ITEMS,
            strength * targets[:users] + rng.normal(size=(users, 30)),
            seen=np.zeros((users, 30), dtype=np.int8),
            targets=targets[:users],
            k=10,
        )
        for name, strength in strengths.items()
    )


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    targets = (rng.random((80, 30)) < 0.2).astype(np.int8)
    targets[:, 0] = 1
    every = make_lists({"ease": 1.0, "popularity": 0.2}, rng, targets, 80)
    lists = pl.concat([every, make_lists({"ccf_llm": 3.0, "llm_text": 1.0, HOSTILE: 0.0}, rng, targets, 40)])
    known = Known(
        popularity=pl.DataFrame({"item_id": ITEMS, "likes": np.arange(30)}),
        histories=pl.DataFrame({"user_id": USERS, "likes": np.arange(80) // 2}),
        targets=pl.DataFrame(
            [(USERS[u], ITEMS[i]) for u, i in np.argwhere(targets)], ["user_id", "item_id"], orient="row"
        ),
        people=pl.DataFrame({"user_id": USERS, "job": ["baker", HOSTILE] * 40}),
    )
    valid = [{"step": 0, "ndcg@10": 0.2}, {"step": 20, "ndcg@10": 0.25}]
    return evaluate_lists(lists, known, draws=50) | {
        "sample": evaluate_lists(lists.filter(pl.col("user_id").is_in(USERS[:40])), known, draws=50),
        "main": "ccf_llm",
        "retriever": "ease",
        "depth": 100,
        "weights": {"ccf_llm": [0.5, 8.0], "llm_text": [0.0, 1.0], HOSTILE: [1.0, 0.0]},
        "shares": {"ccf_llm": 0.25, "llm_text": 0.0, HOSTILE: 1.0},
        "training": [
            {"run": HOSTILE, "stage": "lists", "steps": list(range(60)), "loss": [0.7] * 60, "valid": valid},
        ],
        "gate": [{"popularity": "0", "share": 0.1, "items": 3}, {"popularity": ">9", "share": 0.8, "items": 7}],
        "recommendations": [
            {"for": HOSTILE, "history": [HOSTILE], "items": [{"rank": 1, "title": HOSTILE, "score": 1.25}]},
            {
                "for": "user 880",
                "history": [],
                "items": [{"rank": 1, "title": "Heat", "score": 2.5, "probability": None}],
            },
        ],
        "about": {"base model": HOSTILE},
        "notes": [HOSTILE],
    }


def test_page_is_self_contained_accessible_and_text_is_data(report: dict[str, Any]) -> None:
    page = render_ranking_report(report)
    reader = Reader(page)
    reader.check_self_contained()
    assert reader.text.count(HOSTILE) >= 8
    assert all("scope" in attributes for tag, attributes in reader.tags if tag == "th")
    figures = [attributes for tag, attributes in reader.tags if tag == "figure"]
    assert len(figures) == 4
    assert "how many people like the target" in str(figures[1]["aria-label"])
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)
    assert "ends at NDCG@10 0.250" in str(figures[2]["aria-label"])
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)
        assert "currentColor" in svg


def test_all_rows_of_the_table_are_of_the_same_people(report: dict[str, Any]) -> None:
    text = " ".join(Reader(render_ranking_report(report)).text.split())
    assert "All of the same 40 people." in text
    assert "40 people, drawn from 80" in text
    some, everybody = report["sample"]["models"]["ease"], report["models"]["ease"]
    assert f"ease {some['ndcg@10']:.3f}" in text
    assert f"Of all 80 people: ease {everybody['ndcg@10']:.3f}" in text
    whole = {key: value for key, value in report.items() if key != "sample"}
    assert "drawn from" not in render_ranking_report(whole | {"sample": None})


def test_a_newcomer_is_told_what_is_asked_and_what_the_language_model_decides(report: dict[str, Any]) -> None:
    text = " ".join(Reader(render_ranking_report(report)).text.split())
    assert "Rating: will somebody like this item?" in text
    assert "Ranking: of everything that they have not met, what will they choose next?" in text
    assert "25% of what sets two items apart (a = 0.5, b = 8)" in text
    assert "nothing here: the order is that of ease" in text
    assert "all of the order" in text
    assert in_words(None, None, "ease") == "\N{EN DASH}"
    assert in_words([0.5, 1.0], None, "ease").startswith("a part of")


def test_slices_have_as_many_people_as_they_say(report: dict[str, Any]) -> None:
    text = " ".join(Reader(render_ranking_report(report)).text.split())
    assert "By length of the history" in text
    people = report["sample"]["models"]["ease"]["slices"]["history 6-20"]["users"]
    assert f"history 6-20{people} people" in text
    assert "history >50" not in text  # nobody has such a history
    people = report["sample"]["models"]["ease"]["slices"]["target likes 3-5"]["users"]
    assert f"target likes 3-5{people} people" in text
    assert "target likes >100" not in text


def test_groups_of_people_stand_side_by_side(report: dict[str, Any]) -> None:
    text = " ".join(Reader(render_ranking_report(report)).text.split())
    group = report["sample"]["models"]["ccf_llm"]["people"]["job"]["baker"]
    low, high = group["ndcg@10_ci"]
    assert re.search(rf"job: ?baker ?20 ?{group['ndcg@10']:.3f} ?{low:.3f} to {high:.3f}", text)
    assert 'Groups of fewer than 20 users are together "other"' in text
    plain = copy.deepcopy(report)
    for model in plain["sample"]["models"].values():
        del model["people"]
    assert "By group of users" not in render_ranking_report(plain)


def test_each_row_is_drawn_by_how_well_the_target_was_known(report: dict[str, Any]) -> None:
    table = overview_table(report)
    figure = ndcg_by_likes(table)
    [axes] = figure.axes
    assert [label.get_text().split("\n")[0] for label in axes.get_xticklabels()] == ["0", "1-2", "3-5", "6-10", "11-30"]
    for line, drawn in zip(table["rows"], axes.containers, strict=True):
        slices = [part for name, part in line["slices"].items() if name.startswith("target likes") and part["users"]]
        assert drawn.get_label() == line["method"]
        np.testing.assert_allclose(drawn.lines[0].get_ydata(), [part["ndcg@10"] for part in slices])


def test_recommendations_stand_side_by_side_without_a_probability_that_nobody_gave(report: dict[str, Any]) -> None:
    page = render_ranking_report(report)
    assert page.count('<div class="card">') == 2
    assert "Probability" not in page
    judged = copy.deepcopy(report)
    judged["recommendations"][0]["items"][0]["probability"] = 0.5
    assert render_ranking_report(judged).count("Probability") == 1


def test_verdict_says_plainly_who_is_ahead() -> None:
    line: dict[str, Any] = {"name": "ccf_llm", "ndcg": 0.2, "gap": 0.02, "gap_ci": [0.01, 0.03], "a": 0.5}
    assert verdict([line], "ccf_llm", "ease") == (
        "ccf_llm has NDCG 0.200 and finds more than ease: +0.020 (paired 95 % interval +0.010 to +0.030)."
    )
    assert "finds less than ease" in verdict([line | {"gap_ci": [-0.03, -0.01]}], "ccf_llm", "ease")
    assert "neither clearly more nor clearly less" in verdict([line | {"gap_ci": [-0.01, 0.01]}], "ccf_llm", "ease")
    assert "not comparable with ease" in verdict([line | {"gap_ci": [None, None]}], "ccf_llm", "ease")
    assert "gives the language model no weight" in verdict([line | {"a": 0}], "ccf_llm", "ease")
    assert "no retriever was compared" in verdict([line | {"gap": None}], "ccf_llm", "ease")
    assert "no verdict" in verdict([line], "other", "ease")


def test_only_figures_and_undefined_ones_still_make_a_page(report: dict[str, Any]) -> None:
    needed = {key: report[key] for key in ("models", "lists", "main", "retriever", "depth")}
    blank = json.loads(re.sub(r"-?\d+\.\d+(e-?\d+)?", "null", json.dumps(needed)))
    page = render_ranking_report(blank)
    assert "Recommendations" not in page
    assert "\N{EN DASH}" in page
    with pytest.raises(CCFError, match="evaluate at least one method"):
        render_ranking_report(needed | {"models": {}})


def test_overview_png(report: dict[str, Any], tmp_path: Path) -> None:
    table = overview_table(report)
    assert table["rows"][0]["method"] == "ccf_llm"
    assert table["rows"][0]["vs_retriever"]["ndcg"][0] > 0
    write_png(lambda: ndcg_by_row(table), tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")
