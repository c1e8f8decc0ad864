"""One undisturbed run of the toy study, with which the disturbed ones are compared."""

from __future__ import annotations

import pytest
from toy_rehearsal import Undisturbed, undisturbed_run


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed"))
