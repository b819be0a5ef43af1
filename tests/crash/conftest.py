"""Fixtures of the tests that kill."""
import pytest

import lives


@pytest.fixture(scope="session")
def imported(tmp_path_factory):
    return lives.make_imported(tmp_path_factory.mktemp("imported"))


@pytest.fixture(scope="session")
def points(imported, tmp_path_factory):
    """Every fail-point that a campaign or its recovery passes, those around commits included."""
    seen = lives.passed(imported, tmp_path_factory.mktemp("points") / "case")
    return sorted({*seen, *lives.RECOVERY})
