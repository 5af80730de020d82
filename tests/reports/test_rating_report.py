import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccf_llm.errors import CCFError
from ccf_llm.evaluation import evaluate
from ccf_llm.io.files import write_text
from ccf_llm.reports.plots import overview, write_png
from ccf_llm.reports.rating_report import render_rating_report, verdict
from html_reader import Reader
from tiny import random_rows

RIVALS = ("mf", "llm_text")
HOSTILE = "<script>alert(1)</script> & $x^2$ \u05d4 \u6620"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    n = 300
    rows = random_rows(rng, n, users=15, histories=[0, 3, 51])
    names = {"ccf_llm": 2.0, "mf": 1.0, "llm_text": 0.0, HOSTILE: 0.5}
    scores = {name: strength * rows.labels + rng.normal(size=n) for name, strength in names.items()}
    counts = {"user_counts": np.arange(16), "item_counts": np.full(11, 5)}
    metrics = evaluate(rows, scores, **counts, baseline="mf", draws=50).to_json()
    valid = [{"step": 10, "auc": 0.6, "uauc": 0.5}, {"step": 20, "auc": None, "uauc": None}]
    return metrics | {
        "training": [
            {"run": HOSTILE, "stage": "lora", "steps": list(range(60)), "loss": [0.7] * 60, "valid": valid},
            {"run": "ccf_llm", "stage": "fusion", "steps": [], "loss": [], "valid": []},
        ],
        "gate": [{"popularity": "0", "share": 0.1, "items": 3}, {"popularity": ">9", "share": 0.8, "items": 7}],
        "recommendations": [
            {
                "for": HOSTILE,
                "history": [HOSTILE, "Heat (1995)"],
                "items": [{"rank": 1, "title": HOSTILE, "score": 1.25, "probability": 0.78}],
            },
            {"for": "next", "history": [], "items": [{"rank": 1, "title": "", "score": 2.5, "probability": None}]},
        ],
        "rivals": RIVALS,
        "about": {"base model": HOSTILE, "seed": 0},
        "notes": [HOSTILE],
    }


def test_page_is_self_contained_and_text_is_data(report: dict[str, Any]) -> None:
    page = render_rating_report(report)
    reader = Reader(page)
    reader.check_self_contained()
    assert "url(http" not in page
    assert "@import" not in page
    assert reader.text.count(HOSTILE) >= 8


def test_page_is_accessible(report: dict[str, Any]) -> None:
    page = render_rating_report(report)
    tags = Reader(page).tags
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")
    figures = [attributes for tag, attributes in tags if tag == "figure"]
    assert len(figures) == 4
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)
    assert ("html", {"lang": "en"}) in tags
    assert "prefers-color-scheme: dark" in page
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)
        assert "currentColor" in svg


def test_groups_of_people_stand_beside_all_others(report: dict[str, Any]) -> None:
    found = copy.deepcopy(report)
    group = {"users": 21, "auc": 0.6, "auc_ci": [0.5, 0.7], "rest": -0.1, "rest_ci": [-0.2, 0.0], "popular": 0.25}
    found["models"]["ccf_llm"]["people"] = {"job": {HOSTILE: group}}
    found["rows"]["least_people"] = 20
    reader = Reader(render_rating_report(found))
    assert f"job: {HOSTILE}" in reader.text
    cells = "".join(reader.text.partition(f"job: {HOSTILE}")[2].split())
    assert cells.startswith("210.6000.500to0.700\N{MINUS SIGN}0.100\N{MINUS SIGN}0.200to+0.00025%")
    assert "By group of users" not in render_rating_report(report)


def test_verdict_says_plainly_who_is_ahead(report: dict[str, Any]) -> None:
    models = copy.deepcopy(report["models"])
    assert re.search(r"is ahead of mf: \+0\.\d{3} AUC .*, and ahead of llm_text", verdict(models, RIVALS))
    models["ccf_llm"]["diff"]["mf"] |= {"auc": -0.01, "auc_ci": [-0.02, -0.001]}
    models["ccf_llm"]["diff"]["llm_text"] |= {"auc": 0.01, "auc_ci": [-0.02, 0.03]}
    sentence = verdict(models, RIVALS)
    assert (
        "is behind mf: \N{MINUS SIGN}0.010 AUC (paired 95 % interval \N{MINUS SIGN}0.020 to \N{MINUS SIGN}0.001)"
        in sentence
    )
    assert "not clearly different from llm_text: +0.010" in sentence
    models["ccf_llm"]["diff"]["mf"]["auc_ci"] = [None, None]
    assert "not comparable with mf" in verdict(models, RIVALS)
    assert "no verdict" in verdict({"mf": models["mf"]}, RIVALS)
    assert "no rival was compared" in verdict({"ccf_llm": models["ccf_llm"]}, RIVALS)


def test_best_figure_is_bold_and_lower_loss_is_better(report: dict[str, Any]) -> None:
    page = render_rating_report(report)
    best_loss = min(model["log_loss"] for model in report["models"].values())
    assert f"<strong>{best_loss:.3f}</strong>" in page
    assert f"<strong>{report['models']['ccf_llm']['auc']:.3f}</strong>" in page


def test_only_metrics_and_undefined_figures_still_make_a_page(report: dict[str, Any]) -> None:
    blank = json.loads(re.sub(r"-?\d+\.\d+", "null", json.dumps({"models": report["models"]})))
    page = render_rating_report({"models": blank["models"], "rows": report["rows"]})
    assert "Recommendations" not in page
    assert "\N{EN DASH}" in page
    with pytest.raises(CCFError, match="evaluate at least one method"):
        render_rating_report({"models": {}, "rows": {}})


def test_same_report_same_page(report: dict[str, Any], tmp_path: Path) -> None:
    write_text(tmp_path / "report.html", render_rating_report(report))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_rating_report(report)


def test_overview_png(report: dict[str, Any], tmp_path: Path) -> None:
    write_png(lambda: overview(report), tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["overview.png"]
