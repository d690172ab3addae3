"""The ledger: what a denial leaves in the file and in Redis; the file itself; faults of Redis; closing and freeing."""

import datetime
import os
import signal
import subprocess
import time

import pytest

from fakeredis import HANG, FakeRedis, close_after
from harness import gone, wait_for
from httpgate import CLEAN, ENFORCE, LISTED, ORDER, Gate, reason
from jdschema import Order
from ledgerfile import DENIED, DRY, LedgerFile, LedgerKeys, age, hour_text
from ledgerfile import ORDER as BY_ORDER
from linkgate import SERVER, LinkGate

BUS = f"location / {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}"
DRY_RUN = "location /dry { jd_gate credit bus.ride; jd_subject card header:X-Card-No; proxy_pass http://@B@; }"
AUTHORITY = "Haicheng Transport Bureau"


def now_text():
    """(month at +08:00, hour UTC) of now."""
    t = datetime.datetime.now(datetime.timezone.utc)
    return (t + datetime.timedelta(hours=8)).strftime("%Y-%m"), t.strftime("%Y-%m-%dT%H")


def file_of(gate):
    return gate.nginx.folder / "ledger"


def in_redis(gate):
    return LedgerKeys(gate.redis.client())


def wait_pushed(gate, seconds=10):
    """Until Redis holds what the file holds."""
    keys = in_redis(gate)
    wait_for(lambda: keys.totals() == LedgerFile(file_of(gate)).totals(), seconds,
             why=f"{keys.totals()} is {LedgerFile(file_of(gate)).totals()}")
    return keys


def ledger_status(gate):
    return gate.nginx.status()["lists"][0]


@pytest.mark.parametrize("reload", [False, True])
def test_a_denial_is_counted_in_file_and_redis(world, reload):
    gate = Gate(world, BUS + DRY_RUN, workers=2)
    before = now_text()
    for _ in range(3):
        assert gate.get("/", LISTED).status == 403
    assert gate.get("/dry", LISTED).status == 200
    if reload:
        gate.reload()
    assert gate.get("/", LISTED).status == 403
    assert gate.get("/", CLEAN).status == 200
    f = LedgerFile(file_of(gate))
    assert f.gateway == "gw1" and file_of(gate).stat().st_mode & 0o777 == 0o600
    assert f.sum(BY_ORDER) == 4 and f.sum(DENIED) == 4 and f.sum(DRY) == 1 and not f.busy()
    keys = wait_pushed(gate)
    if before == now_text():
        month, hour = before
        assert f.totals() == {(month, f"{ORDER.number} bus.ride"): 4, (hour, f"bus.ride d {AUTHORITY}"): 4,
                              (hour, f"bus.ride y {AUTHORITY}"): 1}
        assert keys.keys() == sorted([f"jd:{{credit}}:ledger:-:{f.runs[0]}:{month}",
                                      f"jd:{{credit}}:ledger:gw1:{f.runs[1]}:{hour}"])
    assert f.runs[0] != f.runs[1]
    assert not any(".closed" in keys.hash(k) for k in keys.keys())


def test_order_is_never_beside_gateway_or_hour(world):
    gate = Gate(world, BUS)
    gate.get("/", LISTED)
    keys = wait_pushed(gate)
    for key in keys.keys():
        names_gateway, has_order = "gw1" in key or "T" in key.rsplit(":", 1)[1], \
            any(ORDER.number in f for f in keys.hash(key))
        assert names_gateway != has_order, key


def test_no_cell_free_no_denial(world):
    """A ledger of 64 cells: the 63rd order and those after it pass, unaccounted; what has its cell goes on."""
    orders = {f"card:C{i}": [Order(f"CS-{i}", ["bus.ride"], authority=AUTHORITY)] for i in range(70)}
    gate = Gate(world, BUS + DRY_RUN, orders=orders, start=False)
    gate.nginx.configure(gate.jd.replace("128k", "20k"), gate.http(BUS + DRY_RUN))
    gate.nginx.start()
    gate.ready()
    answers = [gate.get("/", f"C{i}") for i in range(70)]
    denied = [a for a in answers if a.status == 403]
    passed = [a for a in answers if a.status == 200]
    assert len(denied) == 63 and len(passed) == 7 and {reason(a) for a in passed} == {"unaccounted"}
    assert gate.counts() == {("bus.ride", "listed", "denied"): 63, ("bus.ride", "unaccounted", "passed"): 7}
    f = LedgerFile(file_of(gate))
    assert f.sum(BY_ORDER) == 63 and f.sum(DENIED) == 63 and len(f.used()) == f.cells == 64
    assert gate.get("/", "C0").status == 403
    # in a dry run nothing changes: the decision is the same, there is no cell to count it in
    assert gate.get("/dry", "C69").status == 200
    assert gate.counts()[("bus.ride", "listed", "denied_dry_run")] == 1
    assert LedgerFile(file_of(gate)).sum(DRY) == 0
    s = wait_for(lambda: ledger_status(gate)["ledger_used"] == 64 and ledger_status(gate), 5)
    assert s["ledger_cells"] == 64 and s["gateway"] == "gw1"


@pytest.mark.parametrize("reload", [False, True])
def test_counting_goes_on_while_redis_is_away(world, reload):
    """Refused and hung: nothing is denied then, as nothing can be confirmed; what was counted before gets there later. Confirms and
    ledger are on two servers here, so that denials go on."""
    other = world.redis()
    gate = Gate(world, BUS, start=False)
    gate.nginx.configure(gate.jd.replace("zone 1m;", f"zone 1m; redis_ledger 127.0.0.1:{other.port};"), gate.http(BUS))
    gate.nginx.start()
    gate.ready()
    keys = LedgerKeys(other.client())

    def same():
        return keys.totals() == LedgerFile(file_of(gate)).totals()

    def deny(n):
        for _ in range(n):
            assert gate.get("/", LISTED).status == 403
        return LedgerFile(file_of(gate)).sum(BY_ORDER)

    assert deny(2) == 2
    wait_for(same, 5)
    other.kill()
    assert deny(3) == 5
    if reload:
        gate.nginx.reload()
        gate.ready()
    wait_for(lambda: ledger_status(gate)["ledger_unpushed"] > 0, 10)
    other.start()
    wait_for(same, 15, why="after a restart")
    other.hang()
    assert deny(4) == 9
    time.sleep(4)                # the push's deadline passes
    assert deny(1) == 10
    other.go_on()
    wait_for(same, 15, why="after a hang")
    other.client().flushall()
    wait_for(same, 15, why="after a flush, without a further count")
    other.client().flushall()
    assert deny(1) == 11
    wait_for(same, 10, why="after a flush and a count: the whole period")
    assert not in_redis(gate).keys(), "nothing of it on the server of the list"


def test_periods_are_closed_and_freed(world):
    """Over for a minute: closed with number and sum; freed when, and only when, the office has it."""
    gate = Gate(world, BUS + DRY_RUN, orders={f"card:C{i}": [Order(f"CS-{i}", ["bus.ride"], authority=AUTHORITY)]
                                              for i in range(5)})
    for i in (0, 0, 1, 2, 2, 2, 3, 4):
        assert gate.get("/", f"C{i}").status == 403
    gate.get("/dry", "C0")
    gate.nginx.quit()
    age(file_of(gate), hours=30, months=2)
    f = LedgerFile(file_of(gate))
    past = f.totals()
    gate.nginx.start()
    gate.ready()
    keys = in_redis(gate)
    whole = wait_for(lambda: len(keys.collect()) == 2 and keys.collect(), 15, why=f"{keys.keys()} {keys.journal}")
    months, hours = [keys.hash(k) for k in sorted(whole, key=lambda k: ":gw1:" in k)]
    assert months.pop(".closed") == "5 8" and hours.pop(".closed") == "2 9"
    assert {(k.split(":")[-1], x): int(v) for k in whole for x, v in keys.hash(k).items() if x != ".closed"} == past
    # counts of now go elsewhere
    assert gate.get("/", "C0").status == 403
    wait_for(lambda: len(keys.keys()) >= 4, 5)
    n = len(LedgerFile(file_of(gate)).used())
    keys.done(whole[0])
    wait_for(lambda: len(LedgerFile(file_of(gate)).used()) < n, 15, why="cells freed")
    left = {c.period_text() for c in LedgerFile(file_of(gate)).used()}
    assert whole[0].split(":")[-1] not in left and whole[1].split(":")[-1] in left
    keys.done(whole[1])
    wait_for(lambda: whole[1].split(":")[-1] not in {c.period_text() for c in LedgerFile(file_of(gate)).used()}, 15,
             why="cells freed")
    assert set(keys.keys()) & set(whole) == set(), "what is done does not come back"
    assert LedgerFile(file_of(gate)).sum(BY_ORDER) == 1


def test_the_current_period_is_not_closed(world):
    gate = Gate(world, BUS)
    gate.get("/", LISTED)
    keys = wait_pushed(gate)
    time.sleep(3)
    assert not any(".closed" in keys.hash(k) for k in keys.keys())
    assert hour_text(int(time.time()) // 3600) in "".join(keys.keys())


def test_two_nginx_do_not_share_a_ledger(world):
    """Another nginx is refused; nginx -t and a stop and start are not; neither is the start after a kill -9 of all."""
    gate = Gate(world, BUS, workers=2)
    second = world.nginx(gate.jd.replace("@DIR@", str(gate.nginx.folder)), gate.http(BUS), start=False)
    world.allow.append(r"\[emerg\]")
    assert second.test()[0] == 0, "nginx -t takes no lock"
    r = subprocess.run(second.args, env=second.env, capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and "is in use" in second.errors() + r.stderr
    assert gate.get("/", LISTED).status == 403
    for pid in gate.nginx.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(gate.nginx.worker_pids()) == 2 and gate.get("/", LISTED).status == 403, 10)
    pids = gate.nginx.worker_pids()
    gate.nginx.kill()
    # its workers still hold it
    r = subprocess.run(second.args, env=second.env, capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and second.errors().count("is in use") == 2
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(map(gone, pids)), 10)
    gate.nginx.start()
    gate.ready()
    assert gate.get("/", LISTED).status == 403
    assert LedgerFile(file_of(gate)).sum(BY_ORDER) >= 3
    world.allow.append(r"exited on signal 9")


@pytest.mark.parametrize("what", ["size", "gateway", "foreign", "layout", "removed"])
def test_another_ledger_under_the_same_name(world, what):
    """At the start, at nginx -t and at a reload: refused with a reason, and the running one goes on."""
    world.allow.append(r"\[emerg\]")
    gate = Gate(world, BUS)
    assert gate.get("/", LISTED).status == 403
    jd = gate.jd
    said = {"size": "was made with a size of 131072 bytes", "gateway": 'is of gateway "gw1", not "gw2"',
            "foreign": "is not a ledger", "layout": "another version"}.get(what)
    if what in ("foreign", "layout", "removed"):
        gate.nginx.quit()
        data = bytearray(file_of(gate).read_bytes())
        data[0 if what == "foreign" else 8] ^= 0x55
        file_of(gate).write_bytes(data)
        if what == "removed":
            file_of(gate).unlink()
            gate.nginx.start()
            gate.ready()
            assert gate.get("/", LISTED).status == 403 and LedgerFile(file_of(gate)).sum(BY_ORDER) == 1
            return
    else:
        jd = jd.replace("128k", "256k") if what == "size" else jd.replace("gw1", "gw2")
    gate.nginx.configure(jd, gate.http(BUS))
    code, text = gate.nginx.test()
    assert code != 0 and said in text, text
    if what in ("size", "gateway"):
        gate.nginx.signal(signal.SIGHUP)
        wait_for(lambda: "is in use" in gate.nginx.errors(), 10)
        assert gate.get("/", LISTED).status == 403
        assert LedgerFile(file_of(gate)).sum(BY_ORDER) == 2
    else:
        r = subprocess.run(gate.nginx.args, env=gate.nginx.env, capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and said in gate.nginx.errors() + r.stderr


def test_another_file_by_a_reload(world):
    """Counts go on in the new file; the old one is let go."""
    gate = Gate(world, BUS)
    assert gate.get("/", LISTED).status == 403
    old = file_of(gate)
    gate.nginx.configure(gate.jd.replace("@DIR@/ledger", "@DIR@/second"), gate.http(BUS))
    gate.nginx.reload()
    gate.ready()
    wait_for(lambda: len(gate.nginx.worker_pids()) == 1, 10)
    assert gate.get("/", LISTED).status == 403
    assert LedgerFile(old).sum(BY_ORDER) == 1
    assert LedgerFile(gate.nginx.folder / "second").sum(BY_ORDER) == 1
    assert f"{old}" not in "".join(os.readlink(p) for p in
                                   [f"/proc/{gate.nginx.pid}/fd/{n}" for n in os.listdir(f"/proc/{gate.nginx.pid}/fd")]
                                   if os.path.islink(p))


def test_a_dry_run_needs_none(world):
    """Without the directive: observed, counted in status alone, nothing pushed; the brake lives in the zone."""
    gate = Gate(world, DRY_RUN, start=False)
    gate.jd = gate.jd.replace("ledger @DIR@/ledger 128k gateway=gw1;", "")
    gate.nginx.configure(gate.jd, gate.http(DRY_RUN))
    gate.nginx.start()
    gate.ready()
    assert gate.get("/dry", LISTED).status == 200
    assert gate.counts() == {("bus.ride", "listed", "denied_dry_run"): 1}
    s = ledger_status(gate)
    assert s["ledger_cells"] is None and s["ledger_pushed_at"] is None and s["gateway"] == ""
    assert "jd_ledger_cells{" not in gate.nginx.get("/jd/metrics").body.decode()
    time.sleep(1.5)
    assert in_redis(gate).keys() == [] and not file_of(gate).exists()
    # and an enforcing location refuses to start without one
    world.allow.append(r"\[emerg\]")
    gate.nginx.configure(gate.jd, gate.http(DRY_RUN + BUS))
    code, text = gate.nginx.test()
    assert code != 0 and '"jd_dry_run off" in location "/" of server "" needs a "ledger"' in text
    assert f"{gate.nginx.conf_path}:" in text


def test_ledger_of_a_replica(world):
    """redis_ledger that is a replica: said so, counting goes on, and a reload to the primary mends it."""
    gate = Gate(world, BUS)
    replica = world.redis(conf={"replicaof": f"127.0.0.1 {gate.redis.port}", "appendonly": "no"})
    wait_for(lambda: replica.client().info("replication")["master_link_status"] == "up", 20)
    wait_pushed(gate)
    gate.nginx.configure(gate.jd.replace("zone 1m;", f"zone 1m; redis_ledger 127.0.0.1:{replica.port};"), gate.http(BUS))
    gate.nginx.reload()
    gate.ready()
    assert gate.get("/", LISTED).status == 403
    wait_for(lambda: 'a read-only replica, "redis_ledger" needs the primary' in gate.nginx.errors(), 10)
    gate.reload(BUS)
    wait_pushed(gate)


def test_no_directory_for_it(world):
    world.allow.append(r"\[emerg\]")
    gate = Gate(world, BUS, start=False)
    gate.nginx.configure(gate.jd.replace("@DIR@/ledger", "@DIR@/nowhere/ledger"), gate.http(BUS))
    code, text = gate.nginx.test()
    assert code != 0 and "nowhere" in text, text


FAULTS = {"no rights": b"-NOPERM no rights\r\n", "a replica": b"-READONLY You can't write against a read only replica.\r\n",
          "text": b"+OK\r\n", "number": b":7\r\n", "nil": b"$-1\r\n", "array": b"*0\r\n", "cut": close_after(b":"), "hung": HANG}


@pytest.mark.parametrize("fault", FAULTS)
def test_replies_of_a_ledger_server(world, fault):
    """Whatever it says, counting goes on, and so does the pushing once it is well."""
    gate = LinkGate(world)
    own = FakeRedis(gate.redis.port).start()
    world.procs.append(own)
    own.rule("EVALSHA", FAULTS[fault])
    own.rule("EVAL", FAULTS[fault])
    gate.nginx.configure(gate.jd(f"timeout 500ms; redis_ledger 127.0.0.1:{own.port};"), SERVER)
    gate.nginx.reload()
    gate.ready()
    gate.wait_denied()
    wait_for(lambda: own.seen.get("EVALSHA"), 10, why="a push")
    gate.wait_denied()
    n = LedgerFile(gate.nginx.folder / "ledger").sum(BY_ORDER)
    keys = LedgerKeys(gate.redis.client())
    assert n >= 1 and not keys.keys()
    own.heal()
    wait_for(lambda: keys.totals() == LedgerFile(gate.nginx.folder / "ledger").totals(), 20)
    gate.wait_denied()
