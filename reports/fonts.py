"""The font of figures: matplotlib's own DejaVu Sans, cut once to the characters that reports use.

A PDF carries the glyphs of its text. matplotlib has fontTools cut them out of the whole font, 6,000 glyphs and their
layout tables, for each style of each figure: that was half of what a report's figures took. From a font with 500 glyphs
it takes a tenth, and from one with 1,700 still twice that. Glyphs, widths and kerning are those of DejaVu Sans; a
character that is not in the cut font (a Cyrillic name, say) is taken from the whole one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

FAMILY = "Prereg Sans"
WHOLE = "DejaVu Sans"
_STYLES = ("DejaVuSans", "DejaVuSans-Bold")
_CHARACTERS = "".join(
    [
        *map(chr, (*range(0x20, 0x180), *range(0x391, 0x3CA), *range(0x2010, 0x2028))),  # Latin, Greek, punctuation
        "‰′″⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉←↑→↓↔⇒",
        "∂∅∆∈∉∏∑−∗√∝∞∧∨∩∪∼≈≠≡≤≥≪≫⊂⊆⋅",
        "■□▲△▼▽◆◇○●✓✗",
    ]
)
_DROPPED = ("GSUB", "GPOS", "GDEF", "MATH", "FFTM")
"""Shaping of scripts that are not in the cut font; kerning stays, in the table ``kern``."""


@cache
def families() -> list[str]:
    """Make the cut font known to matplotlib and return the families that text is drawn with, the first first."""
    import matplotlib
    from matplotlib import font_manager

    for style in _STYLES:
        font_manager.fontManager.addfont(_cut(style, Path(matplotlib.get_cachedir())))
    return [FAMILY, WHOLE]


def _cut(style: str, folder: Path) -> Path:
    """Return the file of a cut font; it is made when this version of matplotlib is first used."""
    import matplotlib
    from fontTools import version

    held = hashlib.sha256(_CHARACTERS.encode()).hexdigest()[:8]
    path = folder / f"prereg-{style}-{held}-{matplotlib.__version__}-{version}.ttf"
    if not path.exists():
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
        os.close(handle)
        try:
            _write(style, Path(draft))
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
    return path


def _write(style: str, path: Path) -> None:
    import matplotlib
    from fontTools import subset

    options = subset.Options(glyph_names=True, recommended_glyphs=True, recalc_timestamp=False)
    options.drop_tables += _DROPPED
    whole = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{style}.ttf"
    font: Any = subset.load_font(str(whole), options)
    cutter = subset.Subsetter(options=options)
    cutter.populate(text=_CHARACTERS)
    cutter.subset(font)
    for record in font["name"].names:
        record.string = record.toUnicode().replace(WHOLE, FAMILY).replace("DejaVuSans", "PreregSans")
    font.save(path)
    font.close()
