"""The base language model: frozen body, LoRA through PEFT, two-row answer head."""

from typing import Any, Self

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.pretrained import SAFELY, check_size
from ccf_llm.io.quiet import quiet
from ccf_llm.io.tensors import find_tensor
from ccf_llm.llm.attention import NAME, Branches
from ccf_llm.llm.embeddings import TokenEmbeddings, scale_of
from ccf_llm.llm.products import Products, linear_layers
from ccf_llm.llm.quantized import quantize
from ccf_llm.llm.settings import LoRAConfig, Quantization
from ccf_llm.llm.sharded import anybody_passes, pass_nothing, shard
from ccf_llm.llm.source import ModelSource
from ccf_llm.randomness import seeded


class LanguageModel(nn.Module):
    """Embeddings in, log-odds out.

    The body runs in `dtype` (bf16 where the processor has it), the adapter's weights are fp32, and the answer is
    computed in fp64 from the difference of the output head's two rows: score = h . (W_yes - W_no).
    """

    head: Tensor
    """(d,) fp64, the row of Yes minus the row of No."""

    def __init__(
        self,
        source: ModelSource,
        dtype: torch.dtype,
        lora: LoRAConfig,
        seed: int,
        *,
        layers: int | None = None,
        checkpointing: bool = False,
    ) -> None:
        """Load the base model (`from_pretrained`, safetensors only), freeze it and add a fresh adapter.

        Of its transformer layers the first `layers` are read, or all, and then its final norm. With `checkpointing`
        training computes the inside of each layer anew on the way back.

        Raises:
            CCFError: the files do not hold a model, or it has no layers of the names in `lora.targets`, or not so many,
                or it has no checkpointing.
        """
        super().__init__()
        self.source, self.lora, self.layers = source, lora, layers
        model = _load(source, dtype, layers)
        inputs, outputs = _tables(source, model, layers)
        self.embeddings = TokenEmbeddings(inputs.float(), scale_of(model.get_input_embeddings()))
        self.output_rows: Tensor = self.embeddings.weight if outputs is inputs else nn.Parameter(outputs, False)
        """(V, d) the whole output head, of which `head` is the difference of two rows."""
        self.register_buffer("head", torch.zeros(outputs.shape[1], dtype=torch.float64), persistent=False)
        self.answers = (0, 0)
        if checkpointing:
            _add_checkpointing(source, model)
        with seeded(seed):
            self.body = _add_adapter(model.base_model.to(dtype), lora)
        self.body.requires_grad_(False)  # the stages say what is trained
        # What a saved adapter names is the model, not a folder of this machine.
        self.body.peft_config["default"].base_model_name_or_path = source.name
        self.products = Products(self.body)
        self.quantization: Quantization | None = None
        self.sharded = False

    def quantize(self, kind: Quantization, device: torch.device) -> None:
        """Keep the weights of the body's linear layers in 8 or 4 bits, made on `device`, one layer after the other.

        Raises:
            CCFError: torchao is not installed, or a layer does not fit.
        """
        for layer, _ in linear_layers(self.body):
            layer.weight = nn.Parameter(quantize(layer.weight.detach().to(device), kind), requires_grad=False)
        self.quantization, self.products.quantized = kind, True

    def shard(self, device: torch.device) -> None:
        """Deal the body's layers out to the processes that train together (`sharded.shard`)."""
        shard(self.body, device)
        self.sharded = self.products.as_made = True

    def set_answers(self, yes: int, no: int) -> None:
        """Choose the two rows of the output head."""
        self.answers = (yes, no)
        rows = self.output_rows[[yes, no]].double()
        self.head.copy_(rows[0] - rows[1])

    @property
    def context(self) -> int | None:
        """How many tokens the base model was made for, where it says so."""
        return getattr(self.body.config, "max_position_embeddings", None)

    @property
    def depth(self) -> int:
        """L, how many transformer layers are read."""
        return int(self.body.config.get_text_config().num_hidden_layers)

    @property
    def width(self) -> int:
        """d, the width of the embeddings."""
        return int(self.embeddings.embedding_dim)

    @property
    def token_norm(self) -> float:
        """Mean norm of the token embeddings."""
        return self.embeddings.mean_norm

    def forward(
        self,
        embeddings: Tensor,
        positions: Tensor,
        branches: Branches | tuple[Branches, Branches] | None,
        *,
        exact: bool = False,
        lift: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states.

        Args:
            embeddings: (T, d) input embeddings of one pass; without `branches` (B, T, d), read causally.
            positions: (T,).
            branches: who reads whom; of a pair the tokens of the first come first.
            exact: compute plain causal attention in fp64, to compare with.
            lift: (L, T) or (L, B, T) what each layer adds to attention to each token.

        Returns:
            as `embeddings`, in the body's dtype.
        """
        if branches is None:
            plain: Tensor = self.body(
                inputs_embeds=embeddings.to(self.dtype),
                position_ids=positions[None],
                use_cache=False,
                exact=exact,
                lift=lift,
            ).last_hidden_state
            return plain
        hidden: Tensor = self.body(
            inputs_embeds=embeddings[None].to(self.dtype),
            position_ids=positions[None],
            use_cache=False,
            branches=branches,
            lift=lift,
        ).last_hidden_state
        return hidden[0]

    def end_together(self) -> None:
        """Where the layers are dealt out, help the processes that still have passes to make, until none has.

        It ends what each does at its own pace, such as a step of the training; gradients are enabled as in that.
        """
        while self.sharded and anybody_passes(False):
            pass_nothing(self.body.get_base_model(), self.head.new_zeros(1, 1, self.width, dtype=self.dtype))

    def answer(self, hidden: Tensor) -> Tensor:
        """(N,) fp32 log-odds of Yes from the hidden states (N, d) of the answer positions."""
        score: Tensor = hidden.double() @ self.head
        return score.float()

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`; an adapter that was merged for scoring is taken out again."""
        if mode:
            self.products.for_training()
        return super().train(mode)

    @property
    def dtype(self) -> torch.dtype:
        """What the body computes in."""
        found: torch.dtype = next(p.dtype for name, p in self.body.named_parameters() if "lora_" not in name)
        return found

    def adapter_for_saving(self) -> dict[str, Tensor]:
        """The adapter's weights by the names that PEFT's own files use; the tensors share memory with the model."""
        weights: dict[str, Tensor] = get_peft_model_state_dict(self.body, save_embedding_layers=False)
        return weights

    def adapter(self) -> dict[str, nn.Parameter]:
        """The adapter's weights, by name."""
        return {name: p for name, p in self.body.named_parameters() if "lora_" in name}


def base_config(source: ModelSource, layers: int | None = None) -> PreTrainedConfig:
    """The base model's own configuration, of its first `layers` transformer layers or of all.

    Raises:
        CCFError: the files do not hold a configuration, or the model has not so many layers.
    """
    try:
        with quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(source.path, **SAFELY)
        check_size(config, source.path.glob("*.safetensors"))
    except Exception as error:  # a damaged file makes transformers fail in any of many ways
        raise _cannot_be_loaded(source, error) from error
    if layers is not None:
        text = config.get_text_config()
        depth = text.num_hidden_layers
        if layers > depth:
            raise CCFError(f"llm.layers: {layers}, but {source.name} has {depth} layers; give at most {depth}, or null")
        for name, value in text.to_dict().items():
            if "layer" in name and isinstance(value, list) and len(value) == depth:  # such as the kind of each layer
                setattr(text, name, value[:layers])
        text.num_hidden_layers = layers
    return config


def _load(source: ModelSource, dtype: torch.dtype, layers: int | None) -> Any:
    """The frozen base model, each weight rounded to `dtype` as it is read; those of further layers are not read."""
    config = base_config(source, layers)
    try:
        with quiet(), seeded(0):  # what transformers draws is overwritten by the files
            model = AutoModelForCausalLM.from_pretrained(
                source.path,
                config=config,
                dtype=dtype,
                attn_implementation=NAME,
                use_safetensors=True,
                **SAFELY,
            )
    except Exception as error:
        raise _cannot_be_loaded(source, error) from error
    return model.requires_grad_(False)


def _cannot_be_loaded(source: ModelSource, error: Exception) -> CCFError:
    return CCFError(f"llm.model {source.name}: cannot be loaded ({one_line(error)}); get it again")


def _tables(source: ModelSource, model: Any, layers: int | None) -> tuple[Tensor, Tensor]:
    """Input embeddings and output head (V, d) as the files have them, whatever the body was rounded to.

    They are one tensor where the model has one table for both.
    """
    weights: tuple[Tensor, Tensor] = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    stored: dict[int, Tensor | None] = {id(weight): weight.detach() for weight in weights}
    if weights[0].dtype != torch.float32:
        names = {id(weight): name for name, weight in model.named_parameters()}
        stored = {key: find_tensor(source.path, names[key]) for key in stored}
    inputs, outputs = (stored[id(weight)] for weight in weights)
    if inputs is None or outputs is None:  # an architecture whose weights are renamed while they are loaded
        return _tables(source, _load(source, torch.float32, layers), layers)
    return inputs, outputs


def _add_checkpointing(source: ModelSource, model: Any) -> None:
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError:
        raise CCFError(f"llm.checkpointing: {source.name} has none in transformers; leave it out") from None


def _add_adapter(body: nn.Module, lora: LoRAConfig) -> Any:
    """The body with a fresh adapter in fp32."""
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    try:
        with quiet():
            return get_peft_model(body, config)
    except ValueError as error:
        raise CCFError(f"llm.lora.targets: {one_line(error)}; name layers of this model, or all-linear") from None


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """The base model's own tokenizer, all of whose control tokens are special ones, which data cannot name.

    Some are not marked so, such as Gemma's `<start_of_image>`, and would be found in texts too.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.path, **SAFELY)
    except Exception as error:
        raise _cannot_be_loaded(source, error) from error
    named = [token for token in tokenizer.added_tokens_decoder.values() if token.content.strip() and not token.special]
    for token in named:
        token.special = True
    tokenizer.backend_tokenizer.add_special_tokens(named)
    return tokenizer
