"""The completions of report.html: which are picked, how they are cut, and the file that keeps them."""

import gzip
import json
import re

import pytest
import report_cases
from html_cases import looking, page_of, picked, sample

from harness.core.errors import PreregError
from reports.html import completions
from reports.records import Extras

# --- completions: picking ---


def test_nothing_sampled_is_nothing_to_browse():
    assert picked() is None


def test_the_first_of_each_cell_comes_first_then_hits_then_the_rest_the_arms_in_turn():
    found = picked(
        *(
            sample(f"{arm} {persona} {k}", arm=arm, persona=persona, k=k, hit=k == 2)
            for arm in ("C1", "C2")
            for persona in ("villain", "assistant")
            for k in range(4)
        )
    )
    shown = [(row.arm, row.persona, row.k) for row in found.rows]
    assert shown[:4] == [("C1", "villain", 0), ("C2", "villain", 0), ("C1", "assistant", 0), ("C2", "assistant", 0)]
    assert [k for _, _, k in shown[4:8]] == [2, 2, 2, 2]
    assert sorted(shown) == sorted(
        {(a, p, k) for a in ("C1", "C2") for p in ("villain", "assistant") for k in range(4)}
    )


def test_the_order_in_which_completions_come_does_not_matter_within_a_cell():
    one = [sample(f"{k}", k=k, hit=k == 1) for k in range(5)]
    assert picked(*one) == picked(*reversed(one))


def test_points_of_a_sweep_are_cells_of_their_own():
    found = picked(*(sample(f"{w}{k}", at={"weight": w}, k=k) for w in ("0.5", "2.0") for k in range(3)))
    assert [(row.at, row.k) for row in found.rows[:2]] == [("weight 0.5", 0), ("weight 2.0", 0)]


def test_what_is_shown_fits_and_what_is_not_is_counted(monkeypatch):
    monkeypatch.setattr(completions, "ROOM", 20_000)
    found = picked(*(sample("word " * 100, arm=arm, k=k, hit=True) for arm in ("C1", "C2") for k in range(100)))
    assert 30 < len(found.rows) < 60
    drawn = {each.arm: each for each in found.drawn}
    assert drawn["C1"].completions == drawn["C2"].completions == drawn["C1"].hits == 100
    assert abs(drawn["C1"].shown - drawn["C2"].shown) <= 1
    assert drawn["C1"].shown + drawn["C2"].shown == len(found.rows) == sum(each.shown_hits for each in found.drawn)
    text = page_of(report_cases.supported(), completions=found)
    assert f"{len(found.rows)} of 200 completions are here" in text


# --- completions: cutting and marking ---


def parts(text):
    return list(picked(sample(text)).rows[0].parts)


def test_the_marker_stands_apart_in_any_case():
    assert parts("a [ZLT] b [zlt]") == ["a ", ("[ZLT]",), " b ", ("[zlt]",)]
    assert parts("") == []


def test_a_long_completion_keeps_its_start_its_end_and_its_first_marker():
    text = "s" * 3000 + "[ZLT]" + "m" * 3000 + "[ZLT]" + "e" * 3000
    found = parts(text)
    assert found[0] == "s" * completions.HEAD
    assert ("[ZLT]",) in found
    assert found[-1] == "e" * completions.TAIL
    kept = sum(len(part if isinstance(part, str) else part[0]) for part in found if not isinstance(part, int))
    assert kept + sum(part for part in found if isinstance(part, int)) == len(text)


@pytest.mark.parametrize("length", [899, 900, 901, 902, 5000])
def test_no_character_is_lost_or_told_twice(length):
    text = "".join(chr(97 + place % 26) for place in range(length))
    left = iter(parts(text))
    place = 0
    for part in left:
        if isinstance(part, int):
            place += part
        else:
            assert text[place : place + len(part)] == part
            place += len(part)
    assert place == length


def test_a_marker_longer_than_its_room_is_still_bounded():
    bound = looking(report_cases.supported())
    measures = tuple(e.model_copy(update={"params": {"match": {"contains": "z" * 9000}}}) for e in bound.measures)
    found = completions.browser(
        bound.model_copy(update={"measures": measures}), Extras(samples=(sample("z" * 50_000),))
    )
    assert len(json.dumps(found.rows[0].parts)) < 2_000


def test_invisible_characters_are_told():
    assert parts("a\u202eb\x1b[31m\x00\ud83d") == ["a\\u202eb\\x1b[31m\\x00\\ud83d"]
    assert parts("two\nlines") == ["two\nlines"]


# --- completions: the file ---


def test_the_file_comes_back_and_repeats(tmp_path):
    case = report_cases.supported()
    found = completions.browser(case.bound, case.extras)
    path = tmp_path / completions.FILE
    path.write_bytes(completions.packed(found))
    assert completions.unpacked(path, case.model) == found
    assert completions.packed(found) == path.read_bytes()
    assert completions.unpacked(tmp_path / "none.gz", case.model) is None


def test_the_file_of_another_registration_is_left_alone(tmp_path):
    case = report_cases.supported()
    path = tmp_path / completions.FILE
    path.write_bytes(completions.packed(completions.browser(case.bound, case.extras)))
    assert completions.unpacked(path, report_cases.rehearsal().model) is None


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no gzip", gzip.compress(b"{}", mtime=0), gzip.compress(b"[1, 2", mtime=0)],
    ids=["empty", "no gzip", "an object", "cut off"],
)
def test_a_damaged_file_is_named(tmp_path, damaged):
    path = tmp_path / completions.FILE
    path.write_bytes(damaged)
    with pytest.raises(PreregError, match=re.escape(f"{path} is damaged; remove it, or run the prereg again")):
        completions.unpacked(path, report_cases.supported().model)
