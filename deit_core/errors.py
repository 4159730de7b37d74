"""Exceptions that users of deit_core see.

DeitError
├── UserError                    the user can mend it; programs exit with code 2
│   ├── ConfigError              a config value, key or combination that is not valid
│   ├── DataError                images, labels or folders that are not what the config says
│   ├── TeacherError             a teacher that is missing or does not fit the student
│   ├── RunDirError              a run directory that is missing, half deleted or not writable
│   │   └── SchemaError          a record written by a newer version of this program
│   ├── CheckpointError          a checkpoint that cannot be written or read
│   ├── AnalysisError            runs that cannot be compared with each other
│   └── ExportError              a run that cannot be exported in this form, or not to this file
├── LostProcessError             another process of the job ended
└── DivergedError                a student diverged (recorded in its status, never a crash)

Every message is one line: what was given, what is valid, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass


class DeitError(Exception):
    """Root of this project's exceptions."""


class UserError(DeitError):
    """Something the user gave is not valid; the message says what to do about it."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a config: the keys that lead to it, and a sentence about it."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        dotted = ".".join(self.path)
        return f"{dotted}: {self.message}" if dotted else self.message


class ConfigError(UserError):
    """A config that is not valid. `problems` carries where, for messages with line and column."""

    def __init__(self, problems: list[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem((), problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class DataError(UserError):
    """Images, labels or folders are not what the config says."""


class TeacherError(UserError):
    """The teacher is missing, unfinished, or does not fit the student."""


class RunDirError(UserError):
    """A run directory is missing, half deleted, in use, or not writable."""


class SchemaError(RunDirError):
    """A record was written by a newer version of this program, or is damaged."""


class CheckpointError(UserError):
    """A checkpoint cannot be written, or none that is valid can be read."""


class AnalysisError(UserError):
    """Runs cannot be compared: they were not evaluated on the same images and classes."""


class ExportError(UserError):
    """A run cannot be exported in the form that is asked for, or not to this file."""


class LostProcessError(DeitError):
    """Another process of the job ended; its own messages say why."""


class DivergedError(DeitError):
    """A student's loss or weights became NaN or infinite; the message says which and when."""
