from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.validate import check_users
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.experiments.evaluate import evaluate_run
from ccf_llm.experiments.evaluate_rating import evaluate_cf
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.gate import gate_by_popularity
from ccf_llm.experiments.methods import MethodConfig
from ccf_llm.experiments.report import report_run
from ccf_llm.experiments.results import row_config
from ccf_llm.experiments.train import train_run
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.training.checkpoint import Progress

SILENT = lambda line: None  # noqa: E731


def steps_of(config: RunConfig) -> list[str]:
    """Train; the stage of every step that was really taken."""
    taken: list[str] = []

    def note(stage: str, word: str, progress: Progress, steps: int) -> None:
        taken.append(stage)

    train_run(config, say=SILENT, report=note)
    return taken


def changed(config: RunConfig, stage: str, **settings: object) -> RunConfig:
    stages = {**config.stages, stage: config.stages[stage].model_copy(update=settings)}
    return config.model_copy(update={"stages": stages})


def test_only_what_a_change_touches_is_trained_again(tiny_run: RunConfig) -> None:
    assert set(steps_of(tiny_run)) == {"llm_text / text", "ccf_llm / fusion"}
    assert steps_of(tiny_run) == []
    told = tiny_run.data.model_copy(update={"categories": "genres"})  # of no stage that learns it
    assert steps_of(tiny_run.model_copy(update={"data": told})) == []
    learned = changed(tiny_run.model_copy(update={"data": told}), "fusion", category_weight=0.5)
    assert set(steps_of(learned)) == {"ccf_llm / fusion"}
    assert set(steps_of(changed(tiny_run, "fusion", fusion_rate=1e-3))) == {"ccf_llm / fusion"}
    assert set(steps_of(changed(tiny_run, "text", lora_rate=1e-3))) == {"llm_text / text", "ccf_llm / fusion"}
    cut = tiny_run.llm.model_copy(update={"layers": 1})
    assert set(steps_of(tiny_run.model_copy(update={"llm": cut}))) == {"llm_text / text", "ccf_llm / fusion"}
    slot = tiny_run.prompt.model_copy(update={"template": HybridTemplate(candidate_titles=False)})
    assert set(steps_of(tiny_run.model_copy(update={"prompt": slot}))) == {"llm_text / text", "ccf_llm / fusion"}
    assert set(steps_of(tiny_run.model_copy(update={"seed": 1}))) == {"llm_text / text", "ccf_llm / fusion"}


def test_a_method_has_layers_of_its_own(tiny_run: RunConfig) -> None:
    small = tiny_run.methods["llm_text"].model_copy(update={"layers": 1})
    run = tiny_run.model_copy(update={"methods": {"small": small, **tiny_run.methods}})
    assert set(steps_of(run)) == {"small / text", "llm_text / text", "ccf_llm / fusion"}
    folder = RunFolder(run.output)
    assert [CCFLLM.load(folder.model(name)).network.llm.layers for name in run.methods] == [1, None, None]
    assert set(steps_of(tiny_run)) == set()  # the others are as without it
    cut = run.llm.model_copy(update={"layers": 1})
    assert row_config(run, "small") == row_config(run.model_copy(update={"llm": cut}), "small")
    assert row_config(run, "llm_text") == row_config(tiny_run, "llm_text")
    run.methods["ccf_llm"] = tiny_run.methods["ccf_llm"].model_copy(update={"layers": 1})
    with pytest.raises(CCFError, match=r"methods\.ccf_llm\.layers: 1, but .* of llm_text, which has all; give both"):
        check_config(run.model_dump(mode="json"), "run.yaml")


def test_an_alignment_is_warmed_up_before_anything_is_trained(tiny_run: RunConfig) -> None:
    aligned = []
    for warmup in (0, 30):
        fusion = FusionConfig(hidden=16, start="even", warmup=warmup)
        run = tiny_run.model_copy(update={"methods": {"frozen": MethodConfig(fusion=fusion)}})
        assert steps_of(run) == []
        item = CCFLLM.load(RunFolder(run.output).model("frozen")).network.fusion.item
        aligned.append(item.aligned(item.cf_mean[None] + 1.0))
    assert not torch.allclose(*aligned)


def test_what_is_told_of_users_is_trained_saved_and_scored(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    people = tiny_data.user_vocabulary.ids
    users = pl.DataFrame({"user_id": people, "age": [13 + n for n in range(len(people))], "gender": "F"})
    data = replace(tiny_data, users=check_users(users))
    data.save(Path(tiny_run.data.source))
    assert set(steps_of(tiny_run)) == {"llm_text / text", "ccf_llm / fusion"}
    told = tiny_run.model_copy(update={"data": tiny_run.data.model_copy(update={"user_details": ("age",)})})
    assert set(steps_of(told)) == {"llm_text / text", "ccf_llm / fusion"}
    assert steps_of(told) == []
    replace(data, users=check_users(users.with_columns(gender=pl.lit("M")))).save(Path(tiny_run.data.source))
    assert steps_of(told) == []  # the gender is not told
    model = CCFLLM.load(RunFolder(told.output).model("ccf_llm"))
    assert model.network.encoder.users[1:3] == ["in their teens", "in their teens"]
    pairs = tiny_data.interactions.tail(20).select("user_id", "item_id")
    assert_frame_equal(model.score(pairs, data), model.score(pairs, replace(data, users=None)), check_exact=True)
    assert "llm_text" in evaluate_run(RunFolder(told.output))["models"]
    older = replace(data, users=check_users(users.with_columns(age=pl.lit(71))))
    older.save(Path(tiny_run.data.source))
    assert set(steps_of(told)) == {"llm_text / text", "ccf_llm / fusion"}
    assert row_config(told, "mf") == row_config(tiny_run, "mf")
    assert row_config(told, "ccf_llm") != row_config(tiny_run, "ccf_llm")


def test_fit_score_and_what_the_gate_does(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    model = CCFLLM.fit(tiny_data, tiny_run, say=SILENT)
    pairs = tiny_data.interactions.tail(20).select("user_id", "item_id")
    scored = model.score(pairs, tiny_data)
    again = CCFLLM.load(RunFolder(tiny_run.output).model("ccf_llm")).score(pairs, tiny_data)
    np.testing.assert_array_equal(scored["score"].to_numpy(), again["score"].to_numpy())
    gate = gate_by_popularity(model)
    assert sum(part["items"] for part in gate) == len(tiny_data.items)
    assert all(0 <= part["share"] <= 1 for part in gate)


def test_data_without_a_split_is_refused(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    whole = Dataset.from_frames(tiny_data.interactions.drop("split"), tiny_data.items)
    with pytest.raises(CCFError, match=r"has no split; make one with split_dataset"):
        CCFLLM.fit(whole, tiny_run, say=SILENT)
    with pytest.raises(CCFError, match="has no split"):
        evaluate_cf("mf", whole)


def test_the_split_of_the_settings_is_used_where_the_data_has_none(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    assert open_split(tiny_run).rows("test").items.tolist() == tiny_data.rows("test").items.tolist()
    Dataset.from_frames(tiny_data.interactions.drop("split"), tiny_data.items).save(Path(tiny_run.data.source))
    thin = tiny_run.data.split.model_copy(update={"max_rows_per_user": 2})
    data = tiny_run.data.model_copy(update={"split": thin})
    test = open_split(tiny_run.model_copy(update={"data": data})).rows("test")
    assert max(np.bincount(test.users)) == 2


@pytest.mark.parametrize("name", ["mf", "mf-fold-0-*"])
def test_a_cut_cf_model_is_named(tiny_run: RunConfig, name: str) -> None:
    train_run(tiny_run, say=SILENT)
    (path,) = (RunFolder(tiny_run.output).path / "cf").glob(f"{name}/cf.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CCFError, match=r"cf\.safetensors: .*") as fault:
        train_run(tiny_run, say=SILENT)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("kind", ["lightgcn", "sasrec", "din"])
def test_any_cf_model_fills_the_slots(tiny_run: RunConfig, tiny_data: Dataset, kind: str) -> None:
    cf = tiny_run.cf.model_copy(update={"model": kind, "compare": ("mf",)})
    folder = train_run(tiny_run.model_copy(update={"cf": cf}), say=SILENT)
    kept = {path.name.split("-fold")[0] for path in (folder.path / "cf").iterdir()}
    assert kept == {"item_user_mean", "mf", kind}
    assert len(list((folder.path / "cf").glob(f"{kind}-fold-*"))) == 2
    model = CCFLLM.load(folder.model("ccf_llm"))
    assert model.network.cf.kind == kind
    assert min(float(fusion.cf_scale) for fusion in (model.network.fusion.user, model.network.fusion.item)) > 0.01
    metrics = evaluate_run(folder)
    assert set(metrics["models"]) == {"item_user_mean", kind, "mf", "llm_text", "late_fusion", "ccf_llm"}
    assert metrics["models"][kind]["auc"] > 0.75
    page = report_run(folder).read_text(encoding="utf-8")
    assert f"the log-odds of {kind} and llm_text" in page
    best = Recommender(model, tiny_data, retrieve=5).recommend(["u1"], k=3)
    assert best["rank"].to_list() == [1, 2, 3]


def test_a_run_is_measured_with_trees_that_read_words(tiny_run: RunConfig) -> None:
    gbm = tiny_run.cf.gbm.model_copy(update={"max_trees": 5, "folds": 2})
    cf = tiny_run.cf.model_copy(update={"compare": ("gbm_words",), "gbm": gbm})
    models = evaluate_run(train_run(tiny_run.model_copy(update={"cf": cf}), say=SILENT))["models"]
    assert set(models) == {
        "item_user_mean",
        "mf",
        "gbm_words",
        "llm_text",
        "late_fusion",
        "ccf_llm",
        "ccf_llm_with_trees",
    }


def test_another_row_of_the_comparison_fits_nothing_again(tiny_run: RunConfig) -> None:
    lines: list[str] = []
    train_run(tiny_run, say=lines.append)
    fitted = [line.split(":")[0] for line in lines if "fitting" in line]
    assert fitted == ["item_user_mean", "mf", "mf", "mf"]
    lines.clear()
    cf = tiny_run.cf.model_copy(update={"compare": ("lightgcn",)})
    train_run(tiny_run.model_copy(update={"cf": cf}), say=lines.append)
    assert [line.split(":")[0] for line in lines if "fitting" in line] == ["lightgcn"]


def test_folders_without_folds_train_on_the_models_own_vectors(tiny_run: RunConfig) -> None:
    plain = tiny_run.model_copy(update={"cf": tiny_run.cf.model_copy(update={"folds": 0})})
    folder = train_run(plain, say=SILENT)
    assert sorted(path.name for path in (folder.path / "cf").iterdir()) == ["item_user_mean", "mf"]
