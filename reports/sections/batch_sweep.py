"""Throughput in detail: conditions, every model's speed, and speed and memory by batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deit_core.throughput_records import BenchConditions, Quantity, SpeedPoint
from reports.context import Context
from reports.document import Block, Bullets, Details, Facts, Figure, Paragraph, Section, Table
from reports.figures.batch import BatchLine, BatchPlot
from reports.settings import same_value
from reports.speed.tables import (
    MeasuredModel,
    batch_table,
    measured_models,
    speed_tables,
    sweep_of,
)
from reports.speed.throughput import Speeds, VariantSpeed, described, significant
from reports.text import listing, utc
from reports.variants import label_of, short_names

MOST_LINES = 8
"""More lines cannot be told apart."""
_SPARES = 20
"""Failures that are named."""


def throughput_section(context: Context) -> Section | None:
    """None where nothing was measured; the Pareto section and the method say how to."""
    speeds = context.analysis.speeds
    failures = _failures(context, speeds)
    if not speeds.measured:
        if not failures:
            return None
        return Section("throughput", "Throughput in detail", (Bullets(failures),))
    models = measured_models(context.analysis, speeds)
    blocks: list[Block] = [*speed_tables(models, speeds)]
    if any(speeds.unlike(group) for group in speeds.of):
        blocks.append(Paragraph(f"Unlike conditions: {_unlike(context, speeds)}.", "note"))
    if failures:
        blocks.append(Bullets(failures))
    blocks += _figures(context, models, speeds)
    blocks.append(Details("Conditions of the measurement", (Facts(_facts(speeds)),)))
    return Section("throughput", "Throughput in detail", tuple(blocks))


def _failures(context: Context, speeds: Speeds) -> tuple[str, ...]:
    labels = {v.group_id: v.label for v in context.analysis.variants}
    found = [
        f"{labels[group]}: {speed.record.error}"
        for group, speed in speeds.of.items()
        if speed.record.error
    ]
    more = [f"and {len(found) - _SPARES} more"] if len(found) > _SPARES else []
    return tuple(f"Not fully measured: {text}" for text in found[:_SPARES]) + tuple(more)


def _unlike(context: Context, speeds: Speeds) -> str:
    parts = []
    for variant in context.analysis.variants:
        found = speeds.unlike(variant.group_id)
        if found:
            values = listing(
                [f"{k} {v} instead of {speeds.usual.get(k)}" for k, v in found.items()]
            )
            parts.append(f"{variant.label} ({values})")
    return listing(parts)


# figures -----------------------------------------------------------------------------------


def _figures(context: Context, models: Sequence[MeasuredModel], speeds: Speeds) -> list[Block]:
    alike = [model for model in models if not speeds.other_machine(model.speed.group_id)]
    swept = [model for model in alike if len(_values(model, "inference", _rate)) > 1]
    if not swept:
        return []
    chosen = _chosen(context, swept)
    cut = ""
    if len(chosen) < len(swept):
        cut = f" Drawn: the baseline and the highest means, {len(chosen)} of {len(swept)} models."
    names = _short_names(context, chosen)
    blocks: list[Block] = [_figure(chosen, names, ("inference", "images/s", _rate), cut)]
    if any(len(_values(model, "inference", _memory)) > 1 for model in chosen):
        blocks.append(_figure(chosen, names, ("inference", "peak GiB", _memory), cut))
    training = _training_tables(chosen)
    if training:
        blocks.append(Details("Training by batch size", training))
    return blocks


def _chosen(context: Context, models: Sequence[MeasuredModel]) -> list[MeasuredModel]:
    """The baselines' models first, then by the highest mean; in order of the mean."""
    baselines = set(context.analysis.baseline.groups)
    keys = {m.speed.record.key for m in models if m.speed.group_id in baselines}
    ordered = sorted(models, key=lambda model: model.speed.record.key not in keys)
    if len(keys) > MOST_LINES // 2:
        ordered = list(models)
    kept = ordered[:MOST_LINES]
    return [model for model in models if model in kept]


def _rate(point: SpeedPoint) -> float | None:
    return point.images_per_s


def _memory(point: SpeedPoint) -> float | None:
    return point.peak_gib


_Read = Callable[[SpeedPoint], float | None]


def _values(model: MeasuredModel, quantity: Quantity, read: _Read) -> tuple[tuple[int, float], ...]:
    points = ((point.batch_size, read(point)) for point in sweep_of(model, quantity))
    return tuple((size, value) for size, value in points if value is not None)


def _short_names(context: Context, models: Sequence[MeasuredModel]) -> list[str]:
    """The swept values in which the models drawn differ; whole labels where that is not enough."""
    results = context.analysis.results
    variants = [results[model.speed.group_id].variant for model in models]
    differing = {
        axis: name
        for axis, name in short_names(tuple(variants[0].swept)).items()
        if len({same_value(variant.swept[axis]) for variant in variants}) > 1
    }
    names = [label_of({axis: v.swept[axis] for axis in differing}, differing) for v in variants]
    return names if all(names) and len(set(names)) == len(names) else [m.name for m in models]


def _figure(
    models: Sequence[MeasuredModel],
    names: Sequence[str],
    what: tuple[Quantity, str, _Read],
    cut: str,
) -> Figure:
    quantity, unit, read = what
    lines = [
        BatchLine(name, points)
        for model, name in zip(models, names, strict=True)
        if (points := _values(model, quantity, read))
    ]
    is_rate = unit == "images/s"
    name = "batch_speed" if is_rate else "batch_memory"
    title = f"{'Speed' if is_rate else 'Memory'} of {quantity} by batch size"
    scale = "Both axes are logarithmic." if is_rate else "The x axis is logarithmic."
    table = batch_table(models, quantity, read, f"{title}, {unit}", name)
    plot = BatchPlot(tuple(lines), unit, logarithmic=is_rate)
    peaks = [_peak_sentence(line, unit) for line in lines[:3]]
    return Figure(name, title, " ".join(peaks), scale + cut, plot, table)


def _peak_sentence(line: BatchLine, unit: str) -> str:
    size, value = max(line.points, key=lambda point: point[1])
    return f"{line.name} reaches its most, {significant(value)} {unit}, at batch {size:,}."


def _training_tables(models: Sequence[MeasuredModel]) -> tuple[Table, ...]:
    tables = []
    for read, unit, name in (
        (_rate, "images/s", "train_speed"),
        (_memory, "peak GiB", "train_gib"),
    ):
        known = [m for m in models if len(_values(m, "training", read)) > 1]
        if known:
            caption = f"Training by batch size, {unit}"
            tables.append(batch_table(known, "training", read, caption, f"batch_{name}"))
    return tuple(tables)


# conditions --------------------------------------------------------------------------------


def _facts(speeds: Speeds) -> tuple[tuple[str, str], ...]:
    """What all measurements share once, what they do not with every value."""
    found: dict[str, dict[str, None]] = {}
    for speed in speeds.measured:
        for name, value in _described(speed).items():
            found.setdefault(name, {})[value] = None
    return tuple((name, listing(list(values))) for name, values in found.items())


def _described(speed: VariantSpeed) -> dict[str, str]:
    conditions, protocol = speed.conditions, speed.record.protocol
    facts = dict(described(conditions))
    facts |= _seen(conditions) if conditions else {}
    facts["warm-up"] = f"{protocol.warmup_s:g} s and {protocol.warmup_iterations} iterations"
    facts["timed"] = (
        f"{protocol.timed_s:g} s and {protocol.timed_iterations} iterations, in {protocol.blocks} "
        f"blocks"
    )
    facts["processes"] = str(protocol.processes)
    facts["measured in turn with"] = f"{speed.record.interleaved_with} other models"
    facts["measured"] = utc(speed.record.finished_unix_s)
    return facts


def _seen(conditions: BenchConditions) -> dict[str, str]:
    """What is known, but does not make two rows unlike."""
    facts = {"host": conditions.hostname}
    if conditions.attention:
        facts["attention kernel"] = conditions.attention
    if conditions.driver:
        facts["driver"] = conditions.driver
    if conditions.clock_mhz is not None:
        facts["clock"] = f"{conditions.clock_mhz:g} MHz"
    if conditions.matmul_peak_tflops is not None:
        facts["measured matmul peak"] = f"{significant(conditions.matmul_peak_tflops)} TFLOP/s"
    if conditions.other_processes is not None:
        facts["other processes on the device"] = str(conditions.other_processes)
    if conditions.other_load_cores is not None:
        facts["cores busy with other work"] = f"{conditions.other_load_cores:.2g}"
    return facts
