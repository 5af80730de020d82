"""The model: network, blend, building, storing, and `CCFLLM`, ids in and scores out."""
