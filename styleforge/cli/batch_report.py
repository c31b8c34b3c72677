"""What became of a batch's tasks, told while it runs and at its end."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from styleforge.batches.plan import Batch
from styleforge.batches.work import Outcome
from styleforge.cli.parsing import duration, spelled
from styleforge.cli.progress import bar, print_json, say, suggest


class Report:
    """Follows the outcomes: bar, lines and summary."""

    def __init__(
        self, batch: Batch, folder: Path, *, quiet: bool, verbose: bool, as_json: bool
    ) -> None:
        self.failures: list[Outcome] = []
        self.workers = 0
        """Pictures side by side, where that is known."""
        self._started = time.perf_counter()
        self._folder = folder
        self._styles = batch.styles
        self._counts: Counter[str] = Counter()
        self._last: Path | None = None
        self._told = batch.kept.recipe
        """Whether the files say how they were made."""
        self._total = len(batch.tasks)
        self._quiet = quiet
        self._verbose = verbose
        self._as_json = as_json

    def follow(self, outcomes: Iterator[Outcome], total: int, *, show: bool = True) -> None:
        """Count, and show unless it is another process that does."""
        with bar(total, quiet=self._quiet or not show, unit="picture") as shown:
            for outcome in outcomes:
                self.add(outcome, show=show)
                shown.update()

    def add(self, outcome: Outcome, *, show: bool = True) -> None:
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self.failures.append(outcome)
        else:
            self._last = outcome.task.target
        if not show:
            return
        if self._as_json:
            print_json(self._line(outcome))
        if self._verbose and not self._quiet:
            say(_in_words(outcome))

    def tell_stop(self) -> None:
        """The first Ctrl-C was heard."""
        if not self._quiet:
            painted = min(self.workers, self._total - sum(self._counts.values()))
            say(f"finishing {painted or 'what is begun'}; again to stop now")

    def finish(self, *, interrupted: bool) -> None:
        """The summary, with what failed and why."""
        for reason in dict.fromkeys(map(_named_reason, self.failures)):  # once for all styles
            say(f"Error: {reason}")
        if self._quiet:
            return
        counts = self._counts
        left = self._total - sum(counts.values())
        parts = [f"{counts['done']} done", f"{counts['failed']} failed"]
        parts += [f"{counts['skipped']} skipped"] + ([f"{left} left"] if left else [])
        parts += ["interrupted"] if interrupted else []
        took = duration(time.perf_counter() - self._started)
        say(f"{', '.join(parts)}; {took}, in {self._folder}")
        if interrupted or left or self.failures:
            suggest("the same command again makes what is missing")
        elif self._last is not None and self._told:
            suggest(f"styleforge info {shlex.quote(str(self._last))} shows how it was made")

    def _line(self, outcome: Outcome) -> dict[str, Any]:
        task = outcome.task
        return {
            "source": str(task.source),
            "target": str(task.target),
            "style": self._styles[task.style].name,
            "status": outcome.status,
            "seconds": round(outcome.seconds, 3),
            "reason": spelled(outcome.reason),
        }


def _in_words(outcome: Outcome) -> str:
    task = outcome.task
    if outcome.status == "failed":
        return f"failed   {_named_reason(outcome)}"
    return f"{outcome.status:8} {task.target} in {outcome.seconds:.1f} s"


def _named_reason(outcome: Outcome) -> str:
    """The reason, with the picture's name where it does not say it."""
    name = str(outcome.task.source)
    reason = spelled(outcome.reason)
    return reason if name in reason else f"{name}: {reason}"
