"""What the tests of grading share: a released course with one tiny lab, copied for each test."""

import shutil

import pytest
import tiny_lab


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    return tiny_lab.make_course(tmp_path_factory.mktemp("released"))


@pytest.fixture
def course(released, tmp_path):
    return shutil.copytree(released, tmp_path / "course")
