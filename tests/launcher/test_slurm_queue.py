"""What the SLURM backend makes of its files and of the queue together; the queue is a pretence."""

import getpass

import pytest
from launch_support import FAKE_TRAINER

from launcher.backends.base import Job
from launcher.backends.progress import JobProgress
from launcher.backends.slurm import client
from launcher.backends.slurm.backend import SlurmBackend
from launcher.backends.slurm.submission import record_of
from launcher.errors import LaunchError

HELD = "JobHeldUser"


class Queue:
    """What squeue would say, and what SLURM was told."""

    def __init__(self, backend, monkeypatch):
        self.backend = backend
        self.entries = []
        self.told = []
        self.silent = False
        self.throttles = {}
        self.error = ""
        self.time = 0.0
        monkeypatch.setattr(client, "queue", self.queue)
        monkeypatch.setattr(client, "act", self.act)
        monkeypatch.setattr(client, "ask", self.ask)
        monkeypatch.setattr(client, "require_slurm", lambda: None)
        monkeypatch.setattr(client, "shows_jobs_of_others", lambda: False)

    def queue(self, array_ids):
        return None if self.silent else [e for e in self.entries if e.array_id in array_ids]

    def act(self, *command, **options):
        self.told.append(" ".join(command))
        ok = not self.error
        return client.Answer(ok, "7\n" if command[0] == "sbatch" else "", self.error)

    def ask(self, *command, **options):
        most = self.throttles.get(command[-1], 0)
        return client.Answer(True, f"ClusterName = \nArrayTaskThrottle={most}\n", "")

    def array(self, slurm_id, *elements, user=None, group="s", queued=True):
        """An array that was submitted; its elements' jobs by tag."""
        jobs = [tuple(Job(tag, (), group=group) for tag in element.split()) for element in elements]
        self.time += 1
        user = getpass.getuser() if user is None else user
        update = {"submitted_by": user, "submitted_unix_s": self.time}
        record = record_of(jobs, ()).model_copy(update=update)
        array = self.backend.arrays.files.array(record.array)
        array.create(record, "")
        array.note_id(slurm_id)
        for index in range(len(elements) if queued else 0):
            self.put(record, slurm_id, index)
        return array

    def put(self, record, slurm_id, index, state="PENDING", reason="Priority"):
        """Let the queue have an element, in this state."""
        entry = client.QueueEntry(
            f"{slurm_id}{index}", slurm_id, index, state, reason, "n1", record.job_name
        )
        self.entries = [one for one in self.entries if one.name != entry.name] + [entry]

    def train(self, array, tag):
        array.write_progress(tag, JobProgress(state="running"))


@pytest.fixture
def backend(tmp_path):
    return SlurmBackend(tmp_path / "runs", command=FAKE_TRAINER)


@pytest.fixture
def queue(backend, monkeypatch):
    return Queue(backend, monkeypatch)


def state(backend, job_id):
    report = backend.states([job_id]).get(job_id)
    return None if report is None else report.state + (" held" if report.held else "")


# an id that SLURM has given twice ----------------------------------------------------------------


def test_jobs_of_the_same_id_are_told_apart(backend, queue):
    lost = queue.array("3", "a", queued=False)
    live = queue.array("3", "b")

    ids = {**backend.arrays.find(["a"]), **backend.arrays.find(["b"])}

    assert ids == {"a": "3_0", "b": f"3_0@{live.path.name}"}
    assert {tag: state(backend, ids[tag]) for tag in ids} == {"a": "ended", "b": "queued"}
    backend.cancel([ids["a"]])
    backend.hold([ids["a"]])
    assert [(one.marked("cancel"), one.marked("hold")) for one in (lost, live)] == [
        ({"a"}, {"a"}),
        (set(), set()),
    ]
    backend.release([ids["a"]])
    assert queue.told == []


def test_a_new_job_is_told_from_an_older_one_of_its_id(backend, queue, tmp_path):
    queue.array("7", "a", queued=False)
    ids = backend.submit([Job("b", (tmp_path / "b",), group="s")])
    assert ids["b"].startswith("7_0@")
    assert backend.arrays.places(ids.values())[ids["b"]].job.tag == "b"


# several jobs in an element ----------------------------------------------------------------------


@pytest.fixture
def shared(queue):
    """An element that trains the first of its jobs."""
    array = queue.array("3", "first second third")
    queue.put(array.read(), "3", 0, "RUNNING", "None")
    queue.train(array, "first")
    return array


def test_what_waits_for_its_turn_is_stopped_without_a_word_to_the_job_that_runs(
    backend, queue, shared
):
    assert [state(backend, job) for job in ("3_0", "3_0:1")] == ["running", "queued"]
    backend.cancel(["3_0:1"])
    backend.hold(["3_0:2"])
    assert queue.told == []
    states = [state(backend, job) for job in ("3_0", "3_0:1", "3_0:2")]
    assert states == ["running", "ended", "queued held"]
    backend.cancel(["3_0"])
    assert queue.told == ["scancel --signal=TERM 3_0"]
    assert state(backend, "3_0") == "running"


def test_an_element_is_taken_out_once_nothing_of_it_is_wanted(backend, queue):
    queue.array("3", "first second")
    backend.cancel(["3_0:1"])
    assert (queue.told, state(backend, "3_0"), state(backend, "3_0:1")) == ([], "queued", "ended")
    backend.cancel(["3_0"])
    assert (queue.told, state(backend, "3_0")) == (["scancel 3_0"], "ended")


def test_an_element_is_held_once_all_of_it_is(backend, queue):
    queue.array("3", "first second")
    backend.hold(["3_0"])
    assert (queue.told, state(backend, "3_0"), state(backend, "3_0:1")) == (
        [],
        "queued held",
        "queued",
    )
    backend.hold(["3_0:1"])
    assert queue.told == ["scontrol hold 3_0"]


# held and released -------------------------------------------------------------------------------


def test_a_job_is_held_from_the_moment_that_it_was_asked_to_be(backend, queue):
    array = queue.array("3", "a")
    queue.put(array.read(), "3", 0, "RUNNING", "None")
    backend.hold(["3_0"])
    assert state(backend, "3_0") == "running held"
    queue.error = "3_0: Job is no longer pending execution"
    backend.release(["3_0"])  # is no error: nothing holds it
    assert state(backend, "3_0") == "running"


def test_a_job_that_is_not_released_is_an_error(backend, queue):
    array = queue.array("3", "a")
    backend.hold(["3_0"])
    queue.put(array.read(), "3", 0, reason=HELD)
    queue.error = "Access denied"
    with pytest.raises(LaunchError, match="does not release job 3_0: Access denied"):
        backend.release(["3_0"])
    assert array.marked("hold") == set()
    assert state(backend, "3_0") == "queued held"  # so that it can be released again
    queue.silent = True
    with pytest.raises(LaunchError, match="SLURM does not answer"):
        backend.release(["3_0"])


# together with others ----------------------------------------------------------------------------


def test_a_queue_that_may_hide_the_jobs_of_others_says_nothing_of_them(backend, queue):
    theirs = queue.array("3", "a b", user="somebody", queued=False)
    queue.array("4", "c", queued=False)
    assert [state(backend, job) for job in ("3_0", "4_0")] == [None, "ended"]
    theirs.mark("ended", "b")
    assert [state(backend, job) for job in ("3_0", "3_0:1")] == [None, "ended"]


def sbatch_of(queue, backend, most, group="s", tags="x y z"):
    """The call of sbatch for new jobs of the sweep, and the throttle in its script."""
    jobs = [Job(tag, (backend.runs / tag,), group=group, max_parallel=most) for tag in tags.split()]
    ids = backend.submit(jobs)
    [call] = [told for told in queue.told if told.startswith("sbatch")]
    script = backend.arrays.places(ids.values())[ids["x"]].array.script.read_text()
    [line] = [line for line in script.splitlines() if "--array=" in line]
    waits = [word for word in call.split() if word.startswith("--dependency")]
    return line.partition("--array=")[2], waits


@pytest.mark.parametrize(
    ("most", "throttle", "waits"),
    [
        (None, "0-2", []),
        (1, "0-2%1", ["--dependency=afterany:3"]),
        (2, "0-2%2", ["--dependency=afterany:3"]),
        (3, "0-2%1", []),
        (9, "0-2%3", []),
    ],
)
def test_a_new_array_takes_what_the_others_of_its_sweep_leave(
    backend, queue, most, throttle, waits
):
    queue.array("3", "a", "b", "c", "d")
    queue.array("4", "other", group="another sweep")
    queue.throttles = {"3": 2}
    assert sbatch_of(queue, backend, most) == (throttle, waits)


def test_nobody_waits_for_what_its_user_holds(backend, queue):
    array = queue.array("3", "a", "b")
    queue.put(array.read(), "3", 0, reason=HELD)
    assert sbatch_of(queue, backend, 1) == ("0-2%1", ["--dependency=afterany:3_1"])


def trains(queue, backend, slurm_id, *names):
    """An array whose elements train these, one each."""
    array = queue.array(slurm_id, *(f"tag-{name}" for name in names))
    record = array.read()
    elements = tuple(
        (job.model_copy(update={"run_dirs": (str(backend.runs / name),)}),)
        for name, (job,) in zip(names, record.elements, strict=True)
    )
    array.create(record.model_copy(update={"elements": elements}), "")


def test_what_waits_for_trials_waits_for_their_whole_arrays(backend, queue):
    trains(queue, backend, "3", *(f"t{number}" for number in range(50)))
    trains(queue, backend, "4", "t50")
    trains(queue, backend, "5", "another")
    awaited = tuple(backend.runs / f"t{number}" for number in range(51))
    backend.submit([Job("last", (backend.runs / "last",), group="s", after_any=awaited)])
    (call,) = [told for told in queue.told if told.startswith("sbatch")]
    assert "--dependency=afterany:4:3" in call.split()

    queue.told.clear()
    queue.put(backend.arrays.read(backend.arrays._by_age(["7"])[0][0]), "7", 0)
    backend.throttle("s", 60)
    assert "scontrol update JobId=7 Dependency=afterany:4:3" in queue.told


def test_a_throttle_below_the_number_of_arrays_chains_them(backend, queue):
    first, second = queue.array("3", "a", "b"), queue.array("4", "c")
    running = queue.array("5", "d", "e")
    queue.put(running.read(), "5", 0, "RUNNING", "None")
    assert first != second

    backend.throttle("s", 2)

    assert queue.told == [
        "scontrol update JobId=5 ArrayTaskThrottle=1",
        "scontrol update JobId=5 Dependency=",
        "scontrol update JobId=3 ArrayTaskThrottle=1",
        "scontrol update JobId=3 Dependency=",
        "scontrol update JobId=4 ArrayTaskThrottle=1",
        "scontrol update JobId=4 Dependency=afterany:5",
    ]
    queue.told.clear()
    queue.error = "5_0: Job is no longer pending execution; 5_1: No error"
    backend.throttle("s", None)
    assert "scontrol update JobId=4 ArrayTaskThrottle=0" in queue.told
    assert "scontrol update JobId=4 Dependency=" in queue.told
    queue.error = "4_0: Circular job dependency"
    with pytest.raises(LaunchError, match=r"refuses to throttle array .*: 4_0: Circular"):
        backend.throttle("s", 1)
