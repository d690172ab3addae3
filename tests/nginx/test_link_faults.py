"""Redis misbehaves: nobody is denied who should not be, no 5xx, status tells why, and it heals by itself."""

import hashlib
import socket

import pytest
import redis

import harness
from fakeredis import HANG, close_after
from linkgate import CLEAN, LISTED, ORDER, SERVER, LinkGate, Load

BUSY_BYTES = b"*16\r\n$1\r\n1\r\n$10\r\nab"

# what the server does to every command, and the fault that status shows
SERVER_FAULTS = {
    "refused": ("refuse", {"refused"}),
    "hang": (HANG, {"timeout"}),
    "close": (close_after(b""), {"closed"}),
    "close-mid-reply": (close_after(BUSY_BYTES), {"closed"}),
    "loading": (b"-LOADING Redis is loading the dataset in memory\r\n", {"loading"}),
    "masterdown": (b"-MASTERDOWN Link with MASTER is down\r\n", {"loading"}),
    "noauth": (b"-NOAUTH Authentication required.\r\n", {"auth"}),
    "noperm": (b"-NOPERM this user has no permissions\r\n", {"auth"}),
    "wrongtype": (b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", {"type"}),
    "garbage": (b"HTTP/1.1 400 Bad Request\r\n\r\n", {"protocol"}),
    "binary": (bytes(range(256)) * 8, {"protocol"}),
    "huge-array": (b"*2000000000\r\n", {"protocol"}),
    "huge-string": (b"$99999999999\r\n", {"timeout", "protocol"}),
    "negative": (b"*-7\r\n", {"protocol"}),
    "deep": (b"*1\r\n" * 40 + b":1\r\n", {"protocol"}),
    "unasked": (b"+PONG\r\n+OK\r\n$2\r\nhi\r\n:1\r\n*0\r\n", {"protocol"}),
    "wrong-shape": (b"*2\r\n*0\r\n:7\r\n", {"protocol"}),
    "nil": (b"$-1\r\n", {"protocol"}),
}


@pytest.mark.parametrize("name", SERVER_FAULTS)
def test_server_fault(world, name):
    action, faults = SERVER_FAULTS[name]
    g = LinkGate(world)
    assert g.denied()

    with Load(g, 1) as load:
        if action == "refuse":
            g.fake.refuse()
        else:
            g.fake.rule("*", action)
            g.fake.cut()
        harness.wait_for(lambda: g.status()["fault"] in faults, 10, why=f"fault {faults}: {g.status()}")
        assert g.status()["follower"] in ("waiting", "connecting")
        assert g.tap()[0] == 200            # unconfirmed
        assert g.tap(CLEAN)[0] == 200
        g.fake.heal()
        g.wait(fault="none", follower="tailing")
        g.wait_denied()
    assert not load.wrong(), load.answers
    assert g.reasons().get(("unconfirmed", "passed"), 0) > 0
    told = [l for l in g.nginx.errors().splitlines() if "link to" in l and "down" in l]
    assert 1 <= len(told) <= 8, told


# what only the confirm meets
CONFIRM_FAULTS = {
    "hang": HANG,
    "close": close_after(b"*5\r\n"),
    "error": b"-ERR whatever\r\n",
    "noscript-only": b"-NOSCRIPT No matching script. Please use EVAL.\r\n",
    "wrongtype": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "string": b"+OK\r\n",
    "nil": b"*-1\r\n",
    "empty": b"*0\r\n",
    "no-meta": b"*5\r\n*0\r\n$-1\r\n*0\r\n*0\r\n*0\r\n",
    "two-replies": b"*0\r\n*0\r\n",
}


@pytest.mark.parametrize("name", CONFIRM_FAULTS)
def test_confirm_fault(world, name):
    g = LinkGate(world)
    assert g.denied()
    g.fake.rule("EVALSHA_RO", CONFIRM_FAULTS[name])
    g.fake.rule("EVAL_RO", CONFIRM_FAULTS[name])
    for _ in range(5):
        assert g.tap()[0] == 200
        assert g.tap(CLEAN)[0] == 200
    assert g.reasons()[("unconfirmed", "passed")] == 5
    assert g.status()["follower"] == "tailing"
    g.fake.heal()
    g.wait_denied()


def test_noscript_falls_back(world):
    g = LinkGate(world)
    g.fake.rule("EVALSHA_RO", b"-NOSCRIPT No matching script. Please use EVAL.\r\n")
    assert g.tap()[0] == 403
    assert g.fake.seen["EVAL_RO"] == 1


def test_scripts_flushed(world):
    g = LinkGate(world)
    for _ in range(3):
        assert g.tap()[0] == 403
        g.redis.client().script_flush()
    assert g.status()["confirm_errors"] == 0


def test_hung_redis_costs_the_listed_card_its_timeout_once(world):
    g = LinkGate(world, lines="timeout 200ms;")
    assert g.denied()
    g.redis.hang()
    status, first = g.tap()
    assert status == 200 and 0.15 < first < 0.6
    for _ in range(5):
        status, took = g.tap()
        assert status == 200 and took < 0.1       # the link is known to be down
        status, took = g.tap(CLEAN)
        assert status == 200 and took < 0.1
    g.redis.go_on()
    g.wait_denied()


def test_client_leaves_while_it_waits(world):
    g = LinkGate(world, lines="timeout 2s;")
    g.fake.rule("EVALSHA_RO", HANG)
    before = g.fake.seen.get("EVALSHA_RO", 0)
    socks = []
    for _ in range(10):
        s = socket.create_connection(("127.0.0.1", g.nginx.port))
        s.sendall(f"GET /tap HTTP/1.1\r\nHost: a\r\nX-Card-No: {LISTED}\r\n\r\n".encode())
        socks.append(s)
    harness.wait_for(lambda: g.fake.seen.get("EVALSHA_RO", 0) > before, why="asked")
    for s in socks:
        s.close()
    g.fake.heal()
    g.wait_denied()


def test_quit_waits_for_a_confirm(world):
    g = LinkGate(world, lines="timeout 2s;")
    g.fake.rule("EVALSHA_RO", HANG)
    s = socket.create_connection(("127.0.0.1", g.nginx.port), timeout=10)
    s.sendall(f"GET /tap HTTP/1.1\r\nHost: a\r\nX-Card-No: {LISTED}\r\n\r\n".encode())
    harness.wait_for(lambda: g.fake.seen.get("EVALSHA_RO", 0) > 0, why="asked")
    g.nginx.reload()
    assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
    s.close()
    g.fake.heal()
    g.wait_denied()


def test_schema_of_the_future(world):
    g = LinkGate(world)
    g.list.meta(schema=99)
    g.wait(fault="schema")
    assert g.tap()[0] == 200
    g.list.meta(schema=1)
    g.wait(fault="none", follower="tailing")
    g.wait_denied()


def test_meta_not_of_its_form(world):
    g = LinkGate(world)
    g.list.meta(relief_seq="many")
    g.wait(fault="type")
    assert g.tap()[0] == 200
    g.list.meta(relief_seq=0)
    g.wait(fault="none", follower="tailing")
    g.wait_denied()


def test_bucket_of_another_type(world):
    g = LinkGate(world, start=False)
    name = g.list.bucket(g.list.digest(f"card:{LISTED}"))
    g.redis.client().delete(name)
    g.redis.client().set(name, "x")
    g.nginx.start()
    g.wait(fault="type", ready=False)
    assert g.tap()[0] == 200
    g.redis.client().delete(name)
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.ready()
    g.wait_denied()


def test_flushed_and_filled_again(world):
    g = LinkGate(world)
    g.redis.client().flushall()
    assert g.tap()[0] == 200
    s = g.wait(fault="empty")
    assert s["count"] == 1 and s["ready"]           # what is known is kept: confirms say unconfirmed
    assert g.tap()[0] == 200
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.wait(fault="none", follower="tailing")
    g.wait_denied()


def test_older_data(world):
    g = LinkGate(world)
    g.list.lift("CS-2026-000777")
    harness.wait_for(lambda: g.tap()[0] == 403, why="denied")
    g.list.meta(relief_seq=0)                        # an older replica, or a restored backup
    assert g.tap()[0] == 200                         # before the follower even looked
    g.wait(fault="behind")
    assert g.tap()[0] == 200
    g.list.meta(relief_seq=2)
    g.wait(fault="none", follower="tailing")
    g.wait_denied()


def test_data_that_nobody_vouches_for(world):
    """A refill by a daemon without contact, as from a restored journal: what this gate was told before does not count for it."""
    g = LinkGate(world)
    assert g.denied()
    g.list.meta(verified_at=0)
    assert g.tap()[0] == 200
    assert ("stale", "passed") in g.reasons()
    g.list.touch()
    g.wait_denied()


def test_key_that_we_do_not_have(world):
    g = LinkGate(world)
    other = type(g.list)(g.redis.client(), key_id="k9", key=bytes(16 * [9]))
    other.refill({f"card:{LISTED}": [ORDER]})
    g.wait(fault="key")
    assert g.tap()[0] == 200
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.wait(fault="none", follower="tailing")
    g.wait_denied()


def test_forged_records(world):
    g = LinkGate(world)
    d = g.list.digest(f"card:{CLEAN}")
    g.list.put_raw(d, b"\x01\x01" + bytes(60))
    s = g.wait(fault="forged", forged=1)
    assert s["last_id"] == 1
    assert g.denied()                                # the clean card rides, the listed one does not
    # the record of another card under this one's digest
    good = g.redis.client().hget(g.list.bucket(g.list.digest(f"card:{LISTED}")), g.list.digest(f"card:{LISTED}"))
    g.list.put_raw(d, good)
    g.wait(forged=2, last_id=2)
    assert g.denied()
    # and the listed card's own record spoilt: its entry stays, the confirm refuses it
    g.list.put_raw(g.list.digest(f"card:{LISTED}"), good[:-1] + bytes([good[-1] ^ 1]))
    g.wait(forged=3)
    assert g.tap()[0] == 200
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.wait(fault="none", forged=0)
    g.wait_denied()


def test_grounds_missing_or_forged(world):
    g = LinkGate(world)
    name = g.list.name("grounds")
    (field, value), = g.redis.client().hgetall(name).items()
    g.redis.client().hset(name, field, value.replace(b"Haicheng", b"Nowhere!"))
    assert g.tap()[0] == 200
    g.redis.client().hdel(name, field)
    assert g.tap()[0] == 200
    assert g.reasons()[("unconfirmed", "passed")] == 2
    g.redis.client().hset(name, field, value)
    assert g.tap()[0] == 403


def test_relief_at_the_next_request(world):
    g = LinkGate(world)
    assert g.denied()
    g.list.lift(ORDER.number)
    assert g.tap()[0] == 200
    assert g.reasons()[("lifted", "passed")] == 1


def test_relief_not_of_its_form(world):
    g = LinkGate(world)
    g.redis.client().hset(g.list.name("relief"), ORDER.number, "lifted, surely")
    assert g.tap()[0] == 200
    assert g.reasons()[("unconfirmed", "passed")] == 1


def test_redis_comes_later(world):
    g = LinkGate(world, start=False, redis_started=False)
    g.fake.refuse()
    g.nginx.start()
    s = g.wait(fault="refused")
    assert not s["ready"]
    assert g.tap()[0] == 200 and g.reasons()[("unready", "passed")] == 1
    g.redis.start()
    g.fake.heal()
    g.wait(fault="empty")
    g.list.refill({f"card:{LISTED}": [ORDER]})
    g.ready()
    g.wait_denied()


def test_servers_are_tried_in_order(world):
    g = LinkGate(world, start=False)
    dead = harness.free_port()
    g.servers = f"redis 127.0.0.1:{dead}; redis unix:{g.redis.sock}; redis 127.0.0.1:{g.fake.port};"
    g.nginx.configure(g.jd(), SERVER)
    g.nginx.start()
    g.ready()
    g.wait_denied()
    assert not g.fake.seen


def test_auth(world):
    """A wrong password; then the gate's user of conf/redis.acl, who can do all that a gate does and write nothing but its ledger."""
    g = LinkGate(world, start=False)
    line = next(x for x in (harness.TOP / "conf" / "redis.acl").read_text().splitlines() if x.startswith("user jd_gate"))
    word = hashlib.sha256(b"secret word").hexdigest()
    r = g.redis.client()
    r.execute_command("ACL", "SETUSER", *line.replace("@GATE_SHA256@", word).split()[1:])
    r.execute_command("ACL", "SETUSER", "root", "on", ">root", "~*", "+@all")
    r.acl_setuser("default", enabled=False)
    path = world.dir("auth") / "redis.auth"
    path.write_text("jd_gate wrong\n")
    path.chmod(0o600)
    g.nginx.configure(g.jd(f"redis_auth {path};"), SERVER)
    g.nginx.start()
    g.wait(fault="auth", ready=False)
    path.write_text("jd_gate secret word\n")
    g.nginx.reload()
    g.ready()
    g.wait_denied()
    root = g.redis.client(username="root", password="root")
    root.xadd("jd:{credit}:lifts", {"t": 0, "i": 1, "a": 1})
    harness.wait_for(lambda: root.hget("jd:{credit}:gates", "gw1"), 10, why="gates")
    harness.wait_for(lambda: len(root.smembers("jd:{credit}:ledger")) == 2, 10, why="the ledger's keys")
    gate = g.redis.client(username="jd_gate", password="secret word")
    for key in ("meta", "relief", "stays", "grounds", "ledger:done", "1:1", "lifts"):
        with pytest.raises(redis.exceptions.ResponseError, match="NOPERM|permissions|No permissions"):
            gate.hset("jd:{credit}:" + key, "a", "b")
        with pytest.raises(redis.exceptions.ResponseError, match="NOPERM|permission|can't access"):
            gate.eval("return redis.call('HSET',ARGV[1],'a','b')", 0, "jd:{credit}:" + key)
    assert "secret" not in g.nginx.errors() and "wrong" not in g.nginx.errors()


def test_fast_shutdown_while_a_request_waits(world):
    g = LinkGate(world, lines="timeout 5s;")
    g.fake.rule("EVALSHA_RO", HANG)
    s = socket.create_connection(("127.0.0.1", g.nginx.port), timeout=10)
    s.sendall(f"GET /tap HTTP/1.1\r\nHost: a\r\nX-Card-No: {LISTED}\r\n\r\n".encode())
    harness.wait_for(lambda: g.fake.seen.get("EVALSHA_RO", 0) > 0, why="asked")
    assert g.nginx.stop() == 0
    s.close()


def test_with_accept_mutex(world):
    """Events are posted then: a posted event of a closed connection must not be run."""
    g = LinkGate(world, workers=2, events="accept_mutex on;")
    for _ in range(5):
        g.fake.cut()
        g.wait_denied()
    g.wait(fault="none", follower="tailing")
