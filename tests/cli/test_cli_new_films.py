"""A film that came after training reaches the ten of those whom it fits: the real language model, by the commands."""

import csv
import json
import sys
from pathlib import Path

import pytest

from ccf_llm.cli import main

SHIPPED = Path(__file__).parents[2] / "configs" / "ranking-ml-100k.yaml"
SHORT = [
    *("cf.compare=[]", "cf.folds=0", "ranking.trees=false", "ranking.cuts=2", "ranking.size=8"),
    *("llm.layers=6", "prompt.history.items=5"),
    *("stages.lists.rows=160", "stages.lists.batch_rows=80", "stages.lists.epochs=1"),
    *("stages.lists.evaluations=1", "stages.lists.valid_rows=1000"),
]
"""Two steps of training: where valid then gives the language model no weight, it is not asked."""
NEW = [
    ("item_id", "title", "year", "genres"),
    ("sequel", "Toy Story 2", "1999", "Animation, Children's, Comedy"),
    ("slasher", "Night of the Slasher", "1999", "Horror"),
]
FAMILY = ["Toy Story", "Aladdin", "Lion King"]
HORROR = ["Scream", "Nightmare on Elm Street", "Psycho", "Shining", "Carrie"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["ccf-llm", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code


@pytest.mark.llm
@pytest.mark.slow
def test_a_new_sequel_reaches_the_three_film_person_and_not_the_horror_fan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in (*SHORT, f"output={tmp_path}/run") for word in ("--set", setting)]
    call(monkeypatch, "train", SHIPPED, "--only", "ccf_llm", *settings)
    with (tmp_path / "new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(NEW)

    def ten(likes: list[str]) -> list[str]:
        capsys.readouterr()
        liked = [word for title in likes for word in ("--liked", title)]
        call(monkeypatch, "recommend", tmp_path / "run", *liked, "--new-items", tmp_path / "new.csv", "--json")
        return [item["item_id"] for item in json.loads(capsys.readouterr().out)["items"]]

    family, horror = ten(FAMILY), ten(HORROR)
    assert (len(family), len(horror)) == (10, 10)
    assert "sequel" in family
    assert "slasher" not in family
    assert "sequel" not in horror
