r"""Text as LaTeX sees it: every character prints as itself, none is a command.

Only characters that pdflatex knows with its default encodings are left; the others are spelt as
`[U+4E2D]`, so that a name in another script never stops a paper from compiling.
"""

from __future__ import annotations

import re
import unicodedata

_CHARACTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "{''}",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "[": "{[}", "]": "{]}",
    "*": "{*}", "\N{EN DASH}": "--", "\N{EM DASH}": "---", "\N{MINUS SIGN}": "$-$",
    "\N{HYPHEN}": "-{}", "\N{NON-BREAKING HYPHEN}": "-{}", "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MIDDLE DOT}": r"$\cdot$", "\N{DIVISION SIGN}": r"$\div$", "\N{DEGREE SIGN}": r"$^{\circ}$",
    "\N{ALMOST EQUAL TO}": r"$\approx$", "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$", "\N{NOT EQUAL TO}": r"$\neq$",
    "\N{INFINITY}": r"$\infty$", "\N{SQUARE ROOT}": r"$\surd$", "\N{ELEMENT OF}": r"$\in$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$", "\N{LEFTWARDS ARROW}": r"$\leftarrow$",
    "\N{UPWARDS ARROW}": r"$\uparrow$", "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{SUPERSCRIPT ONE}": "$^1$", "\N{SUPERSCRIPT TWO}": "$^2$", "\N{SUPERSCRIPT THREE}": "$^3$",
    "\N{MICRO SIGN}": r"$\mu$", "\N{LEFT SINGLE QUOTATION MARK}": "{`}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "{'}", "\N{LEFT DOUBLE QUOTATION MARK}": "{``}",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "{''}", "\N{SECTION SIGN}": r"\S{}",
    "\N{COPYRIGHT SIGN}": r"\copyright{}", "\N{BULLET}": r"$\bullet$",
    "\N{CHECK MARK}": r"$\surd$", "\N{DAGGER}": r"$\dagger$",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}", "\N{LATIN SMALL LETTER AE}": r"\ae{}",
    "\N{LATIN CAPITAL LETTER AE}": r"\AE{}", "\N{LATIN SMALL LETTER O WITH STROKE}": r"\o{}",
    "\N{LATIN CAPITAL LETTER O WITH STROKE}": r"\O{}", "\N{LATIN SMALL LIGATURE OE}": r"\oe{}",
    "\N{LATIN CAPITAL LIGATURE OE}": r"\OE{}", "\N{LATIN SMALL LETTER L WITH STROKE}": r"\l{}",
    "\N{LATIN CAPITAL LETTER L WITH STROKE}": r"\L{}",
}  # fmt: skip
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_GREEK = {
    letter: rf"$\{name}$"
    for letter, name in zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ",
        _GREEK_NAMES.split(),
        strict=True,
    )
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`", "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^", "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"', "\N{COMBINING MACRON}": "=", "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING BREVE}": "u", "\N{COMBINING CARON}": "v", "\N{COMBINING CEDILLA}": "c",
    "\N{COMBINING RING ABOVE}": "r", "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
}  # fmt: skip


def escape(text: str) -> str:
    """Text for a paragraph or a table cell, on one line."""
    words = " ".join(text.split())
    # Two hyphens in a row would be typeset as a dash.
    return "-{}".join("".join(map(_escaped, part)) for part in re.split("-(?=-)", words))


def label(text: str) -> str:
    r"""Text as part of a \label: letters, digits and hyphens."""
    plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in text)
    return "-".join(part for part in plain.split("-") if part)[:60]


def comment(text: str) -> str:
    """Text that stays in one line behind a %: anything else would be LaTeX again."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in " ".join(text.split()))


def _escaped(char: str) -> str:
    if char in _CHARACTERS:
        return _CHARACTERS[char]
    if char.isascii():
        return char if char.isprintable() else _spelt(char)
    return _GREEK.get(char) or _accented(char) or _spelt(char)


def _accented(char: str) -> str | None:
    parts = unicodedata.normalize("NFD", char)
    if len(parts) != 2 or not parts[0].isascii() or parts[1] not in _ACCENTS:
        return None
    base = rf"\{parts[0]}" if parts[0] in "ij" and parts[1] != "\N{COMBINING CEDILLA}" else parts[0]
    return rf"\{_ACCENTS[parts[1]]}{{{base}}}"


def _spelt(char: str) -> str:
    return f"{{[}}U+{ord(char):04X}{{]}}"
