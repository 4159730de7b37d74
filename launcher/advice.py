"""What to do about a trial: one command for each cause."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deit_core.attempts import Cause
from deit_core.config import RunConfig
from launcher.micro_batch import SETTING, smaller_micro_batch
from launcher.observe import Condition
from launcher.resources import Resources
from launcher.text import duration

_DEFAULT_TIME_S = 24 * 3600


@dataclass(frozen=True)
class Advice:
    """A command, and what to know before it is given."""

    text: str
    command: str


@dataclass(frozen=True)
class Case:
    """A trial, as far as advice depends on it."""

    trial_id: str
    path: Path | None
    sweep: Path | None
    """The sweep's folder; None where commands take it by themselves."""
    sweep_command: str
    """The command that made the sweep."""
    condition: Condition
    cause: Cause | None
    held: bool
    config: RunConfig | None
    """None where it cannot be read."""
    resources: Resources
    processes: int = 1
    max_rss_gib: float | None = None
    teacher_of: str | None = None
    """The sweep file that trains it as its teacher; None for all other trials."""

    def command(self, name: str, *arguments: str) -> str:
        """A command of deit-launch about this sweep."""
        sweep = () if self.sweep is None else ("--sweep", str(self.sweep))
        return shlex.join(["deit-launch", name, *arguments, *sweep])

    def with_setting(self, setting: str) -> str:
        """The sweep's own command with one more setting."""
        return f"{self.sweep_command} --set {setting}"

    def other_trial(self, text: str, field: str, value: str) -> Advice:
        """Another trial in its place, which differs in one field of its config."""
        if self.teacher_of is None:
            return Advice(f"{text}:", self.with_setting(f"{field}={value}"))
        edit = f"`teacher: {{set: {{{field}: {value}}}}}` in {self.teacher_of}"
        return Advice(
            f"{text}: edit {edit} (--set changes its students alone), then:", self.sweep_command
        )


def advise(case: Case) -> Advice | None:
    """The one thing to do next; None where the trial needs nothing."""
    if case.condition == "failed":
        return _BY_CAUSE.get(case.cause or "crashed", _crashed)(case)
    return _by_condition(case)


def _by_condition(case: Case) -> Advice | None:
    if case.held:
        return Advice("it is paused; to let it go on:", case.command("resume", case.trial_id))
    if case.condition == "running":
        return Advice("to watch it:", case.command("logs", case.trial_id, "-f"))
    if case.condition == "stopped":
        return Advice("to go on with it:", case.command("retry", case.trial_id))
    if case.condition == "pruned":
        return Advice("to go on with it unpruned:", case.command("retry", case.trial_id))
    if case.condition == "new":
        return Advice("to start it:", case.sweep_command)
    if case.condition == "damaged":
        folder = shlex.quote(str(case.path))
        return Advice("to train it anew:", f"rm -r {folder} && {case.sweep_command}")
    if case.condition == "unknown":
        return Advice("to see whether its backend answers:", "deit-launch doctor")
    return None


def _mended(case: Case) -> Advice:
    return Advice("mend that, then:", case.command("retry", case.trial_id))


def _crashed(case: Case) -> Advice:
    return Advice("if that can be mended, or was bad luck:", case.command("retry", case.trial_id))


def _diverged(case: Case) -> Advice:
    if case.config is None:
        return _crashed(case)
    text = "the same would happen again; as another trial, with half the learning rate"
    return case.other_trial(text, "optim.lr", f"{case.config.optim.lr / 2:g}")


def _gpu_memory(case: Case) -> Advice:
    size = None if case.config is None else smaller_micro_batch(case.config.train, case.processes)
    if size is None:
        text = "it takes one image at a time already; on a GPU with more memory:"
        return Advice(text, case.command("retry", case.trial_id))
    text = "as another trial, with the same batch in smaller parts"
    return case.other_trial(text, SETTING, f"{size}")


def _host_memory(case: Case) -> Advice:
    known = [gib for gib in (case.resources.mem_gb, case.max_rss_gib) if gib is not None]
    if not known:
        text = "let its loader hold less, or give its job more memory (resources.mem_gb), then:"
        return Advice(text, case.command("retry", case.trial_id))
    again = case.command("retry", case.trial_id)
    setting = f"resources.mem_gb={math.ceil(2 * max(known))}"
    return Advice("with twice the memory:", f"{case.with_setting(setting)} && {again}")


def _timeout(case: Case) -> Advice:
    longer = 2 * (case.resources.time_s or _DEFAULT_TIME_S)
    setting = f"resources.time={-(-longer // 60)}min"
    again = case.command("retry", case.trial_id)
    text = f"it needs more than {duration(longer / 2)} to get anywhere; with twice as much:"
    return Advice(text, f"{case.with_setting(setting)} && {again}")


def _dependency(case: Case) -> Advice:
    teacher = case.config.teacher.trial if case.config and case.config.teacher else None
    if teacher is None:
        return _mended(case)
    return Advice("to see what became of its teacher:", case.command("why", teacher))


_BY_CAUSE: Mapping[Cause, Callable[[Case], Advice]] = {
    "diverged": _diverged,
    "user_error": _mended,
    "gpu_memory": _gpu_memory,
    "host_memory": _host_memory,
    "timeout": _timeout,
    "dependency": _dependency,
}
