import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from ccf_llm.data.rows import Rows
from ccf_llm.serving.batcher import Batcher, LateError
from ccf_llm.serving.recorder import OverloadError


class FakeModel:
    """Answers with the item codes, when it is let."""

    def __init__(self, seconds_per_row: float = 0.0) -> None:
        self.gate, self.batches, self.seconds = threading.Event(), [], seconds_per_row
        self.calls: list[str] = []
        self.gate.set()

    def score_rows(self, rows: Rows) -> NDArray[np.float32]:
        self.batches.append(len(rows))
        self.calls.append("score")
        assert self.gate.wait(10)
        time.sleep(self.seconds * len(rows))
        if 13 in rows.items:
            raise ValueError("unlucky")
        return rows.items.astype(np.float32)

    def forget(self) -> None:
        self.calls.append("forget")


def ask(*items: int) -> Rows:
    return Rows.for_candidates(np.array([1, 2]), np.array(items))


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def make_batcher() -> Iterator[Callable[..., Batcher]]:
    made: list[Batcher] = []

    def make(**limits: int) -> Batcher:
        made.append(Batcher(**limits))
        return made[-1]

    yield make
    for batcher in made:
        batcher.close()


def until(condition: Callable[[], bool]) -> None:
    end = soon(5)
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_waits_is_scored_together_and_goes_back_to_its_own(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    model.gate.clear()
    futures = [batcher.score(model, ask(1), soon())]
    until(lambda: model.batches == [1])
    futures += [batcher.score(model, ask(*range(n)), soon()) for n in (2, 3, 4)]
    assert batcher.depth == 3
    model.gate.set()
    assert [future.result(5).tolist() for future in futures] == [[1], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert model.batches == [1, 9]
    assert batcher.scored == 10


def test_rows_of_several_requests_keep_their_histories() -> None:
    parts = [Rows.for_candidates(np.array(h, dtype=np.int64), np.array([5, 6])) for h in ([1], [], [2, 3])]
    together = Rows.concat(parts)
    assert [together.history(r).tolist() for r in range(6)] == [[1], [1], [], [], [2, 3], [2, 3]]


def test_two_models_are_never_mixed_and_batches_are_bounded(make_batcher: Callable[..., Batcher]) -> None:
    batcher, old, new = make_batcher(max_rows=4), FakeModel(), FakeModel()
    old.gate.clear()
    futures = [batcher.score(old, ask(1), soon())]
    until(lambda: old.batches == [1])
    futures += [batcher.score(model, ask(1, 2), soon()) for model in (old, old, old, new, old)]
    old.gate.set()
    assert all(future.result(5) is not None for future in futures)
    assert (old.batches, new.batches) == ([1, 4, 2, 2], [2])


def test_nobody_waits_for_an_answer_past_its_deadline(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    model.gate.clear()
    first = batcher.score(model, ask(1), soon())
    until(lambda: model.batches == [1])
    late, given_up = batcher.score(model, ask(2), soon(-1)), batcher.score(model, ask(3), soon())
    assert given_up.cancel()
    last = batcher.score(model, ask(4), soon())
    model.gate.set()
    with pytest.raises(LateError):
        late.result(5)
    assert (first.result(5).tolist(), last.result(5).tolist()) == ([1], [4])
    assert model.batches == [1, 1]  # neither the late nor the cancelled one cost anything


def test_what_cannot_be_in_time_is_not_tried_and_a_stale_estimate_fades(make_batcher: Callable[..., Batcher]) -> None:
    batcher, slow, quick = make_batcher(), FakeModel(0.2), FakeModel()
    batcher.score(slow, ask(1), soon()).result(5)  # from now on, 0.2 s a row are expected
    with pytest.raises(LateError):
        batcher.score(quick, ask(1, 2, 3), soon(0.1)).result(5)
    assert quick.batches == []
    for _ in range(60):
        future = batcher.score(quick, ask(1, 2, 3), soon(0.1))
        if future.exception(5) is None:
            break
    assert quick.batches == [3]


def test_who_would_be_late_behind_the_others_is_told_at_once(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel(0.05)
    batcher.score(model, ask(1, 2), soon()).result(5)  # from now on, some 0.05 s a row are expected
    model.gate.clear()
    running = batcher.score(model, ask(*range(4)), soon())
    until(lambda: model.batches == [2, 4])
    waiting = batcher.score(model, ask(*range(4)), soon())
    late = batcher.score(model, ask(5), soon(0.3))
    assert isinstance(late.exception(0), LateError)  # while the model is still busy with the first
    patient = batcher.score(model, ask(5), soon())
    assert batcher.depth == 2
    model.gate.set()
    assert [len(future.result(5)) for future in (running, waiting, patient)] == [4, 4, 1]


def test_a_batch_grows_only_as_far_as_its_first_deadline_allows(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel(0.05)
    batcher.score(model, ask(1, 2), soon()).result(5)
    model.gate.clear()
    waiting = [batcher.score(model, ask(1), soon())]
    until(lambda: model.batches == [2, 1])
    waiting += [batcher.score(model, ask(1, 2), soon(seconds)) for seconds in (0.35, 9, 9, 9, 9)]
    model.gate.set()
    assert all(future.result(5) is not None for future in waiting)
    assert model.batches[2] <= 6
    assert sum(model.batches) == 13


def test_too_many_are_refused_at_once(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(waiting=2), FakeModel()
    model.gate.clear()
    batcher.score(model, ask(1), soon())
    until(lambda: model.batches == [1])
    futures = [batcher.score(model, ask(1), soon()) for _ in range(2)]
    with pytest.raises(OverloadError):
        batcher.score(model, ask(1), soon())
    futures[0].cancel()  # makes room
    futures.append(batcher.score(model, ask(1), soon()))
    model.gate.set()
    assert [len(future.result(5)) for future in futures[1:]] == [1, 1]


def test_before_anything_is_measured_a_batch_is_one_request(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    with batcher._ready:
        futures = [batcher.score(model, ask(1), soon()) for _ in range(5)]
    assert all(future.result(5) is not None for future in futures)
    assert model.batches[0] == 1


def test_a_failure_reaches_those_who_wait_and_nobody_else(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    with pytest.raises(ValueError, match="unlucky"):
        batcher.score(model, ask(13), soon()).result(5)
    assert batcher.score(model, ask(1), soon()).result(5).tolist() == [1]


def test_closing_answers_what_waits(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = Batcher(), FakeModel()
    model.gate.clear()
    first = batcher.score(model, ask(1), soon())
    until(lambda: model.batches == [1])
    second = batcher.score(model, ask(2), soon())
    threading.Timer(0.05, model.gate.set).start()
    batcher.close()
    assert first.result(1).tolist() == [1]
    with pytest.raises(LateError):
        second.result(1)


def test_what_was_read_before_an_erasure_does_not_stay_in_memory(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    before = batcher.erasures
    batcher.forget(model).result(5)
    assert batcher.score(model, ask(1), soon()).result(5).tolist() == [1]  # read afterwards
    assert model.calls == ["forget", "score"]
    assert batcher.score(model, ask(2), soon(), before).result(5).tolist() == [2]
    assert model.calls == ["forget", "score", "score", "forget"]
    with pytest.raises(ValueError, match="unlucky"):
        batcher.score(model, ask(13), soon(), before).result(5)
    assert model.calls[4:] == ["score", "forget"]


def test_an_erasure_while_a_batch_is_scored_comes_after_it_and_before_the_next(
    make_batcher: Callable[..., Batcher],
) -> None:
    batcher, model = make_batcher(), FakeModel()
    model.gate.clear()
    running = batcher.score(model, ask(1), soon())
    until(lambda: model.batches == [1])
    waiting = batcher.score(model, ask(2), soon())
    gone = batcher.forget(model)
    assert not gone.done()
    model.gate.set()
    assert (running.result(5).tolist(), waiting.result(5).tolist(), gone.result(5)) == ([1], [2], None)
    assert model.calls[0] == "score"
    assert model.calls[-2:] == ["score", "forget"]  # what waited had read its history before


def test_an_idle_batcher_keeps_no_model(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    batcher.score(model, ask(1), soon()).result(5)
    batcher.forget(FakeModel()).result(5)  # the thread has come back to its wait
    replaced = weakref.ref(model)
    del model
    gc.collect()
    assert replaced() is None


def test_a_closed_batcher_takes_in_nothing(make_batcher: Callable[..., Batcher]) -> None:
    batcher, model = make_batcher(), FakeModel()
    batcher.close()
    with pytest.raises(OverloadError):
        batcher.score(model, ask(1), soon())
    with pytest.raises(OverloadError):
        batcher.forget(model)
