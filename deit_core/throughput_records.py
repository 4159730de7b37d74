"""What a throughput measurement was asked to do, and what it found. Torch-free.

Two files: `bench.json` of a bench directory says what to measure, `throughput.json` of a run
directory says how fast that run's model is. The protocol is described in docs/throughput.md.
"""

from __future__ import annotations

from typing import Any, Literal

from deit_core.records import Record

Quantity = Literal["inference", "training", "training_with_data"]
"""Forward only; forward, backward and optimiser step with the teacher's forward on a batch that
lies on the device; the same fed by the data loader."""


class BenchProtocol(Record):
    """How to measure. The defaults are the published protocol; `--fast` shortens the times."""

    fixed_batch_size: int = 256
    """All models are measured at this batch size, for equal work; smaller if it does not fit."""
    largest_batch_size: int = 4096
    """Where the search for the largest power of two that fits ends."""
    warmup_s: float = 10.0
    warmup_iterations: int = 10
    """Warm-up lasts until both are reached."""
    timed_s: float = 10.0
    timed_iterations: int = 30
    """Timed work lasts until both are reached, over all blocks."""
    blocks: int = 5
    """Parts of the timed work, each synchronised once; the median block is the figure."""
    latency_calls: int = 200
    """Calls at batch size 1, each synchronised."""
    sweep_share: float = 0.2
    """Share of the warm-up and of the timed work for the sizes of the batch sweep that are neither
    the fixed nor the largest one."""
    slowest_iteration_s: float = 2.0
    """On a CPU, batches that would take longer than this are not tried: nothing runs out there
    before patience does."""
    interleaved: int = 8
    """Models measured in turn (A B C A B C ...); more are measured in groups of about so many."""
    processes: int = 1
    """Fresh processes the whole is repeated in; 3 or more for figures to publish."""
    quantities: tuple[Quantity, ...] = ("inference", "training")


class BenchTarget(Record):
    """One model to measure, and the run directories it stands for."""

    key: str
    """Content hash of what the speed depends on (`deit_core.throughput_key`)."""
    label: str
    config: dict[str, Any]
    """A resolved RunConfig."""
    run_dirs: tuple[str, ...]
    """Absolute paths; throughput.json is written into each."""


class BenchRecord(Record):
    """bench.json: the order, read by `python -m deit_core BENCH_DIR`."""

    protocol: BenchProtocol = BenchProtocol()
    targets: tuple[BenchTarget, ...]


class SpeedPoint(Record):
    """Speed at one batch size."""

    batch_size: int
    images_per_s: float | None
    """The median block; null where the batch did not fit into memory."""
    images_per_s_min: float | None = None
    images_per_s_max: float | None = None
    """The slowest and the fastest block, over all processes."""
    blocks: int = 0
    iterations: int = 0
    timed_s: float = 0.0
    peak_gib: float | None = None
    """Most memory the device's allocator held; on a CPU most resident memory of the process."""
    mfu: float | None = None
    """Share (0-1) of the measured peak of a matrix product that the FLOPs of the models reach: of
    the forward pass, or of a step with its backward pass and its teacher; null where a model's are
    not known."""


class Speed(Record):
    """One quantity of one model."""

    quantity: Quantity
    fixed: SpeedPoint | None
    """At the protocol's fixed batch size, or the largest that fits where that is smaller."""
    largest: SpeedPoint | None
    """At the largest power of two that fits (or is allowed)."""
    batch_sweep: tuple[SpeedPoint, ...] = ()
    """Every batch size that was measured, ascending."""
    teacher: str | None = None
    """The teacher whose forward pass is part of the step; null: none."""


class Latency(Record):
    """One image at a time, forward only, in milliseconds."""

    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float


class BenchConditions(Record):
    """What the numbers hold for. Two records are alike where these are equal (`comparable`)."""

    device: str
    """`cpu` or `cuda`."""
    device_name: str
    device_count: int = 1
    precision: str
    """dtype of parameters and of autocast, such as `fp32` or `bf16 autocast`."""
    tf32: bool | None = None
    channels_last: bool = False
    compiled: bool = False
    attention: str | None = None
    """The attention kernel that ran, where it is known."""
    threads: int | None = None
    """Of the process, on a CPU."""
    torch: str
    cuda: str | None = None
    driver: str | None = None
    power_limit_w: float | None = None
    clock_mhz: float | None = None
    other_processes: int | None = None
    """Other processes seen on the GPU during the measurement; null where that cannot be seen."""
    other_load_cores: float | None = None
    """On a CPU: how many of the cores that the process may use others kept busy, on average."""
    hostname: str
    matmul_peak_tflops: float | None = None
    """Measured in the same process and precision: the base of `mfu`."""


class ThroughputRecord(Record):
    """throughput.json: how fast this run's model is, measured apart from any training run."""

    key: str
    """`BenchTarget.key`: equal for runs whose models are equally fast by construction."""
    protocol: BenchProtocol
    conditions: BenchConditions | None
    """Null where it failed before anything was measured."""
    interleaved_with: int = 0
    """Other models measured in turn with this one (A B C A B C ...)."""
    img_size: int
    parameters: int
    macs_per_image: int | None
    """Multiply-accumulates of one forward pass at `img_size`; FLOPs are twice as many."""
    speeds: tuple[Speed, ...] = ()
    latency: Latency | None = None
    error: str | None = None
    """Why some of it is missing, in one line."""
    finished_unix_s: float

    def speed(self, quantity: Quantity) -> Speed | None:
        """That quantity, if it was measured."""
        return next((one for one in self.speeds if one.quantity == quantity), None)
