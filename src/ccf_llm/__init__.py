"""Recommendation with a language model that reads both the words and the collaborative signal (CCF-LLM)."""

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccf_llm.data.dataset import Dataset
    from ccf_llm.data.named import open_dataset
    from ccf_llm.data.split import global_time_split, split_dataset
    from ccf_llm.errors import CCFError
    from ccf_llm.experiments.config import RunConfig
    from ccf_llm.experiments.fit import fit
    from ccf_llm.model.ccfllm import CCFLLM
    from ccf_llm.recommend.recommender import Recommender

# Where torchao is installed, transformers loads it, and it tells of kernels for cards that are not here.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)

__all__ = [
    "CCFLLM",
    "CCFError",
    "Dataset",
    "Recommender",
    "RunConfig",
    "fit",
    "global_time_split",
    "open_dataset",
    "split_dataset",
]

_HOMES = {
    "CCFLLM": "model.ccfllm",
    "CCFError": "errors",
    "Dataset": "data.dataset",
    "Recommender": "recommend.recommender",
    "RunConfig": "experiments.config",
    "fit": "experiments.fit",
    "global_time_split": "data.split",
    "split_dataset": "data.split",
    "open_dataset": "data.named",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `ccf-llm --help` and the data side do not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ccf_llm' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"ccf_llm.{_HOMES[name]}"), name)
