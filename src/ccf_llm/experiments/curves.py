"""The curves of training for other programs: what such a program needs is a function that takes one point."""

from collections.abc import Callable

from ccf_llm.training.checkpoint import Progress
from ccf_llm.training.loop import Report

Write = Callable[[str, float, int], None]
"""Takes the name of a curve, such as `ccf_llm/fusion/loss`, a value and its step."""


def curves_to(*writers: Write, then: Report) -> Report:
    """A report that gives each new point of the loss and of the figures on valid to all writers, and passes on all."""
    told: dict[str, int] = {}

    def report(name: str, word: str, progress: Progress, steps: int) -> None:
        then(name, word, progress, steps)
        stage = name.replace(" / ", "/")
        points = [("loss", step, value) for step, value in progress.loss]
        points += [
            (f"valid/{figure}", int(point["step"] or 0), value)
            for point in progress.valid
            for figure, value in point.items()
            if figure != "step" and value is not None
        ]
        for curve, step, value in points:
            key = f"{stage}/{curve}".replace("@", "_")  # which neither of both takes in a name
            if step > told.get(key, -1):
                told[key] = step
                for write in writers:
                    write(key, value, step)

    return report
