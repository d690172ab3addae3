"""Fixture of the daemon's suite: a feed with everything started."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from feedworld import Feed  # noqa: E402


@pytest.fixture
def make_feed(world):
    """Makes feeds that are not started; their offices are stopped with the test."""
    made = []

    def make(**kw):
        made.append(Feed(world, **kw))
        return made[-1]
    yield make
    for f in made:
        f.office.stop()


@pytest.fixture
def feed(make_feed):
    """A running daemon that has had contact; no orders yet."""
    f = make_feed().start()
    f.wait_contact()
    return f
