"""The loop: a cohort of students shares every batch and one teacher forward.

A trial alone is a cohort of one. Students never touch each other: each has its own model,
optimiser, random keys and files, so K students side by side compute what K separate jobs compute,
bit for bit (CPU, fp32, equal thread count). One that diverges, or is pruned, leaves, and the others
go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass

import torch
from torch import Tensor

from deit_core.data.eval_sets import RealLabels
from deit_core.data.loader import EvalBatch, TrainBatch
from deit_core.distill.teacher import Teacher
from deit_core.errors import DeitError, DivergedError
from deit_core.train.clock import TrainClock
from deit_core.train.correct import CorrectImages
from deit_core.train.dist import ALONE, Ranks
from deit_core.train.energy import open_energy_meter
from deit_core.train.evaluate import evaluate_models, evaluate_teacher
from deit_core.train.signals import StopRequest
from deit_core.train.student import DataFacts, Student


@dataclass(frozen=True)
class Shared:
    """What all students of a cohort share."""

    train_batches: Callable[[int, int], Generator[TrainBatch, None, None]]
    """(first step, last step) -> the batches of those steps; the same bits for any first step."""
    eval_batches: Iterable[EvalBatch]
    teacher: Teacher | None
    autocast: Callable[[], AbstractContextManager[object]]
    device: torch.device
    facts: DataFacts
    warn: Callable[[str], None]
    """Takes the path of an image that cannot be read."""
    ranks: Ranks = ALONE
    teacher_batch_size: int | None = None
    """Images per forward pass of the teacher; all of a batch at once when None."""
    real_labels: RealLabels | None = None
    """Further labels of val, scored after the last step."""
    imagenet_v2: Iterable[EvalBatch] | None = None
    """A further set, scored after the last step."""


class _StoppedError(DeitError):
    """A stop was requested in the middle of an evaluation."""


class Trainer:
    """Trains the students to their last step, or until a stop is requested."""

    def __init__(self, students: Sequence[Student], shared: Shared, stop: StopRequest) -> None:
        self.students = tuple(students)
        self.active = list(students)
        self.shared = shared
        self.stop = stop
        self.clock = TrainClock()
        self.energy = open_energy_meter(shared.device, shared.ranks)

    def train(self) -> None:
        """Run the loop; every student ends completed, failed, pruned or preempted."""
        try:
            self._check_teacher()
            self._evaluate([student for student in self.active if not student.evaluated])
            self._prune(self.active)
            self._finish_done()
        except _StoppedError:
            self._preempt()
        if self.active:
            first = min(student.step for student in self.active)
            last = self.active[0].timetable.total_steps
            with closing(self.shared.train_batches(first, last)) as batches:
                self._loop(first, batches)

    def _loop(self, first: int, batches: Iterator[TrainBatch]) -> None:
        self.clock.start()
        for step, batch in enumerate(batches, start=first):
            # Members of a resumed cohort may stand at different steps: the later ones wait.
            due = [student for student in self.active if student.step == step]
            self._note_unreadable(due, batch.unreadable)
            teacher_logits = self._teach(due, batch.images)
            for student in due:
                if student.clock_at_start is None:
                    student.clock_at_start = self.clock.read()
                student.train_step(batch, teacher_logits, self.shared.autocast)
            self._beat()
            stopping, *timed = self.shared.ranks.any([bool(self.stop), *map(self._timed, due)])
            try:
                self._after_step(due, timed)
            except _StoppedError:
                self._preempt()
            if stopping:
                self._preempt()
            if not self.active:
                break
        self.clock.pause()

    def _beat(self) -> None:
        due = [student for student in self.active if student.status.due()]
        if due:
            self._count_energy()
        for student in due:
            student.heartbeat()

    def _count_energy(self, *, together: bool = False) -> None:
        """Share what was drawn since the last time among those who train.

        Args:
            together: whether all processes are here. Of several, each reads its own GPU.
        """
        drawn = self.energy.take(self.shared.ranks) if together else self.energy.take_alone()
        for student in self.active if drawn else ():
            student.add_energy(drawn / len(self.active), self.energy.source)

    def _teach(self, due: Sequence[Student], images: Tensor) -> Tensor | None:
        if not any(student.learner.task.needs_teacher for student in due):
            return None
        assert self.shared.teacher is not None
        parts = torch.split(images, self.shared.teacher_batch_size or len(images))
        with self.shared.autocast():
            logits = [self.shared.teacher(part) for part in parts]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def _timed(self, student: Student) -> bool:
        """Whether its last checkpoint is old; the first process decides for all."""
        since = time.monotonic() - student.saved_at
        return self.shared.ranks.leads and since >= student.timetable.save_every_s

    # after a step, in the order that a resume relies on: rows first, then the checkpoint ---------

    def _after_step(self, due: Sequence[Student], timed: Sequence[bool]) -> None:
        old = [student for student, is_old in zip(due, timed, strict=True) if is_old]
        self._for_each(due, self._log)
        evaluating = [student for student in self._alive(due) if not student.evaluated]
        self._evaluate(evaluating)
        self._prune(self._alive(evaluating))
        saving = [s for s in self._alive(due) if s in old or s.timetable.save_due(s.step)]
        self._for_each(saving, lambda student: student.save(self.clock.read()))
        self._finish_done()

    def _log(self, student: Student) -> None:
        if not student.timetable.log_due(student.step):
            return
        student.settle()
        student.emit(
            "train",
            lr=student.learner.schedule(student.step - 1),
            train_loss=student.meter.since_log.take(),
            train_images_per_s=self._images_per_s(student),
        )

    def _images_per_s(self, student: Student) -> float:
        images = (student.step - student.first_step) * student.config.train.global_batch_size
        seconds = self.clock.read() - (student.clock_at_start or 0.0)
        return images / max(seconds, 1e-9)

    def _evaluate(self, students: Sequence[Student]) -> None:
        """One pass of val for all of them; a stop request cuts it short, before any row."""
        self._for_each(students, lambda student: student.check_finite())
        students = self._alive(students)
        if not students:
            return
        speeds = {student.trial.name: self._images_per_s(student) for student in students}
        self.clock.pause()
        results, images = self._score(students, self.shared.eval_batches)
        ending = [student for student in students if student.at_end]
        if ending and self.shared.imagenet_v2 is not None:
            v2_results, _ = self._score(ending, self.shared.imagenet_v2, own=False)
            for name, measured in v2_results.items():
                results[name]["val_v2_top1"] = measured["val_top1"]
        self._for_each(students, lambda student: student.share_unreadable())
        self._count_energy(together=True)
        self.clock.start()

        def record(student: Student) -> None:
            measured = results[student.trial.name]
            student.write_correct(self.shared.facts.val_fingerprint)
            student.emit(
                "eval",
                train_loss=student.meter.since_eval.take(),
                train_images_per_s=speeds[student.trial.name],
                val_images=images,
                **measured,
            )
            student.evaluated = True
            if not all(map(math.isfinite, measured.values())):
                raise DivergedError(f"the val loss is not finite after step {student.step - 1}")

        self._for_each(students, record)

    def _score(
        self, students: Sequence[Student], batches: Iterable[EvalBatch], *, own: bool = True
    ) -> tuple[dict[str, dict[str, float]], int]:
        """Evaluate on one pass of val, or of another set."""
        real, device = self.shared.real_labels if own else None, self.shared.device
        for student in students:
            student.learner.align_buffers(self.shared.ranks)
            if own and student.at_end:
                student.correct = CorrectImages()
        scores = {
            s.trial.name: s.score(device, real if s.at_end else None, s.correct if own else None)
            for s in students
        }
        return evaluate_models(
            scores,
            self._watched(batches, students),
            self.shared.autocast,
            [student.learner.model for student in students],
            self.shared.ranks,
        )

    def _watched(
        self, batches: Iterable[EvalBatch], students: Sequence[Student]
    ) -> Iterator[EvalBatch]:
        """The batches of a pass; notes broken files, keeps hearts beating, gives way to a stop.

        Raises:
            _StoppedError: a stop is requested: a long pass must not outlast the grace period.
        """
        for batch in batches:
            if any(self.shared.ranks.any([bool(self.stop)])):
                raise _StoppedError
            self._note_unreadable(students, batch.unreadable)
            self._beat()
            yield batch

    def _finish_done(self) -> None:
        for student in [student for student in self.active if student.done]:
            student.finish(
                clock_s=self.clock.read(),
                cohort_size=len(self.students),
                facts=self.shared.facts,
            )
            self.active.remove(student)

    # leaving -------------------------------------------------------------------------------------

    def _prune(self, students: Sequence[Student]) -> None:
        """Let those leave that are behind; the first process decides, so all leave together.

        All rows of the evaluation are there by now: the students of a cohort see each other's.
        """
        if not any(student.pruner for student in students):
            return
        self.clock.pause()
        reasons = self.shared.ranks.lead(lambda: [student.why_pruned() for student in students])
        leaving = {s.trial.name: why for s, why in zip(students, reasons, strict=True) if why}

        def leave(student: Student) -> None:
            student.save(self.clock.read())
            student.end("pruned", leaving[student.trial.name])
            self.active.remove(student)

        self._for_each([s for s in students if s.trial.name in leaving], leave)
        self.clock.start()

    def _for_each(self, students: Sequence[Student], act: Callable[[Student], None]) -> None:
        """Act on each student; one that turns out to have diverged leaves the cohort."""
        for student in list(students):
            try:
                act(student)
            except DivergedError as error:
                self._count_energy()
                student.end("failed", str(error), "diverged")
                self.active.remove(student)

    def _alive(self, students: Sequence[Student]) -> list[Student]:
        return [student for student in students if student in self.active]

    def _preempt(self) -> None:
        """Save everyone at this step boundary."""
        self._count_energy(together=True)
        self._for_each(self.active, lambda student: student.save(self.clock.read()))
        for student in self.active:
            cause = self.stop.name or "a signal to another process"
            student.end("preempted", f"stopped by {cause} at step {student.step}")
        self.active.clear()

    def _note_unreadable(self, students: Sequence[Student], paths: Sequence[str]) -> None:
        for path in paths:
            if any(path not in student.unreadable for student in students):
                self.shared.warn(path)
            for student in students:
                student.note_unreadable(path)

    def _check_teacher(self) -> None:
        """Measure the teacher once: a wrong transform shows here, not after 300 epochs."""
        teacher = self.shared.teacher
        taught = [student for student in self.active if student.learner.task.needs_teacher]
        new = [student for student in taught if student.teacher_val_top1 is None]
        if teacher is None or not new:
            return
        batches = self._watched(self.shared.eval_batches, new)
        top1 = evaluate_teacher(
            teacher, batches, self.shared.autocast, self.shared.device, self.shared.ranks
        )
        for student in new:
            student.teacher_val_top1 = top1
