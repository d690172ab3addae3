"""The office's ledger alone: batches, their chain, receipts, totals; the office killed, restored, told to be wrong."""

import hashlib
import json
import secrets

import pytest

import office as of

CHAIN, RUN, ZEROS = "a" * 32, "b" * 32, "0" * 64


@pytest.fixture
def office(world):
    return of.Office(world).start()


def batch(office, n=1, prev=ZEROS, chain=CHAIN, **over):
    """Text of a batch with its hash, and the hash."""
    b = {"aud": office.party["aud"], "list": office.party["list"], "gateway": "", "run": "", "batch": f"{chain}-{n}", "prev": prev,
         "counts": [], "hours": [], "lifted": [], "stays": [], **over}
    text = json.dumps(b, ensure_ascii=False, separators=(",", ":"))
    h = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"hash":"{h}"}}', h


def post(office, text):
    c = office.connect()
    try:
        c.request("POST", "/v1/ledger", text.encode(), {"Authorization": "Bearer " + (office.dir / "token").read_text().strip()})
        r = c.getresponse()
        return of.Answer(r.status, r.headers, r.read())
    finally:
        c.close()


def counts(n, order="CS-1", month="2026-11", measure="bus.ride"):
    return {"counts": [{"order": order, "measure": measure, "month": month, "denied": n}]}


def hours(denied, dry_run=0, gateway="gw1", run=RUN, hour="2026-11-25T10", authority="A & B"):
    return {"gateway": gateway, "run": run,
            "hours": [{"authority": authority, "measure": "bus.ride", "hour": hour, "denied": denied, "dry_run": dry_run}]}


def totals(office):
    return [t for t in office.do("ledger") if "batches" not in t]


def test_receipts_and_totals(office):
    text, h = batch(office, **counts(5))
    a = post(office, text)
    assert a.status == 200 and a.headers["Content-Type"] == "application/jwt"
    claims = office.verify(a.body.decode(), "jd-receipt+jwt")
    assert claims["batch"] == f"{CHAIN}-1" and claims["hash"] == h
    assert totals(office) == [{"month": "2026-11", "order": "CS-1", "measure": "bus.ride", "denied": 5}]


def test_the_maximum_of_a_run_counts_and_runs_are_summed(office):
    prev, n = ZEROS, 0
    for more in (hours(5), hours(9, 2), hours(7, 1), hours(4, run="c" * 32), hours(1, gateway="gw2")):
        n += 1
        text, prev = batch(office, n, prev, **more)
        assert post(office, text).status == 200
    assert [(t["gateway"], t["denied"], t["dry_run"]) for t in totals(office)] == [("gw1", 13, 2), ("gw2", 1, 0)]


def test_the_same_batch_again_counts_once_and_gets_a_receipt_again(office):
    text, h = batch(office, **counts(5))
    assert office.verify(post(office, text).body.decode(), "jd-receipt+jwt")["hash"] == h
    assert office.verify(post(office, text).body.decode(), "jd-receipt+jwt")["hash"] == h
    assert office.do("ledger")[-1] == {"batches": 1, "chains": 1}


def test_a_batch_that_does_not_follow_is_a_conflict(office):
    one, h1 = batch(office, **counts(5))
    two, h2 = batch(office, 2, h1, **counts(6))
    assert post(office, two).status == 409                       # the first is not known
    assert post(office, one).status == 200 and post(office, two).status == 200
    for text, _ in (batch(office, **counts(7)), batch(office, 2, h1, **counts(7)), batch(office, 4, h2, **counts(7)),
                    batch(office, 3, h1, **counts(7)), batch(office, 1, h1, chain="d" * 32, **counts(7))):
        a = post(office, text)
        assert a.status == 409
    assert post(office, batch(office, 4, h2)[0]).json() == {"error": "not the batch behind the last one", "last": 2}
    assert post(office, batch(office, chain="e" * 32, **counts(7))[0]).status == 200      # another chain begins
    assert office.do("ledger")[-1] == {"batches": 3, "chains": 2} and totals(office)[0]["denied"] == 7


@pytest.mark.parametrize("more, said", [
    ({**counts(1), "gateway": "gw1"}, "joins orders"), ({**hours(1), "gateway": ""}, "joins orders"),
    ({**hours(1), **counts(1)}, "joins orders"), ({**hours(1), "lifted": [{"order": "CS-1", "applied": 1, "gates": 1}]}, "joins orders"),
    (counts(-1), "counts"), (counts(0.5), "counts"), (counts(2 ** 48), "counts"), (counts(1, month="2026-1"), "counts"),
    (counts(1, order="CS 1"), "counts"), (counts(1, measure="walk"), "counts"), (hours(1, hour="2026-11-25"), "hours"),
    (hours(1, authority=""), "hours"), ({"lifted": [{"order": "CS-1", "gates": 1}]}, "lifted"), ({"stays": [{"order": "CS-1"}]}, "stays"),
    ({"counts": None}, "are needed"), ({"aud": "somebody"}, "aud or list"), ({"list": "other"}, "aud or list"), ({"batch": "x-1"}, "batch is not"),
    ({"batch": CHAIN + "-0"}, "batch is not"), ({"checkpoint": "x"}, "checkpoint")])
def test_what_is_not_of_its_form_is_refused(office, more, said):
    a = post(office, batch(office, **more)[0])
    assert a.status == 400 and said in a.json()["error"]
    assert totals(office) == [] and office.do("ledger")[-1]["batches"] == 0


def test_a_changed_byte_is_refused(office):
    text, _ = batch(office, **counts(5))
    for changed in (text.replace(':5}', ':6}'), text[:-3] + ("0" if text[-3] != "0" else "1") + text[-2:], text + " ", text[:-1],
                    text.replace(',"hash"', ', "hash"'), ""):
        assert post(office, changed).status == 400, changed
    assert post(office, text).status == 200


def test_killed_it_keeps_what_it_signed_for_and_cuts_what_is_torn(office):
    one, h1 = batch(office, **counts(5))
    assert post(office, one).status == 200
    office.proc.kill()
    with open(office.dir / "ledger", "ab") as f:
        f.write(batch(office, 2, h1, **counts(9))[0].encode()[:-20])
    office.start()
    assert totals(office)[0]["denied"] == 5
    assert post(office, batch(office, 2, h1, **counts(6))[0]).status == 200
    assert totals(office)[0]["denied"] == 6
    office.stop()
    assert totals(office)[0]["denied"] == 6      # not served


def test_a_ledger_that_no_office_wrote_is_not_taken(office):
    office.stop()
    (office.dir / "ledger").write_text("{}\n")
    code, said = of.sim("office", "ledger", office.dir, ok=False)
    assert code == 2 and "not what an office wrote" in said


def test_backup_and_restore(office, world):
    one, h1 = batch(office, **counts(5))
    assert post(office, one).status == 200
    early, late = world.dir("early") / "d", world.dir("late") / "d"
    of.sim("office", "backup", office.dir, early)
    assert post(office, batch(office, 2, h1, **counts(6))[0]).status == 200
    of.sim("office", "backup", office.dir, late)
    office.do("restore", early)
    assert totals(office)[0]["denied"] == 5
    assert post(office, batch(office, 3, "f" * 64)[0]).json()["last"] == 1
    office.do("restore", late)
    assert totals(office)[0]["denied"] == 6


@pytest.mark.parametrize("fault", ["bad-signature", "unknown-kid", "relief-key", "wrong-hash", "wrong-batch", "no-receipt", "status=500"])
def test_faults_count_down_and_the_batch_is_taken_all_the_same(office, fault):
    text, h = batch(office, **counts(5))
    office.fault(fault, "ledger", times=1)
    a = post(office, text)
    if fault == "status=500":
        assert a.status == 500 and totals(office) == []
    else:
        assert a.status == 200 and totals(office)[0]["denied"] == 5
        try:
            claims = office.verify(a.body.decode(), "jd-receipt+jwt")
            good = claims["batch"] == f"{CHAIN}-1" and claims["hash"] == h
        except Exception:
            good = False
        assert not good
    assert office.do("fault") == []
    assert office.verify(post(office, text).body.decode(), "jd-receipt+jwt")["hash"] == h
    assert "no sense" in office.refused("fault", "wrong-batch", "--endpoint", "head")


def test_totals_are_sorted_and_many(office):
    prev = ZEROS
    numbers = sorted(f"CS-{secrets.token_hex(4)}" for _ in range(3000))
    for n in range(3):
        rows = [{"order": o, "measure": "bus.ride", "month": "2026-11", "denied": n + 1} for o in numbers[n * 1000:n * 1000 + 1000]]
        text, prev = batch(office, n + 1, prev, counts=rows)
        assert post(office, text).status == 200
    assert [t["order"] for t in totals(office)] == numbers and sum(t["denied"] for t in totals(office)) == 6000
