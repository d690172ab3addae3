"""Faults of the credit office: each shapes what it says it shapes, where it says so, until cleared or for N answers."""

import http.client
import json
import time

import pytest
from cryptography.exceptions import InvalidSignature

import office as of
from office import event


@pytest.fixture
def office(world):
    o = of.Office(world, idle_ms=500)
    o.publish(*of.generate(3))
    o.lift("TEST-1-00000000")
    o.lift("TEST-1-00000001", "bus.ride")
    return o.start()


def signed(office, endpoint):
    """One freshly signed token of an endpoint: (jws, typ)."""
    if endpoint in ("relief", "changes"):
        return next(iter(office.poll(endpoint)["sets"].values())), "secevent+jwt"
    a = office.ask("GET", endpoint)
    assert a.status == 200
    return a.body.decode(), f"jd-{endpoint}+jwt"


def claims(jws):
    return json.loads(of.b64(jws.split(".")[1]))


@pytest.mark.parametrize("endpoint", ["head", "snapshot", "relief", "changes"])
def test_bad_signature(office, endpoint):
    office.fault("bad-signature", endpoint, times=1)
    with pytest.raises(InvalidSignature):
        office.verify(*signed(office, endpoint))
    office.verify(*signed(office, endpoint))


@pytest.mark.parametrize("endpoint", ["head", "snapshot", "relief", "changes"])
def test_unknown_kid(office, endpoint):
    office.fault("unknown-kid", endpoint)
    jws, typ = signed(office, endpoint)
    assert json.loads(of.b64(jws.split(".")[0]))["kid"] not in office.keys()
    office.clear()
    office.verify(*signed(office, endpoint))


@pytest.mark.parametrize("endpoint", ["head", "snapshot", "changes"])
def test_relief_key(office, endpoint):
    office.fault("relief-key", endpoint)
    jws, typ = signed(office, endpoint)
    assert json.loads(of.b64(jws.split(".")[0]))["kid"] == "relief-1"


def test_a_fault_without_endpoint_is_everywhere_it_makes_sense(office):
    office.fault("bad-signature")
    for endpoint in ("head", "snapshot", "relief", "changes"):
        with pytest.raises(InvalidSignature):
            office.verify(*signed(office, endpoint))
    with pytest.raises(InvalidSignature):                                            # a head is a head wherever it rides
        office.verify(office.poll("relief")["jd_head"], "jd-head+jwt")


def test_old_seq_of_head_and_snapshot(office):
    office.fault("old-seq=2", "head")
    assert (office.head()["seq"], office.head()["relief_seq"]) == (1, 0)
    office.fault("old-seq", "snapshot")
    assert office.snapshot()[0]["seq"] == 2


@pytest.mark.parametrize("lane", ["relief", "changes"])
def test_old_seq_of_a_lane_brings_acknowledged_tokens_again_once(office, lane):
    sets = office.poll(lane)["sets"]
    office.poll(lane, ack=list(sets))
    office.fault("old-seq=2", lane)
    again = office.poll(lane, returnImmediately=False)["sets"]
    assert again == dict(list(sets.items())[-2:])
    assert office.poll(lane)["sets"] == {}


@pytest.mark.parametrize("lane", ["relief", "changes"])
def test_gap(office, lane):
    seqs = lambda: [event(p)[1]["seq"] for _, p in office.tokens(lane)]              # noqa: E731
    whole = seqs()
    office.fault("gap", lane)
    assert seqs() == whole[1:]
    office.poll(lane, ack=[jti for jti, _ in office.tokens(lane)])
    assert office.poll(lane, returnImmediately=False)["sets"] == {}                  # waits, though one is withheld
    office.clear()
    assert seqs() == whole[:1]


def test_shuffle(office):
    office.fault("shuffle", "changes", times=1)
    assert [event(p)[1]["seq"] for _, p in office.tokens("changes")] == [3, 2, 1]
    assert [event(p)[1]["seq"] for _, p in office.tokens("changes")] == [1, 2, 3]


def test_fork(office):
    sets = office.poll("changes")["sets"]
    office.poll("changes", ack=list(sets))
    office.fault("fork", "changes")
    (jti, payload), = office.tokens("changes")
    assert event(payload)[1]["seq"] == 3 and jti not in sets                         # another token at seq 3
    assert office.tokens("changes") == []

    office.poll("relief", ack=list(office.poll("relief")["sets"]))
    office.fault("fork=TEST-1-00000002", "relief")
    (jti, payload), = office.tokens("relief")
    assert event(payload) == ("lift", {"seq": 2, "order": "TEST-1-00000002"})


def test_malformed_tokens_verify(office):
    office.fault("malformed", "relief")
    for _, payload in office.tokens("relief"):
        assert not isinstance(event(payload)[1]["seq"], int)


def test_empty_polls_with_the_old_head(office):
    old = office.head()
    office.fault("empty")
    time.sleep(1.1)                                                                  # iat counts seconds
    office.lift("TEST-1-00000002")
    for lane in ("relief", "changes"):
        answer = office.poll(lane, returnImmediately=False)
        head = office.verify(answer["jd_head"], "jd-head+jwt")
        assert answer["sets"] == {} and answer["moreAvailable"] is False
        assert head["relief_seq"] == old["relief_seq"] == 2 and head["iat"] <= old["iat"]
    assert office.head()["relief_seq"] == 3                                          # GET head is another fault's: stale-head
    office.clear()
    assert len(office.tokens("relief")) == 3


def test_stale_head_and_no_head(office):
    office.fault("stale-head")
    old = office.head()
    office.lift("TEST-1-00000002")
    head = office.verify(office.poll("relief")["jd_head"], "jd-head+jwt")
    assert (head["iat"], head["relief_seq"]) == (old["iat"], 2) == (office.head()["iat"], 2)
    office.fault("no-head")
    assert office.ask("GET", "head").status == 404
    assert "jd_head" not in office.poll("changes")


@pytest.mark.parametrize("endpoint", ["head", "snapshot"])
def test_expired_and_future(office, endpoint):
    office.fault("expired", endpoint)
    c = claims(signed(office, endpoint)[0])
    assert c["iat"] < c["exp"] < time.time()
    office.clear()
    office.fault("future-iat", endpoint)
    c = claims(signed(office, endpoint)[0])
    assert time.time() + 3000 < c["iat"] < c["exp"]


def test_wrong_hash_and_count(office):
    right = claims(signed(office, "snapshot")[0])["records"]
    office.fault("wrong-hash")
    wrong = claims(signed(office, "snapshot")[0])["records"]
    assert wrong["sha256"] != right["sha256"] and wrong["href"] == right["href"]
    office.clear()
    office.fault("wrong-count")
    assert claims(signed(office, "snapshot")[0])["records"] == {**right, "count": right["count"] + 1}


def requests(office):
    """One request of each endpoint: (name, method, path, body)."""
    href = claims(office.ask("GET", "snapshot").body.decode())["records"]["href"]
    return [("head", "GET", "head", None), ("snapshot", "GET", "snapshot", None), ("records", "GET", href, None),
            ("relief", "POST", "relief", {"returnImmediately": True}), ("changes", "POST", "changes", {"returnImmediately": True}),
            ("quarantine", "POST", "quarantine", {"order": "X", "code": "jd_schema"})]


def test_status(office):
    for name, *ask in requests(office):
        office.fault("status=500", name, times=2)
        assert [office.ask(*ask).status for _ in range(3)] == [500, 500, 200], name


def test_truncate(office):
    for name, *ask in requests(office):
        whole = len(office.ask(*ask).body)
        office.fault("truncate", name, times=1)
        with pytest.raises(http.client.IncompleteRead) as cut:
            office.ask(*ask)
        assert len(cut.value.partial) == whole // 2, name
        assert office.ask(*ask).status == 200


def test_truncated_gzip(office):
    name, *ask = requests(office)[2]
    office.fault("truncate", "records", times=1)
    with pytest.raises(http.client.IncompleteRead):
        office.ask(*ask, headers={"Accept-Encoding": "gzip"})


def test_endless(office):
    for name, method, path, body in requests(office):
        office.fault("endless", name, times=1)
        c = office.connect()
        c.request(method, "/v1/" + path, body and json.dumps(body),
                  {"Authorization": "Bearer " + (office.dir / "token").read_text().strip()})
        assert len(c.getresponse().read(3_000_000)) == 3_000_000, name
        c.close()
        assert office.ask(method, path, body).status == 200


def test_slow(office):
    office.fault("slow=400", "head", times=1)
    began = time.monotonic()
    assert office.head()["seq"] == 3
    assert 0.35 < time.monotonic() - began < 5
    office.fault("slow=300", "relief")
    began = time.monotonic()
    office.tokens("relief")
    assert time.monotonic() - began > 0.25


def test_hang_until_cleared(office):
    office.fault("hang", "head")
    with pytest.raises(TimeoutError):
        office.ask("GET", "head", timeout=0.5)
    assert office.poll("relief")["sets"]                                             # the rest goes on
    c = office.connect()
    c.request("GET", "/v1/head", headers={"Authorization": "Bearer " + (office.dir / "token").read_text().strip()})
    office.clear()
    assert c.getresponse().status == 200
    assert office.head()["seq"] == 3


def test_office_ends_cleanly_with_requests_waiting(office):
    office.fault("hang", "head")
    waiting = []
    for method, path in (("GET", "head"), ("POST", "relief")):
        c = office.connect()
        c.request(method, "/v1/" + path, "{}", {"Authorization": "Bearer " + (office.dir / "token").read_text().strip()})
        waiting.append(c)
    office.stop()
    for c in waiting:
        c.close()


def test_faults_are_listed_kept_and_cleared(office):
    office.fault("slow=1", "head")
    office.fault("gap", "relief", times=5)
    want = [{"fault": "gap", "at": "relief", "times": 5}, {"fault": "slow", "at": "head", "arg": "1"}]
    assert office.do("fault") == want
    office.stop()
    office.start()
    assert office.do("fault") == want
    assert office.clear() == [] == office.do("fault")


@pytest.mark.parametrize("args, why", [(["nonsense"], "no such fault"), (["slow"], "needs a number"), (["slow=x"], "must be a number"),
                                       (["gap=1"], "takes no argument"), (["gap", "--endpoint", "head"], "no sense"),
                                       (["gap", "--endpoint", "mars"], "no such endpoint")])
def test_wrong_faults(office, args, why):
    assert why in office.refused("fault", *args)
