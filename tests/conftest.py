"""What all tests share: one thread, no display, and no skip that hides a missing tool in CI."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402  (the variables above must be set first)
from tools import TOOLS, find  # noqa: E402

IN_CI = os.environ.get("COURSEKIT_CI") == "1"


def pytest_configure(config):
    """Register the marker that names a system tool."""
    text = "needs(tool): needs a system tool, and is left out where it is missing"
    config.addinivalue_line("markers", text)
    text = "container: needs docker or podman, named by COURSEKIT_TEST_ENGINE; deselected without"
    config.addinivalue_line("markers", text)


def pytest_collection_modifyitems(config, items):
    """Deselect scikit-learn's check of an array API that nobody claims, and containers nobody asked for."""
    engine = os.environ.get("COURSEKIT_TEST_ENGINE")

    def unwanted(item):
        return "check_array_api_input" in item.name or (not engine and item.get_closest_marker("container"))

    config.hook.pytest_deselected(items=[item for item in items if unwanted(item)])
    items[:] = [item for item in items if not unwanted(item)]


def pytest_runtest_setup(item):
    """Leave out a test whose tool is missing, and say how to install it."""
    for marker in item.iter_markers("needs"):
        (tool,) = marker.args
        if find(tool) is None:
            pytest.skip(f"{tool} is not installed; to run this test: {TOOLS[tool]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a skipped test is a failed test: everything it could need is installed there."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be left out: {report.longrepr}"
    return report
