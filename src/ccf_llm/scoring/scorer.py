"""The shared-prefix scorer: a user's history is read once, all candidates branch off it."""

import time

import numpy as np
import torch

from ccf_llm.data.rows import Floats, Rows
from ccf_llm.io.progress import Tick
from ccf_llm.llm.attention import Prefix
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.collate import collate_chains, collate_targets
from ccf_llm.prompts.encoder import USER_SLOT
from ccf_llm.prompts.pack import Sequence, plan_batches, plan_sequences, split_targets
from ccf_llm.scoring.cache import PrefixCache, PrefixKey

MOST_TOKENS = 1024
"""Of a batch on a CPU: beyond it nothing gets faster, as activations leave the processor's cache."""


class SharedPrefixScorer:
    """Log-odds of rows, exactly as one prompt at a time would give them.

    Any thread may call it. Calls on one language model take turns, for each uses all cores by itself, and they share
    the model's mode, its merged adapter and the cache. Nothing may train the model meanwhile.

    Args:
        network: the model; below fp32 its adapter is merged into the weights while scoring.
        memory_mb: what the activations of a batch may take; it bounds how many tokens go through the model at once.
        cache: where prefixes are kept between calls; None keeps none.
    """

    def __init__(self, network: CCFNetwork, *, memory_mb: int = 512, cache: PrefixCache | None = None) -> None:
        self.network, self.memory_mb, self.cache = network, memory_mb, cache

    def score(self, rows: Rows, tick: Tick | None = None) -> Floats:
        """(N,) log-odds that the user likes the item: the language model's, blended with CF's if so configured.

        In the ranking task the blend of log-odds and the retriever's score, which only orders. Where the blend gives
        the language model no weight, it is not asked.
        """
        if not self.network.uses_llm:
            return self.blend(np.zeros(len(rows), dtype=np.float32), rows)
        with self.network.llm.products.lock:
            return self.blend(self.language_scores(rows, tick), rows)

    def blend(self, llm: Floats, rows: Rows) -> Floats:
        """(N,) the language model's log-odds of rows, blended with CF's if so configured."""
        network = self.network
        return network.blended(llm, network.cf.score(rows), rows) if network.blends else llm

    @torch.no_grad()
    def language_scores(self, rows: Rows, tick: Tick | None = None) -> Floats:
        """(N,) log-odds of the language model alone.

        Args:
            rows: what to score.
            tick: told after each batch how many rows it has scored.
        """
        with self.network.llm.products.lock:
            return self._language_scores(rows, tick)

    def forget(self) -> None:
        """Drop the prefixes that are kept, once the call that is computing them has ended."""
        with self.network.llm.products.lock:
            if self.cache is not None:
                self.cache.clear()

    def _language_scores(self, rows: Rows, tick: Tick | None) -> Floats:
        network = self.network
        was_training = network.training
        if was_training or network.llm.training:  # going over all layers takes a tenth of a short request
            network.eval()
        if network.llm.dtype != torch.float32:  # in fp32, where every bit counts, merging would round anew
            network.llm.products.for_scoring()
        if self.cache is not None:
            self.cache.renew(network.word_weights(), network.slot_weights())
        scores = np.zeros(len(rows), dtype=np.float32)
        sequences = plan_sequences(rows, network.encoder, network.budget)
        batch_tokens = self._batch_tokens(max((len(s.chain) for s in sequences), default=0))
        for group in plan_batches(sequences, batch_tokens=batch_tokens):
            prefix = self._prefix(group, rows)
            parts = [group] if len(group) > 1 else [[s] for s in split_targets(group[0], batch_tokens=batch_tokens)]
            for part in parts:
                targets = collate_targets(part)
                scores[targets.targets] = network.answer(targets, rows, prefix).cpu().numpy()
                if tick is not None:
                    tick(len(targets.targets))
        if was_training:
            network.train()
        return scores

    def _prefix(self, group: list[Sequence], rows: Rows) -> Prefix:
        """Keys and values of the group's chains, from the cache where they are known."""
        read = self.network.read_chains
        if self.cache is None:
            return read(collate_chains(group), rows)
        keys = [_key(sequence, rows) for sequence in group]
        known = {key: prefix for key in dict.fromkeys(keys) if (prefix := self.cache.get(key)) is not None}
        missing = {key: sequence for key, sequence in zip(keys, group, strict=True) if key not in known}
        if missing:
            started = time.perf_counter()
            fresh = read(collate_chains(list(missing.values())), rows)
            each = (time.perf_counter() - started) / len(missing)
            for row, (key, sequence) in enumerate(missing.items()):
                known[key] = fresh.row(row, len(sequence.chain))
                self.cache.put(key, known[key], each)
        return Prefix.stack([known[key] for key in keys])

    def _batch_tokens(self, chain: int) -> int:
        """How many tokens fit the memory where the longest chain is `chain` tokens.

        A token's share: hidden states of the widest layer in flight, and its attention weights in all heads, several
        times over, as operations have inputs and outputs.
        """
        llm = self.network.llm
        config = llm.body.config
        inner = int(getattr(config, "intermediate_size", None) or 4 * llm.width)
        attention = 5 * int(config.num_attention_heads) * (chain + 32)
        most: int = self.memory_mb * 2**20 // ((8 * llm.width + 4 * inner + attention) * llm.dtype.itemsize)
        return max(64, min(MOST_TOKENS, most) if self.network.device.type == "cpu" else most)


def _key(sequence: Sequence, rows: Rows) -> PrefixKey:
    reader = b""
    if USER_SLOT in sequence.chain:
        row = sequence.rows[0]
        reader = rows.users[row].tobytes() + rows.history(row).tobytes()
    return PrefixKey(sequence.chain.tobytes(), sequence.chain_items.tobytes(), reader)
