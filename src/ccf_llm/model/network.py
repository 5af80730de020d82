"""CCFNetwork: CF model + prompts + language model + fusion -> log-odds that a user likes an item."""

from collections.abc import Sequence as SequenceOf

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Floats, Rows
from ccf_llm.fusion.fusion import FusionPair
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.fusion.slots import fill_slots, to_norm
from ccf_llm.llm.attention import Branches, Prefix
from ccf_llm.llm.base import LanguageModel
from ccf_llm.llm.hidden import hidden_means
from ccf_llm.llm.reading import text_vectors
from ccf_llm.model.blend import Blend
from ccf_llm.model.places import keep_places
from ccf_llm.model.trainable import Trainable
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.collate import Pass, collate_chains, collate_targets
from ccf_llm.prompts.encoder import ITEM_SLOT, LEARNED_SLOT, USER_SLOT, PromptEncoder
from ccf_llm.prompts.pack import Sequence
from ccf_llm.randomness import seeded
from ccf_llm.text.sentences import sentence_vectors
from ccf_llm.text.words import texts_of

ROUND = 64
"""The tokens of a pass that is learned from are a multiple of this. Each of some twenty activations a layer is as long
as the pass, and what comes in ever other sizes an allocator puts ever further out: a run with titles in its prompts
took 3.1 GB where it takes 2.1."""


class CCFNetwork(nn.Module):
    """Hybrid prompts through a language model whose slots carry fused embeddings.

    It knows codes and tensors only; `CCFLLM` is this network together with the ids of its users and items.

    Args:
        llm: base model with adapter and answer head.
        encoder: prompts over the catalogue.
        cf: a fitted collaborative model over the same codes.
        fusion: settings of alignment and gate.
        budget: which part of a history goes into the prompt.
        seed: of the initial weights of fusion and learned prompt vectors.
        semantic: what the items' words say, where that is known; None reads them.
    """

    semantic: Tensor
    """(n_items + 1, w) what the items' words say: mean of their token embeddings at token norm, where w is d; or the
    vectors of a sentence encoder."""

    def __init__(
        self,
        llm: LanguageModel,
        encoder: PromptEncoder,
        cf: CFModel,
        fusion: FusionConfig,
        budget: HistoryBudget,
        seed: int = 0,
        *,
        semantic: Tensor | None = None,
    ) -> None:
        """Look up the answers and the titles' semantic embeddings, and put fresh fusion networks in place."""
        super().__init__()
        self.llm, self.encoder, self.cf, self.budget = llm, encoder, cf, budget
        llm.set_answers(*encoder.answer_ids())
        self.token_norm = llm.token_norm
        self._told: dict[str, Tensor] | None = None
        if semantic is None:
            semantic = F.pad(self._read_words(1, fusion), (0, 0, 1, 0))  # row 0 is no item
        self.register_buffer("semantic", semantic, persistent=False)
        self.prompt = nn.Parameter(self._start_of_prompt(seed), requires_grad=False)
        """(n, d) learned vectors at the prompt's start; n is 0 for most templates."""
        self.set_fusion(fusion, seed)

    def set_fusion(self, config: FusionConfig, seed: int = 0) -> None:
        """Put fresh alignment and gate networks and a fresh blend in place."""
        self.fusion_config = config
        with seeded(seed):
            self.fusion = FusionPair(
                config,
                users=self.cf.user_statistics(),
                items=self.cf.item_statistics(),
                width=self.llm.width,
                token_norm=self.token_norm,
                words=self.semantic[1:].mean(0),
                depth=self.llm.depth,
            ).to(self.device)
        self.blend = Blend().to(self.device)

    def with_items(self, titles: SequenceOf[str], details: SequenceOf[str] | None = None) -> "CCFNetwork":
        """The same model over further items, whose codes follow; language model and fusion are shared, not copied.

        CF knows as little of them as of any item without a training row, so their words alone tell them apart: also in
        the CF model's vectors, where it has a prior from text.
        """
        read_by = self.cf.reads_words
        words = None if read_by is None else text_vectors(texts_of(titles, details), read_by)
        cf = self.cf.with_items(len(titles), words)
        encoder = self.encoder.with_items(titles, details, cf)
        more = self._read_words(len(self.semantic), self.fusion_config, encoder)
        grown = self.over(encoder, cf, torch.cat([self.semantic, more]))
        grown._told = self._told
        return grown

    def over(self, encoder: PromptEncoder, cf: CFModel, semantic: Tensor | None = None) -> "CCFNetwork":
        """The same model over another catalogue; language model and fusion are shared, not copied.

        `cf` shows its vectors in the space that the fusion was trained in. `semantic` is what the items' words say,
        where that is known.
        """
        other = CCFNetwork(self.llm, encoder, cf, self.fusion_config, self.budget, semantic=semantic)
        other.fusion = self.fusion  # also its statistics of the CF vectors, as of training
        other.blend, other.prompt = self.blend, self.prompt
        return other.to(self.device).train(self.training)

    def part(self, name: Trainable) -> dict[str, nn.Parameter]:
        """The weights of one trainable part, by name."""
        if name == "lora":
            return self.llm.adapter()
        if name == "prompt":
            return {"vectors": self.prompt} if len(self.prompt) else {}
        return dict((self.fusion if name == "fusion" else self.cf).named_parameters())

    @property
    def blends(self) -> bool:
        """Whether the CF score takes part; where no slot reads CF only if so configured."""
        config = self.fusion_config
        return config.blends and (config.blend_text or self.encoder.template.slots != "none")

    @property
    def uses_llm(self) -> bool:
        """Whether the language model decides anything of the score: not where the blend gives it no weight."""
        return not self.blends or float(self.blend.weights[0]) != 0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.llm.head.device

    def blended(self, llm: Floats, cf: Floats, rows: Rows) -> Floats:
        """(N,) scores of rows by what both models say of them, (N,) each.

        Where a prior tells the CF model of items without a training row, these keep the place that it gives them
        (`model.places`), if the fusion's settings do not say otherwise.
        """
        scores: Floats = self.blend(llm, cf)
        if not self.uses_llm or self.cf.reads_words is None or self.fusion_config.unmet == "scored":
            return scores
        unmet: NDArray[np.bool_] = (self.cf.item_counts == 0).cpu().numpy()[rows.items]
        return keep_places(scores, cf, unmet, rows) if unmet.any() else scores

    def forward(self, sequences: list[Sequence], rows: Rows, cf: SequenceOf[CFModel] | None = None) -> Tensor:
        """(N,) fp32 log-odds of the sequences' targets, one after the other, as the language model gives them.

        Args:
            sequences: what goes through the language model.
            rows: the rows that were planned.
            cf: for each sequence the CF model to read it with (in training: one that has not seen its rows); None reads
                all with the own one.
        """
        return self.llm.answer(self.read(sequences, rows, cf))

    def read(
        self,
        sequences: list[Sequence],
        rows: Rows,
        cf: SequenceOf[CFModel] | None = None,
        empty: Tensor | None = None,
    ) -> Tensor:
        """(N, d) last hidden states of the targets' answer positions; the arguments are those of `forward`, and `empty`
        (B,), whose sequences' slots hold zeros.
        """
        chains, targets = collate_chains(sequences), collate_targets(sequences)
        if torch.is_grad_enabled():
            self.llm.products.for_training()
            targets = targets.filled(-(len(chains.ids) + len(targets.ids)) % ROUND)
        passes = [part.to(self.device) for part in (chains, targets)]
        embedded = torch.cat([self.embed(part, rows, cf, empty) for part in passes])
        before, after = (Branches(part.index, part.place, part.limits) for part in passes)
        positions, ids = torch.cat([part.positions for part in passes]), torch.cat([part.ids for part in passes])
        hidden: Tensor = self.llm(embedded, positions, (before, after), lift=self.lift(ids))
        return hidden[len(passes[0].ids) + passes[1].last]

    def read_chains(self, chains: Pass, rows: Rows, cf: SequenceOf[CFModel] | None = None) -> Prefix:
        """Keys and values of chains, which the targets that branch off them read."""
        prefix = Prefix()
        self._hidden(chains, rows, cf, record=prefix)
        return prefix

    def answer(self, targets: Pass, rows: Rows, prefix: Prefix, cf: SequenceOf[CFModel] | None = None) -> Tensor:
        """(N,) fp32 log-odds of targets over the chains that were read before."""
        return self.llm.answer(self._hidden(targets, rows, cf, prefix=prefix)[targets.last])

    def _hidden(self, tokens: Pass, rows: Rows, cf: SequenceOf[CFModel] | None, **prefixes: Prefix) -> Tensor:
        tokens = tokens.to(self.device)
        branches = Branches(tokens.index, tokens.place, tokens.limits, **prefixes)
        hidden: Tensor = self.llm(self.embed(tokens, rows, cf), tokens.positions, branches, lift=self.lift(tokens.ids))
        return hidden

    def lift(self, ids: Tensor) -> Tensor | None:
        """(L, ...) what each layer adds to attention to tokens (...): its bias at slots; None where there is none."""
        bias = self.fusion.depth_bias
        if bias is None:
            return None
        return bias.view(-1, *[1] * ids.dim()) * _is_slot(ids)

    def embed(
        self, tokens: Pass, rows: Rows, cf: SequenceOf[CFModel] | None = None, empty: Tensor | None = None
    ) -> Tensor:
        """(T, d) input embeddings: tokens looked up, slots filled, each sequence with its own CF model's vectors, or
        with zeros where it is `empty`.
        """
        embedded: Tensor = self.llm.embeddings(tokens.ids.clamp(min=0))
        learned = (tokens.ids <= LEARNED_SLOT).nonzero()[:, 0]
        embedded = fill_slots(embedded, self.prompt[LEARNED_SLOT - tokens.ids[learned]], learned)
        for model in dict.fromkeys(cf or [self.cf]):
            mine = torch.tensor([other is model for other in cf or [model] * len(tokens.index)], device=embedded.device)
            mine = mine[tokens.sequence]
            item_slots = (mine & (tokens.ids == ITEM_SLOT)).nonzero()[:, 0]
            user_slots = (mine & (tokens.ids == USER_SLOT)).nonzero()[:, 0]
            # The same item stands in many slots of a pass: fuse it once.
            items, where = torch.unique(tokens.items[item_slots], return_inverse=True)
            embedded = fill_slots(embedded, self.fuse_items(items, model)[0][where], item_slots)
            if self.fusion.odds is not None:
                asked = (mine & tokens.asked).nonzero()[:, 0]
                odds = torch.from_numpy(model.score(rows.take(tokens.rows[asked].cpu().numpy()))).to(embedded.device)
                embedded = fill_slots(embedded, self.fusion.odds(embedded[asked].float(), odds), asked)
            users = rows.take(tokens.rows[user_slots].cpu().numpy())
            embedded = fill_slots(embedded, self.fuse_users(users, model)[0], user_slots)
        if empty is not None:
            embedded = embedded.masked_fill((empty[tokens.sequence] & _is_slot(tokens.ids)).unsqueeze(1), 0)
        return embedded

    def fuse_items(self, items: Tensor, cf: CFModel) -> tuple[Tensor, Tensor]:
        """Fused embeddings (S, d) and collaborative shares (S,) of item codes (S,)."""
        fused, share = self.fusion.item(*self.item_sides(items, cf))
        return fused, share

    def item_sides(self, items: Tensor, cf: CFModel) -> tuple[Tensor, Tensor, Tensor]:
        """What is fused of item codes (S,): semantic (S, d) and collaborative (S, c) embeddings, and counts (S,)."""
        return self.fusion.read(self.semantic[items]), cf.item_embedding(items), cf.item_counts[items]

    def fuse_users(self, rows: Rows, cf: CFModel) -> tuple[Tensor, Tensor]:
        """Fused embeddings (N, d) and collaborative shares (N,) of the users of `rows`, with their histories."""
        fused, share = self.fusion.user(*self.user_sides(rows, cf))
        return fused, share

    def user_sides(self, rows: Rows, cf: CFModel) -> tuple[Tensor, Tensor, Tensor]:
        """What is fused of the users of `rows`: semantic (N, d) and collaborative (N, c) embeddings, and counts (N,).

        A user's semantic embedding is the mean of those of the likes; what is told of the user counts as one like more.
        """
        users, history, _ = cf.inputs(rows)
        liked = (history > 0).float()
        said, n = torch.einsum("nh,nhd->nd", liked, self.semantic[history]), liked.sum(1, keepdim=True)
        words = self.encoder.user_words(rows)
        if any(words):
            said = said + self._said_of_users(words)
            n = n + n.new_tensor([[float(bool(text))] for text in words])
        mean = said / n.clamp(min=1)
        semantic = to_norm(self.fusion.read(mean), self.token_norm)
        return semantic, cf.user_embedding(users, history), cf.user_evidence(users, history)

    def weights(self) -> list[Tensor]:
        """Everything that decides a score and can change: what reads words, what fills slots, and the blend."""
        return [*self.word_weights(), *self.slot_weights(), self.blend.weights]

    def fusion_state(self) -> dict[str, Tensor]:
        """All of fusion and blend by the names that a saved model has; the tensors share memory with the model."""
        state = self.fusion.state_dict()
        if self.fusion_config.shared:  # once is enough
            state = {name: weight for name, weight in state.items() if not name.startswith("user.")}
        return {**state, "blend.weights": self.blend.weights}

    def word_weights(self) -> list[Tensor]:
        """What reads words and can change: adapter and learned prompt; and how layers look at slots among them, whose
        keys are others then.
        """
        bias = self.fusion.depth_bias
        return [*self.part("lora").values(), self.prompt, *([] if bias is None else [bias])]

    def slot_weights(self) -> list[Tensor]:
        """What fills slots: fusion and CF model."""
        parts = (self.fusion, self.cf)
        return [t for part in parts for t in part.state_dict(keep_vars=True).values()]

    def _start_of_prompt(self, seed: int) -> Tensor:
        """Embeddings of tokens drawn at random, which train better than noise (Lester et al. 2021)."""
        embeddings = self.llm.embeddings
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(embeddings.num_embeddings, (self.encoder.template.learned,), generator=generator)
        start: Tensor = embeddings(chosen.to(embeddings.weight.device)).detach()
        return start

    @torch.no_grad()
    def _read_words(self, first: int, config: FusionConfig, encoder: PromptEncoder | None = None) -> Tensor:
        """(n, w) what the words of the items from code `first` on say."""
        encoder = encoder or self.encoder
        items = range(first, len(encoder.titles))
        return self._read_texts([encoder.text(item, details=config.details) for item in items], config)

    @torch.no_grad()
    def _said_of_users(self, words: list[str]) -> Tensor:
        """(N, w) what is told of users says, as `semantic` of items; zeros where nothing is told."""
        if self._told is None:  # of all users at once, the first time; of people whom nobody knows nothing is kept
            texts = sorted({text for text in self.encoder.users if text})
            self._told = dict(zip(texts, self._read_texts(texts, self.fusion_config), strict=True))
        new = [text for text in dict.fromkeys(words) if text and text not in self._told]
        said = self._told | dict(zip(new, self._read_texts(new, self.fusion_config, keep=False), strict=True))
        nothing = self.semantic.new_zeros(self.semantic.shape[1])
        return torch.stack([said[text].to(self.device) if text else nothing for text in words])

    def _read_texts(self, texts: SequenceOf[str], config: FusionConfig, *, keep: bool = True) -> Tensor:
        """(n, w) what texts say."""
        if config.semantic.startswith("sentences") and texts:
            return torch.from_numpy(sentence_vectors(texts, config.semantic, keep=keep)).to(self.device)
        if config.semantic.startswith("hidden"):
            layer = config.semantic.partition(":")[2]
            read = [self.encoder.words(text) for text in texts]
            return hidden_means(self.llm, read, int(layer) if layer else None, keep=keep).to(self.device)
        table = torch.zeros(len(texts), self.llm.width, device=self.device)
        for row, text in enumerate(texts):
            ids = torch.from_numpy(self.encoder.words(text)).to(table.device)
            table[row] = self.llm.embeddings(ids).mean(0)
        return to_norm(table, self.token_norm)


def _is_slot(ids: Tensor) -> Tensor:
    """Whether each token is a slot of an item or of a user."""
    return (ids == ITEM_SLOT) | (ids == USER_SLOT)
