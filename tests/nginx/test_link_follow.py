"""The follower: load, tail, gap, era, resuming; and processes that come and go."""

import os
import signal

import pytest

import harness
from jdschema import Order, encode_record, record_mac
from linkgate import CLEAN, KEY, LISTED, ORDER, SERVER, LinkGate, Load

NCHAN = "/usr/lib/nginx/modules/ngx_nchan_module.so"


def card(i):
    return f"3301{i:08d}"


def some_orders(n, first=100):
    return {f"card:{card(first + i)}": [Order(f"CS-2026-{first + i:06d}", ["bus.ride"])] for i in range(n)}


def test_changes_arrive(world):
    g = LinkGate(world)
    g.list.put(f"card:{CLEAN}", [ORDER])
    g.wait(last_id=1, count=2)
    assert g.tap(CLEAN)[0] == 403
    g.list.remove(f"card:{CLEAN}")
    g.wait(last_id=2, count=1)
    assert g.denied()
    assert g.status()["loads"] == 1


def test_all_of_a_list_is_loaded(world):
    g = LinkGate(world, orders={f"card:{LISTED}": [ORDER], **some_orders(1500)})
    assert g.status()["count"] == 1501
    for i in (100, 777, 1599):
        assert g.tap(card(i))[0] == 403
    assert g.denied()


def test_one_giant_bucket(world):
    g = LinkGate(world, start=False, filled=False)
    g.list.refill({f"card:{LISTED}": [ORDER], **some_orders(3000)}, bits=0)
    g.nginx.start()
    g.ready()
    assert g.status()["count"] == 3001
    assert g.tap(card(3099))[0] == 403
    assert g.denied()


def test_changes_while_it_loads(world):
    g = LinkGate(world, start=False, filled=False)
    g.list.refill({f"card:{LISTED}": [ORDER], **some_orders(1000)}, bits=14)
    g.nginx.start()
    for i in range(300):
        g.list.put(f"card:{card(5000 + i)}", [Order(f"CS-2026-{5000 + i}", ["bus.ride"])])
        g.list.remove(f"card:{card(100 + i)}")
    g.wait(ready=True, last_id=600, count=1001, fault="none")
    assert g.tap(card(5299))[0] == 403 and g.tap(card(399))[0] == 200
    assert g.reasons()[("clear", "passed")] >= 1
    assert g.denied()


def test_era_switch(world):
    g = LinkGate(world)
    with Load(g) as load:
        for n in range(2, 6):
            g.list.refill({f"card:{LISTED}": [ORDER]})
            g.wait(loads=n, fault="none", follower="tailing")
    assert not load.wrong()
    assert g.status()["gaps"] == 0
    assert g.denied()


def test_era_switch_takes_out_what_is_gone(world):
    g = LinkGate(world, orders={f"card:{LISTED}": [ORDER], **some_orders(500)})
    assert g.tap(card(100))[0] == 403
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.wait(loads=2, count=1)

    def swept():
        asked = g.status()["confirms"]
        assert g.tap(card(101))[0] == 200
        return g.status()["confirms"] == asked
    harness.wait_for(swept, why="swept: no question for what is gone")
    assert g.denied()


def test_gap_loads_anew(world):
    g = LinkGate(world)
    r, era = g.redis.client(), g.list.get("era")
    # changes 1 and 2 were trimmed away before the follower saw them
    d = g.list.digest(f"card:{CLEAN}")
    record = encode_record(g.list.key, d, era, [ORDER])
    pipe = r.pipeline()
    pipe.hset(g.list.bucket(d), d, record)
    pipe.xadd(g.list.name("changes"), {"d": d, "r": record}, id=f"{era}-3")
    pipe.hset(g.list.name("meta"), mapping={"last_id": 3, "count": 2})
    pipe.execute()
    s = g.wait(gaps=1, loads=2, fault="none", last_id=3)
    assert s["count"] == 2
    assert g.tap(CLEAN)[0] == 403


def test_stream_lost(world):
    g = LinkGate(world)
    r = g.redis.client()
    pipe = r.pipeline()
    pipe.delete(g.list.name("changes"))
    d = g.list.digest(f"card:{CLEAN}")
    pipe.hset(g.list.bucket(d), d, encode_record(g.list.key, d, g.list.get("era"), [ORDER]))
    pipe.hset(g.list.name("meta"), mapping={"last_id": 2, "count": 2})
    pipe.execute()
    g.wait(gaps=1, loads=2, fault="none", last_id=2)
    assert g.tap(CLEAN)[0] == 403


def test_older_change_number_of_the_same_era(world):
    g = LinkGate(world)
    for _ in range(3):
        g.list.put(f"card:{CLEAN}", [ORDER])
    g.wait(last_id=3)
    r, d, era = g.redis.client(), g.list.digest(f"card:{CLEAN}"), g.list.get("era")
    pipe = r.pipeline()
    pipe.delete(g.list.name("changes"))
    pipe.hdel(g.list.bucket(d), d)
    pipe.xadd(g.list.name("changes"), {"d": d, "r": b""}, id=f"{era}-1")
    pipe.hset(g.list.name("meta"), mapping={"last_id": 1, "count": 1})
    pipe.execute()
    g.wait(loads=2, last_id=1, count=1, fault="none")
    assert g.denied()


def test_count_that_does_not_agree_is_not_published(world):
    g = LinkGate(world, start=False)
    g.list.meta(count=5)
    g.nginx.start()
    g.wait(fault="gap", ready=False)
    assert g.tap()[0] == 200
    g.list.meta(count=1)
    g.ready()
    g.wait_denied()


def test_reconnect_resumes_without_a_load(world):
    g = LinkGate(world)
    g.list.put(f"card:{CLEAN}", [ORDER])
    g.wait(last_id=1)
    g.fake.refuse()
    g.wait(fault="refused")
    g.list.remove(f"card:{CLEAN}")
    g.fake.heal()
    s = g.wait(last_id=2, fault="none", follower="tailing")
    assert s["loads"] == 1 and s["gaps"] == 0 and s["reconnects"] >= 1
    assert g.denied()


def test_reload_keeps_the_zone(world):
    g = LinkGate(world, workers=2)
    for i in range(3):
        g.nginx.reload()
        assert g.tap()[0] == 403
    s = g.wait(follower="tailing", fault="none")
    assert s["loads"] == 1
    g.list.put(f"card:{CLEAN}", [ORDER])
    g.wait(last_id=1)
    assert g.tap(CLEAN)[0] == 403


def test_reload_while_disconnected(world):
    g = LinkGate(world)
    g.fake.refuse()
    g.wait(fault="refused")
    g.nginx.reload()
    g.nginx.reload()
    assert g.tap()[0] == 200 and g.tap(CLEAN)[0] == 200
    g.fake.heal()
    g.wait(fault="none", follower="tailing", loads=1)
    g.wait_denied()


def test_resized_zone_is_a_fresh_load(world):
    g = LinkGate(world)
    before = g.status()["capacity"]
    g.nginx.configure(g.jd(zone="2m"), SERVER)
    g.nginx.reload()
    harness.wait_for(lambda: g.status()["capacity"] > before, why="new zone")
    s = g.ready()
    assert s["loads"] == 1
    g.wait_denied()


def test_rotated_key_is_a_fresh_load(world):
    g = LinkGate(world)
    new = bytes(range(50, 66))
    both = world.key_file(("k2", new), ("k1", KEY))
    g.key = both
    g.nginx.configure(g.jd(), SERVER)
    g.nginx.reload()
    harness.wait_for(lambda: g.status()["ready"], why="loaded under the old key")
    g.wait_denied()
    other = type(g.list)(g.redis.client(), key_id="k2", key=new)
    with Load(g) as load:
        other.refill({f"card:{LISTED}": [ORDER]})
        g.wait(key="k2", fault="none", follower="tailing")
        g.wait_denied()
    assert not load.wrong()


def test_zone_too_small(world):
    g = LinkGate(world, orders={f"card:{LISTED}": [ORDER]})
    n, era, pipe = 0, g.list.get("era") + 1, g.redis.client().pipeline(transaction=False)
    one = Order("CS-1", ["bus.ride"])
    buckets = {}
    for i in range(96000):
        d = os.urandom(16)
        buckets.setdefault(g.list.bucket(d, era, 10), {})[d] = b""
        n += 1
    body = encode_record(g.list.key, bytes(16), era, [one])
    for name, fields in buckets.items():
        for d in fields:
            fields[d] = body[:2] + record_mac(g.list.key, d, era, body) + body[10:]
        pipe.hset(name, mapping=fields)
    pipe.execute()
    pipe = g.redis.client().pipeline(transaction=True)
    pipe.xadd(g.list.name("changes"), {"s": 1}, id=f"{era}-0")
    pipe.hset(g.list.name("meta"), mapping={"era": era, "last_id": 0, "count": n, "bits": 10})
    pipe.execute()
    s = g.wait(20, loads=2, fault="full", follower="tailing")
    assert s["not_fitted"] > 0 and s["ready"]
    assert g.tap(CLEAN)[0] == 200
    assert g.nginx.errors().count("is full") == 1
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.wait(fault="none", not_fitted=0, count=1)      # loads once more when there is room
    g.wait_denied()


@pytest.mark.parametrize("slot", range(3))
def test_worker_killed_under_load(world, slot):
    g = LinkGate(world, workers=3)
    world.allow.append(r"exited on signal 9")
    with Load(g) as load:
        for _ in range(4):
            pids = sorted(g.nginx.worker_pids())
            harness.wait_for(lambda: load.served() > 20, why="load")
            os.kill(pids[slot], signal.SIGKILL)
            harness.wait_for(lambda: len(g.nginx.worker_pids()) == 3 and
                             pids[slot] not in g.nginx.worker_pids(), why="new worker")
        g.list.put(f"card:{card(7)}", [ORDER])
        g.wait(last_id=1, follower="tailing", fault="none")
    assert not load.wrong(), load.answers
    assert g.status()["loads"] == 1
    g.wait_denied()
    assert g.tap(card(7))[0] == 403


def test_reload_20_times_under_load(world):
    g = LinkGate(world, workers=2, lines="timeout 2s;")
    n = 0
    with Load(g) as load:
        for i in range(20):
            g.nginx.reload()
            g.list.put(f"card:{card(1000 + i)}", [ORDER])
            n += 1
        g.wait(20, last_id=n, count=1 + n, follower="tailing", fault="none")
    assert not load.wrong(), load.answers
    assert g.status()["loads"] == 1
    # with Redis well, a listed card is denied all the time, new workers' first requests included
    assert {k for k in load.answers if k[0] == "listed" and isinstance(k[1], int)} == {("listed", 403)}, load.answers
    harness.wait_for(lambda: len(g.nginx.worker_pids()) == 2, 20, why="old workers gone")


@pytest.mark.skipif(not os.path.exists(NCHAN), reason="needs Debian's nchan")
def test_nchan_loaded_first(world):
    module = os.environ.get("JD_PLAIN_MODULE") or str(harness.TOP / "build" / "ngx_jd_module.so")
    if not os.path.exists(module):
        pytest.skip("needs the module for Debian's nginx: make")
    g = LinkGate(world, modules=[NCHAN], binary="/usr/sbin/nginx",
                 module=module)
    assert g.denied()
    g.fake.refuse()
    g.wait(fault="refused")
    g.fake.heal()
    g.wait(fault="none", follower="tailing")
    g.wait_denied()


def test_single_process(world):
    g = LinkGate(world, main="master_process off;\n")
    assert g.denied()
    assert g.nginx.quit() == 0
    g.nginx.start()
    g.ready()
    assert g.denied()


def test_helper_processes_do_not_follow(world):
    g = LinkGate(world, start=False)
    g.nginx.configure(g.jd(), f"proxy_cache_path {g.nginx.folder}/cache keys_zone=c:1m;\n" + SERVER)
    g.nginx.start()
    g.ready()
    assert g.denied()
    clients = [c for c in g.redis.client().client_list() if c["cmd"] not in ("client|list", "NULL")]
    assert len({c["addr"] for c in clients if "xread" in c["cmd"]}) == 1


def test_configuration_test_does_not_connect(world):
    g = LinkGate(world, start=False)
    code, said = g.nginx.test()
    assert code == 0, said
    assert not g.fake.seen
