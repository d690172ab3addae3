"""rcctl holder-report: golden texts in both languages, from orders that a real office has published."""

import json
import re
import time

import pytest

import harness
from harness import wait_for
from ledgerworld import AUTHORITY, World

PERSON = "11010519491231002X"                   # the example of GB 11643
OTHER = "110105194912310038"
BASIS = "Measures on public transport of the test city, article 12"


def when(days):
    return time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() + 8 * 3600 + days * 86400))


def record(number, start=-30, until=100, measures=("bus.ride",), person=PERSON, **more):
    r = {"order": number, "subject": {"scheme": "cnid", "id": person}, "measures": list(measures), "authority": AUTHORITY,
         "basis": BASIS, "relevance": "Fares unpaid on forty days", "served": when(start - 10)[:10], "from": when(start),
         "until": when(until), "effect": "enforce", "objection": False,
         "contest": {"url": "https://contest.example/", "phone": "12345", "deadline": when(until)[:10]},
         "repair": {"url": "https://repair.example/", "phone": "12346"}, **more}
    return {k: v for k, v in r.items() if v is not None}


@pytest.fixture
def lw(world):
    return World(world, orders=0).start()


def publish(lw, *records):
    lw.office.publish(*records)
    wait_for(lambda: lw.journal("SELECT count(*) FROM orders")[0][0] == len(records), 20, why="orders are in the journal")


def report(lw, identifier, *args, code=0):
    r = harness.rcctl(lw.conf, "holder-report", *args, stdin=identifier + "\n")
    assert r.returncode == code, r.stdout + r.stderr
    assert PERSON not in r.stdout + r.stderr and OTHER not in r.stdout + r.stderr
    return r.stdout


def plain(text):
    """Times as words, so that the rest can be compared byte by byte."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<minute>", text)
    return re.sub(r"\d{4}-\d\d-\d\d", "<day>", text)


def everything(lw):
    publish(lw, record("CS-1", measures=("bus.ride", "bike.rent")), record("CS-2", start=10), record("CS-3"),
            record("CS-4", relevance=None, repair=None, contest={"phone": "12345"}), record("CS-5", effect="observe"),
            record("CS-6", person=OTHER))
    lw.office.lift("CS-1", "bike.rent")
    lw.office.mark("CS-3", True)
    lw.office.lift("CS-4")
    wait_for(lambda: lw.redis.hlen("jd:{credit}:relief") == 3, 20)


ZH = f"""限制令查询结果（名单 credit，<minute>）
名单最近一次与决定机关核对：<minute>

共有 5 份限制令与您有关，其中 1 份正在执行。

1. CS-1：正在执行
  涉及的服务：乘坐公共汽车、租用公共自行车
  其中已解除：租用公共自行车
  起止时间：<minute> 至 <minute>
  决定机关：{AUTHORITY}
  法律依据：{BASIS}
  与本服务的关联：Fares unpaid on forty days
  如何提出异议：https://contest.example/，电话 12345；最迟 <day>
  如何修复信用：https://repair.example/，电话 12346

2. CS-2：尚未生效
  涉及的服务：乘坐公共汽车
  起止时间：<minute> 至 <minute>
  决定机关：{AUTHORITY}
  法律依据：{BASIS}
  与本服务的关联：Fares unpaid on forty days
  如何提出异议：https://contest.example/，电话 12345；最迟 <day>
  如何修复信用：https://repair.example/，电话 12346

3. CS-3：异议处理中：不执行
  涉及的服务：乘坐公共汽车
  起止时间：<minute> 至 <minute>
  决定机关：{AUTHORITY}
  法律依据：{BASIS}
  与本服务的关联：Fares unpaid on forty days
  如何提出异议：https://contest.example/，电话 12345；最迟 <day>
  如何修复信用：https://repair.example/，电话 12346

4. CS-5：仅观察：不限制任何服务
  涉及的服务：乘坐公共汽车
  起止时间：<minute> 至 <minute>
  决定机关：{AUTHORITY}
  法律依据：{BASIS}
  与本服务的关联：Fares unpaid on forty days
  如何提出异议：https://contest.example/，电话 12345；最迟 <day>
  如何修复信用：https://repair.example/，电话 12346

5. CS-4：已解除：不再执行
  涉及的服务：乘坐公共汽车
  起止时间：<minute> 至 <minute>
  决定机关：{AUTHORITY}
  法律依据：{BASIS}
  与本服务的关联：未说明
  如何提出异议：12345
  如何修复信用：请向决定机关咨询

如果这不是您本人，请在本柜台说明：可立即暂缓执行。
"""

EN = f"""Restriction orders (list credit, <minute>)
The list was last checked with the authority: <minute>

5 orders concern you; 1 of them is in force now.

1. CS-1: in force now
  concerns: riding buses, renting public bicycles
  already lifted: renting public bicycles
  term: from <minute> to <minute>
  decided by: {AUTHORITY}
  legal basis: {BASIS}
  why it concerns this: Fares unpaid on forty days
  to contest: https://contest.example/, telephone 12345; at the latest on <day>
  to repair: https://repair.example/, telephone 12346

2. CS-2: not in force yet
  concerns: riding buses
  term: from <minute> to <minute>
  decided by: {AUTHORITY}
  legal basis: {BASIS}
  why it concerns this: Fares unpaid on forty days
  to contest: https://contest.example/, telephone 12345; at the latest on <day>
  to repair: https://repair.example/, telephone 12346

3. CS-3: under objection: not enforced
  concerns: riding buses
  term: from <minute> to <minute>
  decided by: {AUTHORITY}
  legal basis: {BASIS}
  why it concerns this: Fares unpaid on forty days
  to contest: https://contest.example/, telephone 12345; at the latest on <day>
  to repair: https://repair.example/, telephone 12346

4. CS-5: observed only: nothing is refused
  concerns: riding buses
  term: from <minute> to <minute>
  decided by: {AUTHORITY}
  legal basis: {BASIS}
  why it concerns this: Fares unpaid on forty days
  to contest: https://contest.example/, telephone 12345; at the latest on <day>
  to repair: https://repair.example/, telephone 12346

5. CS-4: lifted: no longer in force
  concerns: riding buses
  term: from <minute> to <minute>
  decided by: {AUTHORITY}
  legal basis: {BASIS}
  why it concerns this: not stated
  to contest: 12345
  to repair: ask the authority

If this is not you, say so at this desk: the order can be stayed at once.
"""


def test_golden_texts(lw):
    everything(lw)
    assert plain(report(lw, f"cnid:{PERSON}")) == ZH
    assert plain(report(lw, f"cnid:{PERSON}", "--lang", "en")) == EN
    assert plain(report(lw, f"cnid:  {PERSON.lower()}  ", "--lang", "en")) == EN       # another spelling of the same
    told = json.loads(report(lw, f"cnid:{PERSON}", "--json"))
    assert [(o["order"], o["state"]) for o in told["orders"]] == [
        ("CS-1", "in_force"), ("CS-2", "to_come"), ("CS-3", "objection"), ("CS-5", "observe"), ("CS-4", "lifted")]
    assert told["in_force"] == 1 and told["identifier"] == "ok"


def test_nobody_elses_orders(lw):
    everything(lw)
    assert [o["order"] for o in json.loads(report(lw, f"cnid:{OTHER}", "--json"))["orders"]] == ["CS-6"]


NONE_ZH = """限制令查询结果（名单 credit，<minute>）
名单最近一次与决定机关核对：<minute>

没有任何限制令与该证件有关。
"""
NONE_EN = """Restriction orders (list credit, <minute>)
The list was last checked with the authority: <minute>

No restriction order concerns this document.
"""


def test_none(lw):
    assert plain(report(lw, "card:3401005512")) == NONE_ZH
    assert plain(report(lw, "card:3401005512", "--lang=en")) == NONE_EN


@pytest.mark.parametrize("line, said", [
    (PERSON, "give scheme:identifier"), ("name:x", "give scheme:identifier"), ("", "give scheme:identifier"),
    ("card:" + "1" * 400, "longer than an identifier")])
def test_what_is_no_identifier_is_not_looked_up(lw, line, said):
    r = harness.rcctl(lw.conf, "holder-report", stdin=line + "\n")
    assert r.returncode == 2 and said in r.stderr and r.stdout == ""
    assert not line or line not in r.stderr


def test_a_number_with_a_wrong_check_digit_is_not_said_to_be_free(lw):
    text = report(lw, "cnid:110105194912310021", "--lang", "en", code=2)
    assert "not of the form" in text and "No restriction" not in text


def audited(lw):
    return [json.loads(line) for line in (lw.state / "audit.log").read_text().splitlines() if "holder-report" in line]


def test_noted_how_often_and_by_whom_never_about_whom(lw):
    everything(lw)
    for identifier in (f"cnid:{PERSON}", "card:3401005512"):
        report(lw, identifier)
    wait_for(lambda: len(audited(lw)) == 2, why="two notes")
    for note in audited(lw):
        assert set(note) == {"n", "at", "kind", "user", "prev", "hash"}
    kept = b"".join(f.read_bytes() for f in lw.state.rglob("*") if f.is_file())
    assert PERSON.encode() not in kept and b"3401005512" not in kept
    assert list((lw.state / "outbox").iterdir()) == [] and list((lw.state / "inbox").iterdir()) == []


def test_noted_though_the_daemon_does_not_run(lw):
    everything(lw)
    assert lw.daemon.stop() == 0
    assert "CS-1" in report(lw, f"cnid:{PERSON}")
    assert audited(lw) == []
    lw.start()
    wait_for(lambda: len(audited(lw)) == 1, why="the note")


def test_not_given_when_it_cannot_be_noted(lw):
    everything(lw)
    assert lw.daemon.stop() == 0
    (lw.state / "inbox").rename(lw.state / "inbox.away")
    r = harness.rcctl(lw.conf, "holder-report", stdin=f"cnid:{PERSON}\n")
    assert r.returncode == 3 and r.stdout == "" and "cannot be noted" in r.stderr
    (lw.state / "inbox.away").rename(lw.state / "inbox")


# ---- by a card ---------------------------------------------------------------------------------------

def links(lw, *lines):
    text = "".join(json.dumps({"card": c, "holder": f"cnid:{p}", "use": use, **more}) + "\n" for c, p, use, more in lines)
    r = harness.rcctl(lw.conf, "holders", "import", "--full", "-", stdin=text)
    assert r.returncode == 0, r.stdout + r.stderr


def orders(lw, identifier):
    return [o["order"] for o in json.loads(report(lw, identifier, "--json"))["orders"]]


def test_a_card_brings_its_holders_orders_and_says_so(lw):
    everything(lw)
    links(lw, ("1", PERSON, "own", {"from": when(-5)}), ("2", OTHER, "own", {}), ("3", PERSON, "other", {}),
          ("4", PERSON, "own", {"until": when(-1)}), ("5", PERSON, "own", {"from": when(2)}))
    mine = ["CS-1", "CS-2", "CS-3", "CS-5", "CS-4"]
    assert orders(lw, "card:1") == mine and orders(lw, "card:5") == mine and orders(lw, f"cnid:{PERSON}") == mine
    assert orders(lw, "card:2") == ["CS-6"]
    assert orders(lw, "card:3") == [] and orders(lw, "card:4") == []
    told = json.loads(report(lw, "card:1", "--json"))
    assert {o["linked_from"][:10] for o in told["orders"]} == {when(-5)[:10]} and not told["unclear"]
    text = plain(report(lw, "card:1"))
    assert text.count("  通过卡片：自 <minute> 起\n") == 5 and text.replace("  通过卡片：自 <minute> 起\n", "") == ZH
    assert "  通过卡片：长期\n" in report(lw, "card:2") and "by a card: at any time" in report(lw, "card:2", "--lang", "en")


def test_a_card_of_two_holders_is_nobodys(lw):
    everything(lw)
    links(lw, ("1", PERSON, "own", {}), ("1", OTHER, "own", {}))
    assert orders(lw, "card:1") == []
    assert "持卡人记录不一致" in report(lw, "card:1") and "whose card this is" in report(lw, "card:1", "--lang", "en")


def test_a_person_learns_of_orders_on_their_card(world):
    lw = World(world, orders=0, conf="")
    lw.conf.write_text(lw.conf.read_text().replace("name = credit\n", "name = credit\naccept_card_subjects = on\n"))
    lw.start()
    publish(lw, record("CS-1", subject={"scheme": "card", "id": "1"}), record("CS-2", subject={"scheme": "card", "id": "2"}))
    links(lw, ("1", PERSON, "own", {"from": when(-5)}), ("2", PERSON, "other", {}))
    assert orders(lw, f"cnid:{PERSON}") == ["CS-1"] and orders(lw, "card:2") == ["CS-2"]


# ---- what the operator has suspended -----------------------------------------------------------------

def states(lw, identifier):
    return {o["order"]: o["state"] for o in json.loads(report(lw, identifier, "--json"))["orders"]}


def done(lw, *args, stdin=""):
    r = harness.rcctl(lw.conf, *args, stdin=stdin)
    assert r.returncode == 0, r.stdout + r.stderr


def test_stays_and_the_operators_objections(lw):
    publish(lw, record("CS-1"), record("CS-2"), record("CS-3"), record("CS-6", person=OTHER))
    links(lw, ("1", PERSON, "own", {}))
    done(lw, "stay", "--order", "CS-1", "--reason", "court order", "--until", when(5))
    done(lw, "objection", "--order", "CS-2", "--reason", "letter of the person")
    want = {"CS-1": "stayed", "CS-2": "objection", "CS-3": "in_force"}
    assert states(lw, f"cnid:{PERSON}") == states(lw, "card:1") == want
    text = report(lw, f"cnid:{PERSON}", "--lang", "en")
    assert "CS-1: stayed: not enforced" in text and f"stayed until: {when(5)[:10]} 00:00" in text
    assert "court order" not in text and "letter" not in text
    done(lw, "stay", "--subject", "--reason", "mistaken identity", stdin=f"cnid:{PERSON}\n")
    assert set(states(lw, f"cnid:{PERSON}").values()) == set(states(lw, "card:1").values()) == {"stayed"}
    assert states(lw, f"cnid:{OTHER}") == {"CS-6": "in_force"}
    done(lw, "unstay", "--subject", "--reason", "it was them", stdin=f"cnid:{PERSON}\n")
    assert states(lw, f"cnid:{PERSON}") == want


def test_a_stay_of_a_card_is_not_one_of_its_holder(lw):
    publish(lw, record("CS-1"))
    links(lw, ("1", PERSON, "own", {}), ("2", PERSON, "own", {}))
    done(lw, "stay", "--subject", "--reason", "stolen card", stdin="card:1\n")
    assert states(lw, "card:1") == {"CS-1": "stayed"}
    assert states(lw, "card:2") == states(lw, f"cnid:{PERSON}") == {"CS-1": "in_force"}
