"""A lease: only one asks at a time, on any machine, and nobody waits for the dead.

A file says who holds it; its holder touches it every few seconds. Who finds it untouched for longer
takes it over. Times are those of whoever waits, so clocks need not agree. It only saves work: that
two who hold it at once (after a pause of the whole machine, say) never ask for the same point is
seen to where points are made, in one step.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deit_core.errors import RunDirError
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir

RENEW_S = 3.0
STALE_S = 20.0
"""Without a sign of life the holder counts as dead."""
_POLL_S = 0.05


@contextlib.contextmanager
def asking(sweep_dir: SweepDir, search: object) -> Iterator[None]:
    """Hold the lease of a sweep that is a search and has a folder already. Raises RunDirError."""
    if search is None or not sweep_dir.path.is_dir():
        yield
        return
    with Lease(SearchDir(sweep_dir).lease_file).held():
        yield


@dataclass(frozen=True)
class Lease:
    """Who holds it and for how long others wait."""

    path: Path
    renew_s: float = RENEW_S
    stale_s: float = STALE_S

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it, waiting for it if need be. Raises RunDirError."""
        token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire(token)
        except OSError as error:
            raise RunDirError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            with self._renewed(token):
                yield
        finally:
            self._give_up(token)

    def _acquire(self, token: str) -> None:
        seen: tuple[str, int] | None = None
        since = time.monotonic()
        while not self._make(token):
            now = self._look()
            if now != seen:
                seen, since = now, time.monotonic()
            elif now is not None and time.monotonic() - since > self.stale_s:
                self._take_away(now[0])
            time.sleep(_POLL_S)

    def _make(self, token: str) -> bool:
        """Put a whole file in place in one step, unless there is one."""
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        draft.write_text(token, encoding="utf-8")
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _look(self) -> tuple[str, int] | None:
        """Who holds it, and when it was touched last."""
        try:
            return self.path.read_text(encoding="utf-8"), self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _take_away(self, token: str) -> None:
        """Remove the lease of a holder that is dead; put back what turns out to be another's."""
        aside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.rename(self.path, aside)
            if aside.read_text(encoding="utf-8") != token:
                os.link(aside, self.path)
        aside.unlink(missing_ok=True)

    def _give_up(self, token: str) -> None:
        with contextlib.suppress(OSError):
            if self.path.read_text(encoding="utf-8") == token:
                self.path.unlink()

    @contextlib.contextmanager
    def _renewed(self, token: str) -> Iterator[None]:
        """Touch the file again and again, from a thread of its own; never another's."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(self.renew_s):
                with contextlib.suppress(OSError):
                    if self.path.read_text(encoding="utf-8") != token:
                        return  # it was taken over, and its holder's death would not show
                    os.utime(self.path)

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
