"""Progress for people: a bar on a terminal, plain lines in a log. On standard error, so that --json stays clean."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ccf_llm.training.checkpoint import Progress as StageProgress

console = Console(stderr=True, highlight=False)


class Bars:
    """Bars for stages of training and for scoring; used as a context manager."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def stage(self, name: str, word: str, progress: StageProgress, steps: int) -> None:
        """After a step or a measurement of a training stage."""
        loss = f"loss {progress.loss[-1][1]:.4f}" if progress.loss else ""
        note = f"{loss} valid {_measured(progress.valid[-1])}" if progress.valid else loss
        self._advance(name, progress.step, steps, note)
        if word == "valid":
            left = progress.seconds / progress.step * (steps - progress.step) if progress.step else 0.0
            remaining = f", about {left:.0f} s left" if left else ""
            self.say(f"{name}: step {progress.step}/{steps} {note}{remaining}")
        if word == "average":
            steps_in = [progress.best_step, *(int(one["step"] or 0) for one in progress.averaged if one["stays"])]
            words = f"average of steps {', '.join(map(str, steps_in))}" if len(steps_in) > 1 else "no average is better"
            self.say(f"{name}: {words}, valid {progress.best:.4f}")

    def scoring(self, name: str, done: int, total: int) -> None:
        """After a batch of scores."""
        self._advance(f"scoring {name}", done, total, "")
        if done == total:
            self.say(f"{name}: {total:,} rows scored")

    def users(self, done: int, total: int) -> None:
        """After the recommendations of some users."""
        self._advance("users", done, total, "")
        if done == total:
            self.say(f"recommended to {total:,} users")

    def say(self, line: str) -> None:
        """A line above the bars."""
        self._bars.console.print(line, markup=False, soft_wrap=True)

    def _advance(self, name: str, done: int, total: int, note: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, note=note)
        self._bars.update(self._tasks[name], completed=done, total=total, note=note)


def _measured(point: dict[str, float | None]) -> str:
    """The figure that a state is chosen by."""
    name = "auc" if "auc" in point else "ndcg@10"
    return f"{name.upper()} {point[name]:.4f}"
