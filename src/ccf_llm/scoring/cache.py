"""Prefixes of users who come back, least recently used first out."""

from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor

from ccf_llm.llm.attention import Prefix
from ccf_llm.llm.products import Version, version_of


class PrefixKey(NamedTuple):
    """Everything in a chain that decides its keys and values, apart from the model's weights."""

    ids: bytes
    """Token ids: template, history and its window."""
    items: bytes
    """Item codes at its slots."""
    reader: bytes
    """User code and whole history, where the chain holds a user slot; else empty."""


class PrefixCache:
    """Keys and values of chains, within a budget of memory.

    A new like changes the chain and with it the key. A change of any weight (adapter, fusion, CF model) empties the
    cache, so nothing stale is ever read. The tensors whose versions are compared are kept, so that no other tensor can
    take their identity.

    Args:
        max_bytes: memory of all keys and values; SmolLM2-135M in bf16 takes 23 kB a token.
    """

    def __init__(self, max_bytes: int = 256 * 2**20) -> None:
        """An empty cache."""
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.hits = self.misses = 0
        self._prefixes: OrderedDict[PrefixKey, Prefix] = OrderedDict()
        self._weights: list[Tensor] = []
        self._version: Version = ()

    def __len__(self) -> int:
        """Number of prefixes."""
        return len(self._prefixes)

    def renew(self, weights: list[Tensor]) -> None:
        """Empty the cache if the weights are not those of the call before."""
        version = version_of(weights)
        if version != self._version:
            self.clear()
            self._weights, self._version = weights, version

    def clear(self) -> None:
        """Forget all prefixes."""
        self._prefixes.clear()
        self.nbytes = 0

    def get(self, key: PrefixKey) -> Prefix | None:
        """The prefix, which is then the most recently used; None where it is not kept."""
        prefix = self._prefixes.get(key)
        if prefix is None:
            self.misses += 1
            return None
        self.hits += 1
        self._prefixes.move_to_end(key)
        return prefix

    def put(self, key: PrefixKey, prefix: Prefix) -> None:
        """Keep a prefix of one row; one larger than the whole budget is not kept."""
        if key in self._prefixes or prefix.nbytes > self.max_bytes:
            return
        self._prefixes[key] = prefix
        self.nbytes += prefix.nbytes
        while self.nbytes > self.max_bytes:
            _, oldest = self._prefixes.popitem(last=False)
            self.nbytes -= oldest.nbytes
