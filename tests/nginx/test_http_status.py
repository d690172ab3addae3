"""jd_status: JSON and Prometheus, what they say in each state, and promtool's opinion."""

import os
import subprocess
import time

import pytest

from harness import wait_for
from httpgate import CLEAN, ENFORCE, KEY, LISTED, Gate

GATE = f"jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE}"
SERVER = f"location / {{ {GATE} proxy_pass http://@B@; }}"


def metrics(gate):
    """{name{labels}: value} and the raw text."""
    r = gate.nginx.get("/jd/metrics")
    assert r.status == 200 and r.headers["Content-Type"] == "text/plain; version=0.0.4"
    text = r.body.decode()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines() if not line.startswith("#")}, text


@pytest.mark.parametrize("reload", [False, True])
def test_json(world, reload):
    gate = Gate(world, SERVER)
    if reload:
        gate.reload()
    gate.get("/", LISTED)
    gate.get("/", CLEAN)
    gate.get("/")
    r = gate.nginx.get("/jd/status")
    assert r.headers["Content-Type"] == "application/json"
    top = r.json()
    assert set(top) == {"version", "nginx", "time", "worker", "lists"}
    s = top["lists"][0]
    assert s["list"] == "credit" and s["state"] == "ready" and s["ready"] is True and s["follower"] == "tailing"
    assert s["key"] == "k1" and s["count"] == 2 and s["capacity"] > 2 and 0 <= s["load_factor"] < 1
    assert s["fault"] == "none" and s["mend"] == ""
    assert s["era"] == gate.list.get("era") and s["last_id"] == 0 and s["not_fitted"] == 0
    assert 0 <= s["age"] < 60 and s["max_stale"] == 3600 and s["verified_at"] > 1.7e9
    assert s["confirms"] == 1 and s["confirm_errors"] == 0 and s["confirm_mean_usec"] > 0
    assert gate.counts() == {("bus.ride", "listed", "denied"): 1, ("bus.ride", "clear", "passed"): 1,
                             ("bus.ride", "no_subject", "passed"): 1}
    assert gate.nginx.get("/jd/status", method="HEAD").body == b""
    assert gate.nginx.post("/jd/status", b"x").status == 405


@pytest.mark.parametrize("reload", [False, True])
def test_prometheus(world, reload):
    gate = Gate(world, SERVER)
    if reload:
        gate.reload()
    for card in (LISTED, CLEAN, CLEAN):
        gate.get("/", card)
    m, text = metrics(gate)
    label = 'list="credit"'
    assert m[f"jd_list_ready{{{label}}}"] == 1 and m[f"jd_list_subjects{{{label}}}"] == 2
    assert m[f'jd_decisions_total{{{label},measure="bus.ride",reason="clear",outcome="passed"}}'] == 2
    assert m[f'jd_decisions_total{{{label},measure="bus.ride",reason="listed",outcome="denied"}}'] == 1
    assert 0 < m[f"jd_confirm_seconds_total{{{label}}}"] < 10
    assert m[f"jd_list_max_stale_seconds{{{label}}}"] == 3600
    promtool = os.environ.get("PROMTOOL")
    if not promtool or not os.path.exists(promtool):
        pytest.skip("no promtool: tests/run.sh provides it")
    r = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert r.returncode == 0 and not r.stderr.strip(), r.stderr


def test_states(world):
    """Unready, stale, and a Redis that is away: state, fault and mend say so."""
    gate = Gate(world, SERVER, max_stale="4s")
    s = wait_for(lambda: [s for s in gate.nginx.status()["lists"] if s["state"] == "stale"], 20)[0]
    assert s["ready"] is False and s["age"] > 4
    r = gate.get("/", LISTED)
    assert r.status == 200 and dict(r.json()["headers"])["JD-Status"].startswith("PASSED;reason=stale")
    gate.list.touch(verified_at=int(time.time()) + 60)
    gate.ready()
    assert gate.get("/", LISTED).status == 403
    gate.redis.kill()
    s = wait_for(lambda: [s for s in gate.nginx.status()["lists"] if s["fault"] != "none"], 20)[0]
    assert s["mend"] and s["follower"] in ("connecting", "waiting") and s["ready"] is True
    assert any(k.startswith("jd_list_state{") and 'fault="none"' not in k for k in metrics(gate)[0])
    r = gate.get("/", LISTED)
    assert r.status == 200 and "reason=unconfirmed" in dict(r.json()["headers"])["JD-Status"]


def test_never_loaded(world):
    """Redis is not there at the start: unready, everybody passes, and status tells why."""
    gate = Gate(world, SERVER, start=False)
    gate.redis.kill()
    gate.nginx.start()
    s = wait_for(lambda: [s for s in gate.nginx.status()["lists"] if s["fault"] != "none"], 20)[0]
    assert s["state"] == "unready" and s["age"] is None and s["loaded_at"] is None and s["key"] == ""
    r = gate.get("/", LISTED)
    assert r.status == 200 and dict(r.json()["headers"])["JD-Status"].startswith("PASSED;reason=unready;")
    assert ";age=" not in dict(r.json()["headers"])["JD-Status"]
    metrics(gate)


def test_without_lists(world):
    """jd_status without a jd block or with nothing counted is a valid document."""
    n = world.nginx(None, "server { listen 127.0.0.1:@PORT@; location /s { jd_status; } location /m { jd_status prometheus; } }")
    assert n.get("/s").json()["lists"] == []
    assert b"jd_build_info" in n.get("/m").body
    assert KEY
