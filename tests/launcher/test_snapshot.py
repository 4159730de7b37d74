"""Jobs run the code as it was when they were submitted."""

import shutil
import subprocess
import sys

import pytest

from deit_core.source_tree import source_state
from launcher import snapshot
from launcher.snapshot import take_snapshot


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with one module in each package, in git."""
    root = tmp_path / "project"
    for package in ("deit_core", "launcher"):
        (root / package / "__pycache__").mkdir(parents=True)
        (root / package / "__pycache__" / "x.pyc").write_bytes(b"old")
        (root / package / "__init__.py").touch()
    (root / "deit_core" / "config.py").write_text("ANSWER = 1\n")
    git(root, "init", "-q")
    git(root, "add", "-f", "deit_core/config.py")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    monkeypatch.setattr(snapshot, "import_root", lambda: root)
    return root


def git(root, *arguments):
    subprocess.run(["git", "-C", str(root), *arguments], check=True, timeout=60)


def answer_of(folder, cwd):
    """What a job says that imports the snapshot, called from a folder with other code in it."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from deit_core.config import ANSWER; print(ANSWER)"],
        cwd=cwd,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_an_edit_after_submission_changes_no_job(project, tmp_path):
    taken = take_snapshot(tmp_path / "runs")

    (project / "deit_core" / "config.py").write_text("ANSWER = 2\n")

    assert answer_of(taken, cwd=project) == "1"
    again = take_snapshot(tmp_path / "runs")
    assert again != taken
    assert answer_of(again, cwd=project) == "2"
    assert answer_of(taken, cwd=project) == "1"


def test_the_same_code_is_kept_once(project, tmp_path):
    first = take_snapshot(tmp_path / "runs")
    kept = sorted(first.rglob("*"))

    assert take_snapshot(tmp_path / "runs") == first
    assert sorted(first.rglob("*")) == kept
    assert not any(path.name == "__pycache__" for path in kept)


def test_a_snapshot_knows_its_commit_and_what_differs_from_it(project, tmp_path):
    clean = source_state(take_snapshot(tmp_path / "runs"))
    (project / "deit_core" / "config.py").write_text("ANSWER = 3\n")
    dirty = source_state(take_snapshot(tmp_path / "runs"))

    assert clean.sha == dirty.sha is not None
    assert clean.patch == ""
    assert "+ANSWER = 3" in dirty.patch


def test_a_snapshot_that_was_cut_short_is_not_taken_for_one(project, tmp_path, monkeypatch):
    def fail(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(snapshot.os, "rename", fail)
        with pytest.raises(KeyboardInterrupt):
            take_snapshot(tmp_path / "runs")

    assert answer_of(take_snapshot(tmp_path / "runs"), cwd=tmp_path) == "1"


def test_what_editors_leave_beside_the_code_is_no_code(project, tmp_path):
    plain = take_snapshot(tmp_path / "runs")
    (project / "launcher" / ".#plan.py").symlink_to("me@host.1234:1700000000")  # how Emacs locks

    assert take_snapshot(tmp_path / "runs") == plain


def test_an_edit_while_the_code_is_copied_is_kept_under_its_own_hash(
    project, tmp_path, monkeypatch
):
    before = take_snapshot(tmp_path / "runs")
    copy = snapshot.shutil.copy2

    def copy_after_an_edit(source, target):
        if source.name == "config.py":
            source.write_text("ANSWER = 2\n")
        copy(source, target)

    shutil.rmtree(before)
    with monkeypatch.context() as patched:
        patched.setattr(snapshot.shutil, "copy2", copy_after_an_edit)
        edited = take_snapshot(tmp_path / "runs")
    (project / "deit_core" / "config.py").write_text("ANSWER = 1\n")

    assert edited != before
    assert answer_of(edited, cwd=tmp_path) == "2"
    assert answer_of(take_snapshot(tmp_path / "runs"), cwd=tmp_path) == "1"
