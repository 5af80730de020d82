"""Putting a network together: base model, adapter, prompts over a catalogue, CF model and fusion."""

from collections.abc import Sequence
from functools import partial

import polars as pl
import torch.distributed as dist
from transformers import PreTrainedTokenizerBase

from ccf_llm.cf.base import CFModel
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm.base import LanguageModel, load_tokenizer
from ccf_llm.llm.runtime import choose_device, choose_dtype, tune_cpu
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.llm.source import ModelSource, resolve_model
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.codes import BinaryCodes
from ccf_llm.prompts.details import Details, columns_of, words_of
from ccf_llm.prompts.encoder import PromptEncoder
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.shots import Shot
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.prompts.users import UserDetails, check_users_told, words_of_users


def build_network(
    items: pl.DataFrame,
    cf: CFModel,
    *,
    llm: LLMConfig,
    prompt: PromptConfig,
    fusion: FusionConfig,
    details: Details,
    seed: int,
    users: Sequence[str] = (),
    shots: tuple[Shot, ...] = (),
    source: ModelSource | None = None,
    loaded: LanguageModel | None = None,
) -> CCFNetwork:
    """A model with a fresh adapter and fresh fusion over a catalogue.

    `items` has the columns item_id, title and those named in `details`; its row c - 1 is item code c. `users` are
    words by user code (`told_by_code`), where something is told of users; `shots` are the examples of a template that
    has them. `source` is the base model where it has been found already; None looks for `llm.model`. `loaded` is the
    language model itself, as another network of the same settings has it: it is shared, adapter included, and nothing
    is loaded anew.
    """
    _check_columns(items, details)
    if loaded is None:
        device = choose_device(llm.device)
        if device.type == "cpu":
            tune_cpu()
        source = source or resolve_model(llm.model)
        dtype = choose_dtype(llm.dtype, device)
        model = LanguageModel(source, dtype, llm.lora, seed, layers=llm.layers, checkpointing=llm.checkpointing)
        if llm.quantize is not None:
            model.quantize(llm.quantize, device)
        if llm.shard and dist.is_initialized():
            model.shard(device)
        loaded = model.to(device)
    encoder = encoder_of(items, cf, load_tokenizer(loaded.source), prompt.template, details, users, shots)
    _check_context(loaded, prompt)
    network = CCFNetwork(loaded, encoder, cf, fusion, prompt.history, seed)
    return network.to(loaded.head.device)


def encoder_of(
    items: pl.DataFrame,
    cf: CFModel,
    tokenizer: PreTrainedTokenizerBase,
    template: HybridTemplate,
    details: Details,
    users: Sequence[str] = (),
    shots: tuple[Shot, ...] = (),
) -> PromptEncoder:
    """Prompts over a catalogue; the arguments are those of `build_network`."""
    _check_columns(items, details)
    words = details_of(items, details, tokenizer)
    return PromptEncoder(
        tokenizer,
        template,
        ["", *items["title"].to_list()],
        ["", *words] if words is not None else None,
        users=users,
        shots=shots,
        binary_codes=BinaryCodes(cf) if template.codes else None,
    )


def describing_columns(items: pl.DataFrame) -> tuple[str, ...]:
    """The columns of a catalogue that sort it, by their usual names: details where nobody has named any."""
    return tuple(name for name in ("genres", "genre", "categories", "category", "tags") if name in items.columns)


def details_of(items: pl.DataFrame, details: Details, tokenizer: PreTrainedTokenizerBase) -> list[str] | None:
    """The further words of each item, within budgets counted in this tokenizer's tokens; None where none are asked."""
    return words_of(items, details, partial(_tokens, tokenizer)) if details else None


def told_of_users(users: pl.DataFrame, details: UserDetails, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The words of each user, within budgets counted in this tokenizer's tokens."""
    return words_of_users(users, details, partial(_tokens, tokenizer))


def told_by_code(
    users: pl.DataFrame | None, vocabulary: Vocabulary, details: UserDetails, tokenizer: PreTrainedTokenizerBase
) -> list[str]:
    """Words by user code; none where nothing is told. Raises `CCFError` where a column is not there or not to be told.

    Of users without a row of their own nothing is known.
    """
    check_users_told(users, details)
    if users is None or not details:
        return []
    told = ["", *told_of_users(users, details, tokenizer)]
    rows = Vocabulary(users["user_id"].alias("id")).encode(vocabulary.ids)
    return ["", *(told[row] for row in rows)]


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer.encode(f" {text}", add_special_tokens=False, split_special_tokens=True))


def _check_columns(items: pl.DataFrame, details: Details) -> None:
    missing = [column for column in columns_of(details) if column not in items.columns]
    if missing:
        raise CCFError(f"data.details: items have no column '{missing[0]}'; they have {', '.join(items.columns)}")


def _check_context(llm: LanguageModel, prompt: PromptConfig) -> None:
    context = llm.context
    if context is not None and prompt.history.tokens >= context:
        raise CCFError(
            f"prompt.history.tokens: {prompt.history.tokens} does not fit the model's context of {context} tokens; "
            "lower it"
        )
