"""What is measured: the real language model over real histories, with a CF model of the right shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import MFConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.data.split import global_time_split
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm.settings import LLMConfig, LoRAConfig
from ccf_llm.llm.source import ModelSource, resolve_model
from ccf_llm.model.build import build_network, describing_columns
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.randomness import seeded

Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Setting:
    """Data and base model of a benchmark."""

    dataset: Dataset
    source: ModelSource
    device: str = "auto"

    @classmethod
    def open(cls, data: str | Path, model: str, device: str = "auto") -> "Setting":
        """Open what the arguments name; data without a split is split by time."""
        dataset = open_dataset(data)
        if "split" not in dataset.interactions.columns:
            dataset = global_time_split(dataset)
        return cls(dataset, resolve_model(model), device)

    def network(
        self, dtype: Dtype, template: HybridTemplate, history: HistoryBudget, *, layers: int | None = None
    ) -> CCFNetwork:
        """A network as before training, but for an adapter that does something. CF vectors are random: speed and
        equality do not depend on what they know.
        """
        lora = LoRAConfig(dropout=0)
        cf = MF(len(self.dataset.user_vocabulary), len(self.dataset.item_vocabulary), MFConfig())
        cf.count(self.dataset.rows("train"))
        network = build_network(
            self.dataset.items,
            cf.eval(),
            llm=LLMConfig(model=self.source.name, layers=layers, dtype=dtype, device=self.device, lora=lora),
            prompt=PromptConfig(template=template, history=history),
            fusion=FusionConfig(dropout=0),
            details=describing_columns(self.dataset.items),
            seed=0,
            source=self.source,
        )
        with torch.no_grad(), seeded(0):
            for name, weight in network.part("lora").items():
                if "lora_B" in name:
                    weight.normal_(std=1e-3)
        return network.eval()

    def readers(self, users: int) -> list[tuple[int, Codes]]:
        """Code and likes (oldest first) of the test users with the longest histories.

        Raises:
            CCFError: there are not so many.
        """
        rows = self.dataset.rows("test")
        longest = rows.take(np.argsort(rows.start - rows.end, kind="stable"))
        known, first = np.unique(longest.users, return_index=True)
        first = np.sort(first[known > 0])[:users]
        if len(first) < users:
            raise CCFError(f"--users {users}: {self.dataset.name} has {len(first)} known users in its test part")
        return [(int(longest.users[i]), longest.history(int(i))) for i in first]

    def candidates(self, user: int, history: Codes, n: int, seed: int = 0) -> Rows:
        """Rows that ask for `n` random items of the catalogue, repeated where it is smaller."""
        items = len(self.dataset.item_vocabulary)
        chosen = np.random.default_rng(seed).choice(np.arange(1, items + 1), n, replace=n > items)
        return Rows.for_candidates(history, chosen, user=user)
