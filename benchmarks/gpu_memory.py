"""What language models of several sizes need on one card, COMPUTED from their shapes, and how fast they can be at best.

    python benchmarks/gpu_memory.py

Bytes in bf16 over a frozen base, d wide, keys k wide, f wide in the middle, of h heads, L layers and V words:
    weights      2 L (2 d d + 2 d k + 3 d f), the table of embeddings 6 V d (fp32 for slots, bf16 of the body),
                 and 2 V d for a head that is another table; with `llm.quantize` not 2 of the layers but 1 (int8) or
                 1/2 + 1/64 (nf4, with its scales), and d f of 10 (int8) or 16 (nf4) while one product's are dense,
                 as measured on a CPU
    adapter      16 (weight, gradient, two moments, all fp32) for each of rank r (in + out) parameters of each product
    activations  of a token, kept for the way back: L (16 d + 4 k + 8 f + 4 h S), S tokens being attended to
Operations of a token: 2 for each weight of the body forwards, 4 with the way back, as a frozen base needs no gradients.
"""

from dataclasses import dataclass

RANK, TOKENS, ATTENDED = 8, 4096, 200
PEAK, SHARE = 989e12, 0.3
"""Dense bf16 of an H100 SXM by its data sheet, and the share of it that is taken for granted."""
ROW = 26.65
"""Tokens of a training row of ML-1M in a pack (benchmarks/speed/training-ml-1m.json)."""


@dataclass(frozen=True)
class Shape:
    """A decoder of Llama's kind."""

    name: str
    layers: int
    d: int
    k: int
    f: int
    heads: int
    words: int
    tied: bool = True

    @property
    def body(self) -> int:
        """Parameters of all layers."""
        return self.layers * (2 * self.d**2 + 2 * self.d * self.k + 3 * self.d * self.f)

    def weights(self, kept: float = 2, dense: int = 0) -> float:
        """Bytes, of a body that is kept in so many for each parameter, and takes so many more where it is dense."""
        return kept * self.body + (6 if self.tied else 8) * self.words * self.d + dense * self.d * self.f

    @property
    def adapter(self) -> int:
        """Bytes, with what the optimizer keeps."""
        attention = 2 * (self.d + self.d) + 2 * (self.d + self.k)
        return 16 * RANK * self.layers * (attention + 3 * (self.d + self.f))

    @property
    def token(self) -> int:
        """Bytes of activations."""
        return self.layers * (16 * self.d + 4 * self.k + 8 * self.f + 4 * self.heads * ATTENDED)


SHAPES = (
    Shape("SmolLM2-135M, 12 layers", 12, 576, 192, 1536, 9, 49152),
    Shape("SmolLM2-135M", 30, 576, 192, 1536, 9, 49152),
    Shape("SmolLM2-360M", 32, 960, 320, 2560, 15, 49152),
    Shape("SmolLM2-1.7B", 24, 2048, 2048, 8192, 32, 49152),
    Shape("Qwen2.5-3B", 36, 2048, 256, 11008, 16, 151936),
    Shape("Qwen2.5-7B", 28, 3584, 512, 18944, 28, 152064, tied=False),
)


def main() -> None:
    """Print the table."""
    print(
        f"| | body | weights | in int8 | in nf4 | adapter | activations of {TOKENS:,} tokens | together, in bf16 "
        "| rows trained a second | scored |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        weights = [shape.weights(*kept) for kept in ((2, 0), (1, 10), (33 / 64, 16))]
        activations = TOKENS * shape.token
        trained, scored = (PEAK * SHARE / (times * shape.body * ROW) for times in (4, 2))
        together = weights[0] + shape.adapter + activations
        sizes = " | ".join(f"{size / 1e9:.1f} GB" for size in (*weights, shape.adapter, activations, together))
        print(f"| {shape.name} | {shape.body / 1e6:,.0f} M | {sizes} | {_short(trained)} | {_short(scored)} |")


def _short(rate: float) -> str:
    return f"{float(f'{rate:.2g}'):,.0f}"


if __name__ == "__main__":
    main()
