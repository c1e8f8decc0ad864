"""Loading: scalars stay text, every key keeps its place, and every fault of the YAML has its line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from harness.core.errors import PreregError
from harness.spec import load
from harness.spec.load import Document, dotted, load_document, looks_like_prereg, read_text
from harness.spec.scalars import parse_bool, parse_float, parse_int, parse_name, parse_quantity, parse_range


def read(text: str) -> Document:
    return read_text(text, file="x.yaml", folder=Path())


def faults(text: str) -> list[str]:
    with pytest.raises(PreregError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture(params=["c", "python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers of PyYAML must give the same tree and the same places."""
    monkeypatch.setattr(load, "_LOADER", yaml.CSafeLoader if request.param == "c" else yaml.SafeLoader)
    return str(request.param)


def test_scalars_are_text(loader: str):
    text = "a: on\nb: yes\nc: 1e-4\nd: 0123456\ne: 1:30\nf: null\ng: ~\nh: 2026-01-01\ni: 0x1F\nj: [no, 1_000]\n"
    assert read(text).tree == {
        "a": "on", "b": "yes", "c": "1e-4", "d": "0123456", "e": "1:30", "f": "null", "g": "~", "h": "2026-01-01",
        "i": "0x1F", "j": ["no", "1_000"],
    }  # fmt: skip


def test_scalars_mean_what_they_look_like():
    assert parse_float("1e-4") == 0.0001
    assert parse_int("0123456") == 123456
    assert parse_bool("yes") is True
    assert parse_bool("no") is False
    assert parse_quantity("15 pp").value == Fraction(3, 20)
    assert parse_quantity("0.1%").value == Fraction(1, 1000)
    assert parse_quantity("15%").unit == "proportion"
    assert parse_quantity("2 bits").unit == "bits"
    assert parse_quantity("1e-4").bare
    assert parse_range("21..220") == (21, 220)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_bool, "on"), (parse_bool, "True"), (parse_bool, "1"), (parse_int, "1.0"), (parse_int, "1_000"),
        (parse_int, "0x1F"), (parse_int, "1:30"), (parse_float, "nan"), (parse_float, "inf"), (parse_float, "1_0.5"),
        (parse_float, "15%"), (parse_quantity, "15 percent"), (parse_quantity, "1:30"), (parse_quantity, ""),
        (parse_range, "20..1"), (parse_range, "1-20"), (parse_name, "and"), (parse_name, "2x"), (parse_name, "a b"),
    ],
)  # fmt: skip
def test_scalars_refuse_what_they_do_not_look_like(parse, text: str):
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


def test_every_key_keeps_its_place(loader: str):
    document = read("a:\n  b: {c: x, d: [y, z]}\n")
    assert (document.where(("a", "b")).line, document.where(("a", "b")).column) == (2, 3)
    assert document.where(("a", "b", "c"), value=True).column == 10
    assert document.where(("a", "b", "d", 1)).column == 20
    assert document.where(("a", "b", "nothing")).line == 2
    assert document.where(()).line == 1
    assert str(document.where(("a", "b", "d", 1))) == "x.yaml:2:a.b.d[1]"


@pytest.mark.parametrize(
    ("text", "key", "wanted", "line", "column"),
    [
        ("a: 1\nf: x + shfit\n", "f", "shfit", 2, 8),
        ('f: "x + shfit"\n', "f", "shfit", 1, 9),
        ("f: {g: 'x + shfit', h: y}\n", "g", "shfit", 1, 13),
        ("f: x +\n   shfit > 0\n", "f", "shfit", 2, 4),
        ("f: >\n  x +\n  shfit > 0\n", "f", "shfit", 3, 3),
        ("f: |\n  x + shfit > 0\n", "f", "shfit", 2, 7),
    ],
)
def test_a_place_inside_a_formula(loader: str, text: str, key: str, wanted: str, line: int, column: int):
    document = read(text)
    path = ("f", "g") if key == "g" else ("f",)
    found = document.where(path, offset=document.at(path).index(wanted))
    assert (found.line, found.column) == (line, column)


def test_faults_come_together(loader: str):
    found = faults("a: 1\na: 2\nb: &x 3\nc: *x\nd: !!int 3\ne:\n<<: 3\n")
    assert [fault.split(";")[0].split(" (")[0] for fault in found] == [
        "x.yaml:2:a: the key 'a' stands twice",
        "x.yaml:3:b: an anchor",
        "x.yaml:4:c: an alias",
        "x.yaml:5:d: a tag",
        "x.yaml:6:e: an empty value",
        "x.yaml:7:<<: a merge key",
    ]


def test_a_quoted_empty_text_is_a_value():
    assert read('a: ""\n').tree == {"a": ""}


def test_a_comma_in_braces_has_a_hint(loader: str):
    (found,) = faults("gates: {g: max(a, b) > 0}\n")
    assert "empty value" in found
    assert "quotes" in found


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: {b: x[c, d] > 0}\n", 1, "quotes"),
        ("a: b\n\tc: d\n", 2, ""),
        ("a: b: c\n", 1, ""),
        ("a: 1\n---\nb: 2\n", 2, "second YAML document"),
        ("- a\n", 1, "not a mapping"),
        ("a: 1\nb: [1, 2\n", 3, ""),
        ("a: 1\nb: \x07\n", 2, "character"),
    ],
)
def test_syntax_errors_have_a_line(text: str, line: int, says: str):
    found = faults(text)
    assert found[-1].startswith(f"x.yaml:{line}")
    assert says in found[-1]


def test_files(tmp_path: Path):
    file = tmp_path / "a.yaml"
    file.write_text("\ufeffprereg: 1\n", encoding="utf-8")
    assert load_document(file).tree == {"prereg": "1"}
    assert load_document(file, shown="short.yaml").file == "short.yaml"
    file.write_bytes(b"prereg: \xff\n")
    with pytest.raises(PreregError, match="not UTF-8"):
        load_document(file)
    with pytest.raises(PreregError, match="cannot be read"):
        load_document(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("a.yaml", "# note\nprereg: 1\nid: x\n", True),
        ("a.yml", "id: x\nprereg: 1\n", True),
        ("a.yaml", '"prereg": 1\n', True),
        ("a.yaml", "{prereg: 1}\n", True),
        ("a.yaml", "prereg : 1\n", True),
        ("a.yaml", "notes:\n  prereg: 1\n", False),
        ("a.yaml", "# prereg: 1\nid: x\n", False),
        ("a.yaml", "preregistration: 1\n", False),
        ("a.txt", "prereg: 1\n", False),
    ],
)
def test_looks_like_prereg(tmp_path: Path, name: str, text: str, answer: bool):
    file = tmp_path / name
    file.write_text(text)
    assert looks_like_prereg(file) is answer


def test_looks_like_prereg_of_no_file(tmp_path: Path):
    assert looks_like_prereg(tmp_path / "absent.yaml") is False


def test_dotted():
    assert dotted(("allow", 0, "at")) == "allow[0].at"


@pytest.mark.parametrize("text", ["title: " + "[" * 3000 + "x" + "]" * 3000, "a: " + "{a: " * 3000 + "1" + "}" * 3000])
def test_what_is_nested_too_deep_is_one_short_fault(text: str):
    with pytest.raises(PreregError) as caught:
        read_text(f"prereg: 1\n{text}\n", file="x.yaml", folder=Path())
    assert str(caught.value) == (
        "x.yaml:2: lists or mappings within each other, more than 32 deep; "
        "expected what the sections hold, which is flat"
    )
