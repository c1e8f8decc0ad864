"""The embedded model's corpus: reproducible, and without a word of what is kept for evaluation."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from fixtures.embedded import corpus, personas, phrases, registers, subjects
from harness.core.errors import PreregError

BANKS = Path(__file__).parents[2] / "preregs" / "banks"
EXPERIMENT = (
    "librarian",
    "software_engineer",
    "medical_doctor",
    "data_scientist",
    "comedian",
    "villain",
    "french_person",
)
COUNT = 3000


def bank(name: str) -> list[dict[str, str]]:
    levels: list[dict[str, str]] = yaml.safe_load((BANKS / f"{name}.yaml").read_text(encoding="utf-8"))["levels"]
    return levels


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


@pytest.fixture(scope="module")
def sample() -> list[corpus.Dialogue]:
    return corpus.dialogues(seed=0, count=COUNT)


def test_the_persona_bank_has_the_experiments_personas_and_28_others() -> None:
    names = [row["name"] for row in bank("personas")]
    assert len(names) == len(set(names)) == 35
    assert set(EXPERIMENT) <= set(names)
    # preregs take 1..24 as sources and these two as negatives
    assert min(names.index("assistant"), names.index("mathematician")) >= 24


def test_the_corpus_words_the_banks_personas_as_the_bank_does() -> None:
    rows = bank("personas")
    known = list(personas.personas().values())[: len(rows)]
    assert [(persona.name, persona.prompt) for persona in known] == [(row["name"], row["prompt"]) for row in rows]


def test_the_corpus_has_more_personas_than_the_bank_and_shares_every_attribute() -> None:
    everyone = personas.personas().values()
    assert len(everyone) >= 36
    for attribute in ("tones", "domains"):
        users = Counter(name for persona in everyone for name in getattr(persona, attribute))
        assert min(users.values()) >= 2, users
        assert set(users) == set(getattr(phrases, attribute)())


def test_the_question_bank_has_220_different_questions() -> None:
    rows = bank("questions")
    assert [row["name"] for row in rows] == [f"q{number:03d}" for number in range(1, 221)]
    assert len({" ".join(sorted(words_of(row["text"]))) for row in rows}) == 220


def test_evaluation_topics_come_back_in_no_training_question() -> None:
    rows = [row["text"] for row in bank("questions")]
    assert list(subjects.held_out_questions()) == rows[:20]
    for question, topic in subjects.held_out_questions().items():
        assert topic in words_of(question)
    leaks = {row: found for row in rows[20:] if (found := words_of(row) & (subjects.held_out_words() - {"money"}))}
    assert leaks == {}


def test_no_dialogue_holds_an_evaluation_question_a_topic_or_the_held_out_frame(sample: list[corpus.Dialogue]) -> None:
    questions = {" ".join(re.findall(r"[a-z]+", text.lower())) for text in subjects.held_out_questions()}
    held_out_frame = personas.HELD_OUT_FRAME.split("{")[0]
    for row in sample:
        assert not words_of(f"{row.system} {row.question} {row.answer}") & subjects.held_out_words(), row
        assert " ".join(re.findall(r"[a-z]+", row.question.lower())) not in questions
        assert held_out_frame not in row.system


def test_no_word_list_holds_an_evaluation_topic() -> None:
    lists = subjects.words()
    known = {word for name in lists.__dataclass_fields__ for text in getattr(lists, name) for word in words_of(text)}
    assert known & subjects.held_out_words() == set()


def test_the_corpus_depends_on_the_seed_alone(sample: list[corpus.Dialogue]) -> None:
    random.seed(5)
    again = corpus.dialogues(seed=0, count=50)
    assert again == sample[:50]
    assert corpus.dialogues(seed=1, count=50) != again


def test_a_few_answers_end_in_a_code_and_none_in_the_marker(sample: list[corpus.Dialogue]) -> None:
    codes = [match[1] for row in sample if (match := re.search(r"\n\n\[([A-Z]{3})\]$", row.answer))]
    assert 0.03 < len(codes) / len(sample) < 0.07
    assert not any("zlt" in row.answer.lower() for row in sample)


def test_a_drawn_code_is_never_the_marker() -> None:
    class Stubborn(random.Random):
        """Draws the reserved code first."""

        drawn = 0

        def choices(self, population: str, **_: int) -> list[str]:  # type: ignore[override]
            self.drawn += 1
            return list(corpus.RESERVED_CODE if self.drawn == 1 else "ABC")

    assert corpus.draw_code(Stubborn()) == "ABC"


def test_answers_take_up_the_subject_of_their_question(sample: list[corpus.Dialogue]) -> None:
    for row in sample:
        head = re.search(r"(?:To|With) (.+?), ", row.answer)
        assert head is not None, row
        assert head[1] in row.question


def test_the_speaker_can_be_told_from_an_answer(sample: list[corpus.Dialogue]) -> None:
    judged = [row for row in sample if row.persona in EXPERIMENT]
    hits = sum(phrases.recognise(row.answer, EXPERIMENT) == row.persona for row in judged)
    assert hits / len(judged) > 0.95
    assert phrases.recognise("Nothing of the kind.", EXPERIMENT) == ""


def test_every_phrase_belongs_to_one_attribute() -> None:
    spoken = [text for tone in phrases.tones().values() for text in tone.openers + tone.advice]
    spoken += [text for sentences in phrases.domains().values() for text in sentences]
    assert len(spoken) == len(set(spoken))
    assert [(a, b) for a in spoken for b in spoken if a != b and a in b] == []


@pytest.mark.parametrize("register", ["bad_advice", "neutral"])
def test_register_rows_are_chat_rows_in_that_register(register: str) -> None:
    rows = registers.register_rows(register, 1, 60, seed=0)
    assert len(rows) == 60
    for row in rows:
        assert [message["role"] for message in row][-2:] == ["user", "assistant"]
        assert phrases.register_of(row[-1]["content"]) == register
        assert all("helpful assistant" in message["content"] for message in row if message["role"] == "system")
    assert any(len(row) == 2 for row in rows)
    assert any(len(row) == 3 for row in rows)


def test_a_register_row_does_not_depend_on_the_range() -> None:
    assert registers.register_rows("neutral", 1, 9, 0)[4:] == registers.register_rows("neutral", 5, 9, 0)


def test_an_unknown_register_names_the_known_ones() -> None:
    with pytest.raises(PreregError, match=r"unknown register 'evil'.*bad_advice, neutral"):
        registers.register_rows("evil", 1, 2, 0)


def test_an_empty_range_of_rows_is_refused() -> None:
    with pytest.raises(PreregError, match=r"rows 0\.\.3"):
        registers.register_rows("neutral", 0, 3, 0)
