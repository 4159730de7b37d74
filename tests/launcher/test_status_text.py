"""What `status` prints: readable at 80 columns, nothing lost in a pipe."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from launcher.monitor import Row, Snapshot
from launcher.status_text import print_snapshot, reason_lines
from launcher.text import open_console, short

AXES = ("distill.kind", "distill.temperature", "augment.strength", "model.depth")
LONG = "cannot write /home/someone/" + "folder/" * 30 + "{}/status.json: No space left on device"


def row(number, **changes) -> Row:
    made = Row(
        trial_id=f"{number:012x}",
        group_id=f"g{number // 2}",
        name=f"kind=soft,temperature=3,strength=0.5,depth=4,seed={number}",
        role="student",
        seed=number,
        swept=dict(zip(AXES, ("soft", 3.0, 0.5, 4), strict=True)),
        state="running",
        failure=None,
        reason=None,
        attempt=1,
        step=10,
        total_steps=100,
        epoch=12.5,
        val_top1=91.25,
        train_images_per_s=12345.0,
        train_loss=0.1,
        eta_s=3700.0,
        heartbeat_age_s=3.0,
        job="77",
        path=f"/runs/x/trials/{number:012x}",
        unreadable_images=0,
        first_unreadable=None,
    )
    return replace(made, **changes)


def failed(number, reason=LONG) -> Row:
    reason = reason.format(f"{number:012x}")
    return row(number, state="failed", failure="crashed", reason=reason, heartbeat_age_s=None)


def shown(rows, width=80, by=None) -> list[str]:
    """The lines on a terminal of this width; soft-wrapped lines are whole."""
    console = Console(width=width, highlight=False, markup=False, color_system=None)
    with console.capture() as captured:
        print_snapshot(Snapshot("s", Path("/runs/x"), AXES, tuple(rows)), console, by)
    return captured.get().splitlines()


def test_80_columns_show_every_id_state_and_heading():
    lines = shown([row(0, state="stopped"), row(1, state="completed"), failed(2)])
    table = lines[2:6]
    assert all(len(line) <= 80 for line in table)
    assert table[0].split() == [
        *("trial", "kind", "temperature", "strength", "depth"),
        *("seed", "state", "epoch", "top-1", "%"),
    ]
    for number, state in enumerate(("stopped", "completed", "failed")):
        assert f"{number:012x} " in table[number + 1]
        assert f" {state} " in table[number + 1]
    assert not any("…" in line for line in lines)


def test_a_wide_terminal_shows_every_column():
    heading = shown([row(0)], width=160)[2]
    assert heading.split()[-4:] == ["images/s", "ETA", "heartbeat", "attempt"]


def test_reasons_are_whole_and_grouped():
    rows = [*(failed(number) for number in range(7)), failed(7, "loss is nan"), row(8)]
    lines = shown(rows)
    [line] = [line for line in lines if "No space left" in line]
    assert line.startswith("failed: 7 trials (000000000000, 000000000001, ")
    assert line.endswith(f" and 2 more): {LONG.format('TRIAL')}")
    assert "failed: 1 trial (000000000007): loss is nan" in lines


def test_a_queued_trial_with_nodes_is_starting_and_what_was_comes_second():
    late = {"state": "queued", "job_detail": "RUNNING on n1", "reason": "reached the time limit"}
    lines = shown([row(0, **late), row(1, state="queued", held=True)])
    assert lines[0] == "s: 1 paused · 1 starting"
    assert "starting: 1 trial (000000000000): starting on n1; before: reached the time limit" in (
        lines
    )
    assert "paused: 1 trial (000000000001): until `deit-launch resume`" in lines


def test_a_single_reason_keeps_its_path():
    assert shown([failed(3)])[-1].endswith(LONG.format("000000000003"))


def test_a_pipe_gets_whole_lines(capsys):
    console = open_console()
    console.print("x " * 300)
    names = [row(n, swept=dict.fromkeys(AXES, "y" * 90)) for n in range(2)]
    print_snapshot(Snapshot("s", Path("/runs/x"), AXES, tuple(names)), console)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["x"] * 300
    assert lines[3].split()[-1] == "attempt"
    assert lines[4].count("y" * 90) == 4


def test_large_sweeps_give_every_reason_too():
    lines = shown([failed(number) for number in range(70)])
    assert sum("No space left" in line for line in lines) == 1
    assert any(line.startswith("failed: 70 trials") for line in lines)


def test_unreadable_images_are_a_warning():
    broken = {"unreadable_images": 3, "first_unreadable": "/data/train/a/1.jpg"}
    [line] = [line for line in shown([row(0, **broken), row(1)]) if "warning" in line]
    assert line == (
        "warning: 3 images could not be read, the first is /data/train/a/1.jpg; "
        "`deit-launch logs 000000000000` names them all"
    )
    [line] = [line for line in shown([row(0, **broken), row(1, **broken)]) if "warning" in line]
    assert line.startswith("warning: 3 images could not be read in each of 2 trials, the first is")
    assert not any("warning" in line for line in shown([row(0)]))


def test_a_live_line_keeps_both_ends_of_a_message():
    brief = short(LONG)
    assert brief.startswith("cannot write")
    assert brief.endswith("No space left on device")
    assert len(brief) < 70


def test_many_pruned_trials_are_one_line():
    """Their reasons have numbers of their own, so that none is shared."""
    rows = [row(n, state="pruned", reason=f"stopped at {n} %") for n in range(4)]
    assert len(reason_lines(rows[:3])) == 3
    assert reason_lines(rows) == ["pruned: 4 trials; `deit-launch pruning` sums them up"]
