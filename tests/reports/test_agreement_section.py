"""Who decides like whom: the shares of the analyses, averaged as they should be."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from sweep_writer import SweepWriter
from training_writer import write_analyses

from deit_core.run_dir import RunDir
from reports.agreement import places_of, token_lines
from reports.document import Code, Figure, Paragraph, Section, Table
from reports.figures.draw import draw
from reports.load import load_sweep
from reports.report import compile_report
from reports.variants import group_variants


def _section(folder: Path) -> Section | None:
    sections = compile_report(load_sweep(folder)).sections
    return next((section for section in sections if section.id == "agreement"), None)


def _analysed(writer: SweepWriter) -> dict[frozenset[str], float]:
    """Two variants of two seeds, one distilled; every pair has a share of its own."""
    writer.summary = {"val_top1_dist": None}
    plain = writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    writer.summary = {}
    distilled = writer.variant({"distill.kind": "hard"}, [82.0, 83.0])
    runs: dict[str, RunDir] = {"n0": plain[0], "n1": plain[1]}
    runs |= {"h0*": distilled[0], "h1*": distilled[1]}
    makers = ["ground truth", "teacher", "n0", "n1"]
    makers += [f"h{seed}/{head}" for seed in (0, 1) for head in ("cls", "dist", "fused")]
    pairs = list(combinations(makers, 2))
    shares = {frozenset(pair): round(0.01 * index, 2) for index, pair in enumerate(pairs, start=1)}
    write_analyses(runs, shares, "teacher")
    return shares


def _cells(section: Section) -> dict[tuple[str, str], str]:
    table = next(block for block in section.blocks if isinstance(block, Table))
    titles = [column.title for column in table.columns]
    return {
        (row[0].text, title): cell.text
        for row in table.rows
        for title, cell in zip(titles[1:], row[1:], strict=True)
    }


def test_pairs_are_averaged_within_runs_across_runs_and_across_seeds(writer: SweepWriter) -> None:
    shares = _analysed(writer)
    section = _section(writer.finish())
    assert section is not None
    found = _cells(section)

    def mean(*pairs: tuple[str, str]) -> str:
        return f"{sum(shares[frozenset(pair)] for pair in pairs) / len(pairs):.3f}"

    cls, dist = "kind=hard (class)", "kind=hard (distillation)"
    assert found[cls, dist] == mean(("h0/cls", "h0/dist"), ("h1/cls", "h1/dist"))
    assert found[cls, "kind=none"] == mean(
        ("h0/cls", "n0"), ("h0/cls", "n1"), ("h1/cls", "n0"), ("h1/cls", "n1")
    )
    assert found["kind=none", "kind=none"] == mean(("n0", "n1"))
    assert found[dist, "teacher"] == mean(("h0/dist", "teacher"), ("h1/dist", "teacher"))
    assert found["teacher", dist] == found[dist, "teacher"]
    assert found["teacher", "teacher"] == "0.000"
    assert found["teacher", "ground truth"] == mean(("teacher", "ground truth"))


def test_the_finding_names_the_nearer_head(writer: SweepWriter) -> None:
    shares = _analysed(writer)
    section = _section(writer.finish())
    assert section is not None
    first = section.blocks[0]
    assert isinstance(first, Paragraph)
    dist = 50 * sum(shares[frozenset((f"h{seed}/dist", "teacher"))] for seed in (0, 1))
    assert f"The distillation head differs from the teacher on {dist:.1f} % of the" in first.text
    assert "4 runs on 500 val images" in first.text


def test_many_decision_makers_get_a_row_for_each_variant(writer: SweepWriter) -> None:
    runs = {}
    for depth in range(5):
        for seed, run in enumerate(writer.variant({"model.depth": depth}, [80.0, 81.0])):
            runs[f"d{depth}s{seed}*"] = run
    names = [f"{name[:-1]}/{head}" for name in runs for head in ("cls", "dist", "fused")]
    pairs = combinations(["ground truth", "teacher", *names], 2)
    write_analyses(runs, dict.fromkeys(map(frozenset, pairs), 0.25), "teacher")
    section = _section(writer.finish())
    assert section is not None
    found = _cells(section)
    assert len(found) == 5 * 6
    assert found["depth=3", "the teacher, distillation head"] == "0.250"
    assert found["depth=3", "between its seeds"] == "0.250"


def test_analyses_made_apart_are_not_mixed(writer: SweepWriter) -> None:
    writer.summary = {"val_top1_dist": None}
    first, second, third = writer.variant({"distill.kind": "none"}, [80.0, 81.0, 82.0])
    truth = "ground truth"
    shares = {("a", "b"): 0.2, ("a", truth): 0.1, ("b", truth): 0.1}
    write_analyses({"a": first, "b": second}, {frozenset(k): v for k, v in shares.items()}, None)
    write_analyses({"a": third}, {frozenset(("a", truth)): 0.9}, None)
    section = _section(writer.finish())
    assert section is not None
    assert _cells(section)["kind=none", "kind=none"] == "0.200"
    assert _cells(section)["kind=none", truth] == "0.100"
    legend = section.blocks[2]
    assert isinstance(legend, Paragraph)
    assert "1 run analysed apart from these" in legend.text


def test_tokens_are_drawn_by_depth(writer: SweepWriter) -> None:
    _analysed(writer)
    folder = writer.finish()
    section = _section(folder)
    assert section is not None
    figure = next(block for block in section.blocks if isinstance(block, Figure))
    assert "kind=hard: 0.10 (input) to 0.90 (norm)" in figure.description
    assert "kind=hard, block 1: 0.40 (n=2)" in draw(figure).standalone
    lines = token_lines(group_variants(load_sweep(folder)))
    assert places_of(lines) == ["input", "block 1", "norm"]


def test_a_distilled_sweep_without_analysis_says_how_to_make_one(writer: SweepWriter) -> None:
    writer.variant({"distill.kind": "hard"}, [80.0])
    section = _section(writer.finish())
    assert section is not None
    code = next(block for block in section.blocks if isinstance(block, Code))
    assert code.text == f"python -m deit_core.analyse runs/{writer.path.name}"


def test_no_section_where_nothing_was_distilled(writer: SweepWriter) -> None:
    writer.summary = {"val_top1_dist": None}
    writer.variant({"distill.kind": "none"}, [80.0])
    assert _section(writer.finish()) is None
