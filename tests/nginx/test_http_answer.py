"""What a refused terminal is told: golden files, languages, HEAD, printers, and the reject of malformed subjects."""

import datetime
import json
import re
from pathlib import Path

import pytest

from httpgate import CLEAN, ENFORCE, LISTED, Gate, jd_status
from jdschema import Order

GOLDEN = Path(__file__).parent / "golden"
GATE = f"jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE}"

ZH = Order("限-2026-0001", ["bus.ride"], authority="海城市交通运输局", basis='《海城市"公共交通"条例》第十二条\\甲',
           from_=1790000000, until=1890000000, deadline=datetime.date(2026, 12, 31),
           contest_url="https://credit.example/异议", contest_phone="", repair_url="", repair_phone="12345-6")

SERVER = f"""
location /problem {{ {GATE} proxy_pass http://@B@; }}
location /text {{ {GATE} jd_answer text; proxy_pass http://@B@; }}
location /reject {{ {GATE} jd_malformed reject; proxy_pass http://@B@; }}
location /reject_text {{ {GATE} jd_malformed reject; jd_answer text; proxy_pass http://@B@; }}
location /reject_off {{ {GATE} jd_malformed reject; jd_answer off; proxy_pass http://@B@; }}
location /status {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; jd_dry_run off; jd_deny_status 451; jd_answer text; jd_contest phone=110; proxy_pass http://@B@; }}
"""


def golden(name, reply):
    """Compares status, headers and body with a golden file; ids, ages and dates of the answer are left out."""
    lines = [f"{reply.status}"]
    lines += [f"{k}: {v}" for k, v in reply.headers.items() if k not in ("Server", "Date", "Connection")]
    got = "\n".join(lines) + "\n\n" + reply.body.decode()
    got = re.sub(r"[A-Za-z0-9_-]{70,}", "<id>", got)
    got = re.sub(r";age=\d+", ";age=<age>", got)
    path = GOLDEN / name
    assert path.exists(), f"no golden file {path}; what was answered:\n{got}"
    assert got == path.read_text(), got


CASES = [
    ("problem-zh", "/problem", LISTED, None),
    ("problem-en", "/problem", LISTED, "en-GB,en;q=0.9,zh;q=0.5"),
    ("problem-zh-escapes", "/problem", "88", "zh"),
    ("text-zh", "/text", LISTED, None),
    ("text-en", "/text", LISTED, "en"),
    ("text-zh-escapes", "/text", "88", None),
    ("text-status", "/status", LISTED, "en"),
    ("reject-zh", "/reject", "1 2", None),
    ("reject-en", "/reject", "1 2", "en"),
    ("reject-text-zh", "/reject_text", "1 2", None),
]


@pytest.mark.parametrize("reload", [False, True])
def test_golden(world, reload):
    gate = Gate(world, SERVER)
    gate.list.put("card:88", [ZH])
    if reload:
        gate.reload()
    for name, path, card, language in CASES:
        headers = [("Accept-Language", language)] if language else []
        reply = gate.get(path, card, headers=headers)
        golden(name, reply)
        assert int(reply.headers["Content-Length"]) == len(reply.body)
        head = gate.get(path, card, headers=headers, method="HEAD")
        assert head.status == reply.status and head.body == b""
        for k in ("Content-Type", "Content-Language", "Cache-Control", "Vary", "Content-Length"):
            assert head.headers[k] == reply.headers[k]


def test_members(world):
    """Each answer names order, authority, basis, end, contest and repair; display names none of them."""
    gate = Gate(world, SERVER)
    gate.list.put("card:88", [ZH])
    for card, order in ((LISTED, "CS-2026-000123"), ("88", ZH.number)):
        p = gate.get("/problem", card).json()
        assert list(p) == [k for k in ("type title status detail display order authority basis from until contest "
                                       "repair desk measure decision_id").split() if k in p]
        assert p["order"] == order and p["status"] == 403 and p["until"] and p["from"]
        assert p["contest"] and p["repair"] and p["desk"] == {"url": "https://desk.example/help", "phone": "12345"}
        for k in ("order", "authority", "basis", "until"):
            assert p[k] not in p["display"] + p["title"]
    p = gate.get("/problem", "88").json()
    assert p["authority"] == ZH.authority and p["basis"] == ZH.basis
    assert p["contest"] == {"url": "https://credit.example/异议", "deadline": "2026-12-31"}
    assert p["repair"] == {"phone": "12345-6"}
    p = gate.get("/reject", "1 2").json()
    assert p["status"] == 400 and "order" not in p and p["desk"] and "decision_id" not in p
    r = gate.get("/reject_off", "1 2")
    assert r.status == 400 and jd_status(r)[0] == "REJECTED"
    c = gate.counts()
    assert c[("bus.ride", "malformed", "rejected")] == 2
    assert gate.get("/reject", CLEAN).status == 200


@pytest.mark.parametrize("accept, language", [
    (None, "zh-CN"), ("", "zh-CN"), ("zh", "zh-CN"), ("en", "en"), ("EN-us", "en"), ("fr", "zh-CN"), ("*", "zh-CN"),
    ("fr, en;q=0.1", "en"), ("en;q=0", "zh-CN"), ("en;q=0.8, zh;q=0.9", "zh-CN"), ("zh;q=0.8,en", "en"),
    ("en, zh", "zh-CN"), ("en;q=0.5,*;q=0.8", "zh-CN"), ("en;q=0.9 , *;q=0.8", "en"), ("english", "zh-CN"),
    ("zh-Hant;q=0.3, en;q=0.301", "en"), ("en;q=2", "zh-CN"), ("en;q=x", "zh-CN"), (",,;,en", "en"), ("zhuang,en", "en"),
])
def test_language(world_once, accept, language):
    headers = [] if accept is None else [("Accept-Language", accept)]
    r = world_once.get("/problem", LISTED, headers=headers)
    assert r.headers["Content-Language"] == language and r.headers["Vary"] == "Accept-Language"
    assert json.loads(r.body)["title"].isascii() == (language == "en")


@pytest.fixture(scope="module")
def world_once(tmp_path_factory):
    """One gate for all language cases."""
    import harness
    w = harness.World(tmp_path_factory.mktemp("answer"))
    yield Gate(w, SERVER)
    assert not w.close()


def test_several_language_headers(world):
    gate = Gate(world, SERVER)
    r = gate.get("/problem", LISTED, headers=[("Accept-Language", "zh;q=0.2"), ("Accept-Language", "en;q=0.7")])
    assert r.headers["Content-Language"] == "en"


def test_beside_other_filters(world):
    """gzip, charset and add_header of the location work on an answer as on any other."""
    gate = Gate(world, f"""
        location / {{ {GATE} gzip on; gzip_min_length 1; gzip_types *; gzip_vary on; add_header X-City haicheng always;
                      charset utf-8; proxy_pass http://@B@; }}""")
    r = gate.get("/", LISTED, headers=[("Accept-Encoding", "gzip")])
    assert r.status == 403 and r.headers["X-City"] == "haicheng"
    assert set(r.headers.get_all("Vary")) >= {"Accept-Language"}
    if r.headers.get("Content-Encoding") == "gzip":
        import gzip
        r.body = gzip.decompress(r.body)
    assert r.json()["order"] == "CS-2026-000123"


def test_validator_map(world):
    """conf/jd-validator-map.conf: a line for a validator's display by status code."""
    conf = Path(__file__).resolve().parents[2] / "conf" / "jd-validator-map.conf"
    gate = Gate(world, f"""
        location / {{ {GATE} add_header X-Display $jd_validator_display always; proxy_pass http://@B@; }}
        location /down {{ {GATE} add_header X-Display $jd_validator_display always; proxy_pass http://127.0.0.1:1; }}
        """, http=f"include {conf};")
    world.allow.append("connect\\(\\) failed")
    shown = {path + card: gate.get(path, card).headers["X-Display"]
             for path, card in (("/", LISTED), ("/", CLEAN), ("/down", CLEAN))}
    assert shown == {"/" + LISTED: "NOT WITH THIS CARD - SEE SLIP OR PAY ANOTHER WAY", "/" + CLEAN: "GO",
                     "/down" + CLEAN: "NO ANSWER - LET RIDE, TELL DEPOT"}
