"""Checkpoints of a stage: everything that a killed run needs to go on to the same result. Safetensors and JSON only."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.files import read_json, write_json
from ccf_llm.io.integrity import check_folder, sealed_folder
from ccf_llm.io.tensors import fill, read_tensors, write_tensors

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
    best: float = -1.0
    """The best valid AUC or, of lists, NDCG."""
    best_llm: float = -1.0
    """Before the blend. It decides between states of one `best`: all, where the blend leaves the LLM out."""
    best_step: int = 0
    bad: int = 0
    done: bool = False
    loss: list[tuple[int, float]] = field(default_factory=list)
    """(step, mean loss since the one before)."""
    pending: list[float] = field(default_factory=list)
    """Losses of the steps since the last point of the curve."""
    valid: list[dict[str, float | None]] = field(default_factory=list)
    """`{"step", "auc", "uauc", "llm_auc"}` of each measurement; `llm_auc` is before the blend, None where that did not
    ask; the UAUC is None where no user has both classes. Of lists `{"step", "ndcg@10", "llm_ndcg@10", "a", "b"}`, the
    blend's weights too."""
    ranks: list[tuple[float, float, int]] = field(default_factory=list)
    """Of each state that is kept to be averaged: what decides, the same before the blend, and its step; best first."""
    averaged: list[dict[str, float | None]] = field(default_factory=list)
    """The average that the stage ends with, as it was grown from the state of `best_step`: of each state that was
    tried `{"step", "stays", ...}`, with the figures, as in `valid`, of the average with it. `best` is that of the last
    one that stays."""


@dataclass(frozen=True)
class Checkpoint:
    """The place of one stage's checkpoint."""

    folder: Path
    key: str
    """Fingerprint of everything that decides the result."""

    def progress(self) -> Progress | None:
        """How far the stage is; None where there is no checkpoint of this key."""
        path = self.folder / PROGRESS
        check_folder(self.folder)
        stored = read_json(path) if path.exists() else None
        if not isinstance(stored, dict) or stored.get("key") != self.key:
            return None
        try:
            return Progress(**stored)
        except TypeError:
            raise CCFError(
                f"{path}: not a checkpoint of this version; delete the folder to start the stage anew"
            ) from None

    def save(
        self,
        progress: Progress,
        weights: dict[str, Tensor],
        best: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        kept: Mapping[int, dict[str, Tensor]] = MappingProxyType({}),
    ) -> None:
        """Write everything, atomically. `kept` are the states that may be averaged, by step."""
        tensors = {f"weights/{k}": v for k, v in weights.items()} | {f"best/{k}": v for k, v in best.items()}
        tensors |= {f"kept/{step}/{k}": v for step, state in kept.items() for k, v in state.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in state.items()}
        with sealed_folder(self.folder) as temporary:
            write_tensors(tensors, temporary / TENSORS)
            write_json(temporary / PROGRESS, asdict(progress))

    def load(self, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
        """Put the weights (in place) and the optimizer's state back; returns the best weights so far.

        Raises:
            CCFError: the file is cut or does not fit this model.
        """
        path, remedy = self.folder / TENSORS, f"delete {self.folder} to start the stage anew"
        tensors = read_tensors(path, remedy=remedy)
        fill(weights, _under("weights/", tensors), path, remedy=remedy)
        if optimizer is not None:
            state: dict[int, dict[str, Tensor]] = {}
            try:
                for name, value in _under("optimizer/", tensors).items():
                    index, entry = name.split("/")
                    state.setdefault(int(index), {})[entry] = value
                optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            except (KeyError, ValueError) as error:
                raise CCFError(f"{path}: holds no state of this optimizer ({one_line(error)}); {remedy}") from None
        return _under("best/", tensors)

    def kept(self, steps: Iterable[int]) -> dict[int, dict[str, Tensor]]:
        """The states of these steps that were kept to be averaged."""
        path = self.folder / TENSORS
        tensors = read_tensors(path, remedy=f"delete {self.folder} to start the stage anew")
        return {step: _under(f"kept/{step}/", tensors) for step in steps}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
