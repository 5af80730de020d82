import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.check import check_run
from ccf_llm.experiments.compare import compare_run
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.experiments.results import comparison_rows
from ccf_llm.experiments.train import train_run


def with_settings(config: RunConfig, **groups: Any) -> RunConfig:
    """The run with some settings of some groups replaced."""
    values = config.model_dump(mode="json")
    for group, settings in groups.items():
        values[group] = values[group] | settings if isinstance(settings, dict) else settings
    return check_config(values, "changed")


def one_class(data: Dataset, part: str) -> Dataset:
    """The data with nothing but likes in a part."""
    liked = pl.when(pl.col("split") == part).then(1).otherwise(pl.col("label"))
    return Dataset.from_frames(data.interactions.with_columns(label=liked), data.items, name="tiny")


def without(data: Dataset, part: str) -> Dataset:
    """The data with an empty part."""
    return Dataset.from_frames(data.interactions.filter(pl.col("split") != part), data.items, name="tiny")


def test_a_sound_run_passes_and_begins_nothing(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    check_run(tiny_run, tiny_data, comparison_rows(tiny_run), measured=["test"])
    assert list(tiny_run.output.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {"details": ["colour"]}}, r"^data\.details: items have no column 'colour'; they have genres$"),
        (
            {"data": {"user_details": ["age"]}},
            r"^data\.user_details: users have no column 'age'; the data set has no table of users; add one$",
        ),
        ({"data": {"categories": "colour"}}, r"^data\.categories: items have no column 'colour'; they have genres$"),
        ({"llm": {"device": "cuda:99"}}, r"^llm\.device: no device 'cuda:99' here"),
        ({"llm": {"device": "toaster"}}, r"^llm\.device: no device 'toaster' here"),
        ({"llm": {"model": "/nowhere/model.gguf"}}, r"^/nowhere/model\.gguf: no such file"),
        ({"llm": {"layers": 3}}, r"^llm\.layers: 3, but .* has 2 layers; give at most 2, or null$"),
        ({"prompt": {"history": {"tokens": 10**6}}}, r"^prompt\.history\.tokens: 1000000 of llm_text does not fit"),
        ({"prompt": {"template": {"shots": 500}}}, r"^template\.shots: 500 examples were asked for"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_fitted(
    tiny_run: RunConfig, tiny_data: Dataset, settings: dict[str, Any], message: str
) -> None:
    config, said = with_settings(tiny_run, **settings), list[str]()
    with pytest.raises(CCFError, match=message):
        train_run(config, dataset=tiny_data, say=said.append)
    with pytest.raises(CCFError, match=message):
        compare_run(config, seeds=[0], say=said.append)
    assert said == []
    assert list(config.output.iterdir()) == []
    check_run(config, tiny_data, ["item_user_mean", "mf"])  # rows that need no language model


@pytest.mark.parametrize("part", ["train", "valid", "test"])
@pytest.mark.parametrize(("change", "rows"), [(one_class, r"[1-9]\d*"), (without, "0")])
def test_a_part_without_both_classes_is_refused(
    tiny_run: RunConfig, tiny_data: Dataset, part: str, change: Any, rows: str
) -> None:
    message = rf"^data set 'tiny': {part}: {rows} rows without both liked and not liked ones"
    with pytest.raises(CCFError, match=message):
        check_run(tiny_run, change(tiny_data, part), [], measured=["test"])


def test_training_asks_nothing_of_test(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    check_run(tiny_run, one_class(tiny_data, "test"), comparison_rows(tiny_run))
    assert tiny_run.output.is_dir()


def test_data_without_a_split_is_refused(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    whole = Dataset.from_frames(tiny_data.interactions.drop("split"), tiny_data.items, name="tiny")
    with pytest.raises(CCFError, match="data set 'tiny' has no split"):
        check_run(tiny_run, whole, [])


def test_recent_likes_of_data_without_times_are_refused(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    once = tiny_data.interactions.unique(["user_id", "item_id"])
    untimed = Dataset.from_frames(once.drop("timestamp"), tiny_data.items, name="tiny")
    config = with_settings(tiny_run, cf={"l3ae": {"half_life": 12}})
    with pytest.raises(CCFError, match=r"^cf\.l3ae\.half_life: data set 'tiny' has no times, .*; leave it out$"):
        check_run(config, untimed, [])
    check_run(config, tiny_data, [])
    check_run(tiny_run, untimed, [])


def test_trees_without_lightgbm_are_refused(
    tiny_run: RunConfig, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    config, said = with_settings(tiny_run, cf={"compare": ["gbm"]}), list[str]()
    with pytest.raises(CCFError, match="gbm: LightGBM is not installed"):
        train_run(config, dataset=tiny_data, say=said.append)
    assert said == []
    check_run(config, tiny_data, ["mf", "ccf_llm"])  # rows without trees


def test_fewer_bits_without_torchao_are_refused(
    tiny_run: RunConfig, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    config = with_settings(tiny_run, llm={"quantize": "int8"})
    with pytest.raises(CCFError, match=r"llm\.quantize: torchao cannot be loaded"):
        check_run(config, tiny_data, ["ccf_llm"])
    check_run(config, tiny_data, ["mf"])


def test_an_output_that_cannot_be_made_is_refused(tiny_run: RunConfig, tiny_data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = with_settings(tiny_run, output=str(tmp_path / "file" / "run"))
    with pytest.raises(CCFError, match=r"^output: cannot make .*file/run \(Not a directory\); name another folder"):
        check_run(config, tiny_data, [])
