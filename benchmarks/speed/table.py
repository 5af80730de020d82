"""Print a table of docs/speed.md from the file that it is given: of attention.py, compiled.py or templates.py."""

import json
import sys
from pathlib import Path
from typing import Any

Found = dict[str, Any]


def print_attention(found: Found) -> None:
    """A row for each shape, a cell for each way: milliseconds forwards, and forwards and back."""
    dtypes = {"bfloat16": "bf16", "float32": "fp32"}
    ways = [(dtype, way) for dtype in dtypes for way in next(iter(found["shapes"].values()))[dtype]]
    print(f"| | {' | '.join(f'{dtypes[dtype]}: {way}' for dtype, way in ways)} |")
    print("|---" * (len(ways) + 1) + "|")
    for name, shape in found["shapes"].items():
        cells = [
            ", ".join(
                f"{shape[dtype][way][key]:.1f}" for key in ("forth_ms", "forth_and_back_ms") if key in shape[dtype][way]
            )
            for dtype, way in ways
        ]
        print(f"| {name} ({_sizes(shape)}) | {' | '.join(cells)} |")


def print_compiled(found: Found) -> None:
    """A row for each pass, a cell for each way: milliseconds, and after how long the compiler was done."""
    print("| | as made | compiled for one size | compiled for all sizes |\n|---|---|---|---|")
    for kind, passes in found["passes"].items():
        for shape in passes.values():
            made, *compiled = shape["float32"].values()
            cells = [
                f"{made['ms']:,.0f} ms",
                *(f"{way['ms']:,.0f} ms, after {way['first_s']:,.0f} s" for way in compiled),
            ]
            print(f"| {kind}, {_sizes(shape)} | {' | '.join(cells)} |")


def print_forms(found: Found) -> None:
    """A row for each form of the prompt."""
    print("| form | AUC, language model | AUC, blended | rows scored per second | prefix | suffix | training, s |")
    print("|---" * 7 + "|")
    for form in found["forms"]:
        aucs = f"{form['valid_auc_llm']:.3f} | {form['valid_auc_blended']:.3f}"
        tokens = f"{form['prefix_tokens']:.0f} tokens | {form['suffix_tokens']:.0f}"
        print(f"| {form['form']} | {aucs} | {form['rows_per_s']:.1f} | {tokens} | {form['train_seconds']:.0f} |")


def _sizes(shape: Found) -> str:
    prefixes, branches, own, before = shape["sizes"]
    return f"{prefixes} x {branches} branches of {own} over {before}"


def main(path: str) -> None:
    """Print the table of the file's kind."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    kinds = {"shapes": print_attention, "passes": print_compiled, "forms": print_forms}
    next(of for key, of in kinds.items() if key in found)(found)


if __name__ == "__main__":
    main(sys.argv[1])
