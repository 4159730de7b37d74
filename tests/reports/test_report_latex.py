"""LaTeX tables: aligned numbers, all text escaped; compiled where there is a TeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.document import Cell, Column, Table
from reports.render.latex import PREAMBLE, latex_table
from reports.render.latex_text import escape

PRINTABLE = "".join(map(chr, range(32, 127)))
OTHERS = "– ± × … − é ü ñ ł ß Å 中 😀 → ≥ α “q” \u202e ` '"  # noqa: RUF001
NUMBERS = ("81.7 ± 1.2", "+2.1", "-12.15", "1,234")


def table(*texts: str, name: str = "weird_name") -> Table:
    rows = (
        tuple(Cell(text) for text in texts),
        tuple(Cell(text, strong=True) for text in texts),
        tuple(Cell(text, second=True) for text in texts),
        tuple(Cell("–" if text in NUMBERS else "[x]*") for text in texts),  # noqa: RUF001
    )
    columns = tuple(Column(f"{text} &%", text in NUMBERS) for text in texts)
    return Table(f"Caption {texts[0]}", columns, rows, name=name)


def without_commands(text: str) -> str:
    """LaTeX without commands, escaped characters, braces and formulas: what is typeset as text."""
    text = re.sub(r"\$[^$]*\$", "", text.replace(r"\$", ""))
    return re.sub(r"\\(?:[a-zA-Z]+|.)|[{}]", "", text)


def test_numbers_stand_in_columns_that_align_them() -> None:
    text = latex_table(table("name", *NUMBERS), "quick")
    formats = [
        "table-format = 2.1(2)", "table-format = +1.1", "table-format = -2.2", "table-format = 4"
    ]  # fmt: skip
    kinds = "l " + " ".join(f"S[{one}]" for one in formats).replace("= -", "= +")
    assert rf"\begin{{tabular}}{{{kinds}}}" in text
    assert r"name & 81.7 +- 1.2 & +2.1 & -12.15 & 1234 \\" in text
    assert r"\textbf{name} & \bfseries 81.7 +- 1.2 & \bfseries +2.1" in text
    assert r"\underline{name} & {\underline{\num{81.7 +- 1.2}}}" in text
    assert r"{[}x{]}{*} & {--} & {--} & {--} & {--} \\" in text


def test_a_table_has_rules_a_caption_and_a_label() -> None:
    text = latex_table(table("a_b"), "quick sweep")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Caption a\_b}"):
        assert part in text
    assert r"\label{tab:quick-sweep-weird-name}" in text
    assert "|" not in re.sub(r"(?m)^%.*$", "", text)
    assert r"\hline" not in text


def test_a_long_table_is_cut_and_says_so() -> None:
    rows = tuple((Cell(str(number)),) for number in range(1_200))
    text = latex_table(Table("All", (Column("n", True),), rows, name="all"), "quick")
    assert text.count(r" \\") == 1_001
    assert r"\caption{All (the first 1,000 of 1,200 rows)}" in text


@given(st.text(max_size=40))
def test_no_text_is_a_command(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii()
    assert escaped.count("{") - escaped.count(r"\{") == escaped.count("}") - escaped.count(r"\}")
    assert not set(without_commands(escaped)) & set('\\{}$&#^_~%"<>|')
    assert "\n" not in escaped


def test_a_name_cannot_leave_the_comment() -> None:
    text = latex_table(table("x"), "a\nb\r\\input{c}\u2028d")
    first, *rest = text.splitlines()
    assert first == r"% Made by deit-report from the sweep a b \input{c} d. The preamble needs:"
    assert not any("input" in line for line in rest if not line.startswith(r"  \label"))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_it_compiles(tmp_path: Path) -> None:
    nasty = PRINTABLE + OTHERS
    (tmp_path / "table.tex").write_text(latex_table(table(nasty, *NUMBERS), nasty), "utf-8")
    lines = (
        r"\documentclass{article}", *PREAMBLE, r"\begin{document}", r"\input{table}",
        r"\end{document}",
    )  # fmt: skip
    (tmp_path / "main.tex").write_text("\n".join(lines), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    assert (tmp_path / "main.pdf").stat().st_size > 0
