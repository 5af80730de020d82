"""Settings of the collaborative models, by kind. They load no model, and no torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ccf_llm.settings import Settings
from ccf_llm.text.words import READERS

MEAN = "item_user_mean"
"""The one that has no settings."""
ProductKind = Literal["mf", "lightgcn"]
"""Kinds whose score is a product of vectors."""
RetrieverKind = Literal["popularity", "knn", "ease", "l3ae", "als", "sasrec_softmax", "retriever_ensemble"]
"""Kinds that are fitted on likes alone and rank the catalogue."""
ModelKind = Literal["mf", "lightgcn", "sasrec", "din", "ensemble", "knn", "ease", "l3ae", "als", "sasrec_softmax"]
"""Kinds with vectors, fitted on labels or likes."""
VectorKind = Literal[
    "mf", "lightgcn", "sasrec", "din", "ensemble", "knn", "ease", "l3ae", "als", "sasrec_softmax", "ids"
]
"""Kinds that can fill slots."""
MemberKind = Literal["knn", "ease", "als", "sasrec_softmax"]
"""Retrievers that an ensemble can be made of."""
TAKE_WORDS: tuple[RetrieverKind, ...] = ("ease", "l3ae", "als")
"""Kinds that can draw items with few likes to what their words predict."""
FittedKind = Literal[
    "mf", "lightgcn", "sasrec", "din", "ensemble", "gbm", "gbm_words", "popularity", "knn", "ease", "l3ae", "als",
    "sasrec_softmax", "retriever_ensemble",
]  # fmt: skip
"""Kinds that can be a row of a comparison."""
SHARED = {"gbm_words": "gbm"}
"""Kinds that have the settings of another one."""


def check_heads(heads: int, dim: int) -> None:
    """Raise `ValueError` where attention heads cannot share out a width."""
    if dim % heads:
        raise ValueError(f"heads: {heads} heads cannot share out dim {dim}; choose a divisor of it")


class CFConfig(Settings):
    """Settings that every collaborative model trained on labels has."""

    dim: int = Field(default=64, ge=1, le=4096)
    """Width of the user and item vectors, without the bias."""
    history_length: int = Field(default=50, ge=1, le=10_000)
    """How many of the last liked items a user's history vector looks at."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of Adam."""
    l2: float = Field(default=3e-2, ge=0)
    """Weight of the squared vectors of a batch, per row, added to the loss."""
    batch_size: int = Field(default=1024, ge=1)
    """Rows per step."""
    max_epochs: int = Field(default=60, ge=1)
    """Passes over the training rows, at most."""
    patience: int = Field(default=5, ge=1)
    """Passes without a better AUC on the validation rows after which training stops."""


class MFConfig(CFConfig):
    """Settings of `MF`; the defaults are chosen on the valid rows of both MovieLens data sets."""


class LightGCNConfig(CFConfig):
    """Settings of `LightGCN`; the defaults come from a search on the valid rows of the published MovieLens-1M split."""

    dim: int = Field(default=32, ge=1, le=4096)
    """Width of the user and item vectors, without the bias."""
    learning_rate: float = Field(default=7.5e-3, gt=0)
    """Step size of Adam."""
    l2: float = Field(default=5e-2, ge=0)
    """Weight of the squared vectors of a batch, before smoothing, per row, added to the loss."""
    layers: int = Field(default=2, ge=1, le=64)
    """Steps along the graph."""


class SASRecConfig(CFConfig):
    """Settings of `SASRec`; the defaults come from a search on the valid rows of the published MovieLens-1M split."""

    dim: int = Field(default=32, ge=1, le=4096)
    """Width of the user and item vectors, without the bias."""
    learning_rate: float = Field(default=7.5e-3, gt=0)
    """Step size of Adam."""
    l2: float = Field(default=0.15, ge=0)
    """Weight of the squared candidate vectors of a batch, per row, added to the loss."""
    history_length: int = Field(default=25, ge=1, le=10_000)
    """How many of the last liked items the sequence holds."""
    blocks: int = Field(default=2, ge=1, le=64)
    """Self-attention blocks, one on top of the other."""
    heads: int = Field(default=1, ge=1, le=64)
    """Attention heads of each block; they share out `dim`."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """On the sequence's vectors, attention weights and block outputs in training."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        check_heads(self.heads, self.dim)
        return self


class DINConfig(CFConfig):
    """Settings of `DIN`; the defaults come from a search on the valid rows of the published MovieLens-1M split."""

    dim: int = Field(default=32, ge=1, le=4096)
    """Width of the user and item vectors, without the bias."""
    learning_rate: float = Field(default=4.5e-3, gt=0)
    """Step size of Adam."""
    l2: float = Field(default=4e-3, ge=0)
    """Weight of the squared vectors of a batch, per row, added to the loss."""
    history_length: int = Field(default=25, ge=1, le=10_000)
    """How many of the last liked items attention looks at."""
    hidden: int = Field(default=32, ge=1, le=4096)
    """Width of the hidden layers of attention and of the scoring network."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    """On the scoring network's input in training."""


class EnsembleConfig(CFConfig):
    """Settings of `Ensemble`; those that all models have are of each member."""

    dim: int = Field(default=32, ge=1, le=4096)
    """Width of each member's user and item vectors, without the bias."""
    learning_rate: float = Field(default=7.5e-3, gt=0)
    """Step size of Adam."""
    l2: float = Field(default=5e-2, ge=0)
    """Weight of the squared vectors of a batch, per row, added to the loss."""
    members: tuple[ProductKind, ...] = Field(default=("mf", "lightgcn"), min_length=1)
    """Kinds of members."""
    copies: int = Field(default=3, ge=1, le=64)
    """Members of each kind, which differ in their seed."""


class GBMConfig(Settings):
    """Settings of `GBM`."""

    learning_rate: float = Field(default=0.03, gt=0)
    """What each tree adds, as a share of its fit."""
    leaves: int = Field(default=8, ge=2)
    """Of each tree, at most."""
    min_rows: int = Field(default=100, ge=1)
    """Training rows of a leaf, at least."""
    l2: float = Field(default=10.0, ge=0)
    """Shrinks the values of leaves."""
    sampled: float = Field(default=0.7, gt=0, le=1)
    """Share of rows and of features that each tree is grown on, drawn with the seed."""
    max_trees: int = Field(default=1000, ge=1)
    """Trees at most."""
    patience: int = Field(default=50, ge=1)
    """Trees without a better AUC on the validation rows after which training stops."""
    folds: int = Field(default=5, ge=2)
    """The features of a training row come from the rows of all other folds."""
    whole_users: float = Field(default=0.5, ge=0, le=1)
    """Share of users whose rows lie in one fold, so that the trees also meet cold users."""
    history_length: int = Field(default=50, ge=1, le=10_000)
    """How many of the last liked items the neighbourhood is made of."""
    mf: MFConfig = MFConfig()
    """Of the factorisation whose log-odds are a feature."""


class RankTreesConfig(Settings):
    """Settings of `RankTrees`."""

    learning_rate: float = Field(default=0.05, gt=0)
    """What each tree adds, as a share of its fit."""
    leaves: int = Field(default=15, ge=2)
    """Of each tree, at most."""
    min_rows: int = Field(default=200, ge=1)
    """Candidates of a leaf, at least."""
    l2: float = Field(default=10.0, ge=0)
    """Shrinks the values of leaves."""
    sampled: float = Field(default=0.7, gt=0, le=1)
    """Share of candidates and of features that each tree is grown on, drawn with the seed."""
    max_trees: int = Field(default=500, ge=1)
    """Trees at most."""
    patience: int = Field(default=50, ge=1)
    """Trees without a better NDCG@10 on the validation lists after which training stops."""
    candidates: int = Field(default=100, ge=2)
    """Of each list: the retriever's best."""
    cuts: int = Field(default=5, ge=1)
    """Lists of one training user, at most: moments of the past at which they could have been asked."""
    horizon: float = Field(default=0.25, gt=0)
    """How much is to be found in a training list, as a share of the likes before it."""
    earliest: float = Field(default=0.3, ge=0, lt=1)
    """Share of a user's likes that lie before every training list."""
    folds: int = Field(default=4, ge=2)
    """The retriever of a training list has not seen the users of its fold."""
    words: bool = True
    """Read the items' categories, years and vectors, where they are given."""


class IDVectorsConfig(CFConfig):
    """Settings of `IDVectors`, of which only `dim` counts: nothing is fitted."""


class RetrieverConfig(Settings):
    """Settings of a retriever, which ranks the catalogue by likes alone."""


class LinearConfig(RetrieverConfig):
    """Settings of a retriever whose score is a sum over the likes of a history."""

    half_life: float | None = Field(default=None, gt=0)
    """A like counts half as much as one so many likes later in the history; None: all alike."""


class PopularityConfig(RetrieverConfig):
    """Settings of `Popularity`."""

    days: float | None = Field(default=None, gt=0)
    """Count the likes of so many days before the newest one; None: all."""


class KNNConfig(LinearConfig):
    """Settings of `ItemKNN`; the defaults are chosen on the valid likes of MovieLens-100K."""

    k: int = Field(default=100, ge=1)
    """Neighbours that each item keeps."""
    shrink: float = Field(default=0.0, ge=0)
    """Added below the fraction of the cosine: pulls the likeness of items that few people like towards 0."""
    dim: int = Field(default=64, ge=0, le=4096)
    """Width of the vectors for slots; 0: none."""


class EASEConfig(LinearConfig):
    """Settings of `EASE`; the defaults are chosen on the valid likes of MovieLens-100K."""

    l2: float = Field(default=300.0, gt=0)
    """Weight of the squared weights: more for sparse data, and for large."""
    dim: int = Field(default=64, ge=0, le=4096)
    """Width of the vectors for slots; 0: none."""


class L3AEConfig(EASEConfig):
    """Settings of `L3AE`; the defaults are chosen on the valid likes of MovieLens-100K."""

    strength: float = Field(default=3.0, ge=0)
    """How many times the weights that words give the learned ones are drawn to; 0: those of EASE."""
    words_l2: float = Field(default=30.0, gt=0)
    """Weight of the squared weights that words give, whose vectors have length 1."""


class ALSConfig(RetrieverConfig):
    """Settings of `ALS`; the defaults are chosen on the valid likes of MovieLens-100K."""

    dim: int = Field(default=128, ge=1, le=4096)
    """Factors of a person and an item, which are the vectors for slots too."""
    regularization: float = Field(default=10.0, ge=0)
    """Weight of the squared factors."""
    alpha: float = Field(default=1.0, gt=0)
    """Confidence in a like, where that in its absence is 1."""
    iterations: int = Field(default=15, ge=1)
    """Turns of people and items."""


class SASRecSoftmaxConfig(RetrieverConfig):
    """Settings of `SASRecSoftmax`; the defaults come from a few trials on the valid likes of MovieLens-100K."""

    dim: int = Field(default=64, ge=1, le=4096)
    """Width of the vectors, without the bias."""
    history_length: int = Field(default=50, ge=1, le=10_000)
    """How many of the last likes are read."""
    blocks: int = Field(default=1, ge=1, le=64)
    """Self-attention blocks, one on top of the other."""
    heads: int = Field(default=2, ge=1, le=64)
    """Attention heads of each block; they share out `dim`."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On the sequence's vectors, attention weights and block outputs in training."""
    item_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of the likes that later ones do not see in training, drawn anew for each step."""
    horizon: int = Field(default=10, ge=1)
    """How many of the likes that follow are aimed at from each place; 1: the next one, as in the paper."""
    negatives: int = Field(default=2000, ge=1)
    """The softmax goes over the whole catalogue up to so many liked items; beyond, over so many drawn in each step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest step size of AdamW: it rises over the first twentieth of the steps and falls to 0 as a cosine."""
    batch_size: int = Field(default=16, ge=1)
    """Histories per step."""
    epochs: int = Field(default=20, ge=1)
    """Passes over all places of all histories."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        check_heads(self.heads, self.dim)
        return self


class PriorConfig(Settings):
    """Settings of the prior from text: `ease` and `als` draw items with few likes to what their words predict."""

    words: str = Field(default="none", pattern=rf"^(none|{READERS})$")
    """What reads the words, title and `data.details`: `sentences` all-MiniLM-L6-v2, `sentences:NAME` another encoder, a
    sentence-transformers folder or a hub id, either with `+ngrams` after it to read by their letters too, and with
    `+llm:NAME` by a language model that may know the items by name, as `llm.model` names one; `none`: there is no
    prior."""
    k: float = Field(default=3.0, gt=0)
    """Likes at which an item is half its own and half the prediction."""
    l2: float = Field(default=10.0, gt=0)
    """Weight of the squared map from words to vectors."""
    new_length: float = Field(default=1.0, gt=0)
    """How many times the length that words predict a new item's vector has: more brings more of them into lists. New is
    what comes after training or what `data.split.new_items` holds out."""
    unmet: Literal["passed over", "new"] = "passed over"
    """What an item of the catalogue is that nobody likes in training: `passed over` although it was there, or `new`, as
    where items keep coming and the split is by time."""


class RetrieverEnsembleConfig(RetrieverConfig):
    """Settings of `RetrieverEnsemble`; the weights are not chosen on any data yet."""

    weights: dict[MemberKind, Annotated[float, Field(gt=0)]] = Field(
        default={"ease": 0.5, "sasrec_softmax": 0.5}, min_length=1
    )
    """The members, and how much the scores of each count once they have a standard deviation of 1."""
    knn: KNNConfig = KNNConfig()
    """Item KNN."""
    ease: EASEConfig = EASEConfig()
    """The autoencoder in closed form."""
    als: ALSConfig = ALSConfig()
    """Factors by implicit ALS, which needs the extra of that name."""
    sasrec_softmax: SASRecSoftmaxConfig = SASRecSoftmaxConfig()
    """Self-attention over the likes in their order."""


class CFSettings(Settings):
    """The collaborative models."""

    model: ModelKind = "mf"
    """The one whose vectors fill the slots, whose log-odds are blended in, and that retrieves candidates."""
    compare: tuple[FittedKind, ...] = ()
    """Further CF rows of the comparison; item + user mean is always one. gbm needs the extra of that name."""
    mf: MFConfig = MFConfig()
    """Matrix factorisation."""
    lightgcn: LightGCNConfig = LightGCNConfig()
    """Vectors smoothed along the graph of likes."""
    sasrec: SASRecConfig = SASRecConfig()
    """Self-attention over the liked items."""
    din: DINConfig = DINConfig()
    """Attention from the candidate to the liked items."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """Several MF and LightGCN as one."""
    gbm: GBMConfig = GBMConfig()
    """Boosted trees on features of user, item and history, `gbm_words` of words too; no vectors to fill slots with."""
    popularity: PopularityConfig = PopularityConfig()
    """How many people like an item."""
    knn: KNNConfig = KNNConfig()
    """Shrunk cosine of who likes two items."""
    ease: EASEConfig = EASEConfig()
    """Linear weights from likes to likes, in closed form."""
    l3ae: L3AEConfig = L3AEConfig()
    """EASE drawn to what the items' words say of each other; needs `prior.words`."""
    als: ALSConfig = ALSConfig()
    """Implicit factorisation; needs the extra of that name."""
    sasrec_softmax: SASRecSoftmaxConfig = SASRecSoftmaxConfig()
    """Self-attention over the likes, taught by a softmax over the catalogue."""
    retriever_ensemble: RetrieverEnsembleConfig = RetrieverEnsembleConfig()
    """Several retrievers as one; for comparison, not for slots."""
    rank_trees: RankTreesConfig = RankTreesConfig()
    """Boosted trees that put a retriever's best in order: the ranking task's strong and simple rival."""
    prior: PriorConfig = PriorConfig()
    """What the words of items with few likes say of their vectors."""
    ids: IDVectorsConfig = IDVectorsConfig()
    """Random vectors that only a stage with `train: [..., cf]` teaches anything: for methods, never a row by itself."""
    folds: int = Field(default=4, ge=0)
    """Train the language model on CF vectors of so many cross-fitted models, each row on those of one that has not seen
    it; 0: on the final model's."""
    whole_users: float = Field(default=0.5, ge=0, le=1)
    """Share of users that are held out whole when cross-fitting, so that the language model also meets cold users."""

    def draws(self, method: str) -> bool:
        """Whether the model draws items to what their words predict."""
        return self.prior.words != "none" and method in TAKE_WORDS

    def of(self, method: str) -> CFConfig | GBMConfig | RetrieverConfig:
        """The settings of a fitted CF model."""
        config: CFConfig | GBMConfig | RetrieverConfig = getattr(self, SHARED.get(method, method))
        return config
