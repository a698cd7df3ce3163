"""Makes one HTML file from a report; the file needs no network and no script."""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from transformer.data.sources.paths import is_pattern
from transformer.data.sources.settings import listed
from transformer.inspection.corpus.findings import Finding
from transformer.inspection.corpus.report import Report
from transformer.pages.template import filled
from transformer.system.errors import UserError

_MOST_SYMBOLS = 20
_NAMES = {" ": "space", "\n": "line end", "\t": "tab", "\r": "carriage return"}
_MADE_BY = "prepare.py of transformer-trainer"


def check_place(path: str, data_path: Any, val_path: Any = None) -> None:
    """Raises: UserError for a place in the corpus, and for a file that is no page of prepare.py."""
    own = os.path.realpath(path)
    for part in [*listed(data_path), *(listed(val_path) if val_path else [])]:
        corpus = os.path.realpath(part)
        matches = is_pattern(part) and fnmatch(own, corpus)
        if matches or own == corpus or own.startswith(corpus + os.sep):
            raise UserError(f"{path}: this is in the corpus; give another `out`")
    if os.path.exists(path):
        try:
            known = _MADE_BY in Path(path).read_text(encoding="utf-8", errors="replace")[:2000]
        except OSError as error:
            raise UserError(f"{path}: cannot be replaced: {error.strerror}") from None
        if not known:
            raise UserError(f"{path}: this is a file of your own; give another `out`")


def as_page(report: Report, suggestions: Sequence[Mapping[str, Any]]) -> str:
    """`suggestions` are what training would bring, each with a `command`."""
    symbols = report.portion.symbols
    total = max(sum(symbols.values()), 1)
    shares = {_visible(symbol): number / total for symbol, number in symbols.items()}
    parts = {
        "facts": escape(report.head).replace("\n", "<br>"),
        "findings": "\n".join(map(_finding, report.findings)) or "<p>Nothing odd was found.</p>",
        "lengths": _lengths(report.portion.lengths),
        "symbols": _shares([*shares.items()][:_MOST_SYMBOLS]),
        "languages": _languages(report),
        "plans": _plans(suggestions),
    }
    return filled("corpus.html", parts)


def _visible(symbol: str) -> str:
    if symbol in _NAMES:
        return _NAMES[symbol]
    if unicodedata.category(symbol)[0] in "CZ":
        return f"U+{ord(symbol):04X}"
    return f"◌{symbol}" if unicodedata.combining(symbol) else symbol


def _finding(finding: Finding) -> str:
    places = "".join(f"<li>{escape(place)}</li>" for place in finding.places)
    return (
        f'<div class="finding"><h3>{escape(finding.kind)} ({finding.number:,})</h3>'
        f"<p>{escape(finding.what)}</p><ul>{places}</ul>"
        f'<p class="advice">{escape(finding.advice)}</p></div>'
    )


def _bars(rows: Iterable[tuple[str, float, str]]) -> str:
    """A name, a share of the longest bar and a label for each."""
    items = "".join(
        f'<li><span>{escape(name)}</span><span class="share" style="width: {100 * share:.2f}%">'
        f"</span><span>{escape(label)}</span></li>"
        for name, share, label in rows
    )
    return f'<ol class="bars">{items}</ol>'


def _shares(shares: Sequence[tuple[str, float]]) -> str:
    most = max((share for _, share in shares), default=1.0)
    return _bars((name, share / most, f"{100 * share:.2f} %") for name, share in shares)


def _lengths(lengths: Any) -> str:
    """By powers of ten, in halves."""
    steps = [1, 3]
    borders = [step * 10**power for power in range(12) for step in steps]
    places = np.searchsorted(borders, lengths, side="right")
    counts = np.bincount(places, minlength=len(borders) + 1)
    used = np.flatnonzero(counts)
    rows = [
        (f"{_short(borders[n - 1])} to {_short(borders[n])}", int(counts[n]))
        for n in range(int(used[0]), int(used[-1]) + 1)
    ]
    most = max(number for _, number in rows)
    return _bars((name, number / most, f"{number:,}") for name, number in rows)


def _short(number: int) -> str:
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number // size}{unit}"
    return str(number)


def _languages(report: Report) -> str:
    if report.languages is None:
        return f"<p>{escape(report.language_line)}</p>"
    return _shares([*report.languages.shares.items()])


def _plans(suggestions: Sequence[Mapping[str, Any]]) -> str:
    if not suggestions:
        return ""
    names = [name for name in suggestions[0] if name != "command"]
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(_value(plan[name]))}</td>" for name in names) + "</tr>"
        for plan in suggestions
    )
    commands = escape("\n".join(plan["command"] for plan in suggestions))
    return (
        '<section aria-labelledby="plans-title"><h2 id="plans-title">What training would bring'
        f'</h2><div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
        f"<pre>{commands}</pre></section>"
    )


def _value(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
