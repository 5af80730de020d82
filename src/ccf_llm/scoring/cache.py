"""Prefixes of users who come back, least recently used first out."""

import shutil
from collections import OrderedDict
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

from torch import Tensor

from ccf_llm.io.files import atomic_file
from ccf_llm.io.tensors import read_tensors, tensors_sha256, write_tensors
from ccf_llm.llm.attention import Prefix
from ccf_llm.llm.products import Version, version_of


class PrefixKey(NamedTuple):
    """Everything in a chain that decides its keys and values, apart from the model's weights."""

    ids: bytes
    """Token ids: template, the user's words, history and its window."""
    items: bytes
    """Item codes at its slots."""
    reader: bytes
    """User code and whole history, where the chain holds a user slot; else empty."""

    @property
    def has_slots(self) -> bool:
        """Whether fusion and CF model have a part in the chain."""
        return bool(self.reader) or any(self.items)


_Place = tuple[str, str, PrefixKey]
"""Digests of the weights that read words and, where the chain has slots, of those that fill them; and the chain."""


class _Entry(NamedTuple):
    kept: Any
    nbytes: int
    seconds: float


class PrefixCache:
    """Keys and values of chains, within a budget of memory; for one thread at a time, as the scorer sees to.

    A new like changes the chain and with it the key. The weights are part of what an entry is found by, so nothing
    stale is ever read, and models over one adapter share the chains in which no slot is: those are words alone.

    Args:
        max_bytes: of all keys and values; SmolLM2-135M in bf16 takes 23 kB a token.
    """

    def __init__(self, max_bytes: int = 256 * 2**20) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.hits = self.misses = 0
        self.saved_seconds = 0.0
        """What it took to compute all that was found."""
        self._entries: OrderedDict[_Place, _Entry] = OrderedDict()
        self._weights: list[Tensor] = []
        self._version: Version = ()
        self._words = self._slots = ""

    def __len__(self) -> int:
        return len(self._entries)

    def renew(self, words: list[Tensor], slots: list[Tensor]) -> None:
        """From now on find what these weights have made.

        The tensors whose versions are compared are kept, so that no other tensor can take their identity.

        Args:
            words: the weights that read words: adapter and learned prompt. The base model must always be the same.
            slots: the weights that fill slots: fusion and CF model.
        """
        version = version_of([*words, *slots])
        if version != self._version:
            self._weights, self._version = [*words, *slots], version
            self._words, self._slots = tensors_sha256(words), tensors_sha256(slots)

    def clear(self) -> None:
        """Forget all prefixes."""
        while self._entries:
            self._forget_oldest()

    def get(self, key: PrefixKey) -> Prefix | None:
        """The prefix, which is then the most recently used; None where it is not kept."""
        place = self._place(key)
        entry = self._entries.get(place)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self.saved_seconds += entry.seconds
        self._entries.move_to_end(place)
        return self._load(entry.kept)

    def put(self, key: PrefixKey, prefix: Prefix, seconds: float = 0.0) -> None:
        """Keep a prefix of one row, which took `seconds`; one larger than the whole budget is not kept."""
        place = self._place(key)
        if place in self._entries or prefix.nbytes > self.max_bytes:
            return
        self._entries[place] = _Entry(self._keep(prefix), prefix.nbytes, seconds)
        self.nbytes += prefix.nbytes
        while self.nbytes > self.max_bytes:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, oldest = self._entries.popitem(last=False)
        self.nbytes -= oldest.nbytes
        self._drop(oldest.kept)

    def _place(self, key: PrefixKey) -> _Place:
        return self._words, self._slots if key.has_slots else "", key

    def _keep(self, prefix: Prefix) -> Any:
        return prefix

    def _load(self, kept: Any) -> Prefix:
        prefix: Prefix = kept
        return prefix

    def _drop(self, kept: Any) -> None:
        """Nothing holds it any more."""


class PrefixFiles(PrefixCache):
    """The same on disk, where it takes no memory of the process, for models that are scored one after the other.

    It keeps chains of words alone: no model but the one that made the others could read them.

    Args:
        folder: where the files are made; a `with` statement removes it before and afterwards.
        max_bytes: of all files.
    """

    def __init__(self, folder: Path, max_bytes: int = 4 * 2**30) -> None:
        super().__init__(max_bytes)
        self.folder = folder
        self._numbers = count()

    def __enter__(self) -> Self:
        """Remove what a killed process has left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, key: PrefixKey, prefix: Prefix, seconds: float = 0.0) -> None:
        """Keep a prefix in which no slot is; raises `CCFError` where the disk refuses it."""
        if not key.has_slots:
            super().put(key, prefix, seconds)

    def _keep(self, prefix: Prefix) -> tuple[Path, str]:
        file = self.folder / f"{next(self._numbers)}.safetensors"
        parts = {f"{n}.{k}": part for n, both in prefix.layers.items() for k, part in enumerate(both)}
        with atomic_file(file) as temporary:
            write_tensors(parts, temporary)
        return file, str(parts["0.0"].device)

    def _load(self, kept: tuple[Path, str]) -> Prefix:
        file, device = kept
        parts = read_tensors(file, device=device)
        return Prefix({n: (parts[f"{n}.0"], parts[f"{n}.1"]) for n in range(len(parts) // 2)})

    def _drop(self, kept: tuple[Path, str]) -> None:
        kept[0].unlink()
