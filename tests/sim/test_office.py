"""The credit office: signatures, polls, snapshots, control commands, restart, restore."""

import gzip
import hashlib
import json
import os
import stat
import subprocess
import threading
import time

import pytest

import harness
import office as of
from office import event


@pytest.fixture
def office(world):
    return of.Office(world).start()


# ---- directory --------------------------------------------------------------------------------------

def test_init_keeps_secrets(world):
    o = of.Office(world, "--list", "city", "--iss", "https://i.example", "--aud", "us")
    for name in ("ca.key", "server.key", "client.key", "office-1.key", "relief-1.key", "token", "events"):
        assert stat.S_IMODE(os.stat(o.dir / name).st_mode) == 0o600, name
    assert o.party == {"list": "city", "iss": "https://i.example", "aud": "us"}
    keys = o.keys()
    assert "jd_use" not in keys["office-1"] and keys["relief-1"]["jd_use"] == "relief"
    assert all("d" not in k and k["nbf"] <= time.time() < k["exp"] for k in keys.values())
    code, said = of.sim("office", "init", o.dir, ok=False)
    assert code == 2 and "holds an office already" in said


def test_not_a_directory_of_an_office(world):
    code, said = of.sim("office", "head", world.dir("empty"), ok=False)
    assert code == 2 and "office init" in said


@pytest.mark.parametrize("args", [["publish", "D"], ["head"], ["head", "D", "X"], ["head", "D", "--port", "1"],
                                  ["mark", "D", "X"], ["epoch", "D", "65536"], ["serve", "D", "--port", "70000"], ["nonsense", "D"],
                                  ["generate", "x"], ["generate", "1", "--measures", "bus.drive"]])
def test_wrong_options(args):
    code, said = of.sim("office", *args, ok=False)
    assert code == 2 and said


def test_help_lists_every_fault():
    text = of.sim("office", "--help").decode()
    for name in ("bad-signature unknown-kid relief-key old-seq gap shuffle fork malformed empty no-head stale-head expired "
                 "future-iat wrong-hash wrong-count truncate endless slow status hang").split():
        assert f"  {name} " in text


# ---- who may ask ------------------------------------------------------------------------------------

def test_token_or_certificate(office):
    a = office.ask("GET", "head", token=False)
    assert a.status == 401 and a.headers["WWW-Authenticate"] == "Bearer"
    assert office.ask("GET", "head", token=False, headers={"Authorization": "Bearer wrong"}).status == 401
    assert office.ask("GET", "head", token=False, certificate=True).status == 200
    assert office.head()["seq"] == 0


def test_other_certificate_is_refused(world, office):
    other = of.Office(world)
    c = office.connect()
    c._context.load_cert_chain(other.dir / "client.pem", other.dir / "client.key")
    try:
        c.request("GET", "/v1/head")
        assert c.getresponse().status == 401
    except OSError:
        pass                                    # or the handshake fails: refused as well


def test_unknown_paths(office):
    for method, path in [("GET", "nothing"), ("GET", "ledger"), ("POST", "head"), ("GET", "relief"), ("GET", "records/../token"),
                         ("GET", "records/" + "0" * 64)]:
        assert office.ask(method, path, {} if method == "POST" else None).status == 404, path


# ---- heads, tokens, polls ---------------------------------------------------------------------------

def test_head(office):
    before = int(time.time())
    office.publish(*of.generate(3))
    office.lift("TEST-1-00000001")
    office.do("epoch", 7)
    head = office.head()
    assert set(head) == {"iss", "aud", "iat", "exp", "list", "epoch", "seq", "relief_seq"}
    assert (head["list"], head["epoch"], head["seq"], head["relief_seq"]) == ("credit", 7, 3, 1)
    assert before <= head["iat"] <= time.time() < head["exp"]
    assert office.do("head")[0]["orders"] == 3


def test_publish_tells_order_seq_toe_and_tokens_carry_the_record(office):
    records = of.generate(2, "--measures", "bus.ride,bike.rent")
    records[1]["basis"] = "虚构：试验规则 \"第七条\" \\ 1e3"
    told = office.publish(*records)
    assert [(t["order"], t["lane"], t["seq"]) for t in told] == [(r["order"], "changes", i + 1) for i, r in enumerate(records)]
    for (jti, payload), record, t in zip(office.tokens("changes"), records, told):
        name, body = event(payload)
        assert name == "order" and body == {"seq": t["seq"], "order": record}
        assert payload["toe"] == payload["iat"] == t["toe"] and payload["epoch"] == 0
    assert office.poll("relief")["sets"] == {}


def test_relief_tokens(office):
    office.publish(*of.generate(2))
    a = office.lift("TEST-1-00000000")
    b = office.lift("TEST-1-00000001", "bus.ride", "bike.rent")
    c = office.mark("TEST-1-00000001", True)
    office.mark("TEST-1-00000001", False)
    office.lift("NEVER-SEEN")
    got = [event(p) for _, p in office.tokens("relief")]
    assert got == [("lift", {"seq": 1, "order": "TEST-1-00000000"}),
                   ("lift", {"seq": 2, "order": "TEST-1-00000001", "measures": ["bus.ride", "bike.rent"]}),
                   ("mark", {"seq": 3, "order": "TEST-1-00000001", "objection": True}),
                   ("mark", {"seq": 4, "order": "TEST-1-00000001", "objection": False}),
                   ("lift", {"seq": 5, "order": "NEVER-SEEN"})]
    assert [x["seq"] for x in (a, b, c)] == [1, 2, 3] and a["lane"] == "relief"


def test_ack_max_events_more_available(office):
    office.publish(*of.generate(5))
    first = office.poll("changes", maxEvents=2)
    assert len(first["sets"]) == 2 and first["moreAvailable"] is True
    assert office.poll("changes", maxEvents=2)["sets"] == first["sets"]             # until acknowledged, byte for byte
    assert office.poll("changes", maxEvents=0, ack=list(first["sets"])) | {"jd_head": ""} == \
        {"sets": {}, "moreAvailable": True, "jd_head": ""}
    rest = office.tokens("changes")
    assert [event(p)[1]["seq"] for _, p in rest] == [3, 4, 5]
    office.poll("changes", ack=["c-3-wrong", "c-99-0", "nonsense", "r-3-" + "0" * 16])   # of nobody: no effect
    assert len(office.tokens("changes")) == 3
    office.poll("relief", ack=[jti for jti, _ in rest])                                # the other lane's: no effect
    assert len(office.tokens("changes")) == 3
    last = office.poll("changes", ack=[rest[2][0], rest[0][0]])
    assert list(last["sets"]) == [rest[1][0]] and last["moreAvailable"] is False
    assert [e["state"] for e in office.log("order")] == ["acked", "acked", "acked", "pending", "acked"]


def test_set_errs(office):
    office.publish(*of.generate(1))
    (jti, _), = office.tokens("changes")
    assert office.poll("changes", setErrs={jti: {"err": "jd_schema", "description": "seq: not \"a\" number\n"}})["sets"] == {}
    assert office.log("order")[0]["state"] == "failed"
    error, = office.log("err")
    assert error["report"] == {"err": "jd_schema", "description": "seq: not \"a\" number\n"} and error["jti"] == jti


@pytest.mark.parametrize("body", ["", "[]", "{", '{"ack":1}', '{"setErrs":[]}', '{"maxEvents":"2"}'])
def test_bad_poll(office, body):
    c = office.connect()
    c.request("POST", "/v1/changes", body, {"Authorization": "Bearer " + (office.dir / "token").read_text().strip()})
    assert c.getresponse().status == 400


def test_idle_poll_is_held_then_answered_empty(world):
    o = of.Office(world, idle_ms=700).start()
    began = time.monotonic()
    answer = o.poll("relief", returnImmediately=False)
    assert 0.6 <= time.monotonic() - began < 5
    assert answer["sets"] == {} and answer["moreAvailable"] is False
    assert o.verify(answer["jd_head"], "jd-head+jwt")["seq"] == 0


def test_publish_wakes_the_waiting_poll_at_once(office):
    office.publish(*of.generate(1))
    waits = []
    for i in range(5):
        got = {}

        def wait():
            got["answer"] = office.poll("relief", returnImmediately=False)
            got["at"] = time.monotonic()

        t = threading.Thread(target=wait)
        t.start()
        time.sleep(0.1)                         # the poll is on its way or waits: both must do
        office.lift(f"N-{i}")
        done = time.monotonic()
        t.join(20)
        payload = office.verify(list(got["answer"]["sets"].values())[-1], "secevent+jwt")
        assert event(payload)[1]["order"] == f"N-{i}"
        assert office.verify(got["answer"]["jd_head"], "jd-head+jwt")["relief_seq"] == i + 1
        waits.append(got["at"] - done)
        office.poll("relief", ack=list(got["answer"]["sets"]))
    assert min(waits) < 0.1, waits              # the idle time is 25 s


def test_quarantine_reports_are_logged(office):
    assert office.ask("POST", "quarantine", {"order": "CS-1", "code": "jd_no_basis", "description": "basis: missing"}).status == 200
    assert office.ask("POST", "quarantine", {"order": "bad number", "code": "jd_schema"}).status == 200
    assert office.ask("POST", "quarantine", {"code": "jd_schema"}).status == 400
    a, b = office.log("quarantine")
    assert a["order"] == "CS-1" and a["report"] == {"code": "jd_no_basis", "description": "basis: missing"}
    assert "order" not in b


# ---- snapshots --------------------------------------------------------------------------------------

def test_snapshot_is_what_is_in_force(office):
    records = of.generate(5, "--measures", "bus.ride,bike.rent")
    office.publish(*records)
    office.lift(records[0]["order"])
    office.lift(records[1]["order"], "bus.ride")
    office.mark(records[2]["order"], True)
    office.lift(records[3]["order"], "bus.ride")
    office.lift(records[3]["order"], "bike.rent")
    office.amend({**records[4], "until": "2030-01-01T00:00:00+08:00"})
    claims, got = office.snapshot()
    assert (claims["seq"], claims["relief_seq"], claims["epoch"], claims["list"]) == (6, 5, 0, "credit")
    assert got == [{**records[1], "measures": ["bike.rent"]}, {**records[2], "objection": True},
                   {**records[4], "until": "2030-01-01T00:00:00+08:00"}]
    office.mark(records[2]["order"], False)
    assert {**records[2], "objection": False} in office.snapshot()[1]


def test_records_stay_valid_and_are_gzipped_when_accepted(office):
    office.publish(*of.generate(300))
    claims, _ = office.snapshot()
    href = claims["records"]["href"]
    office.publish(*of.generate(1, "--first", "1000"))
    assert office.snapshot()[0]["records"]["href"] != href
    a = office.ask("GET", href, headers={"Accept-Encoding": "br, gzip"})
    assert a.headers["Content-Encoding"] == "gzip" and len(a.body) < claims["records"]["bytes"] / 5
    assert hashlib.sha256(gzip.decompress(a.body)).hexdigest() == claims["records"]["sha256"]
    assert office.ask("GET", href).headers.get("Content-Encoding") is None
    office.stop()
    office.start()
    assert office.ask("GET", href).status == 200


def test_snapshot_not_as_new_yet(office):
    office.publish(*of.generate(2))
    for query in ("?min_seq=3", "?min_relief_seq=1", "?min_seq=2&min_relief_seq=1"):
        a = office.ask("GET", "snapshot" + query)
        assert a.status == 503 and int(a.headers["Retry-After"]) >= 1, query
    office.lift("TEST-1-00000000")
    assert office.snapshot("?min_seq=2&min_relief_seq=1")[0]["relief_seq"] == 1
    assert office.ask("GET", "snapshot?min_seq=-1").status == 400


def test_baseline_is_in_snapshots_only(office):
    office.publish(*of.generate(3), baseline=True)
    assert office.poll("changes")["sets"] == {}
    claims, records = office.snapshot()
    assert claims["seq"] == 3 and len(records) == 3
    office.publish(*of.generate(1, "--first", "3"))
    assert [event(p)[1]["seq"] for _, p in office.tokens("changes")] == [4]


def test_snapshot_out_and_sign(office, world):
    office.publish(*of.generate(4))
    folder = world.dir("out")
    office.do("snapshot", "--out", folder / "s.ndjson")
    claims, records = office.snapshot()
    assert hashlib.sha256((folder / "s.ndjson").read_bytes()).hexdigest() == claims["records"]["sha256"]
    (folder / "in.ndjson").write_bytes(of.ndjson(of.generate(3)))
    jws, body = of.sim("office", "sign", office.dir, folder / "in.ndjson").split(b"\n", 1)
    assert body == (folder / "in.ndjson").read_bytes()
    signed = office.verify(jws.decode(), "jd-snapshot+jwt")
    assert signed["records"] == {"href": "", "sha256": hashlib.sha256(body).hexdigest(), "count": 3, "bytes": len(body)}
    assert signed["seq"] == 4
    (folder / "cut.ndjson").write_bytes(body[:-1])
    code, said = of.sim("office", "sign", office.dir, folder / "cut.ndjson", ok=False)
    assert code == 1 and "newline" in said


# ---- commands ---------------------------------------------------------------------------------------

def test_commands_work_without_the_server_and_serve_has_them(world):
    o = of.Office(world)
    o.publish(*of.generate(2))
    o.lift("TEST-1-00000000")
    o.fault("status=503", "head")
    o.start()
    assert o.ask("GET", "head").status == 503
    o.clear()
    assert (o.head()["seq"], o.head()["relief_seq"]) == (2, 1)
    assert len(o.tokens("changes")) == 2


def test_restart_keeps_tokens_and_acknowledgements(office):
    office.publish(*of.generate(3))
    sets = office.poll("changes")["sets"]
    office.poll("changes", ack=list(sets)[:1])
    office.stop()
    office.start()
    assert office.poll("changes")["sets"] == dict(list(sets.items())[1:])           # the same bytes
    office.proc.kill()
    office.start()
    assert office.head()["seq"] == 3 and len(office.poll("changes")["sets"]) == 2


def test_torn_last_line_is_cut_off(office):
    office.publish(*of.generate(2))
    office.stop()
    with open(office.dir / "events", "ab") as f:
        f.write(b"lift 0 1 1790000000 r-1-00 TEST-1-0000")
    office.start()
    assert office.head()["relief_seq"] == 0
    office.lift("TEST-1-00000001")
    assert [event(p)[1]["order"] for _, p in office.tokens("relief")] == ["TEST-1-00000001"]


def test_a_foreign_log_is_told(world):
    o = of.Office(world)
    o.publish(*of.generate(1))
    with open(o.dir / "events", "ab") as f:
        f.write(b"order 0 7 1790000000 c-7-00 X {}\n")                               # seq 7 after 1
    code, said = of.sim("office", "head", o.dir, ok=False)
    assert code == 2 and "events:2:" in said


def test_publish_stops_at_the_first_bad_line(office):
    good = of.generate(3)
    said = office.refused("publish", "-", stdin=of.ndjson(good[:2]) + b"{not json\n" + of.ndjson(good[2:]))
    assert "line 3: not a JSON object; the lines before it are published" in said
    assert office.head()["seq"] == 2
    assert "line 1: this number is published already" in office.refused("publish", "-", stdin=of.ndjson(good))
    assert "no such order was published" in office.refused("amend", "-", stdin=of.ndjson(good[2:]))
    assert "order number" in office.refused("publish", "-", stdin=b'{"order":"a b"}\n')
    assert "no such measure" in office.refused("lift", "X", "--measures", "bus.drive")
    assert office.head()["seq"] == 2


def test_poisoned_records_are_published_as_they_are(office):
    poison = b'{"order":"P-1","subject":5,"basis":"","basis":"twice","x":[1.50,1e400]}'
    office.do("publish", "-", stdin=poison + b"\n")
    jws, = office.poll("changes")["sets"].values()
    office.verify(jws, "secevent+jwt")
    assert poison in of.b64(jws.split(".")[1])


def test_a_file_may_hold_lifts_and_marks(office):
    record, = of.generate(1)
    told = office.do("publish", "-", stdin=b"# a scenario\n\n" + of.ndjson(
        [record, {"mark": record["order"], "objection": True}, {"lift": record["order"], "measures": ["bus.ride"]}]))
    assert [(t["lane"], t["seq"]) for t in told] == [("changes", 1), ("relief", 1), ("relief", 2)]
    assert [event(p)[0] for _, p in office.tokens("relief")] == ["mark", "lift"]


def test_two_commands_and_a_second_server(office):
    procs = [subprocess.Popen([of.SIM, "office", "lift", office.dir, f"L-{i}"], stdout=subprocess.DEVNULL) for i in range(8)]
    assert [p.wait(20) for p in procs] == [0] * 8
    assert sorted(event(p)[1]["seq"] for _, p in office.tokens("relief")) == list(range(1, 9))
    code, said = of.sim("office", "serve", office.dir, ok=False)
    assert code == 2 and "served already" in said


def test_new_epoch_gives_waiting_changes_up_to_the_snapshot(office):
    office.publish(*of.generate(2))
    office.lift("TEST-1-00000000")
    office.do("epoch", 3)
    assert office.poll("changes")["sets"] == {}
    assert [p["epoch"] for _, p in office.tokens("relief")] == [0]
    claims, records = office.snapshot()
    assert claims["epoch"] == 3 and claims["seq"] == 2 and len(records) == 1
    office.publish(*of.generate(1, "--first", "5"))
    assert [(p["epoch"], event(p)[1]["seq"]) for _, p in office.tokens("changes")] == [(3, 3)]


# ---- backup and restore -----------------------------------------------------------------------------

def test_restored_backup_forgets_and_gives_seqs_again(office):
    office.publish(*of.generate(2))
    backup = office.dir.parent / "backup"
    of.sim("office", "backup", office.dir, backup)
    office.publish(*of.generate(1, "--first", "10"))
    office.lift("TEST-1-00000000")
    forgotten = office.poll("changes")["sets"]
    assert len(forgotten) == 3 and office.snapshot()[0]["seq"] == 3
    office.do("restore", backup)
    assert (office.head()["seq"], office.head()["relief_seq"]) == (2, 0)
    assert len(office.snapshot()[1]) == 2
    office.publish(*of.generate(1, "--first", "20"))
    again = office.poll("changes")["sets"]
    assert list(again)[:2] == list(forgotten)[:2] and list(again)[2] != list(forgotten)[2]
    assert event(office.verify(again[list(again)[2]], "secevent+jwt"))[1]["seq"] == 3


def test_backup_serves_as_an_office(world, office):
    office.publish(*of.generate(2))
    backup = world.dir("backup") / "d"
    of.sim("office", "backup", office.dir, backup)
    office.stop()
    office.dir = backup
    office.start()
    assert office.head()["seq"] == 2 and len(office.tokens("changes")) == 2


def test_restore_of_another_office_is_refused(world, office):
    other = of.Office(world)
    assert "not a backup of this office" in office.refused("restore", other.dir)


# ---- generate ---------------------------------------------------------------------------------------

def test_generate_is_seeded_unique_and_says_that_it_is_fictional():
    a, b = of.generate(500, "--seed", "9"), of.generate(500, "--seed", "9", "--first", "500")
    ids = [r["subject"]["id"] for r in a + b]
    assert len(set(ids)) == len(set(r["order"] for r in a + b)) == 1000
    assert ids[:500] == [r["subject"]["id"] for r in of.generate(500, "--seed", "9")]
    for r in a:
        assert "fictional" in r["authority"] and r["basis"].startswith("FICTIONAL") and r["subject"]["scheme"] == "card"
        assert r["measures"] and r["subject"]["id"].startswith("9900")
    assert {r["subject"]["scheme"] for r in of.generate(3, "--scheme", "cnid")} == {"cnid"}


def test_many_orders_are_streamed(office):
    """100,000 orders: the office's memory does not grow with the request."""
    big = of.sim("office", "generate", 100000)
    office.do("publish", "-", "--baseline", stdin=big)
    claims, records = office.snapshot()
    assert claims["records"]["count"] == 100000
    grown = [int(line.split()[1]) for line in open(f"/proc/{office.proc.pid}/status") if line.startswith("VmRSS")][0]
    a = office.ask("GET", claims["records"]["href"], headers={"Accept-Encoding": "gzip"})
    assert len(gzip.decompress(a.body)) == claims["records"]["bytes"]
    after = [int(line.split()[1]) for line in open(f"/proc/{office.proc.pid}/status") if line.startswith("VmRSS")][0]
    assert after - grown < claims["records"]["bytes"] / 1024 / 4
