"""The command line says what it should, and turns errors into one line and a status."""

import subprocess
import sys

import pytest

from coursekit import cli, data


def test_doctor_names_everything_a_helper_needs(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "not yet there"))
    block = cli.doctor()
    for name in ("coursekit", "python", "system", "torch", "device", "threads", "data cache", "offline"):
        assert any(line.startswith(name) for line in block.splitlines()), name
    assert "GiB free" in block
    assert str(tmp_path) in block


def test_a_missing_gpu_is_information(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert "every lab runs without one" in cli.doctor()


def test_a_gpu_is_named(monkeypatch):
    torch = pytest.importorskip("torch")

    class Properties:
        total_memory = 80 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "Imagined GPU")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: Properties)
    assert "cuda: Imagined GPU, 80 GiB" in cli.doctor()


def test_missing_packages_are_named_not_raised(monkeypatch):
    monkeypatch.setattr(cli, "LIBRARIES", ["no-such-package"])
    assert "not installed" in cli.doctor()


def test_data_list_names_every_data_set(capsys):
    assert cli.main(["data", "list"]) == 0
    text = capsys.readouterr().out
    for name in data.DATASETS:
        assert name in text
    assert "licence" in text


def test_errors_are_one_line_and_status_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path))
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    assert cli.main(["data", "fetch", "mnist"]) == 1
    assert "coursekit data fetch mnist" in capsys.readouterr().err
    assert cli.main(["data", "fetch", "no-such-set"]) == 1
    assert "no-such-set" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["doctor"], ["--help"]])
def test_the_command_runs(arguments):
    command = [
        sys.executable,
        "-c",
        "import sys; from coursekit.cli import main; sys.exit(main())",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout
    assert not done.stderr
