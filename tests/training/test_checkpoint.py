from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ccf_llm.errors import CCFError
from ccf_llm.io.files import write_json
from ccf_llm.training.checkpoint import Checkpoint, Progress


def trained(steps: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(steps):
        step(layer, optimizer)
    return layer, optimizer


def step(layer: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    layer(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def test_a_checkpoint_holds_weights_optimizer_and_best(tmp_path: Path) -> None:
    layer, optimizer = trained(3)
    best = {"weight": torch.ones(2, 3)}
    progress = Progress("key", step=3, loss=[(3, 0.5)], valid=[{"step": 0, "auc": 0.5, "uauc": None}])
    Checkpoint(tmp_path / "c", "key").save(progress, dict(layer.named_parameters()), best, optimizer)
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".safetensors", ".json"}
    found = Checkpoint(tmp_path / "c", "key").progress()
    assert found is not None
    assert (found.step, found.valid, list(found.loss[0])) == (3, progress.valid, [3, 0.5])

    fresh, other = trained(0)
    again = Checkpoint(tmp_path / "c", "key").load(dict(fresh.named_parameters()), other)
    assert torch.equal(again["weight"], best["weight"])
    for _ in range(2):
        step(layer, optimizer)
        step(fresh, other)
    assert torch.equal(layer.weight, fresh.weight)  # moments and step counts came back too


def test_a_checkpoint_of_another_key_does_not_count(tmp_path: Path) -> None:
    layer, optimizer = trained(0)
    assert Checkpoint(tmp_path / "c", "key").progress() is None
    Checkpoint(tmp_path / "c", "key").save(Progress("key"), dict(layer.named_parameters()), {}, optimizer)
    assert Checkpoint(tmp_path / "c", "other").progress() is None


@pytest.mark.parametrize("name", ["optimizer/0", "optimizer/first/step", "other/0/step"])
def test_a_state_of_another_optimizer_is_refused(name: str, tmp_path: Path) -> None:
    """Found by fuzzing."""
    layer, optimizer = trained(1)
    Checkpoint(tmp_path / "c", "key").save(Progress("key"), dict(layer.named_parameters()), {}, optimizer)
    path = tmp_path / "c" / "state.safetensors"
    tensors = load_file(path)
    save_file({name if old == "optimizer/0/step" else old: value for old, value in tensors.items()}, path)
    with pytest.raises(CCFError, match=r"holds no state of this optimizer \(.*\); delete .* to start the stage anew"):
        Checkpoint(tmp_path / "c", "key").load(dict(layer.named_parameters()), optimizer)


def test_a_foreign_progress_file_is_no_checkpoint(tmp_path: Path) -> None:
    for foreign in ([], {"step": 1}, "key"):
        write_json(tmp_path / "c" / "progress.json", foreign)
        assert Checkpoint(tmp_path / "c", "key").progress() is None
    write_json(tmp_path / "c" / "progress.json", {"key": "key", "colour": 1})
    with pytest.raises(CCFError, match=r"progress\.json: not a checkpoint of this version; delete the folder"):
        Checkpoint(tmp_path / "c", "key").progress()
