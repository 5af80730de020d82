"""The model card: what a saved model is, what it saw, and what it is not for."""

from importlib.metadata import version

from ccf_llm.llm.reading import state_model
from ccf_llm.llm.source import ALIASES
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.prompts.details import columns_of


def model_card(network: CCFNetwork, info: ModelInfo, items: int) -> str:
    """In Markdown, of a network over so many items."""
    source, layers = network.llm.source, network.llm.layers
    depth = "" if layers is None else f", its first {layers} layers"
    depth += "" if network.llm.quantization is None else f", its weights kept in {network.llm.quantization}"
    bound = _bound(source.name)
    if reader := state_model(network.cf.reads_words):
        bound += f"\n- Reads words by {reader} too (not in this folder){_bound(reader)}"
    told = ", ".join(columns_of(info.user_details))
    people = f"\n- Holds people's data: what is told of users (`user_words.parquet`), by {told}" if told else ""
    return f"""# {info.training.get("name", "ccf-llm")}: a CCF-LLM recommender

{_QUESTION[info.task]} after a hybrid prompt of words and slots. The slots hold fused embeddings of the words and of a
collaborative model. Trained with ccf-llm {version("ccf-llm")}.

- Base model (not in this folder): {source.pinned}{depth}, SHA-256 or commit {source.checksum}{bound}
- Data set: {_data(info)}
- Catalogue: {items} items; known users: {network.cf.n_users}, by their ids (`users.parquet`){people}
- Fusion: {network.fusion_config.variant} gate; collaborative model: {network.cf.name}
- Seed: {info.training.get("seed", "not recorded")}; the whole configuration is `info.training` in `config.json`
- Figures: `figures.md` and `metrics.json` beside this file, once `ccf-llm evaluate` has measured it

## Limits

- It knows what the people of its data set liked, in their proportions: what is popular there is favoured, and groups
  that are few there are served worse. The figures by popularity and by length of the history say how much.
- People whom it does not know are told by their likes alone, and items that it does not know by their words alone.
- An erasure from a server does not change trained weights: leave the person out of the data, and train again.
- It is made to order items for people to choose from, not to decide anything about people.

Read it with `CCFLLM.load(folder)` or `ccf-llm recommend`. Only safetensors, JSON and Parquet are in here.
"""


_QUESTION = {
    "rating": "Scores whether a user will like an item: log-odds of Yes",
    "ranking": "Orders what a user may choose next: log-odds of Yes, weighted with a retriever's score,",
}


def _bound(model: str) -> str:
    """Under which terms or licence a language model of ours comes, as a line of its own."""
    alias = ALIASES.get(model)
    if alias is None:
        return ""
    if alias.terms is None:
        return f"\n- Licence of {model}: {alias.licence}"
    return f"\n- Provided under and subject to the {alias.terms.title} found at {alias.terms.url}"


def _data(info: ModelInfo) -> str:
    """Its name and how many rows of it were learned from."""
    if info.data is None:
        return "not recorded"
    rows = ", ".join(f"{count:,} {part}" for part, count in info.data.rows.items())
    return info.data.name + (f"; interactions: {rows}" if rows else "")
