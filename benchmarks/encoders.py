"""How long a catalogue's words take to become vectors, by encoder: of so many items, and what 100,000 would take.

    python benchmarks/encoders.py ml-100k --details year genres --out benchmarks/speed/encoders.json

One thread. The seconds are those of the processor, as another's work on the machine is none of an encoder's; what
100,000 items take follows from the items that were read, it is not measured. Nothing is kept in the cache.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccf_llm.data.named import open_dataset
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json
from ccf_llm.llm.base import LanguageModel, load_tokenizer
from ccf_llm.llm.hidden import hidden_means
from ccf_llm.llm.reading import StateReader
from ccf_llm.llm.runtime import choose_device, choose_dtype
from ccf_llm.llm.settings import LoRAConfig
from ccf_llm.llm.source import resolve_model
from ccf_llm.prompts.details import words_of
from ccf_llm.text.sentences import SentenceEncoder, find_encoder
from ccf_llm.text.words import texts_of

MANY = 100_000


def main() -> None:
    """Read the texts by each encoder and write the figures."""
    parser = argparse.ArgumentParser(description="Items per second of the semantic encoders.")
    parser.add_argument("data")
    parser.add_argument("--details", nargs="*", default=["genres"])
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--llm", default="smollm2-135m")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--reader", help="Also by the states of this model, as +llm:NAME in cf.prior.words reads.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = open_dataset(arguments.data).items.head(arguments.items)
    texts = texts_of(items["title"].to_list(), words_of(items, tuple(arguments.details), len))
    source = resolve_model(arguments.llm)
    dtype = choose_dtype("auto", choose_device("cpu"))
    llm, tokenizer = LanguageModel(source, dtype, LoRAConfig(), 0, layers=arguments.layers), load_tokenizer(source)
    encoder = SentenceEncoder(find_encoder())

    def states() -> None:
        ids = tokenizer([f" {text}" for text in texts], add_special_tokens=False)["input_ids"]
        hidden_means(llm, [np.array(text) for text in ids], None, keep=False)

    ways: dict[str, Callable[[], Any]] = {"sentences": lambda: encoder.encode(texts), "hidden": states}
    if arguments.reader:
        reader = StateReader(resolve_model(arguments.reader))
        ways["states"] = lambda: reader.read(texts)
    rows: dict[str, Any] = {}
    for name, read in ways.items():
        begun = time.process_time()
        read()
        rate = len(texts) / (time.process_time() - begun)
        rows[name] = {"items_per_second": round(rate, 1), "minutes_for_100000": round(MANY / rate / 60, 1)}
        print(name, rows[name], flush=True)
    about = {"data": Path(arguments.data).name, "items": len(texts), "characters": sum(map(len, texts)) / len(texts)}
    read_by = {"llm": arguments.llm, "layers": arguments.layers, "dtype": str(dtype), "reader": arguments.reader}
    write_json(arguments.out, about | read_by | {"encoders": rows, "made": circumstances()})


if __name__ == "__main__":
    main()
