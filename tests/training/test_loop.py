"""A stage: what it trains, what it keeps, and that a killed one ends as an unbroken one."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.io import files, tensors
from ccf_llm.model.blend import Blend
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.collate import collate_targets
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.training.checkpoint import Checkpoint, Progress
from ccf_llm.training.data import TrainingData
from ccf_llm.training.loop import Report, StageRun, train_stage, trainable
from ccf_llm.training.stage import BatchConfig, StageConfig

CF_ONLY = FusionConfig(variant="cf_only", hidden=16, blend=False, dropout=0)


@pytest.fixture
def fit(tiny_data: Dataset, tmp_path: Path) -> Callable[..., Progress]:
    """Trains a stage of a network; checkpoints in `tmp_path / "stage"`."""

    def run(
        network: CCFNetwork,
        stage: StageConfig,
        *,
        key: str = "key",
        valid: Rows | None = None,
        folder: Path | None = None,
        cf_of_row: Callable[[int], MF] | None = None,
        report: Report | None = None,
    ) -> Progress:
        data = TrainingData(tiny_data.rows("train"), valid or tiny_data.rows("valid"), cf_of_row)
        named = StageRun("tiny", Checkpoint(folder or tmp_path / "stage", key), report)
        return train_stage(network, data, stage, named, batch=BatchConfig(), seed=0)

    return run


def weights_of(network: CCFNetwork) -> dict[str, torch.Tensor]:
    parts = {part: network.part(part) for part in ("lora", "fusion", "cf")}
    return {f"{part}.{name}": w.detach().clone() for part, weights in parts.items() for name, w in weights.items()}


def test_slots_can_be_empty_in_training(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tiny_data: Dataset, tmp_path: Path
) -> None:
    rows = tiny_data.rows("train").take(slice(0, 6))
    network = tiny.stir(make_network(CF_ONLY))
    packs = plan_sequences(rows, network.encoder, network.budget)
    empty = torch.arange(len(packs)) == 0
    before, after = (network.embed(collate_targets(packs), rows, empty=one) for one in (None, empty))
    part = collate_targets(packs)
    zero = (part.ids < 0) & (part.sequence == 0)
    assert bool(zero.any())
    assert bool((after[zero] == 0).all())
    assert torch.equal(after[~zero], before[~zero])

    # An adapter that only ever saw empty slots has learned nothing of what fills them.
    losses = []
    for offset in (0.0, 1.0):
        network = tiny.stir(make_network(CF_ONLY))
        network.cf.items.data += offset
        stage = StageConfig(train=("lora",), rows=60, batch_rows=20, valid_rows=None, empty_slots=1.0)
        losses.append(fit(network, stage, folder=tmp_path / f"{offset}").loss)
    assert losses[0] == losses[1]


def test_a_stage_learns_and_never_ends_worse_than_it_began(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tiny_data: Dataset, tmp_path: Path
) -> None:
    network = make_network(CF_ONLY)
    valid = tiny_data.rows("valid")
    before = auc(valid.labels, SharedPrefixScorer(network).score(valid))
    stage = StageConfig(epochs=3, batch_rows=16, fusion_rate=1e-2, lora_rate=3e-3, evaluations=3, valid_rows=None)
    progress = fit(network, stage)
    after = auc(valid.labels, SharedPrefixScorer(network).score(valid))
    losses = [loss for _, loss in progress.loss]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05
    assert after > max(0.75, before + 0.1)
    assert after == pytest.approx(progress.best, abs=1e-4)
    assert progress.done
    assert progress.valid[0]["step"] == 0
    assert progress.rows == 3 * len(tiny_data.rows("train"))

    # A second stage whose rate destroys what was learned: the state from before its first step is what stays.
    learned = weights_of(network)
    wild = StageConfig(
        rows=60, batch_rows=20, lora_rate=9.0, fusion_rate=9.0, evaluations=3, patience=1, valid_rows=None
    )
    progress = fit(network, wild, folder=tmp_path / "wild")
    assert progress.best_step == 0
    assert len(progress.valid) == 2  # patience
    assert all(torch.equal(weight, learned[name]) for name, weight in weights_of(network).items())


def test_where_the_blend_leaves_the_language_model_out_its_best_state_stays(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cf_alone(blend: Blend, *scores_labels_and_users: object) -> None:
        blend.weights.copy_(torch.tensor([0.0, 1.0, 0.0]))

    monkeypatch.setattr(Blend, "fit", cf_alone)
    network = make_network(FusionConfig(variant="cf_only", hidden=16, dropout=0))
    stage = StageConfig(rows=120, batch_rows=16, fusion_rate=1e-2, lora_rate=3e-3, evaluations=3, valid_rows=None)
    progress = fit(network, stage)
    assert len({point["auc"] for point in progress.valid}) == 1
    best = max(progress.valid, key=lambda point: point["llm_auc"] or 0)
    assert progress.best_step == best["step"] > 0


@pytest.mark.parametrize("blend", [True, False])
def test_what_has_learned_nothing_is_not_asked_where_a_blend_can_leave_it_out(
    blend: bool, make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path
) -> None:
    network = make_network(FusionConfig(variant="cf_only", hidden=16, dropout=0, blend=blend))
    data = TrainingData(tiny_data.rows("train"), tiny_data.rows("valid"), None)
    run = StageRun("tiny", Checkpoint(tmp_path, "key"), untrained=True)
    stage = StageConfig(rows=60, batch_rows=30, evaluations=1, valid_rows=None)
    first, last = train_stage(network, data, stage, run, batch=BatchConfig(), seed=0).valid
    assert (first["llm_auc"] is None) == blend
    assert last["llm_auc"] is not None
    if blend:
        assert first["auc"] == pytest.approx(auc(data.valid.labels, network.cf.score(data.valid)), abs=1e-5)


@pytest.mark.parametrize("parts", [("lora",), ("fusion",), ("cf",), ("lora", "fusion")])
def test_only_the_named_parts_move(
    parts: tuple[str, ...], make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tmp_path: Path
) -> None:
    network = tiny.stir(make_network())
    before = weights_of(network)
    body = {name: w.clone() for name, w in network.llm.state_dict().items() if "lora_" not in name}
    progress = fit(network, StageConfig(train=parts, rows=60, batch_rows=30, evaluations=1, valid_rows=None))
    last = load_file(tmp_path / "stage" / "state.safetensors")
    moved = {name.split(".")[0] for name, w in before.items() if not torch.equal(w, last.get(f"weights/{name}", w))}
    assert moved == set(parts) or progress.best_step == 0
    named = trainable(network, StageConfig(train=parts))
    assert {name.split(".")[0] for name in named} == set(parts)
    assert {id(w) for w in named.values()} == {id(w) for w in network.parameters() if w.requires_grad}
    for name, weight in weights_of(network).items():
        assert name.split(".")[0] in parts or torch.equal(weight, before[name])
    assert all(torch.equal(w, body[name]) for name, w in network.llm.state_dict().items() if name in body)


@pytest.mark.parametrize("blend", [True, False])
def test_a_residual_stage_adds_the_cf_log_odds_to_the_loss_of_methods_that_blend(
    blend: bool,
    make_network: Callable[..., CCFNetwork],
    fit: Callable[..., Progress],
    tiny_data: Dataset,
    tiny_mf: MF,
) -> None:
    network = tiny.stir(make_network(FusionConfig(variant="cf_only", hidden=16, blend=blend)))
    rows = tiny_data.rows("train")
    alone = torch.from_numpy(SharedPrefixScorer(network).language_scores(rows))
    both = alone + torch.from_numpy(tiny_mf.score(rows))
    stage = StageConfig(
        batch_rows=len(rows), residual=True, evaluations=1
    )  # a single step: its loss is that of the start
    progress = fit(network, stage, cf_of_row=lambda row: tiny_mf)
    labels = torch.from_numpy(rows.labels).float()
    losses = [torch.nn.functional.binary_cross_entropy_with_logits(score, labels).item() for score in (alone, both)]
    assert abs(losses[0] - losses[1]) > 0.01
    assert progress.loss == [(1, pytest.approx(losses[blend], abs=1e-4))]


def test_a_residual_needs_a_cf_model_that_stands_still() -> None:
    with pytest.raises(ValidationError, match="residual: needs a CF model that stands still"):
        StageConfig(train=("fusion", "cf"), residual=True)


def test_training_reads_rows_through_the_cf_model_given(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tiny_data: Dataset, tiny_mf: MF
) -> None:
    asked: list[int] = []

    def of_row(row: int) -> MF:
        asked.append(row)
        return tiny_mf

    fit(make_network(), StageConfig(train=("fusion",), rows=60, evaluations=1), cf_of_row=of_row)
    assert asked
    assert len(asked) == len(set(asked))


def test_an_average_of_the_best_states_is_never_worse_on_valid(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tiny_data: Dataset, tmp_path: Path
) -> None:
    # A rate so large that single states jump about.
    stage = StageConfig(rows=300, batch_rows=10, fusion_rate=5e-2, lora_rate=2e-2, evaluations=10, patience=99)
    plain, averaged = make_network(CF_ONLY), make_network(CF_ONLY)
    single = fit(plain, stage, folder=tmp_path / "plain")
    words: list[str] = []
    soup = fit(averaged, stage.model_copy(update={"average": 5}), report=lambda _, word, *__: words.append(word))
    assert words[-1] == "average"
    assert soup.valid == single.valid  # what is trained is the same
    tried = [point["step"] for point in soup.averaged]
    by_value = sorted(single.valid, key=lambda point: -(point["auc"] or 0))
    assert [soup.best_step, *tried] == [point["step"] for point in by_value[:5]]
    assert any(point["stays"] for point in soup.averaged)
    assert soup.best >= single.best
    valid = tiny_data.rows("valid")
    assert auc(valid.labels, SharedPrefixScorer(averaged).score(valid)) == pytest.approx(soup.best, abs=1e-4)
    assert not any(name.startswith("kept/") for name in load_file(tmp_path / "stage" / "state.safetensors"))

    again = make_network(CF_ONLY)
    assert fit(again, stage.model_copy(update={"average": 5})).averaged == soup.averaged
    assert all(torch.equal(weight, weights_of(averaged)[name]) for name, weight in weights_of(again).items())


DRIVER = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.training.checkpoint import Checkpoint
from ccf_llm.training.data import TrainingData
from ccf_llm.training.loop import StageRun, train_stage
from ccf_llm.training.stage import BatchConfig, StageConfig

folder = Path(sys.argv[2])
data, mf = Dataset.load(folder / "data"), MF.load(folder / "mf")
network = tiny.make_network(Path(sys.argv[3]), data, mf, dropout=0.1)

def report(name, word, progress, steps):
    if progress.step == 5:
        print("step 5", flush=True)
        time.sleep(600)

train_stage(
    network, TrainingData(data.rows("train"), data.rows("valid"), categories=tiny.two_categories()),
    StageConfig.model_validate_json(sys.argv[4]),
    StageRun("killed", Checkpoint(folder / "stage", "key"), report), batch=BatchConfig(), seed=7,
)
"""


@pytest.mark.parametrize(("average", "category_weight"), [(0, 0.0), (4, 0.5)])
def test_a_killed_stage_ends_as_an_unbroken_one(
    average: int, category_weight: float, tiny_llm: Path, tiny_data: Dataset, tiny_mf: MF, tmp_path: Path
) -> None:
    """SIGKILL after step 5, one step past a checkpoint; what is trained from there is the same to the last bit."""
    stage = StageConfig(
        rows=160,
        batch_rows=16,
        evaluations=5,
        patience=9,
        lora_rate=1e-3,
        valid_rows=None,
        average=average,
        category_weight=category_weight,
    )
    tiny_data.save(tmp_path / "data")
    tiny_mf.save(tmp_path / "mf")
    driver = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-c", DRIVER),
            *(str(Path(tiny.__file__).parent), str(tmp_path), str(tiny_llm), stage.model_dump_json()),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "step 5\n"
    driver.kill()
    driver.communicate()
    assert json.loads((tmp_path / "stage" / "progress.json").read_text())["step"] == 4

    def finish(folder: Path) -> tuple[CCFNetwork, Progress]:
        data, mf = Dataset.load(tmp_path / "data"), MF.load(tmp_path / "mf")
        network = tiny.make_network(tiny_llm, data, mf, dropout=0.1)
        rows = TrainingData(data.rows("train"), data.rows("valid"), categories=tiny.two_categories())
        run = StageRun("again", Checkpoint(folder, "key"))
        return network, train_stage(network, rows, stage, run, batch=BatchConfig(), seed=7)

    (resumed, its), (unbroken, other) = finish(tmp_path / "stage"), finish(tmp_path / "unbroken")
    expected = weights_of(unbroken)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    states = [load_file(tmp_path / name / "state.safetensors") for name in ("stage", "unbroken")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    curves = [json.loads(json.dumps(asdict(progress) | {"seconds": 0})) for progress in (its, other)]
    assert curves[0] == curves[1]
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def short() -> StageConfig:
    return StageConfig(train=("fusion",), rows=60, batch_rows=30, evaluations=2, valid_rows=None)


def test_a_finished_stage_is_only_loaded(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], short: StageConfig
) -> None:
    first = make_network()
    done = fit(first, short)
    steps: list[str] = []
    again = make_network()
    loaded = fit(again, short, report=lambda _, word, *__: steps.append(word))
    assert steps == []
    assert loaded.best == done.best
    expected = weights_of(first)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(again).items())


def test_a_changed_key_starts_anew(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], short: StageConfig
) -> None:
    fit(make_network(), short)
    steps: list[int] = []
    fit(make_network(), short, key="other", report=lambda _, __, progress, ___: steps.append(progress.step))
    assert steps[0] == 0
    assert len(steps) > 1


@pytest.mark.parametrize("name", ["state.safetensors", "progress.json"])
def test_a_cut_checkpoint_is_named(
    name: str, make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], short: StageConfig, tmp_path: Path
) -> None:
    fit(make_network(), short)
    path = tmp_path / "stage" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CCFError, match=name) as fault:
        fit(make_network(), short)
    assert "\n" not in str(fault.value)
    assert str(path) in str(fault.value)


def test_a_checkpoint_of_another_model_is_refused(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], short: StageConfig
) -> None:
    fit(make_network(), short)
    with pytest.raises(CCFError, match=r"delete .* to start the stage anew"):
        fit(make_network(FusionConfig(hidden=4)), short)


@pytest.mark.parametrize("failing", ["save_file", "os.replace"])
def test_a_full_disk_stops_with_one_line_and_keeps_the_last_checkpoint(
    failing: str,
    make_network: Callable[..., CCFNetwork],
    fit: Callable[..., Progress],
    short: StageConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device") if failing == "save_file" else OSError(28, "full")

    def fill_the_disk(name: str, word: str, progress: Progress, steps: int) -> None:
        if progress.step == 1:
            monkeypatch.setattr(tensors if failing == "save_file" else files.os, failing.split(".")[-1], full)

    with pytest.raises(CCFError, match=r"cannot write .*(No space left|full)"):
        fit(make_network(), short, report=fill_the_disk)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]
    assert json.loads((tmp_path / "stage" / "progress.json").read_text())["step"] < 2
    assert fit(make_network(), short).done  # once there is room, it goes on


def test_valid_rows_of_one_class_are_named(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tiny_data: Dataset, short: StageConfig
) -> None:
    valid = tiny_data.rows("valid")
    with pytest.raises(CCFError, match=r"valid: .* one class"):
        fit(make_network(), short, valid=valid.take(valid.labels == 1))


def test_users_of_one_class_each_give_no_uauc(
    make_network: Callable[..., CCFNetwork], fit: Callable[..., Progress], tiny_data: Dataset, short: StageConfig
) -> None:
    valid = tiny_data.rows("valid")
    progress = fit(make_network(), short, valid=valid.take(valid.labels == valid.users % 2))
    assert {point["uauc"] for point in progress.valid} == {None}


@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize(
    ("parts", "rates", "named"),
    [
        (("lora",), {"lora_rate": 1e30}, r"lora_rate 1e\+30; choose a smaller one"),
        (("lora", "fusion"), {"fusion_rate": 1e30}, r"lora_rate 0\.0003, fusion_rate 1e\+30; choose smaller ones"),
    ],
)
def test_a_stage_that_diverges_names_the_rates_and_leaves_the_sound_checkpoint(
    parts: tuple[str, ...],
    rates: dict[str, float],
    named: str,
    blend: bool,
    make_network: Callable[..., CCFNetwork],
    fit: Callable[..., Progress],
    tmp_path: Path,
) -> None:
    network = tiny.stir(make_network(FusionConfig(hidden=16, blend=blend)))
    stage = StageConfig(train=parts, rows=80, batch_rows=20, evaluations=4, valid_rows=None, **rates)
    with pytest.raises(CCFError, match=rf"^stage tiny: training diverged \(.* nan at step \d\) at {named}$"):
        fit(network, stage)
    assert json.loads((tmp_path / "stage" / "progress.json").read_text())["step"] == 0
    kept = load_file(tmp_path / "stage" / "state.safetensors")
    assert all(value.isfinite().all() for value in kept.values())
