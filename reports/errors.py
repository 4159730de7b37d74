"""Exceptions that users of deit-report see."""

from __future__ import annotations

from deit_core.errors import UserError


class ReportError(UserError):
    """A sweep folder or an option of deit-report that cannot be used; the message says why."""
