"""Fixtures of all suites."""

import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import harness  # noqa: E402


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + outcome.get_result().when, outcome.get_result())


@pytest.fixture
def world(request, tmp_path_factory):
    """A World for one test. Its folder is kept when the test fails."""
    base = Path(os.environ.get("JD_TMP", "/tmp"))
    name = re.sub(r"\W+", "_", request.node.name)[:40]
    folder = Path(os.path.join(base, f"jdt-{os.getpid()}-{name}"))
    harness.remove_folder(folder)
    w = harness.World(folder)
    yield w
    faults = w.close()
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    if not faults and not failed:
        harness.remove_folder(folder)
    assert not faults, "\n".join(faults) + f"\n(files kept in {folder})"
