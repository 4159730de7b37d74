"""A search is a reconcile that asks: whoever calls it, and however it ends, nothing is lost."""

import contextlib
import json
import multiprocessing
import os
import time

import pytest
from launch_support import until
from search_support import (
    CONDITIONAL,
    LR,
    SPACE,
    STUDENT,
    SURROGATE,
    TestBackend,
    killed_at,
    points_of,
    run_of,
    states_of,
    sweep,
    work_off,
    write_search,
)

from launcher import carry_out
from launcher import reconcile as reconciling
from launcher.backends.local import LocalBackend
from launcher.control import cancel, retry
from launcher.errors import LaunchError, SweepError
from launcher.holding import pause, resume
from launcher.monitor import Monitor
from launcher.plan import Wish
from launcher.reconcile import continue_sweep, reconcile, refill
from launcher.request import read_request, request_of
from launcher.search.lease import Lease
from launcher.search.progress import read_progress
from launcher.search.records import SearchDir
from launcher.snapshot import take_snapshot
from launcher.status_text import print_snapshot
from launcher.sweep import load_sweep
from launcher.text import open_console

RANDOM = "{method: random, trials: 6}"


@pytest.fixture
def backend(runs):
    return TestBackend(runs)


def behave(runs, **plan):
    (runs / "behaviour.json").write_text(json.dumps(plan))


def trained(sweep_dir):
    """How often each trial was started."""
    ids = [name for point in points_of(sweep_dir) for name in point.trial_ids]
    logs = [run_of(sweep_dir, name).path / "starts.log" for name in ids]
    return [len(log.read_text().splitlines()) if log.exists() else 0 for log in logs]


def ended(sweep_dir):
    return SearchDir(sweep_dir).read_ended()


# budget ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tpe", "nsga2", "qmc"])
def test_as_many_points_as_asked_for_are_trained_once_each(runs, backend, tmp_path, method):
    sweep_dir = sweep(runs, write_search(tmp_path, f"{{method: {method}, trials: 7}}"), backend)
    assert len(points_of(sweep_dir)) == 2  # as many as run at once: the others learn from them
    assert work_off(sweep_dir, backend) == 7
    assert trained(sweep_dir) == [1] * 7
    assert states_of(sweep_dir) == ["completed"] * 7
    assert ended(sweep_dir).reason == "all 7 points were asked for"


def test_more_points_go_on_in_the_same_folder_also_by_another_method(runs, backend, tmp_path):
    first = sweep(runs, write_search(tmp_path, "{method: random, trials: 3}"), backend)
    work_off(first, backend)
    before = points_of(first)
    second = sweep(runs, write_search(tmp_path, "{method: tpe, trials: 5}"), backend)
    assert second.path == first.path
    assert work_off(second, backend) == 2
    assert points_of(second)[:3] == before
    assert trained(second) == [1] * 5


def test_a_search_with_nothing_left_to_ask_changes_nothing(runs, backend, tmp_path):
    file = write_search(tmp_path, "{method: random, trials: 2}")
    work_off(sweep(runs, file, backend), backend)
    again = reconcile(runs, request_of(load_sweep(file)), backend)
    assert again.plan.counts() == {"done": 2}
    assert backend.live() == []
    assert ended(again.sweep_dir) is not None


def test_a_small_space_ends_when_all_of_it_was_tried(runs, backend, tmp_path):
    space = "{model.depth: [1, 2, 3], distill.kind: [soft, hard]}"
    file = write_search(tmp_path, "{method: tpe, trials: 50}", space=space)
    sweep_dir = sweep(runs, file, backend)
    assert work_off(sweep_dir, backend) == 6
    assert ended(sweep_dir).reason.startswith("the space is used up: 6 points were tried")


def test_an_open_share_of_the_budget_is_asked_ahead_where_many_jobs_run(runs, tmp_path):
    backend = TestBackend(runs, slots=5)
    sweep(runs, write_search(tmp_path, "{method: random, trials: 40}"), backend)
    assert len(backend.live()) == 5


# who dies -------------------------------------------------------------------------------------


def test_a_refill_killed_before_any_change_of_a_file_loses_and_doubles_nothing(runs, tmp_path):
    backend = TestBackend(runs, slots=1)
    sweep_dir = sweep(runs, write_search(tmp_path, "{method: random, trials: 30}"), backend)
    for step in range(1, 100):
        backend.work()
        if not killed_at(step, lambda: refill(sweep_dir, backend)):
            break
        stale = SearchDir(sweep_dir).lease_file
        stale.unlink(missing_ok=True)  # waiting for it is another test
        refill(sweep_dir, backend)
        assert len(backend.live()) == 1, step
        assert len(points_of(sweep_dir)) == step + 1, step
    assert step > 12
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 30


def test_a_first_call_killed_before_any_change_of_a_file_is_taken_up(runs, tmp_path):
    file = write_search(tmp_path, "{method: random, trials: 1}")
    step = 1

    def call():
        own = runs / f"r{step}"
        return sweep(own, file, TestBackend(own))

    while killed_at(step, call):
        own = runs / f"r{step}"
        for lease in own.glob("*/search/lease"):
            lease.unlink()
        sweep_dir = call()
        assert len(list(own.glob("[!.]*"))) == 1, step
        assert len(points_of(sweep_dir)) == 1, step
        assert len(TestBackend(own).live()) == 1, step
        step += 4
    assert step > 20


def ask_until_it_ends(runs, folder, number):
    backend = TestBackend(runs, slots=3)
    sweep_dir = read_only(folder)
    while ended(sweep_dir) is None or backend.live():
        refill(sweep_dir, backend)
        time.sleep(0.001 * number)


def read_only(folder):
    from launcher.sweep_dir import SweepDir

    return SweepDir(folder)


@pytest.mark.parametrize("locks_reach", [True, False])
def test_processes_that_refill_at_once_never_ask_twice(runs, tmp_path, monkeypatch, locks_reach):
    if not locks_reach:  # as between nodes, on some file systems: the lease alone does it
        monkeypatch.setattr(reconciling, "locked", lambda path: contextlib.nullcontext())
    backend = TestBackend(runs, slots=3)
    sweep_dir = sweep(runs, write_search(tmp_path, "{method: random, trials: 12}"), backend)
    fork = multiprocessing.get_context("fork")
    workers = [
        fork.Process(target=ask_until_it_ends, args=(runs, sweep_dir.path, number))
        for number in range(4)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert len(backend.live()) <= 3
        backend.work()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert trained(sweep_dir) == [1] * 12
    ids = [point.trial_ids for point in points_of(sweep_dir)]
    assert len(set(ids)) == 12


def test_nobody_waits_long_for_the_lease_of_the_dead(runs, tmp_path):
    file = tmp_path / "search" / "lease"

    def die_holding_it():
        with Lease(file).held():
            os.kill(os.getpid(), 9)

    assert killed_at(10**6, die_holding_it)
    assert file.exists()
    with Lease(file, renew_s=0.1, stale_s=0.3).held():
        assert str(os.getpid()) in file.read_text()
    assert not file.exists()


def test_a_lease_that_is_renewed_is_not_taken_away(tmp_path):
    file = tmp_path / "lease"
    order = []

    def hold(mine, theirs):
        with Lease(file, renew_s=0.05, stale_s=0.3).held():
            mine.send("held")
            theirs.poll(1.0)  # three times as long as a dead holder would have it

    fork = multiprocessing.get_context("fork")
    told, mine = fork.Pipe(duplex=False)
    theirs, _tell = fork.Pipe(duplex=False)
    holder = fork.Process(target=hold, args=(mine, theirs))
    holder.start()
    assert told.recv() == "held"
    with Lease(file, renew_s=0.05, stale_s=0.3).held():
        order.append(holder.is_alive() and file.read_text().split(":")[1] == str(holder.pid))
    assert order == [False]
    holder.join()
    assert holder.exitcode == 0


def test_a_trial_whose_job_was_lost_is_gone_on_with(runs, backend, tmp_path):
    sweep_dir = sweep(runs, write_search(tmp_path, RANDOM), backend)
    backend.lose(backend.live()[0])
    refill(sweep_dir, backend)
    assert len(points_of(sweep_dir)) == 2
    assert len(backend.live()) == 2
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 6


def test_also_where_all_points_were_asked_for(runs, backend, tmp_path):
    sweep_dir = sweep(runs, write_search(tmp_path, "{method: random, trials: 2}"), backend)
    backend.work()
    refill(sweep_dir, backend)
    assert ended(sweep_dir) is not None
    backend.lose(backend.live()[0])
    refill(sweep_dir, backend)
    assert work_off(sweep_dir, backend) == 1
    assert trained(sweep_dir) == [1, 1]


def test_local_jobs_ask_for_the_next_ones_themselves(runs, tmp_path, monkeypatch):
    """The real backend, and nobody who stays; with the code as it was at the start."""
    monkeypatch.setattr(carry_out, "take_snapshot", take_snapshot)
    local = LocalBackend(runs, command=SURROGATE)
    file = write_search(tmp_path, "{method: random, trials: 4, pruner: {}}")
    sweep_dir = sweep(runs, file, local)
    until(lambda: ended(sweep_dir) and not Monitor(sweep_dir, local).look().busy())
    until(lambda: not local.runner_is_alive())
    assert trained(sweep_dir) == [1] * 4
    assert set(states_of(sweep_dir)) <= {"completed", "pruned"}
    assert SearchDir(sweep_dir).log_file.read_text() == ""
    assert len(list((runs / ".code").iterdir())) == 1


# how trials end -------------------------------------------------------------------------------


def test_diverged_trials_count_and_a_better_region_is_found(runs, backend, tmp_path):
    behave(runs, diverge={"model.depth": [1, 2, 3, 4]})
    sweep_dir = sweep(runs, write_search(tmp_path, "{method: tpe, trials: 16}"), backend)
    work_off(sweep_dir, backend)
    states = states_of(sweep_dir)
    assert len(states) == 16
    assert "failed" in states
    depths = [point.params["model.depth"] for point in points_of(sweep_dir)]
    assert sum(depth > 4 for depth in depths[8:]) >= 5


def fail(sweep_dir, backend, trial_id, failure="user_error"):
    """The trial's job ends, and it has failed."""
    run = run_of(sweep_dir, trial_id)
    for tag in backend.live():
        if str(run.path) in backend.run_dirs(tag):
            backend.lose(tag)
    update = {"state": "failed", "failure": failure, "reason": "no such file", "attempt": 1}
    run.write_status(run.read_status().model_copy(update=update))


def test_three_failures_in_a_row_end_a_search_until_they_are_mended(runs, backend, tmp_path):
    sweep_dir = sweep(runs, write_search(tmp_path, "{method: tpe, trials: 20}"), backend)
    backend.work()
    backend.work()
    for _ in range(2):
        refill(sweep_dir, backend)
        fail(sweep_dir, backend, points_of(sweep_dir)[-1].trial_ids[0])
        fail(sweep_dir, backend, points_of(sweep_dir)[-2].trial_ids[0])
    refill(sweep_dir, backend)
    assert states_of(sweep_dir) == ["completed"] * 2 + ["failed"] * 4
    assert "no such file; mend that, then" in ended(sweep_dir).reason
    sweep(runs, write_search(tmp_path, "{method: tpe, trials: 20}"), backend)
    assert ended(sweep_dir) is not None  # nothing has changed, as far as it knows
    retry(sweep_dir, backend, None)
    assert len(backend.live()) == 4
    work_off(sweep_dir, backend)
    assert states_of(sweep_dir) == ["completed"] * 20


def test_a_search_of_which_everything_diverges_ends(runs, backend, tmp_path):
    behave(runs, diverge={})
    sweep_dir = sweep(runs, write_search(tmp_path, "{method: tpe, trials: 20}"), backend)
    assert 10 <= work_off(sweep_dir, backend) <= 11
    assert "diverged" in ended(sweep_dir).reason


def with_teacher(tmp_path):
    file = write_search(
        tmp_path, "{method: random, trials: 4}", space="{distill.temperature: {low: 1, high: 9}}"
    )
    (tmp_path / "student.yaml").write_text(
        STUDENT.replace("teacher: {name: resnet10t, pretrained: true}\n", "distill: {kind: soft}\n")
    )
    file.write_text(
        file.read_text()
        + "teacher: {base: student.yaml, set: {model.depth: 3, distill.kind: none}}"
    )
    return file


def teacher_of(sweep_dir):
    return next(t.trial_id for t in sweep_dir.read_plan().trials if t.role == "teacher")


def test_a_teacher_is_trained_before_the_points(runs, backend, tmp_path):
    sweep_dir = sweep(runs, with_teacher(tmp_path), backend)
    assert backend.run_dirs(backend.live()[0]) == [
        str(run_of(sweep_dir, teacher_of(sweep_dir)).path)
    ]
    work_off(sweep_dir, backend)
    assert states_of(sweep_dir) == ["completed"] * 4


def test_a_failed_teacher_ends_a_search_and_is_not_trained_again(runs, backend, tmp_path):
    sweep_dir = sweep(runs, with_teacher(tmp_path), backend)
    fail(sweep_dir, backend, teacher_of(sweep_dir))
    for tag in backend.live():
        backend.lose(tag)
    refill(sweep_dir, backend)
    assert backend.live() == []
    assert "its teacher failed: no such file" in ended(sweep_dir).reason
    retry(sweep_dir, backend, [teacher_of(sweep_dir)])
    work_off(sweep_dir, backend)
    assert states_of(sweep_dir) == ["completed"] * 4


def test_a_cancelled_teacher_is_left_alone_until_sweep_is_called(runs, backend, tmp_path):
    file = with_teacher(tmp_path)
    sweep_dir = sweep(runs, file, backend)
    cancel(sweep_dir, backend, [teacher_of(sweep_dir)])
    refill(sweep_dir, backend)
    assert backend.live() == []
    sweep(runs, file, backend)
    work_off(sweep_dir, backend)
    assert states_of(sweep_dir) == ["completed"] * 4


def test_a_pruned_trial_frees_its_slot(runs, tmp_path):
    backend = TestBackend(runs, slots=1)
    file = write_search(tmp_path, "{method: random, trials: 12, pruner: {}}")
    sweep_dir = sweep(runs, file, backend)
    assert work_off(sweep_dir, backend) == 12
    states = states_of(sweep_dir)
    assert set(states) == {"completed", "pruned"}
    epochs = [run_of(sweep_dir, p.trial_ids[0]).read_status().epoch for p in points_of(sweep_dir)]
    assert all((e < 9) == (s == "pruned") for e, s in zip(epochs, states, strict=True))


def test_a_cancelled_trial_is_left_alone_and_its_slot_is_used(runs, backend, tmp_path):
    sweep_dir = sweep(runs, write_search(tmp_path, RANDOM), backend)
    [name] = points_of(sweep_dir)[0].trial_ids
    assert cancel(sweep_dir, backend, [name]) == [name]
    refill(sweep_dir, backend)
    assert len(points_of(sweep_dir)) == 3
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [0, 1, 1, 1, 1, 1]
    sweep(runs, write_search(tmp_path, RANDOM), backend)
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 6


def test_a_refill_while_a_trial_is_cancelled_does_not_start_it_again(runs, backend, tmp_path):
    sweep_dir = sweep(runs, write_search(tmp_path, RANDOM), backend)
    [name] = points_of(sweep_dir)[0].trial_ids

    class Moved(TestBackend):
        def cancel(self, job_ids):
            super().cancel(job_ids)
            refill(sweep_dir, self)  # by whoever has seen the job end

    cancel(sweep_dir, Moved(runs), [name])
    live = [path for tag in backend.live() for path in backend.run_dirs(tag)]
    assert not any(path.endswith(name) for path in live)
    assert len(live) == 2


def test_sweep_goes_on_with_cancelled_points_before_it_asks_for_others(runs, backend, tmp_path):
    file = write_search(tmp_path, RANDOM)
    sweep_dir = sweep(runs, file, backend)
    cancel(sweep_dir, backend, None)
    sweep(runs, file, backend)
    assert len(points_of(sweep_dir)) == len(backend.live()) == 2


def test_cancelling_all_stops_a_search_and_sweep_goes_on(runs, backend, tmp_path):
    file = write_search(tmp_path, RANDOM)
    sweep_dir = sweep(runs, file, backend)
    backend.work()
    cancel(sweep_dir, backend, None)
    assert refill(sweep_dir, backend) is None
    assert backend.live() == []
    assert Monitor(sweep_dir, backend).look().settled()
    assert sweep(runs, file, backend).path == sweep_dir.path
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 6


def test_a_paused_search_asks_for_nothing_until_it_may_go_on(runs, backend, tmp_path):
    sweep_dir = sweep(runs, write_search(tmp_path, RANDOM), backend)
    pause(sweep_dir, backend, None)
    backend.work()  # one was done before it could be paused
    refill(sweep_dir, backend)
    assert len(points_of(sweep_dir)) == 2
    assert Monitor(sweep_dir, backend).look().settled()
    resume(sweep_dir, backend, None)
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 6


@pytest.mark.parametrize("by", ["resume", "sweep"])
def test_a_search_is_paused_also_where_its_trials_end_before_they_are(runs, backend, tmp_path, by):
    file = write_search(tmp_path, RANDOM)
    sweep_dir = sweep(runs, file, backend)
    assert pause(sweep_dir, backend, None).search
    while backend.work():
        refill(sweep_dir, backend)
    assert len(points_of(sweep_dir)) == 2
    look = Monitor(sweep_dir, backend).look()
    assert look.settled()
    assert "paused: no more until `deit-launch resume --all`" in str(look.search)
    if by == "sweep":
        sweep(runs, file, backend)
    else:
        assert resume(sweep_dir, backend, None).search
        refill(sweep_dir, backend)
    work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 6


def test_status_says_so_where_nobody_asks_any_more(runs, backend, tmp_path, capsys):
    sweep_dir = sweep(runs, write_search(tmp_path, RANDOM), backend)
    while backend.work():
        pass  # whoever should have gone on was killed
    assert not Monitor(sweep_dir, backend).look().stalls()
    os.utime(sweep_dir.plan_file, (0, 0))
    for folder in sweep_dir.trials.iterdir():
        run = run_of(sweep_dir, folder.name)
        run.write_status(run.read_status().model_copy(update={"heartbeat_unix_s": 1.0}))
    print_snapshot(Monitor(sweep_dir, backend).look(), open_console())
    assert "nothing runs, and nobody has asked for " in capsys.readouterr().out


def test_a_retried_trial_stays_part_of_its_search(runs, backend, tmp_path):
    behave(runs, diverge={"distill.kind": ["hard"]})
    file = write_search(tmp_path, "{method: random, trials: 8}", space=CONDITIONAL)
    sweep_dir = sweep(runs, file, backend)
    work_off(sweep_dir, backend)
    failed = [point for point in points_of(sweep_dir) if point.params["distill.kind"] == "hard"]
    assert states_of(sweep_dir).count("failed") == len(failed) > 0
    behave(runs)
    name = failed[0].trial_ids[0]
    continue_sweep(
        sweep_dir, read_request(sweep_dir), backend, Wish(frozenset([name]), frozenset([name]))
    )
    work_off(sweep_dir, backend)
    assert run_of(sweep_dir, name).read_status().state == "completed"
    assert len(points_of(sweep_dir)) == 8


# what a point is ------------------------------------------------------------------------------


def test_what_another_sweep_has_trained_is_not_trained_again(runs, backend, tmp_path):
    search = "{method: random, trials: 4}"
    first = sweep(runs, write_search(tmp_path, search, name="one"), backend)
    work_off(first, backend)
    second = sweep(runs, write_search(tmp_path, search, name="two"), backend)
    assert second.path != first.path
    assert work_off(second, backend) == 0
    assert [p.trial_ids for p in points_of(second)] == [p.trial_ids for p in points_of(first)]
    assert trained(second) == [1] * 4


def test_a_warm_start_learns_from_another_sweep_and_repeats_none_of_it(runs, backend, tmp_path):
    first = sweep(runs, write_search(tmp_path, "{method: random, trials: 12}", name="one"), backend)
    work_off(first, backend)
    warm = "{method: tpe, trials: 4, warm_start: true}"
    second = sweep(runs, write_search(tmp_path, warm, name="two"), backend)
    record = SearchDir(second).read_search()
    assert len(record.warm) == 12
    work_off(second, backend)
    known = {name for point in points_of(first) for name in point.trial_ids}
    asked = {name for point in points_of(second) for name in point.trial_ids}
    assert len(asked) == 4
    assert known.isdisjoint(asked)


def test_several_seeds_of_a_point_are_judged_by_their_mean(runs, tmp_path):
    backend = TestBackend(runs, slots=4)
    file = write_search(tmp_path, "{method: tpe, trials: 3}", seeds="[0, 1]")
    sweep_dir = sweep(runs, file, backend)
    work_off(sweep_dir, backend)
    assert [len(point.trial_ids) for point in points_of(sweep_dir)] == [2, 2, 2]
    assert trained(sweep_dir) == [1] * 6
    [outcome, *_] = outcomes_of(sweep_dir, backend)
    tops = [run_of(sweep_dir, name).read_summary().val_top1 for name in outcome.point.trial_ids]
    assert outcome.values == (pytest.approx(sum(tops) / 2),)
    assert tops[0] != tops[1]


def outcomes_of(sweep_dir, backend):
    from launcher.reconcile import _grow

    return _grow(sweep_dir, read_request(sweep_dir), backend).outcomes


def test_points_of_one_stream_share_a_job(runs, tmp_path):
    backend = TestBackend(runs, slots=1)
    file = write_search(tmp_path, "{method: random, trials: 9}", resources="{cohort: 3}")
    sweep_dir = sweep(runs, file, backend)
    assert len(points_of(sweep_dir)) == 2  # of nine, a quarter at once
    assert len(backend.live()) == 1
    jobs = work_off(sweep_dir, backend)
    assert trained(sweep_dir) == [1] * 9
    assert jobs < 9


def test_conditions_and_bounds_hold_in_what_is_trained(runs, backend, tmp_path):
    file = write_search(tmp_path, "{method: tpe, trials: 12}", space=CONDITIONAL)
    sweep_dir = sweep(runs, file, backend)
    work_off(sweep_dir, backend)
    for point in points_of(sweep_dir):
        config = run_of(sweep_dir, point.trial_ids[0]).read_config()
        assert ("distill.temperature" in point.params) == (config.distill.kind == "soft")
        assert config.optim.lr == point.params["optim.lr"]


def test_a_space_without_a_valid_point_is_refused_before_anything_is_written(
    runs, backend, tmp_path
):
    file = write_search(tmp_path, RANDOM, space="{model.embed_dim: [63, 65], optim.lr: [1, 2]}")
    with pytest.raises(SweepError, match=r"^[^\n]*embed_dim[^\n]*$"):
        sweep(runs, file, backend)
    assert list(runs.glob("[!.]*")) == []


def test_points_that_are_no_valid_config_are_left_out(runs, backend, tmp_path):
    space = f"{{{LR}, model.embed_dim: [64, 65], model.num_heads: [2, 5]}}"
    sweep_dir = sweep(runs, write_search(tmp_path, RANDOM, space=space), backend)
    work_off(sweep_dir, backend)
    pairs = [point.params for point in points_of(sweep_dir)]
    assert {(one["model.embed_dim"], one["model.num_heads"]) for one in pairs} == {(64, 2), (65, 5)}
    assert trained(sweep_dir) == [1] * 6


def test_a_warm_start_from_a_sweep_that_is_not_there_is_refused(runs, backend, tmp_path):
    file = write_search(tmp_path, "{method: tpe, trials: 4, warm_start: yesterday}")
    with pytest.raises(LaunchError, match=r"there is no sweep 'yesterday'.*; it has none"):
        sweep(runs, file, backend)
    assert list(runs.glob("[!.]*")) == []


# what is shown --------------------------------------------------------------------------------


def test_status_says_how_far_the_search_is(runs, backend, tmp_path):
    file = write_search(tmp_path, "{method: tpe, trials: 3}", space=f"{{{LR}}}")
    sweep_dir = sweep(runs, file, backend)
    look = Monitor(sweep_dir, backend).look()
    assert not look.settled()
    assert look.as_json()["search"] == {
        "method": "tpe",
        "objective": ("val_top1",),
        "asked": 2,
        "points": 3,
        "ended": None,
        "paused": False,
    }
    work_off(sweep_dir, backend)
    look = Monitor(sweep_dir, backend).look()
    assert look.settled()
    assert look.all_completed()
    assert str(read_progress(sweep_dir)) == (
        "search by tpe for val_top1: 3 of 3 points asked; no more: all 3 points were asked for"
    )


def test_a_value_that_no_valid_config_has_is_refused(runs, tmp_path):
    """It would be passed over for ever, as if it had been tried."""
    file = write_search(tmp_path, RANDOM, space="{distill.kind: [none, soft], model.depth: [1, 2]}")
    (tmp_path / "student.yaml").write_text(
        STUDENT.replace("teacher: {name: resnet10t, pretrained: true}\n", "")
    )
    with pytest.raises(SweepError, match=r"no point with distill.kind=soft is a valid config: "):
        request_of(load_sweep(file))


def test_the_budget_can_be_raised_by_an_option(tmp_path):
    file = write_search(tmp_path, RANDOM)
    assert load_sweep(file, overrides=["search.trials=9"]).search.trials == 9
    with pytest.raises(SweepError, match=r"search.trials: should be a valid integer"):
        load_sweep(file, overrides=["search.trials=many"])
    with pytest.raises(SweepError, match=r"name one of its fields, such as search.trials"):
        load_sweep(file, overrides=["search=3"])


def test_cma_es_needs_a_range(tmp_path):
    file = write_search(tmp_path, "{method: cmaes, trials: 4}", space="{model.depth: [1, 2, 3]}")
    with pytest.raises(SweepError, match=r"cmaes chooses numbers of a range"):
        request_of(load_sweep(file))


def test_a_dry_run_of_a_search_writes_nothing(runs, backend, tmp_path):
    from launcher.reconcile import preview

    plan = preview(runs, request_of(load_sweep(write_search(tmp_path, RANDOM))), backend)
    assert plan.counts() == {"run": 2}
    [note] = [note for note in plan.notes if "points" in note]
    assert note.startswith("search by random: 2 of 6 points (2 open); costs are")
    assert [path.name for path in runs.iterdir()] == [".jobs"]


def test_the_space_is_part_of_what_a_sweep_is(runs, backend, tmp_path):
    one = sweep(runs, write_search(tmp_path, RANDOM), backend)
    other = sweep(runs, write_search(tmp_path, RANDOM, space=SPACE.replace("8", "9")), backend)
    assert one.path != other.path
