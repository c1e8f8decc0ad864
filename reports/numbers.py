"""The prose checker: every number that a report says in prose must be a number of results.json.

Fenced blocks and tables are left alone (tables are printed from the model cell by cell). Registered text, names and
reasons that stand in results.json word for word may be quoted (``reports.names``). Every other number must be a value
of the model with the right unit, rounded to the digits that are printed, and in its own role: a threshold stands after
``registered``, a shortfall before ``short of``, the ends of an interval stand together. Where a passage names
estimates, its numbers must belong to one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from harness.core.numbers import SMALLEST_P, format_threshold
from reports.counted import Counted, counted
from reports.escape import AT, OPEN, md, unmarked
from reports.known import Known, Span, known_numbers, known_spans, missed
from reports.names import Names
from reports.quotes import code_texts
from reports.records import ReportModel
from reports.templating import sample_head, sample_line

_UNIT = r"\s?(?:%|pp\b|points\b|°|bits\b|nats\b|tokens\b)"
_DIGITS = r"[−+-]?(?:\d(?:[\d,]*\d)?(?:\.\d+)?|\.\d+)(?:e[−+-]?\d+)?"
_NUMBER = re.compile(rf"(?P<rel>[<>≥≤]\s*)?(?<![\w.#/^])(?P<number>{_DIGITS})(?P<unit>{_UNIT})?(?!\w)")
_SPAN = re.compile(rf"(?<![\w.#/^])(?P<low>{_DIGITS})(?:–| to )(?P<high>{_DIGITS})(?P<unit>{_UNIT})?(?!\w)")
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_BEFORE_THRESHOLD = re.compile(r"registered|wholly|\blimit\b|\bp [<≥]|≥ ?$|< ?$")
_BEFORE_P = re.compile(r"(?:\bp =?|instead of|up to) ?(?:< ?)?[\d.e−-]*$")
_WORD = re.compile(r"(?<![\w.#/^,−+-])(?=[\w./-]*[^\W\d_])(?=[\w./-]*\d)[\w./-]*\w")
"""Words with digits in them; numbers alone are judged as numbers."""
_WRITTEN_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WRITTEN = re.compile(rf"(?i)\b(?:{'|'.join(_WRITTEN_NUMBERS)})(?= of \d)")
_GAP = re.compile(r"(?:above|below) \S")
_MISSED = re.compile(rf"{_DIGITS}(?:{_UNIT})? (?:short of|over) the registered {_DIGITS}(?:{_UNIT})?")
_CONDITION = re.compile(r"[\d,]+ hits? in [\d,]+ completion")
_SAMPLE = ("**Hit** —", "**Miss** —")
_AFTER_SHORTFALL = ("short of", "over the registered")
_UNITS = {
    "%": "proportion",
    "pp": "pp",
    "points": "points",
    "°": "deg",
    "bits": "bits",
    "nats": "nats",
    "tokens": "tokens",
}


def check_prose(markdown: str, model: ReportModel) -> list[str]:
    """Return a sentence for every number in the prose that results.json does not carry.

    Args:
        markdown: A report; with marks around user text (``reports.escape.marking``) no name is mistaken for prose.
        model: What the report was written from.
    """
    return _Checker(model).check(markdown)


class _Checker:
    def __init__(self, model: ReportModel) -> None:
        self.quotes = Names(model)
        self.numbers = list(dict.fromkeys(known_numbers(model, self.quotes.pattern)))
        self.counts: dict[int, list[Counted]] = {}
        for each in dict.fromkeys(counted(model, self.quotes.pattern)):
            self.counts.setdefault(each.value, []).append(each)
        self.missed = set(missed(model))
        self.words = set(_named_words(model))
        self.heads = {
            " ".join(str(sample_head(sample, length)).split())
            for condition in model.conditions
            for sample, length in zip(condition.samples, condition.lengths, strict=True)
        }
        self.conditions = {" ".join(str(sample_line(each)).split()) for each in model.conditions}
        self.spans = list(known_spans(model))
        self.names = {row.estimate.name for row in model.estimates}
        self.code = set(code_texts(model))
        notes = (*model.differs, *model.allow)
        self.issues = {*model.registration.parents, *(note.source for note in notes)}

    def check(self, markdown: str) -> list[str]:
        wrong, marked = [], OPEN in markdown
        for passage in _passages(markdown):
            shown = unmarked(passage)
            if shown.startswith(_SAMPLE):
                wrong += [] if shown in self.heads else [f"a sample that is none: “{shown[:77]}…”"]
                continue
            readings = self.quotes.readings(passage.replace(AT, "@"))
            if _CONDITION.search(readings[0]):
                wrong += [] if shown in self.conditions else [f"hits of no arm: “{shown[:77]}…”"]
                continue
            short = shown if len(shown) <= 80 else shown[:77] + "…"
            read = [list(self._passage(text, marked=marked)) for text in readings]
            wrong += [f"{found} in “{short}”" for found in min(read, key=len)]
        return wrong

    def _passage(self, passage: str, *, marked: bool) -> Iterator[str]:
        # Code first: a quotable word inside it (an estimand called rho) must not be cut out of p(abs(rho) > 0).
        spans = [match[2].strip() for match in _CODE.finditer(passage)]
        text = _CODE.sub(" ", passage)
        text = text if marked else self.quotes.found(text)
        yield from (f"`{span}`" for span in spans if any(c.isdigit() for c in span) and span not in self.code)
        yield from (f"#{issue}" for issue in re.findall(r"(?<!&)#(\d+)\b", text) if issue not in self.issues)
        about = {span for span in spans if span in self.names}
        yield from (found for found in _MISSED.findall(text) if found not in self.missed)
        text = _WRITTEN.sub(lambda match: str(_WRITTEN_NUMBERS.index(match[0].lower()) + 2), text)
        yield from (word for word in _WORD.findall(text) if not _holds_number(word) and word not in self.words)
        for match in _SPAN.finditer(text):
            if not any(_same_span(match, span, about) for span in self.spans):
                yield match[0].strip()
        text = _SPAN.sub(" ", text)
        for match in _NUMBER.finditer(text):
            if not self._known(match, about):
                yield match[0].strip()

    def _known(self, match: re.Match[str], about: set[str]) -> bool:
        whole = _whole(match)
        if whole is not None and any(_same_count(match, each, about) for each in self.counts.get(whole, ())):
            return True
        return any(_same_number(match, known, about) for known in self.numbers)


def _passages(markdown: str) -> Iterator[str]:
    """Paragraphs, bullets and headings outside fences, tables and link targets."""
    fence = ""
    lines: list[str] = []
    for line in [*markdown.split("\n"), ""]:
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if len(ticks) >= 3 and (not fence or (line == ticks and len(ticks) >= len(fence))):
            fence = "" if fence else ticks
            line = ""
        elif fence or line.startswith("|"):
            line = ""
        if lines and (not line.strip() or re.match(r"\s*[-#>*]", line)):
            yield re.sub(r"(?<!\\)\]\([^)]*\)", "]", " ".join(lines))
            lines = []
        if line.strip():
            lines.append(line.strip())


def _same_span(match: re.Match[str], span: Span, about: set[str]) -> bool:
    if about and span.owners.isdisjoint(about):
        return False
    unit = (match["unit"] or "").strip()
    if _UNITS.get(unit, span.unit if not unit else "") != span.unit:
        return False
    return _rounds(span.low, match["low"], unit) and _rounds(span.high, match["high"], unit)


def _whole(match: re.Match[str]) -> int | None:
    """The count that a match may be: a whole number without unit or sign."""
    digits = match["number"].replace(",", "")
    return int(digits) if digits.isdigit() and not match["unit"] and not match["rel"] else None


def _same_count(match: re.Match[str], each: Counted, about: set[str]) -> bool:
    if about and each.owner and each.owner not in about:
        return False
    before, after = match.string[: match.start()], match.string[match.end() :].lstrip(" ")
    if each.before and not re.search(rf"(?:{each.before})$", before):
        return False
    if before.endswith("ver all ") and not each.before:
        return False  # "over all 11 personas" is a count of its own, whatever else there are 7 of
    return re.match(each.after, after) is not None


def _named_words(model: ReportModel) -> Iterator[str]:
    """Every word with a digit in it that stands in a text of the model: ``C2``, ``Qwen2.5-7B``."""
    yield from _WORD.findall(results_text(model))


def results_text(model: ReportModel) -> str:
    """All texts of results.json, as Markdown shows them and as they are."""
    texts = list(_texts(model.model_dump(mode="json")))
    return "\n".join([*texts, *(str(md(text)) for text in texts)])


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in (*value.keys(), *value.values()) for text in _texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _texts(item))


def _holds_number(word: str) -> bool:
    """Whether a word is a number with its unit and punctuation, which is judged as one."""
    return _NUMBER.fullmatch(word) is not None or _SPAN.fullmatch(word) is not None


def _same_number(match: re.Match[str], known: Known, about: set[str]) -> bool:
    if about and known.owner and known.owner not in about:
        return False
    before, after = match.string[max(0, match.start() - 40) : match.end()], match.string[match.end() :].lstrip()
    if known.role == "threshold" and not _BEFORE_THRESHOLD.search(before):
        return False
    if known.role == "shortfall" and not after.startswith(_AFTER_SHORTFALL):
        return False
    if known.role == "level" and not after.startswith("interval"):
        return False
    if known.role == "gap" and not re.match(rf"{known.after}(?!\w)", after):
        return False
    if known.role in ("value", "threshold") and (_GAP.match(after) or after.startswith(_AFTER_SHORTFALL)):
        return False
    if known.role == "times" and not after.startswith("times"):
        return False
    if known.unit == "p" and known.role == "value" and not _BEFORE_P.search(before):
        return False
    unit, digits = (match["unit"] or "").strip(), match["number"]
    if known.role == "threshold" and digits.replace("-", "−") != _written(known):
        return known.unit == "p" and (match["rel"] or "").strip() == "<" and digits == f"{SMALLEST_P:.4f}"
    if unit:
        return _UNITS[unit] == known.unit and _rounds(known.value, digits, unit)
    if known.unit in _UNITS.values() or ("." not in digits and known.value != _number(digits)):
        return False
    if known.unit == "p" and (match["rel"] or "").strip() == "<" and _number(digits) == Fraction(str(SMALLEST_P)):
        return known.value < SMALLEST_P or known.role == "threshold"
    return _rounds(known.value, digits, unit)


def _written(known: Known) -> str:
    """A threshold's digits as reports write them: registered quantities are never rounded for reading."""
    shown = _NUMBER.fullmatch(format_threshold(known.value, known.unit))
    return shown["number"] if shown else ""


def _rounds(value: float, digits: str, unit: str) -> bool:
    """Whether the printed digits are the value, rounded to as many decimals as were printed."""
    mantissa, _, exponent = digits.replace("−", "-").partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    within = Fraction(1, 2) / Fraction(10) ** decimals
    scaled = Fraction(value) * (100 if unit in ("%", "pp") else 1)
    return abs(scaled - _number(digits)) <= within + Fraction(1, 10**9)


def _number(digits: str) -> Fraction:
    return Fraction(digits.replace("−", "-").replace(",", "").lstrip("+"))
