"""(user, history, candidate) -> segments of text and slots -> token ids -> passes through the language model."""
