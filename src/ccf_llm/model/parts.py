"""The parts of a model that training can move."""

from typing import Literal

Part = Literal["lora", "fusion", "cf", "prompt"]
