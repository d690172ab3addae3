"""The main job under faults: whatever fails, nobody is denied who should not be, and everything heals without a hand."""

import json
import os
import signal

import pytest

from chain import Chain
from harness import wait_for


def answers(report):
    assert report["wrong_denied"] == 0, json.dumps(report, indent=1)
    assert report["wrong_other"] == 0, json.dumps(report, indent=1)
    return report


def test_lifts_under_load(world):
    """No fault: every answer is right, denials and passes alike."""
    c = Chain(world)
    t = c.terminals(6)
    for i in range(1, 6):
        c.lift(i)
    r = answers(t.report())
    assert r["wrong_passed"] == 0 and r["transport_errors"] == 0, r
    assert c.tap(c.card(0)) == 403
    assert c.list_status()["undecided"] == 0


def redis_killed(c):
    c.redis.kill()
    assert c.tap(c.card(0)) == 200
    c.redis.start()


def redis_hangs(c):
    c.redis.hang()
    wait_for(lambda: c.tap(c.card(0)) == 200, 10, why="the confirm's deadline")
    c.redis.go_on()


def redis_emptied(c):
    c.redis.client().flushall()


def daemon_killed(c):
    c.daemon.kill()
    assert c.tap(c.card(0)) == 403
    c.daemon = c.new_daemon()


def office_silent(c):
    c.office.proc.signal(signal.SIGSTOP)
    assert c.tap(c.card(0)) == 403
    c.office.proc.signal(signal.SIGCONT)


def reloads(c):
    for _ in range(5):
        c.nginx.reload()


@pytest.mark.parametrize("fault", [redis_killed, redis_hangs, redis_emptied, daemon_killed, office_silent, reloads],
                         ids=lambda f: f.__name__)
def test_fault_under_load(world, fault):
    c = Chain(world)
    t = c.terminals(5)
    wait_for(lambda: c.list_status()["confirms"] > 20, why="load")
    fault(c)
    c.enforcing()
    c.lift(1)
    r = answers(t.report())
    assert r["transport_errors"] == 0, r
    c.enforcing()
    assert c.tap(c.card(1)) == 200


def test_worker_killed_under_load(world):
    """Each slot: its connections break; whoever answers, answers rightly."""
    world.allow.append(r"\[alert\] .*exited on signal 9")
    c = Chain(world, workers=2)
    t = c.terminals(5)
    for _ in range(2):
        for pid in c.nginx.worker_pids():
            wait_for(lambda: c.list_status()["ready"], why="ready")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: len(c.nginx.worker_pids()) == 2 and pid not in c.nginx.worker_pids(), why="respawn")
    answers(t.report())
    c.enforcing()
    c.lift(1)


def test_stale_list_is_not_enforced(world):
    """The office silent past max_stale: passes, and says why; enforced again at the next contact."""
    c = Chain(world, max_stale="4s")
    c.office.proc.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: c.tap(c.card(0)) == 200, 20, why="staleness")
        assert c.nginx.get("/bus/tap", {"X-Card-No": c.card(0)}).status == 200
    finally:
        c.office.proc.signal(signal.SIGCONT)
    c.enforcing(seconds=60)
