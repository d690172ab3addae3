"""jd_brake: engages by distinct orders and across workers, and lets go for an operator's release alone."""

import os
import signal
import time

import pytest

from harness import wait_for
from httpgate import ENFORCE, Gate, jd_status, reason
from jdschema import Order

N = 60                                       # cards under an order
BRAKE = "jd_brake rate=20% window=1m min=100;"
SUBJECT = "jd_subject card header:X-Card-No;"


def server(brake=BRAKE):
    return f"""{SUBJECT} {brake} {ENFORCE}
        location / {{ jd_gate credit bus.ride; proxy_pass http://@B@; }}
        location /bike {{ jd_gate credit bike.rent; proxy_pass http://@B@; }}
        location /dry {{ jd_gate credit bus.ride; jd_dry_run on; proxy_pass http://@B@; }}"""


def make(world, brake=BRAKE, **kw):
    world.allow.append(r"BRAKED, nothing is denied for measure")
    orders = {f"card:C{i}": [Order(f"CS-{i}", ["bus.ride", "bike.rent"])] for i in range(N)}
    return Gate(world, server(brake), orders=orders, **kw)


def clean(gate, n):
    for i in range(n):
        assert gate.get("/", f"X{i}").status == 200


def brake_of(gate, measure="bus.ride"):
    return {b["measure"]: b for b in gate.nginx.status()["lists"][0]["brakes"]}[measure]


def engage(gate, path="/"):
    """One order after the other, and 80 decisions that bring none: over 20 % with the 21st. How many were denied."""
    gate.get(path, "C0")                     # opens the window, unless the follower is just writing in the zone: then the next does
    words = [jd_status(gate.get(path, "C0"))[0]]
    clean(gate, 79)
    words += [jd_status(gate.get(path, f"C{i}"))[0] for i in range(1, N)]
    return words.index("PASSED")


@pytest.mark.parametrize("workers", [1, 2])
def test_engages_by_distinct_orders(world, workers):
    gate = make(world, workers=workers)
    assert engage(gate) == 20, "20 of 100 are not more than 20 %, 21 of 101 are"
    r = gate.get("/", "C0")
    assert r.status == 200 and jd_status(r)[0] == "PASSED" and reason(r) == "braked"
    assert reason(gate.get("/dry", "C0")) == "braked"
    b = brake_of(gate)
    assert b["braked"] is True and abs(b["since"] - time.time()) < 60 and b["times"] == 1
    assert (b["rate"], b["window"], b["min"]) == (20, 60, 100)
    m = gate.nginx.get("/jd/metrics").body.decode()
    assert 'jd_braked{list="credit",measure="bus.ride"} 1\n' in m
    assert 'jd_brakes_total{list="credit",measure="bus.ride"} 1\n' in m
    assert 'jd_braked{list="credit",measure="bike.rent"} 0\n' in m
    assert gate.nginx.errors().count("BRAKED") == 1 and "[crit]" in gate.nginx.errors()
    # other measures go on
    assert gate.get("/bike", "C0").status == 403


def test_one_order_is_one(world):
    """However often one card is denied, and whatever share of the requests that is."""
    gate = make(world)
    for _ in range(150):
        assert gate.get("/", "C0").status == 403
    assert brake_of(gate)["braked"] is False


def test_not_below_min(world):
    gate = make(world, "jd_brake rate=20% window=1m min=1000;")
    for i in range(N):
        assert gate.get("/", f"C{i}").status == 403
    assert brake_of(gate)["braked"] is False


def test_window_begins_anew(world):
    """Orders of a window that is over do not count."""
    gate = make(world, "jd_brake rate=20% window=2s min=100;")
    assert gate.get("/", "C0").status == 403
    clean(gate, 90)
    for i in range(1, 16):
        assert gate.get("/", f"C{i}").status == 403
    time.sleep(3.1)
    for i in range(16, 32):                            # with those before: 32 in 122
        assert gate.get("/", f"C{i}").status == 403
    assert brake_of(gate)["braked"] is False


def test_dry_run_denials_engage_too(world):
    gate = make(world)
    assert engage(gate, "/dry") == 20
    assert reason(gate.get("/", "C0")) == "braked"


def test_nothing_but_a_release_lets_go(world):
    """Not a reload, also one that takes the directive away; not a killed worker; not a restart; not another measure's release."""
    world.allow += [r"exited on signal 9", r"shared memory zone .* was locked by"]
    gate = make(world, workers=2)
    engage(gate)
    since = brake_of(gate)["since"]

    def braked():
        return {reason(gate.get("/", "C0")) for _ in range(6)} == {"braked"}

    assert braked()
    gate.reload()
    assert braked() and brake_of(gate)["since"] == since
    gate.reload(server("jd_brake off;"))
    assert braked() and brake_of(gate)["since"] == since
    gate.reload(server())
    for pid in gate.nginx.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(gate.nginx.worker_pids()) == 2, 10)
    gate.ready()
    assert braked()
    gate.nginx.quit()
    gate.nginx.start()
    gate.ready()
    assert braked() and brake_of(gate)["since"] == since, "the ledger's file knows it"
    gate.list.meta(brakes=f"bus.ride={since - 1} bike.rent={since + 5}")
    time.sleep(3)
    assert braked()
    gate.list.meta(brakes=f"bike.rent={since + 5} bus.ride={since} tram.ride=5")
    begun = time.monotonic()
    wait_for(lambda: gate.get("/", "C0").status == 403, 5)
    assert time.monotonic() - begun < 5
    assert brake_of(gate)["braked"] is False and brake_of(gate)["since"] is None
    assert gate.nginx.errors().count("the brake of measure \"bus.ride\" is released") == 1
    # what was counted before the release is no reason any more
    for i in range(15):
        assert gate.get("/", f"C{i}").status == 403
    gate.nginx.quit()
    gate.nginx.start()
    gate.ready()
    assert gate.get("/", "C0").status == 403


def test_a_confirm_reads_the_release(world):
    """At once, before the follower's next look: the next denial of the released measure is made."""
    gate = make(world)
    engage(gate)
    gate.list.meta(brakes=f"bus.ride={int(time.time())}")
    assert [gate.get("/", "C0").status for _ in range(2)][-1] == 403


def test_release_while_redis_is_away(world):
    gate = make(world)
    engage(gate)
    gate.list.meta(brakes=f"bus.ride={int(time.time())}")
    gate.redis.kill()
    gate.nginx.reload()
    assert gate.get("/", "C0").status == 200
    gate.redis.start()
    wait_for(lambda: gate.get("/", "C0").status == 403, 15)


WRONG = [
    ("jd_brake;", "invalid number of arguments"),
    ("jd_brake on;", 'invalid parameter "on" in "jd_brake"'),
    ("jd_brake rate=5 window=1m min=10;", 'invalid parameter "rate=5"'),
    ("jd_brake rate=0% window=1m min=10;", 'invalid parameter "rate=0%"'),
    ("jd_brake rate=100% window=1m min=10;", 'invalid parameter "rate=100%"'),
    ("jd_brake rate=5% window=0 min=10;", 'invalid parameter "window=0"'),
    ("jd_brake rate=5% window=1m min=0;", 'invalid parameter "min=0"'),
    ("jd_brake rate=5% rate=6% min=10;", 'invalid parameter "rate=6%"'),
    ("jd_brake rate=5% window=1m;", "invalid number of arguments"),
    ("jd_brake off; jd_brake off;", '"jd_brake" directive is duplicate'),
]


def test_wrong_use(world):
    world.allow.append(r"\[emerg\]")
    gate = make(world, start=False)
    for text, said in WRONG:
        gate.nginx.configure(gate.jd, gate.http(server(text)))
        code, out = gate.nginx.test()
        assert code != 0 and said in out, (text, out)


def test_locations_agree(world):
    """One list and measure has one brake; the error names both lines."""
    world.allow.append(r"\[emerg\]")
    gate = make(world, start=False)
    text = (f"{SUBJECT}\nlocation /a {{ jd_gate credit bus.ride;\njd_brake rate=5% window=1m min=10; }}\n"
            "location /b { jd_gate credit bus.ride;\njd_brake rate=6% window=1m min=10; }\n"
            "location /c { jd_gate credit bike.rent; }")
    gate.nginx.configure(gate.jd, gate.http(text))
    code, out = gate.nginx.test()
    lines = [i + 1 for i, line in enumerate(gate.nginx.conf_path.read_text().splitlines()) if "jd_brake" in line]
    assert code != 0 and 'list "credit", measure "bus.ride", which has one brake' in out, out
    assert all(f"nginx.conf:{n}" in out for n in lines) and len(lines) == 2, (out, lines)
    gate.nginx.configure(gate.jd, gate.http(text.replace("6%", "5.00%")))
    assert gate.nginx.test()[0] == 0
    # one has it, the other has none
    gate.nginx.configure(gate.jd, gate.http(text.replace("jd_brake rate=6% window=1m min=10;", "")))
    code, out = gate.nginx.test()
    assert code != 0 and "which has one brake" in out
