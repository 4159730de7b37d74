"""docs/analysis.md: its commands, in their order, on a small sweep."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from test_docs import ROOT, Shell, commands_of

from deit_core.analyse.__main__ import main as analyse
from deit_core.export.__main__ import main as export
from deit_core.run_dir import RunDir

PAGE = ROOT / "docs" / "analysis.md"
SWEEP = """\
name: small
base: sweeps/recipes/deit_micro_digits.yaml
set:
  data: {train_images: 100, val_images: 300}
  model.depth: 1
  optim.warmup: 0ep
  train: {duration: 1ep, ema_decay: 0.9}
teacher:
  base: sweeps/recipes/convnet_digits.yaml
  set:
    data: {train_images: 100, val_images: 300}
    optim.warmup: 0ep
    train.duration: 1ep
axes:
  distill.kind: [none, hard]
"""


@pytest.mark.slow
def test_the_commands_of_the_page_work_in_their_order(
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "small.yaml").write_text(SWEEP)
    shell("deit-launch sweep small.yaml --watch")
    monkeypatch.chdir(tmp_path)
    latest = Path("reports/latest/trials")
    hard = next(
        run
        for run in map(RunDir, sorted(latest.iterdir()))
        if run.read_config().distill.kind == "hard"
    )
    commands = [re.sub(r"trials/\w{12}", f"trials/{hard.path.name}", c) for c in commands_of(PAGE)]
    assert len(commands) == 7
    for command in commands:
        python, _, module, *arguments = shlex.split(command)
        main = {"deit_core.analyse": analyse, "deit_core.export": export}[module]
        assert (python, main(arguments)) == ("python", 0), command
        assert capsys.readouterr().out
    files = re.findall(r"\| `(\w+\.\w+)` \|", PAGE.read_text(encoding="utf-8"))
    assert {path.name for path in hard.export_dir.iterdir()} == set(files)
    assert hard.read_analysis() is not None
    assert hard.read_analysis("ema") is not None
