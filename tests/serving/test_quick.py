import asyncio
import time
from collections.abc import Iterator

import pytest

from ccf_llm.serving.quick import Quick
from ccf_llm.serving.recorder import OverloadError


@pytest.fixture
def quick() -> Iterator[Quick]:
    quick = Quick(2)
    yield quick
    quick.close()


def work() -> int:
    time.sleep(0.02)
    return 7


def test_it_gives_what_the_work_gives_and_what_it_raises(quick: Quick) -> None:
    assert asyncio.run(quick.do(work)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(quick.do(lambda: 1 // 0))
    assert asyncio.run(quick.do(work)) == 7


def test_what_would_be_begun_too_late_is_refused_before_it_waits(quick: Quick) -> None:
    async def crowd() -> list[object]:
        for _ in range(30):  # it learns what a piece of work takes
            await quick.do(work)
        many = [asyncio.ensure_future(quick.do(work)) for _ in range(40)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadError):
            quick.do(work, time.monotonic() + 0.05).send(None)  # its first step, which awaits nothing
        patient = await quick.do(work, time.monotonic() + 30)
        return [*await asyncio.gather(*many), patient]

    assert asyncio.run(crowd()) == [7] * 41


def test_where_a_thread_is_free_a_deadline_in_the_past_refuses_nothing(quick: Quick) -> None:
    assert asyncio.run(quick.do(work, time.monotonic() - 1)) == 7
