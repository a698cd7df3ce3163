"""Models and jobs for the engine of pages."""

import pytest

from tests.pages.node import Job


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)
