"""State and writer against a real Redis: what the journal says is what Redis holds, whatever was killed or lost."""
import os
import random
import shutil
import time

import harness
import pytest
from harness import wait_for
from stateworld import BASE, Driver, assert_same, in_redis, journal, query, record

META, RELIEF, CHANGES = "jd:{credit}:meta", "jd:{credit}:relief", "jd:{credit}:changes"


@pytest.fixture
def drivers(world):
    made = []

    def make(redis=None, folder=None, **kw):
        made.append(Driver(world, folder or world.dir("state"), redis, **kw))
        return made[-1]
    yield make
    for d in made:
        d.quit()


@pytest.fixture
def filled(world, drivers):
    """A driver with 20 orders in Redis, in contact. The first list was held, and approved before the writer began."""
    r = world.redis()
    d = drivers(r)
    d.ask("pause")
    assert d.snapshot([record(f"CS-{i}") for i in range(20)], seq=20, relief_seq=0)["applied"] == 20
    assert d.head() == {"contact": 1, "why": ""}
    d.ask("go")
    d.settled()
    return d, r


def meta(r):
    return {k.decode(): v.decode() for k, v in r.client().hgetall(META).items()}


def test_snapshot_fills_an_era(filled):
    d, r = filled
    m = assert_same(d.folder, r.client())
    assert m["schema"] == b"1" and m["count"] == b"20" and m["last_id"] == b"0"
    assert m["seq"] == b"20" and int(m["verified_at"]) > 0
    assert r.client().xrange(CHANGES) == [(f"{m['era'].decode()}-0".encode(), {b"s": b"1"})]
    for name in ("journal.db", "lock"):
        assert os.stat(d.folder / name).st_mode & 0o777 == 0o600


def test_directory_is_created_private(world, drivers):
    folder = world.dir("state") / "new"
    drivers(folder=folder).status()
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_changes_are_streamed(filled):
    d, r = filled
    assert d.change(record("CS-100"))["outcome"] == "ack"
    assert d.lift("CS-3")["outcome"] == "ack"
    d.settled()
    m = assert_same(d.folder, r.client())
    events = r.client().xrange(CHANGES)
    assert [i for i, _ in events] == [f"{m['era'].decode()}-{n}".encode() for n in range(3)]
    assert sorted(len(f[b"r"]) > 0 for _, f in events[1:]) == [False, True]
    assert r.client().hget(RELIEF, "CS-3") == b"lffff o0"
    wait_for(lambda: meta(r)["relief_seq"] == "1" and meta(r)["seq"] == "21")


def test_relief_is_merged_never_replaced(filled):
    """Whatever frees and is not the journal's own stays, and is taken into it."""
    d, r = filled
    r.client().hset(RELIEF, "CS-4", "l0002 o1 x9 h s1900000000 y")
    d.lift("CS-4", 0x0004)
    wait_for(lambda: r.client().hget(RELIEF, "CS-4") == b"l0006 o1 s1900000000 h x9 y")
    held = "SELECT count(*) FROM relief WHERE number = 'CS-4' AND held = 1 AND stay = 1900000000"
    wait_for(lambda: query(d.folder, held) == [(1,)])
    assert d.mark("CS-4", True)["outcome"] == "ack" and d.mark("CS-4", False)["outcome"] == "ack"
    d.settled()
    assert r.client().hget(RELIEF, "CS-4") == b"l0006 o1 s1900000000 h x9 y"
    assert d.mark("CS-5", True)["outcome"] == "ack"
    wait_for(lambda: r.client().hget(RELIEF, "CS-5") == b"l0000 o1")
    assert d.mark("CS-5", False)["outcome"] == "ack"
    wait_for(lambda: r.client().hget(RELIEF, "CS-5") == b"l0000 o0")


def test_freshness_never_before_its_relief(world, drivers):
    """While Redis refuses relief, no contact that vouches for it is published."""
    r = world.redis()
    d = drivers(r)
    d.snapshot([record("A")], seq=1, relief_seq=0)
    d.head(iat=int(time.time()) - 5)
    d.settled()
    before = wait_for(lambda: meta(r)["verified_at"] != "0" and meta(r)["verified_at"])
    d.ask("pause")
    d.lift("A")
    assert d.head()["contact"] == 1
    r.client().rename(RELIEF, "elsewhere") if r.client().exists(RELIEF) else None
    r.client().set(RELIEF, "somebody's")
    d.ask("go")
    s = wait_for(lambda: (lambda s: s if "jd:{credit}:relief" in s["fault"] else None)(d.status()))
    assert s["state"] == "down" and "DEL" in s["fault"]
    assert meta(r)["verified_at"] == before and meta(r)["relief_seq"] == "0"
    assert r.client().get(RELIEF) == b"somebody's"
    r.client().delete(RELIEF)
    wait_for(lambda: meta(r).get("relief_seq") == "1" and meta(r)["verified_at"] != before, 20)
    assert r.client().hget(RELIEF, "A") == b"lffff o0"


@pytest.mark.parametrize("key", [META, CHANGES, "jd:{credit}:grounds", "jd:{credit}:stays", "jd:{credit}:lifts",
                                 "jd:{credit}:gates"])
def test_somebody_elses_key_is_named_and_kept(world, drivers, key):
    r = world.redis()
    r.client().set(key, "x")
    d = drivers(r)
    d.snapshot([record("A")], seq=1, relief_seq=0)
    wait_for(lambda: key in d.status()["fault"])
    assert r.client().get(key) == b"x"
    r.client().delete(key)
    d.settled()
    assert_same(d.folder, r.client())


def test_bucket_of_another_type_is_named(filled):
    d, r = filled
    name = next(r.client().scan_iter("jd:{credit}:[0-9]*"))
    held = r.client().hgetall(name)
    r.client().delete(name)
    r.client().set(name, "x")
    for i in range(20):
        d.lift(f"CS-{i}")
    wait_for(lambda: name.decode() in d.status()["fault"])
    r.client().delete(name)
    r.client().hset(name, mapping=held)
    d.settled()
    assert_same(d.folder, r.client())


def test_refill_after_flush(filled):
    d, r = filled
    d.lift("CS-1")
    d.settled()
    era = meta(r)["era"]
    r.client().flushall()
    wait_for(lambda: meta(r).get("schema") == "1")
    d.settled()
    m = assert_same(d.folder, r.client())
    assert int(m["era"]) > int(era) and d.status()["refills"] == 2
    assert int(m["verified_at"]) > 0                  # contact of this run holds for the new era


def test_refill_vouches_only_for_contact_of_this_run(filled, drivers):
    """A journal from a backup may have forgotten a lift: until the office has been heard nothing is vouched for."""
    d, r = filled
    d.quit()
    r.client().flushall()
    d.start()
    d.settled()
    assert meta(r)["verified_at"] == "0"
    d.head()
    wait_for(lambda: meta(r)["verified_at"] != "0")


def test_older_aof_is_refilled(world, drivers):
    """Redis restarted from an older copy of its data."""
    r = world.redis(conf={"appendonly": "no", "save": '""'})
    d = drivers(r)
    d.snapshot([record(f"CS-{i}") for i in range(5)], seq=5, relief_seq=0)
    d.head()
    d.settled()
    r.client().save()
    old = (r.folder / "dump.rdb").read_bytes()
    d.change(record("CS-9"))
    d.lift("CS-2")
    d.settled()
    era = meta(r)["era"]
    r.kill()
    (r.folder / "dump.rdb").write_bytes(old)
    r.start()
    wait_for(lambda: meta(r).get("era", era) != era, 20)
    d.settled()
    assert_same(d.folder, r.client())
    assert r.client().hget(RELIEF, "CS-2") == b"lffff o0"


def test_second_daemon_is_fenced_and_takes_over(filled, drivers):
    d, r = filled
    first = meta(r)["writer"]
    e = drivers(r)
    e.snapshot([record(f"CS-{i}") for i in range(20)], seq=20, relief_seq=0)
    e.wait(state="standby")
    time.sleep(5.5)                                   # longer than a dead writer's beat may stand still
    assert e.status()["state"] == "standby" and meta(r)["writer"] == first
    d.ask("pause")
    e.wait(15, state="ready")
    assert meta(r)["writer"] != first
    d.ask("go")
    d.wait(state="standby")                           # the first one is fenced and writes no more
    assert "instance" in d.status()["fault"]
    e.change(record("CS-77"))
    e.settled()
    assert_same(e.folder, r.client())


def test_restart_takes_over_at_once(filled):
    d, r = filled
    d.kill()
    d.start()
    t = time.monotonic()
    d.settled()
    assert time.monotonic() - t < 3
    assert d.status()["refills"] == 0                 # Redis had what the journal wrote
    assert_same(d.folder, r.client())


def test_one_daemon_per_directory(filled, world):
    d, _ = filled
    p = harness.subprocess.run([*d.args], capture_output=True, text=True, input="")
    assert p.returncode == 1 and "another restrict-cached runs on this directory" in p.stderr
    other = harness.subprocess.run([d.args[0], str(world.dir("x")), "Credit", *d.args[3:]],
                                   capture_output=True, text=True, input="")
    assert other.returncode == 1 and "[a-z0-9_]" in other.stderr


def test_journal_of_another_list_is_refused(filled):
    d, _ = filled
    d.quit()
    p = harness.subprocess.run([d.args[0], d.args[1], "other", *d.args[3:]], capture_output=True, text=True,
                               input="")
    assert p.returncode == 1 and 'holds list "credit", not "other"' in p.stderr
    d.start()


@pytest.mark.parametrize("seed", range(6))
def test_kill_in_drain(world, drivers, seed):
    """kill -9 at random points while changes and lifts are written; then Redis is what the journal says."""
    rng = random.Random(seed)
    r = world.redis()
    d = drivers(r)
    d.snapshot([record(f"CS-{i}") for i in range(300)], seq=300, relief_seq=0)
    d.settled()
    for _ in range(4):
        d.ask("pause")
        for _ in range(rng.randrange(1, 60)):
            i = rng.randrange(600)
            if rng.random() < 0.3:
                d.lift(f"CS-{i}", rng.choice([0xffff, 1]))
            else:
                d.change(record(f"CS-{i}", served=f"2026-10-{rng.randrange(1, 15):02}",
                                measures=rng.sample(["bus.ride", "metro.ride", "bike.rent"], 2)))
        d.send("go")
        time.sleep(rng.random() * 0.01)               # anywhere within the drain
        d.kill()
        d.start()
    d.settled()
    assert_same(d.folder, r.client())


@pytest.mark.parametrize("seed", range(4))
def test_kill_in_refill(world, drivers, seed):
    rng = random.Random(seed)
    r = world.redis()
    d = drivers(r)
    d.snapshot([record(f"CS-{i}") for i in range(3000)], seq=3000, relief_seq=0)
    d.settled()
    for _ in range(4):
        r.client().flushall()
        time.sleep(rng.random() * 0.3)
        d.kill()
        d.start()
    d.settled()
    wait_for(lambda: len({k.split(b":")[2] for k in r.client().scan_iter("jd:{credit}:[0-9]*")}) == 1,
             why="abandoned eras are removed")
    have, relief, m = in_redis_fast(r.client())
    want, want_relief = journal(d.folder)
    assert have == set(want) and relief == want_relief and int(m["count"]) == len(want)


def in_redis_fast(client):
    """Digests, relief and meta, without verifying each record."""
    m = {k.decode(): v for k, v in client.hgetall(META).items()}
    have = set()
    for name in client.scan_iter(f"jd:{{credit}}:{int(m['era'])}:*", count=1000):
        have |= set(client.hkeys(name))
    return have, client.hgetall(RELIEF), m


@pytest.mark.parametrize("seed", range(4))
def test_kill_in_snapshot(world, drivers, seed):
    """Killed while a snapshot is applied, it is begun again, and the end is the same."""
    rng = random.Random(seed)
    r = world.redis()
    d = drivers(r)
    d.snapshot([record(f"CS-{i}") for i in range(2000)], seq=2000, relief_seq=0)
    d.settled()
    new = [record(f"CS-{i}", served="2026-10-20", measures=["metro.ride"]) for i in range(1000, 3000)]
    path = d.begin_snapshot(new, seq=4000, relief_seq=3)
    for _ in range(3):
        time.sleep(rng.random() * 0.4)
        d.kill()
        assert not (d.folder / "stage.db").exists() or d.start()
        if d.p.poll() is not None:
            d.start()
        d.send(f"snapshot {path} 7 4000 3 {BASE + 5000} 0")
    r1 = d.receive()
    while "error" in r1:
        r1 = d.receive()
    # of an order that a killed run has freed of its measure already, all is new
    assert r1["additions"] >= 1000 and r1["additions"] + r1["widenings"] == 2000
    for _ in range(2):                                # approved, it is applied by whoever comes after
        d.send("approve-list")
        time.sleep(rng.random() * 0.3)
        d.kill()
        d.start()
    last = d.ask("approve-list")                      # unless one of the killed had come to its end
    assert last.get("dropped") == 0 or last == {"error": "nothing waits"}
    d.settled()
    s = d.status()
    assert (s["live"], s["seq"], s["relief_seq"], s["gap"]) == (2000, 4000, 3, 0)
    have, relief, m = in_redis_fast(r.client())
    assert have == set(journal(d.folder)[0]) and int(m["count"]) == 2000
    assert not (d.folder / "stage.db").exists()


def test_relief_goes_on_while_a_snapshot_is_applied(world, drivers):
    r = world.redis()
    d = drivers(r)
    d.snapshot([record("CS-0")], seq=1, relief_seq=0)
    d.settled()
    d.begin_snapshot([record(f"CS-{i}") for i in range(20000)], seq=20000, relief_seq=0)
    t = time.monotonic()
    assert d.lift("CS-0")["outcome"] == "ack"
    wait_for(lambda: r.client().hget(RELIEF, "CS-0") == b"lffff o0")
    took = time.monotonic() - t
    assert d.change(record("X"), seq=2)["outcome"] == "gap"
    assert d.receive()["additions"] == 19999
    assert took < 0.5, took
    d.send("approve-list")
    t = time.monotonic()
    assert d.lift("CS-7")["outcome"] == "ack"
    wait_for(lambda: r.client().hget(RELIEF, "CS-7") == b"lffff o0")
    took = time.monotonic() - t
    done = d.receive()
    assert took < 0.5, took
    # what was lifted after the snapshot was made is lifted, and nothing to report
    assert done["applied"] + done["unchanged"] == 20000 and done["quarantined"] == 0
    s = d.status()
    assert (s["live"], s["quarantined"], s["relief_seq"]) == (19998, 0, 2)


def test_expiry(filled):
    d, r = filled
    now = int(time.time())
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 3600))
    d.change(record("SHORT", until=end))
    d.settled()
    assert d.ask(f"tick {now + 3601} {now}") == {"ended": 0}          # both clocks must have passed
    assert d.ask(f"tick {now} {now + 3601}") == {"ended": 0}
    assert d.ask(f"tick {now + 3600} {now + 3601}") == {"ended": 1}
    d.settled()
    m = assert_same(d.folder, r.client())
    assert int(m["count"]) == 20
    # the same again is no new order, a later notice is
    assert d.change(record("SHORT", until="2027-06-01T00:00:00+08:00"))["code"] == "jd_aggravated"
    assert d.change(record("SHORT", until="2027-06-01T00:00:00+08:00", served="2026-11-23"))["code"] == "none"


def test_hung_redis(filled):
    d, r = filled
    r.hang()
    d.lift("CS-5")
    s = wait_for(lambda: (lambda s: s if s["state"] == "down" else None)(d.status()), 10)
    assert "no answer within 1000 ms" in s["fault"] and s["relief_pending"] == 1
    r.go_on()
    d.settled()
    assert r.client().hget(RELIEF, "CS-5") == b"lffff o0"
    assert_same(d.folder, r.client())


def test_out_of_memory_relief_goes_first(filled):
    d, r = filled
    r.client().config_set("maxmemory", 1)
    d.lift("CS-6")
    d.change(record("NEW"))
    s = wait_for(lambda: (lambda s: s if "maxmemory" in s["fault"] else None)(d.status()))
    assert s["state"] == "down" and s["relief_pending"] == 0
    assert r.client().hget(RELIEF, "CS-6") == b"lffff o0"
    r.client().config_set("maxmemory", 0)
    d.settled()
    assert_same(d.folder, r.client())


def test_replica_is_refused(filled, world):
    d, r = filled
    other = world.redis()
    r.client().replicaof("127.0.0.1", other.port)
    wait_for(lambda: "read-only replica" in d.status()["fault"], 10)
    r.client().replicaof("no", "one")
    d.settled(40)
    assert_same(d.folder, r.client())


def test_authentication(world, drivers):
    r = world.redis(conf={"requirepass": "s3cret"})
    d = drivers(r)
    wait_for(lambda: "auth_file" in d.status()["fault"])
    auth = world.dir("auth") / "redis.auth"
    auth.write_text("wrong\n")
    auth.chmod(0o600)
    e = drivers(r, auth=auth)
    wait_for(lambda: "refuses user and password" in e.status()["fault"])
    auth.write_text("default s3cret\n")
    e.snapshot([record("A")], seq=1, relief_seq=0)
    e.settled()
    assert "s3cret" not in open(e.log.name).read() + open(d.log.name).read()


def test_settings_are_warned_of(world, drivers):
    r = world.redis(conf={"hash-max-listpack-value": 64})
    d = drivers(r)
    d.snapshot([record("A")], seq=1, relief_seq=0)
    assert "hash-max-listpack-value is 64" in d.settled()["fault"]
    r2 = world.redis(conf={"appendonly": "no"})
    e = drivers(r2)
    e.snapshot([record("A")], seq=1, relief_seq=0)
    assert "appendonly is no" in e.settled()["fault"]
    r3 = world.redis()
    r3.client().execute_command("ACL", "SETUSER", "default", "-config")
    f = drivers(r3)
    f.snapshot([record("A")], seq=1, relief_seq=0)
    assert "settings unknown" in f.settled()["fault"]


def test_schema_of_the_future_is_left_alone(world, drivers):
    r = world.redis()
    r.client().hset(META, "schema", 2)
    d = drivers(r)
    d.snapshot([record("A")], seq=1, relief_seq=0)
    wait_for(lambda: "newer restrict-cached" in d.status()["fault"])
    assert r.client().hgetall(META) == {b"schema": b"2"}


def test_key_rotation_is_a_new_era(filled, drivers):
    """Under a new key Redis keeps what it has until a snapshot has digested all anew; relief goes on."""
    from jdschema import Key
    d, r = filled
    d.quit()
    old = meta(r)
    new = Key("k2", bytes(range(16, 32)))
    e = drivers(r, folder=d.folder, key=new)
    e.seq, e.relief_seq = d.seq, d.relief_seq
    wait_for(lambda: "key" in e.status()["fault"])
    assert e.status()["gap"] == 1
    e.lift("CS-1")
    wait_for(lambda: r.client().hget(RELIEF, "CS-1") == b"lffff o0")
    assert meta(r)["era"] == old["era"] and e.change(record("N"))["outcome"] == "gap"
    e.snapshot([record(f"CS-{i}") for i in range(2, 20)], seq=30, relief_seq=1)
    e.wait(state="ready", count=18)
    e.settled()
    m = assert_same(e.folder, r.client(), key=new)
    assert m["key"] == b"k2" and int(m["era"]) > int(old["era"])


def test_disabled_measure_leaves_redis(filled, drivers):
    d, r = filled
    d.change(record("TWO", measures=["bus.ride", "metro.ride"]))
    d.settled()
    d.quit()
    e = drivers(r, folder=d.folder, options=["disable=bus.ride"])
    e.wait(state="ready", count=1)
    have, _, _ = in_redis(r.client())
    assert [list(v.values())[0][0] for v in have.values()] == [2]


def test_restored_journal_waits_for_the_office(filled):
    """The journal is put back to before a lift; Redis still knows it, and nothing is vouched for until a snapshot."""
    d, r = filled
    d.quit()
    backup = d.folder.parent / "backup"
    shutil.copytree(d.folder, backup)
    d.start()
    d.lift("CS-8")
    d.head()
    d.settled()
    wait_for(lambda: meta(r)["relief_seq"] == "1")
    d.quit()
    shutil.rmtree(d.folder)
    shutil.copytree(backup, d.folder)
    d.start()
    wait_for(lambda: "more than this journal" in d.status()["fault"])
    assert r.client().hget(RELIEF, "CS-8") == b"lffff o0"
    now = int(time.time())
    assert d.head(iat=now + 1, relief_seq=1)["contact"] == 0
    assert d.head(iat=now + 10, relief_seq=1)["contact"] == 0
    assert d.status()["behind"] == 1                   # the lane will not bring it: acknowledged, so forgotten
    d.snapshot([record(f"CS-{i}") for i in range(20) if i != 8], seq=20, relief_seq=1)
    d.wait(state="ready")
    assert d.head(iat=now + 11, relief_seq=1)["contact"] == 1
    d.settled()
    have, relief, m = in_redis(r.client())
    assert len(have) == 19 and relief[b"CS-8"] == b"lffff o0" and m["relief_seq"] == b"1"


def test_urgent_relief_without_a_journal(filled):
    """Relief that the journal could not take still reaches Redis, and again after a flush."""
    d, r = filled
    d.ask("urgent CS-9 ffff")
    wait_for(lambda: r.client().hget(RELIEF, "CS-9") == b"lffff o0")
    r.client().flushall()
    wait_for(lambda: r.client().hget(RELIEF, "CS-9") == b"lffff o0")


def test_no_identifier_on_disk(world, drivers):
    r = world.redis()
    d = drivers(r)
    d.snapshot([record("A", card="PLAINCARD12345"), record("B", card="PLAINCARD\t1")], seq=1, relief_seq=0)
    d.settled()
    d.quit()
    for path in d.folder.rglob("*"):
        assert path.is_dir() or b"PLAINCARD" not in path.read_bytes(), path
    r.client().save()
    assert b"PLAINCARD" not in (r.folder / "dump.rdb").read_bytes()
