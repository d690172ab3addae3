"""Terminals, gate and backends together: nginx with the module as conf/nginx.conf has it, a Redis filled as the daemon
fills it (jdschema), and an oracle that knows every answer. No answer may be wrong."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import wait_for  # noqa: E402
from jdschema import Order, RedisList  # noqa: E402
from test_terminals import SIM, finish, order, run, scenario, start  # noqa: E402

KEY = bytes(range(1, 17))
BEGIN, END = 1767196800, 1830268800         # the instants of order() in test_terminals


class City:
    def __init__(self, world, folder, lines, dry_run="off"):
        self.world = world
        self.orders = scenario(folder, *lines)
        ports = folder / "ports"
        world.proc([SIM, "backends", "--ports-file", ports], "backends")
        wait_for(ports.exists)
        port = dict(line.split() for line in ports.read_text().splitlines())
        self.redis = world.redis()
        self.list = RedisList(self.redis.client(), key=KEY)
        subjects = {}
        for x in lines:
            if "order" in x:
                subjects.setdefault(f"{x['subject']['scheme']}:{x['subject']['id']}", []).append(
                    Order(x["order"], x["measures"], from_=BEGIN, until=END, observe=x["effect"] == "observe"))
        self.list.refill(subjects)
        self.nginx = world.nginx(
            jd=f"key_file {world.key_file(('k1', KEY))};\n"
               f"list credit {{ redis 127.0.0.1:{self.redis.port}; zone 8m; timeout 200ms; max_stale 1h; }}\n"
               "ledger @DIR@/ledger 1m gateway=gw1;",
            http=f"""
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                jd_contest https://card.example/help phone=12345;
                jd_dry_run {dry_run};
                upstream bus  {{ server 127.0.0.1:{port['bus-validator']}; keepalive 8; }}
                upstream books {{ server 127.0.0.1:{port['library-checkout']}; keepalive 8; }}
                upstream card {{ server 127.0.0.1:{port['citizen-card']}; keepalive 8; }}
                server {{
                    listen 127.0.0.1:@PORT@;
                    keepalive_requests 100000;
                    location /bus/tap {{
                        jd_gate credit bus.ride; jd_subject card header:X-Card-No; proxy_pass http://bus;
                    }}
                    location /library/checkout {{
                        jd_gate credit library.checkout; jd_subject patron json:/patron_barcode;
                        proxy_pass http://books;
                    }}
                    location = /card/orders {{
                        jd_counter credit; jd_subject card header:X-Card-No; proxy_pass http://card;
                    }}
                    location /card/bike {{
                        jd_gate credit bike.rent; jd_subject card form:card; proxy_pass http://card;
                    }}
                    location /card/tour {{
                        jd_gate credit tour.annual_pass; jd_subject card form:card; proxy_pass http://card;
                    }}
                    location = /jd/status {{ jd_status; }}
                }}""")
        wait_for(self.enforces, why="the list in the zone")

    def enforces(self):
        return self.nginx.status()["lists"][0]["ready"]

    def terminals(self, kind, *args):
        return run(kind, self.nginx.port, "--oracle", self.orders, "--share-listed", 40, *args)

    def append(self, line):
        with open(self.orders, "a") as f:
            f.write(json.dumps(line) + "\n")


def card(i):
    return f"99110000{i:08d}"


def orders(n):
    """n cards: bus, bike, both, observed, two orders; n patrons."""
    lines = []
    for i in range(n):
        measures = (["bus.ride"], ["bike.rent"], ["bus.ride", "tour.annual_pass"])[i % 3]
        lines.append(order(f"CS-{i}", card(i), measures=measures, effect="observe" if i % 7 == 0 else "enforce"))
        if i % 5 == 0:
            lines.append(order(f"CS-{i}-2", card(i), measures=["bus.ride", "bike.rent"]))
        lines.append(order(f"LB-{i}", card(i), scheme="patron", measures=["library.checkout"]))
    return lines


@pytest.mark.parametrize("kind", ["bus", "kiosk", "counter"])
def test_every_answer_is_right(world, tmp_path, kind):
    city = City(world, tmp_path, orders(60))
    r = city.terminals(kind, "--rate", 300, "--count", 600)
    assert r.code == 0 and r.report["answers"] == 600, r
    assert r.report["denied"] > 60 and {v["jd_status"] for v in r.report["verdicts"]} >= {"-", "DENIED listed"}


def test_lifts_and_orders_under_load(world, tmp_path):
    """Each event is appended first and done then; the window is what it may take to be in force."""
    city = City(world, tmp_path, orders(20))
    p = start("bus", "--port", city.nginx.port, "--json", "--oracle", city.orders, "--share-listed", 80, "--rate", 400,
              "--duration", 4, "--window", 500)
    for i in range(10):
        city.append({"lift": f"CS-{i * 2}"})
        city.list.lift(f"CS-{i * 2}")
        city.append(order(f"NEW-{i}", card(1000 + i)))
        city.list.put(f"card:{card(1000 + i)}", Order(f"NEW-{i}", from_=BEGIN, until=END))
        time.sleep(0.1)                     # spreads the events over the load; nothing depends on how long
    r = finish(p)
    assert r.code == 0 and r.report["settling"] > 0 and r.report["denied"] > 100, r


def test_staff_at_the_counter_see_what_denies(world, tmp_path):
    city = City(world, tmp_path, orders(20))
    told = city.nginx.get("/card/orders", headers=[("X-Card-No", card(1))]).json()["jd_status"]
    assert told.startswith('COUNTER;reason=listed;list="credit";') and ', "CS-1";measures=' in told and ";state=in_force;" in told
    assert "reason=not_listed" in city.nginx.get("/card/orders", headers=[("X-Card-No", card(999))]).json()["jd_status"]


def test_a_dry_run_denies_nobody(world, tmp_path):
    city = City(world, tmp_path, orders(20), dry_run="on")
    r = city.terminals("bus", "--rate", 300, "--count", 300, "--dry-run-expected")
    assert r.code == 0 and r.report["denied"] == 0, r
    assert "DENIED_DRY_RUN listed" in {v["jd_status"] for v in r.report["verdicts"]}


def test_redis_killed_and_everybody_rides(world, tmp_path):
    city = City(world, tmp_path, orders(20))
    assert city.terminals("bus", "--rate", 300, "--count", 150).report["denied"] > 10
    city.redis.kill()
    r = city.terminals("bus", "--rate", 300, "--count", 300, "--expect-open")
    assert r.code == 0 and r.report["passed"] == 300, r
    assert {v["jd_status"] for v in r.report["verdicts"]} <= {"-", "PASSED unconfirmed"}


def test_reloads_under_load(world, tmp_path):
    """No answer is lost and no clean card denied; the gate is ready all the time, so no listed card passes either."""
    city = City(world, tmp_path, orders(20))
    p = start("bus", "--port", city.nginx.port, "--json", "--oracle", city.orders, "--share-listed", 40, "--rate", 200,
              "--duration", 4)
    done = threading.Event()

    def touch():
        while not done.wait(0.5):
            city.list.touch()

    threading.Thread(target=touch, daemon=True).start()
    for _ in range(5):
        city.nginx.reload()
    r = finish(p)
    done.set()
    assert r.code == 0 and r.report["answers"] == 800, r
