"""rcctl report over a month that an office, gates and a daemon have made."""

import csv
import io
import json
import os
import subprocess

import pytest

import harness
from harness import wait_for
from ledgerworld import AUTHORITY, Gate, World, month
from test_holder_report import BASIS, record

PEOPLE = 9


def number_of(i):
    """A made-up resident number (GB 11643)."""
    first = f"11010119900101{i:03}"
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return first + "10X98765432"[sum(int(d) * w for d, w in zip(first, weights)) % 11]


@pytest.fixture
def lw(world):
    lw = World(world, orders=0).start()
    records = [record(f"CS-{i}", person=number_of(i), measures=("bus.ride",)) for i in range(PEOPLE)]
    records += [record(f"CS-{i + 100}", person=number_of(i), measures=("bike.rent",), relevance=None) for i in range(3)]
    lw.office.publish(*records, record("bad-1", basis=""), record("bad-2", authority="Nobody"))
    wait_for(lambda: lw.journal("SELECT count(*) FROM orders")[0][0] == len(records), 20)
    gates = [Gate("gw1"), Gate("gw2")]
    for g in gates:
        for i in range(PEOPLE):
            g.deny(f"CS-{i}", "bus.ride", n=2)
        g.deny("CS-100", "bike.rent", n=1)
        g.dry("bike.rent", n=20)
        g.push(lw.redis)
    for i in range(6):
        lw.office.lift(f"CS-{i}")
    lw.office.mark("CS-7", True)
    wait_for(lambda: lw.redis.hlen("jd:{credit}:relief") == 7, 20)
    wait_for(lambda: lw.journal("SELECT sum(total) FROM ledger_count")[0][0] == 2 * (2 * PEOPLE + 1), 20)
    wait_for(lambda: lw.journal("SELECT sum(total) FROM ledger_hour")[0][0] == 2 * (2 * PEOPLE + 21), 20)
    wait_for(lambda: (lw.state / "audit.log").read_text().count('"quarantine"') == 2, 20)
    wait_for(lambda: lw.journal("SELECT count(*) FROM lifts WHERE redis_ms > 0")[0][0] == 6, 20)
    return lw


def report(lw, *args, code=0):
    r = harness.rcctl(lw.conf, "report", "--month", month(), *args)
    assert r.returncode == code, r.stdout + r.stderr
    assert "CS-" not in r.stdout and "gw1" not in r.stdout and number_of(1) not in r.stdout
    return r.stdout


def test_for_programs(lw):
    r = json.loads(report(lw, "--json"))
    bus, bike = r["rows"]
    assert (bus["authority"], bus["basis"], bus["measure"]) == (AUTHORITY, BASIS, "bus.ride")
    assert bus["orders"] == PEOPLE and bus["people"] == PEOPLE and bus["denied"] == 4 * PEOPLE
    assert bus["lifts"] == 6 and 0 <= bus["median_lift_sec"] < 60 and bus["no_relevance"] == 0
    assert bus["objections"] == "<5" and bus["objections_open"] == "<5"
    assert bike["measure"] == "bike.rent" and bike["orders"] == "<5" and bike["people"] == "<5" and bike["denied"] == "<5"
    assert bike["no_relevance"] == "<5" and bike["lifts"] == 0 and bike["median_lift_sec"] is None
    assert r["total"]["orders"] == "*" and r["total"]["denied"] == "*" and r["total"]["lifts"] == 6
    assert r["dry_run"] == [{"authority": AUTHORITY, "measure": "bike.rent", "dry_run": 40}]
    assert r["quarantined"] == {"jd_no_basis": "<5", "jd_authority": "<5"} and r["total"]["quarantined"] == "*"
    assert r["complete"] is False and r["month"] == month() and r["list"] == "credit"


def test_for_spreadsheets(lw):
    text = subprocess.run([harness.BIN / "rcctl", "-c", lw.conf, "report", "--month", month(), "--csv"], capture_output=True,
                          env={**os.environ, **harness.SAN_ENV}).stdout.decode()
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", "")
    rows = list(csv.DictReader(io.StringIO(text)))
    value = {(x["authority"], x["basis"], x["measure"], x["quantity"]): x["value"] for x in rows}
    assert value[AUTHORITY, BASIS, "bus.ride", "denied"] == str(4 * PEOPLE)
    assert value[AUTHORITY, BASIS, "bike.rent", "orders"] == "<5"
    assert value["", "", "", "orders"] == "*" and value["", "", "", "quarantined jd_no_basis"] == "<5"
    assert value[AUTHORITY, "", "bike.rent", "dry_run"] == "40" and value["", "", "", "complete"] == "0"
    assert {x["month"] for x in rows} == {month()}
    j = json.loads(report(lw, "--json"))
    for row in j["rows"]:
        for name, n in row.items():
            if name not in ("authority", "basis", "measure") and n is not None:
                assert value[row["authority"], row["basis"], row["measure"], name] == str(n)


def test_for_people(lw):
    en, zh = report(lw), report(lw, "--lang", "zh")
    assert en.startswith(f"Restrictions in {month()}, list credit\nThe month is not complete")
    assert f"authority: {AUTHORITY}\nbasis: {BASIS}\n" in en
    lines = {tuple(line.split("  ")[0].split()): line for line in en.splitlines()}
    head = next(line for line in en.splitlines() if "bus.ride" in line)
    orders = next(line for line in en.splitlines() if line.startswith("orders in force"))
    assert orders.split()[-2:] == [str(PEOPLE), "<5"] and len(head) == len(orders), lines
    assert "records put in quarantine" in en and "*: not shown" in en
    assert zh.startswith(f"{month()} 限制令执行情况，名单 credit\n") and "生效的限制令" in zh and "拒绝次数" in zh
    assert "orders" not in zh


def test_other_months_and_wrong_words(lw):
    r = harness.rcctl(lw.conf, "report", "--month", month(13))
    assert r.returncode == 0 and "Nothing was in force" in r.stdout
    for args, said in [(("--month", "2026-13"), "no month"), ((), "needs --month"), (("--month", month(), "--lang", "fr"), "none of en zh"),
                       (("--month", month(), "--csv", "--json"), "exclude each other")]:
        r = harness.rcctl(lw.conf, "report", *args)
        assert r.returncode == 2 and said in r.stderr and r.stdout == ""
