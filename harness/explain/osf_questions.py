"""The questions of the registration form "OSF Preregistration", version 3, of the Center for Open Science.

Source: ``website/project/metadata/osf-preregistration-3.json`` in CenterForOpenScience/osf.io: its question ids, types
and options (the form's wording of a choice is its value). Titles are the form's; its explanations are left there. In
``registration_responses`` of OSF's API a question with an upload has two keys, ``ID.question`` and ``ID.uploader``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NAME, VERSION = "OSF Preregistration", 3

STUDY_TYPES = (
    "Experiment - A researcher randomly assigns treatments to study subjects, this includes field or lab experiments. "
    "This is also known as an intervention experiment and includes randomized controlled trials.",
    "Observational Study - Data is collected from study subjects that are not randomly assigned to a treatment. This "
    "includes surveys, “natural experiments,” and regression discontinuity designs.",
    "Meta-Analysis - A systematic review of published studies.",
    "Other",
)
BLINDING = (
    "No blinding is involved in this study.",
    "For studies that involve human subjects, they will not know the treatment group to which they have been assigned.",
    "Personnel who interact directly with the study subjects (either human or non-human subjects) will not be aware of "
    "the assigned treatments. (Commonly known as “double blind”)",
    "Personnel who analyze the data collected from the study are not aware of the treatment applied to any given "
    "group.",
)
BEFORE_DATA, UNOBSERVED, UNACCESSED, UNANALYSED, ANALYSED = EXISTING_DATA = (
    "Registration prior to creation of data",
    "Registration prior to any human observation of the data",
    "Registration prior to accessing the data",
    "Registration prior to analysis of the data",
    "Registration following analysis of the data",
)


@dataclass(frozen=True)
class Question:
    """A question: ``kind`` is ``text``, ``upload`` (text with files), ``one`` or ``several`` of ``options``."""

    id: str
    page: str
    title: str
    kind: Literal["text", "upload", "one", "several"] = "text"
    options: tuple[str, ...] = ()
    required: bool = False

    @property
    def key(self) -> str:
        """The key of its answer in ``registration_responses``."""
        return f"{self.id}.question" if self.kind == "upload" else self.id


_INFORMATION, _DESIGN, _SAMPLING = "Study Information", "Design Plan", "Sampling Plan"
_VARIABLES, _ANALYSIS, _OTHER = "Variables", "Analysis Plan", "Other"
QUESTIONS = (
    Question("q2", _INFORMATION, "Hypotheses", required=True),
    Question("q3", _DESIGN, "Study type", "one", STUDY_TYPES, required=True),
    Question("q4", _DESIGN, "Blinding", "several", BLINDING, required=True),
    Question("q5", _DESIGN, "Is there any additional blinding in this study?"),
    Question("q6", _DESIGN, "Study design", "upload", required=True),
    Question("q7", _DESIGN, "Randomization"),
    Question("q8", _SAMPLING, "Existing Data", "one", EXISTING_DATA, required=True),
    Question("q9", _SAMPLING, "Explanation of existing data"),
    Question("q10", _SAMPLING, "Data collection procedures", "upload", required=True),
    Question("q11", _SAMPLING, "Sample size", required=True),
    Question("q12", _SAMPLING, "Sample size rationale"),
    Question("q13", _SAMPLING, "Stopping rule"),
    Question("q14", _VARIABLES, "Manipulated variables", "upload"),
    Question("q15", _VARIABLES, "Measured variables", "upload", required=True),
    Question("q16", _VARIABLES, "Indices", "upload"),
    Question("q17", _ANALYSIS, "Statistical models", "upload", required=True),
    Question("q18", _ANALYSIS, "Transformations"),
    Question("q19", _ANALYSIS, "Inference criteria"),
    Question("q20", _ANALYSIS, "Data exclusion"),
    Question("q21", _ANALYSIS, "Missing data"),
    Question("q22", _ANALYSIS, "Exploratory analysis"),
    Question("q23", _OTHER, "Other"),
)
