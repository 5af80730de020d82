"""Checkpoints of a stage: everything that a killed run needs to go on to the same result. Safetensors and JSON only."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_folder, read_json, write_json

TENSORS = "state.safetensors"
PROGRESS = "progress.json"


@dataclass
class Progress:
    """How far a stage is, and its curves."""

    key: str
    """Fingerprint of everything that decides the result; a checkpoint of another key is not continued."""
    step: int = 0
    rows: int = 0
    seconds: float = 0.0
    best_auc: float = -1.0
    best_llm_auc: float = -1.0
    """Before the blend. It decides between states of one `best_auc`: all, where the blend leaves the LLM out."""
    best_step: int = 0
    bad: int = 0
    done: bool = False
    loss: list[tuple[int, float]] = field(default_factory=list)
    """(step, mean loss since the one before)."""
    pending: list[float] = field(default_factory=list)
    """Losses of the steps since the last point of the curve."""
    valid: list[dict[str, float | None]] = field(default_factory=list)
    """`{"step", "auc", "uauc", "llm_auc"}` of each measurement; `llm_auc` is before the blend; the UAUC is None
    where no user has both classes."""


def save_checkpoint(
    folder: Path,
    progress: Progress,
    weights: dict[str, Tensor],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write a checkpoint, atomically."""
    tensors = {f"weights/{k}": v.detach() for k, v in weights.items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in state.items()}
    with atomic_folder(folder) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary / TENSORS)
        write_json(temporary / PROGRESS, asdict(progress))


def read_progress(folder: Path, key: str) -> Progress | None:
    """How far the stage in `folder` is; None where there is no checkpoint of this key."""
    if not (folder / PROGRESS).exists():
        return None
    stored = read_json(folder / PROGRESS)
    if not isinstance(stored, dict) or stored.get("key") != key:
        return None
    try:
        return Progress(**stored)
    except TypeError:
        raise CCFError(
            f"{folder / PROGRESS}: not a checkpoint of this version; delete the folder to start the stage anew"
        ) from None


def load_checkpoint(
    folder: Path, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer | None
) -> dict[str, Tensor]:
    """Put the checkpoint's weights (in place) and optimizer state back; returns the best weights so far.

    Raises:
        CCFError: the file is cut or does not fit this model.
    """
    path = folder / TENSORS
    remedy = f"{path}: the checkpoint is cut or damaged; delete {folder} to start the stage anew"
    try:
        tensors = load_file(path)
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(tensors[f"weights/{name}"])
    except (SafetensorError, OSError, KeyError, RuntimeError):
        raise CCFError(remedy) from None
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, entry = name.split("/")
                state.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return {k.removeprefix("best/"): v for k, v in tensors.items() if k.startswith("best/")}
