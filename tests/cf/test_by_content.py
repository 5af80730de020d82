import numpy as np

from ccf_llm.cf.by_content import HEAD, by_content


def test_the_order_is_that_of_the_bytes_whatever_they_begin_with() -> None:
    random = np.random.default_rng(0)
    heads = [b"", b"\0", b"a" * (HEAD - 1) + b"\0", b"a" * HEAD]
    held = [heads[kind] + random.bytes(size) for kind, size in random.integers(0, 4, (300, 2))]
    found = by_content(len(held), held.__getitem__)
    assert [held[place] for place in found] == sorted(held)
    assert sorted(found.tolist()) == [*range(300)]
    assert by_content(0, held.__getitem__).tolist() == []
