"""The parts of a model that training can move."""

from typing import Literal

Trainable = Literal["lora", "fusion", "cf", "prompt"]
