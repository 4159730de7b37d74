"""The parts of the SLURM backend that need no cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord
from launcher.backends.slurm.client import clean_environ
from launcher.backends.slurm.feasibility import refuse_impossible
from launcher.backends.slurm.here import Here, expand_nodes, parse_left
from launcher.backends.slurm.limits import into_arrays, into_elements, shares
from launcher.backends.slurm.partitions import Nodes, Partition
from launcher.backends.slurm.rank import rank_environ
from launcher.backends.slurm.script import batch_script
from launcher.backends.slurm.site_defaults import with_variables
from launcher.errors import LaunchError
from launcher.job_size import scheduled_size
from launcher.resources import Resources

sizes = st.lists(st.integers(1, 2000), min_size=1, max_size=6)


@given(st.integers(1, 5000), st.integers(1, 1001))
def test_arrays_hold_every_element_once_and_are_as_few_as_can_be(count, size):
    arrays = into_arrays(range(count), size)

    assert [element for array in arrays for element in array] == list(range(count))
    assert all(1 <= len(array) <= size for array in arrays)
    assert len(arrays) == -(-count // size)


@given(st.integers(1, 300), st.one_of(st.none(), st.integers(-3, 400)))
def test_elements_hold_every_job_once_and_fit_into_the_room(count, room):
    elements = into_elements(range(count), room)

    assert sorted(job for element in elements for job in element) == list(range(count))
    assert len(elements) <= max(1, count if room is None else room)
    lengths = {len(element) for element in elements}
    assert max(lengths) - min(lengths) <= 1


@given(sizes, st.integers(1, 3000))
def test_throttles_add_up_to_what_may_run_at_once(lengths, total):
    given_shares = shares(total, lengths)

    assert all(1 <= share <= size for share, size in zip(given_shares, lengths, strict=True))
    assert sum(given_shares) <= max(total, len(lengths))
    if total >= len(lengths):
        assert sum(given_shares) == min(total, sum(lengths))


def test_without_a_limit_nothing_is_throttled():
    assert shares(None, [5, 3]) == [None, None]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59", None),
        ("4:59", 299.0),
        ("1:00:00", 3600.0),
        ("2-03:04:05", 183845.0),
        ("UNLIMITED", None),
    ],
)
def test_time_left_is_read_as_slurm_writes_it(text, seconds):
    assert parse_left(text) == seconds


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("node1", ("node1",)),
        ("node[1-3,07],login", ("node1", "node2", "node3", "node07", "login")),
        ("", ()),
    ],
)
def test_node_lists_need_no_scontrol(text, nodes):
    assert expand_nodes(text) == nodes


def test_an_element_is_named_by_its_array_not_by_its_own_number():
    environ = {
        "SLURM_JOB_ID": "7",  # also the number of the whole array, for its last element
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_JOB_NODELIST": "a[1-2]",
        "SLURMD_NODENAME": "a1",
    }

    assert Here.of(environ).name == "7_3"
    with pytest.raises(LaunchError, match="no element"):
        Here.of({"SLURM_JOB_ID": "7"})


def test_a_nested_call_passes_nothing_on_of_the_job_it_is_in():
    outer = {
        "SLURM_JOB_ID": "1",
        "SLURM_MEM_PER_CPU": "100",
        "SLURM_CONF": "/etc/slurm.conf",
        "RANK": "3",
        "OMP_NUM_THREADS": "1",
        "SBATCH_ACCOUNT": "vision",
        "HOME": "/root",
        "SQUEUE_FORMAT": "%i",
    }

    kept = {"SLURM_CONF", "HOME"}
    assert clean_environ(outer).keys() == kept
    alone = {"RANK": "3", "SLURM_CONF": "x", "SACCT_FORMAT": "y"}
    assert clean_environ(alone).keys() == {"RANK", "SLURM_CONF"}


def test_a_rank_that_sees_one_gpu_of_its_own_takes_that():
    task = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}

    assert rank_environ(task) == {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert rank_environ(task | {"CUDA_VISIBLE_DEVICES": "3"})["DEIT_GPU_BOUND"] == "1"
    assert "DEIT_GPU_BOUND" not in rank_environ(task | {"CUDA_VISIBLE_DEVICES": "0,1"})


def test_a_job_that_asked_for_no_gpu_sees_none():
    task = {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0"}

    given_gpus = rank_environ(task | {"DEIT_GPUS_PER_NODE": "0", "CUDA_VISIBLE_DEVICES": "0"})

    assert given_gpus["CUDA_VISIBLE_DEVICES"] == ""


def script_of(tmp_path, *, throttle=None, elements=1, array=None, **resources):
    asked = Resources.model_validate(resources)
    record = ArrayRecord(
        array="ab12",
        group="sweep",
        job_name="sweep.ab12",
        elements=tuple((ArrayJob(tag=f"t{i}", run_dirs=("/runs/x",)),) for i in range(elements)),
        resources=asked,
        processes=asked.nodes * asked.processes_per_node,
        cpus_per_task=3,
        gpus_per_node=asked.gpus_per_node or 0,
        signal_lead_s=120,
        command=("python", "-m", "deit_core"),
        code="/a code",
        submitted_unix_s=0.0,
    )
    array = array or ArrayDir(tmp_path / "a folder")
    return batch_script(record, array, throttle=throttle, cwd="/home/a user").splitlines()


def test_the_script_asks_for_what_the_sweep_file_says(tmp_path):
    lines = script_of(
        tmp_path,
        elements=7,
        throttle=2,
        nodes=2,
        gpus_per_node=4,
        mem_gb=64.0,
        time="1d12h",
        partition="gpu",
        account="vision",
        qos="high",
        constraint="a100&nvlink",
        exclude="node[3-5]",
        comment="it's mine",
        sbatch={"mail-type": "END", "exclusive": True, "reservation": False},
        setup=("module load cuda",),
    )

    options = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert options >= {
        "array=0-6%2",
        "nodes=2",
        "ntasks-per-node=4",
        "gpus-per-node=4",
        "cpus-per-task=3",
        "mem=65536M",
        "time=2160",
        "partition=gpu",
        "account=vision",
        "qos=high",
        "constraint='a100&nvlink'",
        "exclude='node[3-5]'",
        "mail-type=END",
        "exclusive",
        "requeue",
        "signal=USR2@120",
        "chdir='/home/a user'",
    }
    assert not any("reservation" in option or "wckey" in option for option in options)
    assert lines.index("module load cuda") < lines.index("export PYTHONPATH='/a code'")
    assert lines[-1] == "" or lines[-1].startswith("exec ")


@pytest.mark.parametrize(
    ("folder", "output", "opens"),
    [
        ("a 100% %j", "'{}/a 100%% %%j/log/%a.log'", []),
        ("a\\b's", "/dev/null", ["exec >>'{}/a\\b'\"'\"'s/log'/$SLURM_ARRAY_TASK_ID.log 2>&1"]),
    ],
)
def test_what_is_a_pattern_to_sbatch_is_none_in_the_name_of_a_folder(
    tmp_path, folder, output, opens
):
    lines = script_of(tmp_path, array=ArrayDir(tmp_path / folder))

    assert f"#SBATCH --output={output.format(tmp_path)}" in lines
    assert [line for line in lines if ">>" in line] == [line.format(tmp_path) for line in opens]


def test_what_is_not_asked_for_is_the_sites_default(tmp_path):
    lines = script_of(tmp_path, time=None)

    assert not any(
        line.startswith(f"#SBATCH --{name}=")
        for line in lines
        for name in ("time", "mem", "partition", "gpus-per-node", "account")
    )


def test_options_that_sbatch_must_not_be_given_twice_are_refused():
    with pytest.raises(ValueError, match=r"given by the field mem_gb"):
        Resources.model_validate({"sbatch": {"mem": "4G"}})
    with pytest.raises(ValueError, match="set by the launcher itself"):
        Resources.model_validate({"sbatch": {"array": "0-3"}})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"begin": None}, "begin is None; give text, a whole number or true/false, on one line"),
        ({"begin": [1, 2]}, r"begin is \[1, 2\]; give text"),
        ({"begin": "two\nlines"}, "begin is 'two.*lines'; give text"),
        ({"begin": 1.5}, "begin is 1.5; give text"),
        ({"a b": "x"}, "'a b' is no option of sbatch; give a long name"),
        ({1: "x"}, "1 is no option of sbatch"),
        (3, "3 is no mapping"),
    ],
)
def test_odd_options_of_sbatch_are_refused_in_words(options, said):
    with pytest.raises(ValueError, match=said) as refused:
        Resources.model_validate({"sbatch": options})
    assert "valid boolean" not in str(refused.value)


def test_a_refusal_names_the_variable_that_it_is_about():
    resources = Resources(partition="x", account="mine")
    environ = {"SBATCH_PARTITION": "x", "SBATCH_ACCOUNT": "other"}
    assert with_variables("there is no partition 'x'", resources, environ) == (
        "there is no partition 'x' (SBATCH_PARTITION is 'x' in the environment)"
    )
    assert with_variables("invalid account", resources, environ) == "invalid account"


def test_advice_can_be_pasted():
    nodes = (Nodes(4, cpus=8, memory_mib=9000, gpus=2),)
    partitions = {"gpu": Partition("gpu", nodes=nodes)}
    resources = Resources(partition="gpu", gpus_per_node=4, nodes=2, cpus_per_gpu=1)
    advice = r"use --set resources.gpus_per_node=2 --set resources.nodes=4$"
    with pytest.raises(LaunchError, match=advice):
        refuse_impossible(resources, scheduled_size(resources, None), partitions)
