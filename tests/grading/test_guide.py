"""The instructor's guide: every command line in it is one, and its code does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from coursekit import cli

PAGE = (Path(__file__).parents[2] / "book" / "instructor.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.S)
TYPED = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]
LINES = [*TYPED, *re.findall(r"`((?:coursekit|nbgrader) [^`\n]+)`", PAGE)]
OURS = sorted({line for line in LINES if line.startswith("coursekit ")})
THEIRS = sorted({line for line in LINES if line.startswith("nbgrader ")})


def test_every_line_of_a_console_block_starts_with_a_prompt():
    assert len(TYPED) > 20
    assert all(line.startswith("$ ") for block in BLOCKS for line in block.splitlines())


@pytest.mark.parametrize("line", OURS)
def test_the_command_line_exists(line):
    arguments = cli._parser().parse_args(shlex.split(line)[1:])
    assert getattr(arguments, "run", None) or arguments.command == "doctor"


def test_the_check_of_command_lines_can_fail():
    with pytest.raises(SystemExit):
        cli._parser().parse_args(shlex.split("grade kde --no-such-option"))


@pytest.mark.parametrize("command", ["grade", "release", "feedback", "export", "simulate", "analysis"])
def test_every_command_of_grading_is_in_the_guide(command):
    assert any(line.split()[1] == command for line in OURS)


@pytest.mark.parametrize("line", THEIRS)
def test_the_command_of_nbgrader_exists(line):
    from nbgrader.apps.nbgraderapp import NbGraderApp

    assert line.split()[1] in NbGraderApp().subcommands


def test_the_rule_for_extensions_gives_what_it_says():
    (code,) = re.findall(r"```python\n(# late\.py\n.*?)```", PAGE, re.S)
    names: dict = {}
    exec(code, names)
    late = names["Late"]().late_submission_penalty
    day = 86400
    assert late("bob", 20.0, 2 * day) == pytest.approx(4.0)
    assert late("bob", 20.0, 30 * day) == 20.0
    assert late("ada", 20.0, 7 * day) == 0.0
    assert late("ada", 20.0, 8 * day) == pytest.approx(2.0)
