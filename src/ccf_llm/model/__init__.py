"""The model: network, building, storing, and `CCFLLM`, ids in and scores out."""
