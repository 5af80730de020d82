"""Builders of what the tests share: a tiny language model, a learnable data set, a short run."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import (
    BertConfig,
    BertModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from ccf_llm.cf.kinds import MODELS
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import MFConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.io.integrity import MANIFEST
from ccf_llm.llm.settings import LLMConfig, LoRAConfig
from ccf_llm.llm.source import is_cached
from ccf_llm.llm.terms import GEMMA, VARIABLE
from ccf_llm.model.build import build_network
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.settings import PromptConfig

N_USERS, N_ITEMS = 30, 24
WORDS = ("red", "green", "Night", "The Dawn", "a ship", "Ömer", "of 1984", "iron", "rain", "Sun")
QUICK_CF = {"dim": 8, "max_epochs": 6, "learning_rate": 0.02, "batch_size": 128}
# Its own defaults, for larger data, hold it at chance in so few steps.
QUICK_SASREC = QUICK_CF | {"dropout": 0.1, "l2": 0.02}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def random_rows(rng: np.random.Generator, n: int, users: int, histories: list[int]) -> Rows:
    """`n` labelled rows without any rule in them: `users` users, 10 items, histories of these lengths in turn."""
    return Rows(
        users=np.sort(rng.integers(1, users + 1, n)),
        items=rng.integers(1, 11, n),
        labels=rng.integers(0, 2, n).astype(np.int8),
        timestamps=np.arange(n),
        likes=rng.integers(1, 11, 51),
        start=np.zeros(n, dtype=np.int64),
        end=np.tile(histories, n // len(histories)),
    )


needs_gemma = pytest.mark.skipif(
    not (GEMMA.accepted and is_cached("gemma3-270m")),
    reason=f"gemma3-270m is not in the cache, or its terms are not accepted ({VARIABLE}=gemma)",
)
"""On tests with the real Gemma 3 270M, which nobody has to have."""


def write_llm(folder: Path, window: int | None = None) -> Path:
    """A random model of 2 layers with a real byte-level tokenizer that has special tokens.

    It is a Llama, or with a `window` a Gemma 3 whose first layer reads so many tokens back and whose second reads all.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [f"{a} {b}" for a in WORDS for b in WORDS]
    texts += ["Will the user like the item? Answer Yes or No.\nThe user liked:\nAnswer: Yes\nAnswer: No"] * 4
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[0], extra_special_tokens=list(SPECIAL[1:])
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": len(fast),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,  # large enough that scores differ clearly
    }
    if window is None:
        LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(folder)
        return folder
    layers = ["sliding_attention", "full_attention"]
    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = Gemma3TextConfig(**sizes, **tokens, head_dim=8, sliding_window=window, layer_types=layers)
    Gemma3ForCausalLM(config).save_pretrained(folder)
    return folder


def write_sentence_encoder(folder: Path) -> Path:
    """A random BERT of width 16 with a word tokenizer, which pads and cuts by itself as MiniLM's does."""
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(" ".join(WORDS).split())]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(folder / "tokenizer.json"))
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(words), initializer_range=0.3, **sizes)).save_pretrained(folder)
    return folder


def make_dataset(rows: int = 900, seed: int = 0) -> Dataset:
    """Users of two tastes: an item is liked, 19 times out of 20, by the users of its own parity."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(1, N_USERS + 1, rows), rng.integers(1, N_ITEMS + 1, rows)
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in users],
            "item_id": [f"i{i}" for i in items],
            "timestamp": np.arange(rows) * 10,
            "label": ((users % 2 == items % 2) ^ (rng.random(rows) < 0.05)).astype(np.int8),
        }
    )
    catalogue = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(1, N_ITEMS + 1)],
            "title": [f"{WORDS[i % 10]} {WORDS[i // 3]} ({1970 + i})" for i in range(1, N_ITEMS + 1)],
            "genres": ["drama" if i % 2 else None for i in range(1, N_ITEMS + 1)],
        }
    )
    return Dataset.from_frames(interactions, catalogue, name="tiny")


def two_categories() -> NDArray[np.float32]:
    """(N_ITEMS + 1, 2) the parity of each item's code; 0 is no item, and nobody has told of item 7."""
    codes = np.arange(N_ITEMS + 1)
    found = np.stack([codes % 2 == 0, codes % 2 == 1], axis=1).astype(np.float32)
    found[[0, 7]] = 0
    return found


def early(dataset: Dataset) -> Dataset:
    """Its first 250 interactions in time, so that nobody has seen everything."""
    first = dataset.interactions.sort("timestamp").drop("split").head(250)
    return Dataset.from_frames(first, dataset.items, name="early")


def fit_mf(dataset: Dataset) -> MF:
    """A quick factorisation that has learned the two tastes."""
    config = MFConfig(dim=8, max_epochs=25, learning_rate=0.02, l2=1e-3, batch_size=128)
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    return MF.fit(dataset.rows("train"), dataset.rows("valid"), **sizes, config=config)


def make_network(
    llm: Path,
    dataset: Dataset,
    mf: MF,
    fusion: FusionConfig | None = None,
    *,
    prompt: PromptConfig | None = None,
    dropout: float = 0.0,
    layers: int | None = None,
    checkpointing: bool = False,
    quantize: str | None = None,
) -> CCFNetwork:
    """A network in fp32; its CF model is a copy, so that tests may train it."""
    cf = MF(mf.n_users, mf.n_items, mf.config)
    cf.load_state_dict(mf.state_dict())
    lora = LoRAConfig(rank=4, dropout=dropout)
    kept: dict[str, Any] = {"layers": layers, "checkpointing": checkpointing, "quantize": quantize}
    return build_network(
        dataset.items,
        cf.eval(),
        llm=LLMConfig(model=str(llm), dtype="float32", device="cpu", lora=lora, **kept),
        prompt=prompt or PromptConfig(history=HistoryBudget(items=6, tokens=200, step=3)),
        fusion=fusion or FusionConfig(hidden=16, dropout=dropout),
        details=("genres",),
        seed=0,
    )


def stir(network: CCFNetwork, seed: int = 0, scale: float = 0.1) -> CCFNetwork:
    """Move adapter and fusion away from their neutral start, so that equalities are not equalities of zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in [*network.part("lora").values(), *network.part("fusion").values()]:
            weight.add_(scale * torch.randn(weight.shape, generator=generator))
    return network


def run_values(llm: Path, folder: Path) -> dict[str, Any]:
    """The settings of a whole run that takes a few seconds: two methods, one of them on top of the other."""
    stage = {"rows": 160, "batch_rows": 40, "evaluations": 2, "valid_rows": None}
    return {
        "name": "tiny",
        "output": str(folder / "run"),
        "data": {"source": str(folder / "data"), "details": ["genres"]},
        "cf": {**dict.fromkeys(MODELS, QUICK_CF), "sasrec": QUICK_SASREC, "folds": 2},
        "llm": {"model": str(llm), "dtype": "float32", "device": "cpu", "lora": {"rank": 4}},
        "prompt": {"history": {"items": 6, "tokens": 120, "step": 3}},
        "fusion": {"hidden": 16},
        "stages": {"text": {"train": ["lora"], **stage}, "fusion": {"train": ["fusion"], **stage}},
    }


def zipped(files: dict[str, str]) -> bytes:
    """A zip of texts."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def unseal(folder: Path) -> Path:
    """Make it a folder of before there were checksums, so that its readers see what a test changes."""
    for manifest in folder.rglob(MANIFEST):
        if manifest.parent.name != "splits":
            manifest.unlink()
    return folder


def tensor_bytes(tensor: Any) -> int:
    """What a tensor takes, also one that is made of others."""
    if not is_traceable_wrapper_subclass(tensor):
        return int(tensor.nbytes)
    return sum(tensor_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
