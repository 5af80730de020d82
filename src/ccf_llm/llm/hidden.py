"""Texts -> the base model's own hidden states, which know more of words than its token embeddings do."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.kept import kept_vectors
from ccf_llm.llm.base import LanguageModel
from ccf_llm.text.sentences import batches

BATCH_TOKENS = 2048
"""Tokens that go through the model at once, padding included."""


def hidden_means(
    llm: LanguageModel, texts: Sequence[Codes], layer: int | None, *, first: int = 0, keep: bool = True
) -> Tensor:
    """(n, d) fp32 mean over each text's tokens of what stands after so many layers; None: after half of those read.

    Of the base model as it came, whatever its adapter has learned since. Kept in the cache folder by all that decides
    it, unless `keep` is False. Zeros for a text without tokens. The `first` tokens of each are read and not counted.

    Raises:
        CCFError: more layers than are read (`llm.layers`), or layers that are dealt out to several processes.
    """
    if llm.sharded:  # of which one may find kept what another has to compute
        raise CCFError("fusion.semantic: hidden: cannot be read where llm.shard deals the layers out; take tokens")
    depth = llm.body.config.get_text_config().num_hidden_layers
    if layer is not None and layer > depth:
        raise CCFError(f"fusion.semantic: hidden:{layer}, but {depth} layers are read; give 0 to {depth}")
    which = depth // 2 if layer is None else layer
    if not keep or not texts:
        return _means(llm, texts, which, first)
    key = [llm.source.checksum, str(llm.dtype), which, which == depth, [text.tolist() for text in texts]]
    key += [llm.quantization] if llm.quantization is not None else []
    key += [first] if first else []
    return kept_vectors(fingerprint(key), lambda: _means(llm, texts, which, first))


@torch.no_grad()
def _means(llm: LanguageModel, texts: Sequence[Codes], layer: int, first: int) -> Tensor:
    found = torch.zeros(len(texts), llm.width)
    told = [row for row, text in enumerate(texts) if len(text) > first]
    with llm.products.lock, llm.body.disable_adapter():
        llm.products.undo()  # they may have the adapter merged
        for batch in batches([len(texts[row]) for row in told], BATCH_TOKENS):
            rows = [told[place] for place in batch]
            found[rows] = _batch(llm, [texts[row] for row in rows], layer, first).cpu()
    return found


def _batch(llm: LanguageModel, texts: Sequence[Codes], layer: int, first: int) -> Tensor:
    """(B, d) of texts that go through the model together: padding comes after them, where no token looks."""
    device = llm.embeddings.weight.device
    lengths = torch.tensor([len(text) for text in texts], device=device)
    ids = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(text) for text in texts], batch_first=True).to(device)
    positions = torch.arange(ids.shape[1], device=device)
    mask = (positions >= first) & (positions < lengths[:, None])  # (B, T)
    states = llm.body(
        inputs_embeds=llm.embeddings(ids).to(llm.dtype),
        position_ids=positions[None],
        use_cache=False,
        output_hidden_states=True,
    ).hidden_states[layer]
    mean: Tensor = (states.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return mean
