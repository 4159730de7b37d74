"""`bench:` of a sweep file: whether and how the speed of its models is measured."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from deit_core.throughput_records import BenchProtocol, Quantity

FAST = {"warmup_s": 2.0, "timed_s": 3.0}
"""What `fast` shortens: enough to see whether a model is twice as fast, no figure to publish."""
DEFAULT = BenchProtocol()


def _as_quantities(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"{value!r} is no list; write [{value}]")
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("nothing would be measured; name one, such as [inference]")
        return tuple(dict.fromkeys(value))
    return value


Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BenchSettings(BaseModel):
    """How the models of a sweep are measured (docs/throughput.md)."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )

    when: Literal["after", "alone"] = "after"
    """`after`: once all trials have ended, however. `alone`: nothing is trained."""
    fast: bool = False
    """Shorter times, for a first look: warm-up 2 s and timed work 3 s where they are not given."""
    fixed_batch_size: Count | None = None
    """All models are measured at this batch size, for equal work; null: 256."""
    largest_batch_size: Count | None = None
    """Where the search for the largest power of two that fits ends; null: 4096."""
    warmup_s: Seconds | None = None
    """Warm-up before each measurement, in seconds; null: 10."""
    warmup_iterations: Count | None = None
    """Iterations that the warm-up has at least; null: 10."""
    timed_s: Seconds | None = None
    """Timed work of each measurement, in seconds; null: 10."""
    timed_iterations: Count | None = None
    """Iterations that the timed work has at least; null: 30."""
    blocks: Count | None = None
    """Parts of the timed work; the median one is the figure; null: 5."""
    latency_calls: Count | None = None
    """Calls with one image, for the latency; null: 200."""
    sweep_share: Share | None = None
    """Share of these times for batch sizes between the smallest and the largest; null: 0.2."""
    slowest_iteration_s: Positive | None = None
    """On a CPU, batches that take longer are not tried, in seconds; null: 2."""
    interleaved: Count | None = None
    """Models measured in turn, so that drift hits all alike; null: 8."""
    processes: Count | None = None
    """Fresh processes the whole is repeated in, 3 or more for figures to publish; null: 1."""
    quantities: Annotated[tuple[Quantity, ...] | None, BeforeValidator(_as_quantities)] = None
    """What is measured: inference, training, training_with_data; null: the first two."""

    @property
    def protocol(self) -> BenchProtocol:
        """The protocol that this amounts to."""
        given = {
            name: value
            for name in BenchProtocol.model_fields
            if (value := getattr(self, name, None)) is not None and name != "schema_version"
        }
        return DEFAULT.model_copy(update={**(FAST if self.fast else {}), **given})
