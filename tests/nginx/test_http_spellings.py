"""What the backend would read is what the gate checks: spellings of one listed card."""

import gzip

from harness import request, wait_for
from httpgate import CLEAN, ENFORCE, LISTED, Gate, reason

FULL = "".join(chr(ord(c) - 0x21 + 0xff01) for c in LISTED)
ESC = "".join(f"%{ord(c):02x}" for c in LISTED)
UNI = "".join(f"\\u{ord(c):04x}" for c in LISTED)
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
C = LISTED

SERVER = f"""
underscores_in_headers on;
client_max_body_size 1m;
location /plain/ {{ proxy_pass http://@B@; }}
location /header/ {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}
location /arg/ {{ jd_gate credit bus.ride; jd_subject card arg:card; {ENFORCE} proxy_pass http://@B@; }}
location /cookie/ {{ jd_gate credit bus.ride; jd_subject card cookie:card; {ENFORCE} proxy_pass http://@B@; }}
location /form/ {{ jd_gate credit bus.ride; jd_subject card form:card; {ENFORCE} proxy_pass http://@B@; }}
location /json/ {{ jd_gate credit bus.ride; jd_subject card json:/card; {ENFORCE} proxy_pass http://@B@; }}
location /both/ {{ jd_gate credit bus.ride; jd_subject card form:card; jd_subject card json:/card;
                   {ENFORCE} proxy_pass http://@B@; }}
"""


def multipart(name="card", value=C):
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--\r\n'.encode()


def H(*values, name="X-Card-No"):
    return [(name, v) for v in values]


# place, what the gate must find, and the spelling: headers, query, body
SPELLINGS = [
    ("header", "listed", H(C)),
    ("header", "listed", H(C, name="x-card-no")),
    ("header", "listed", H(C, name="X-CARD-NO")),
    ("header", "listed", H("  " + C + " \t")),
    ("header", "listed", H(FULL.encode())),
    ("header", "listed", H(b"\xe3\x80\x80" + C.encode())),
    ("header", "listed", H(b"\xc2\xa0" + C.encode())),
    ("header", "listed", H(C.encode() + b"\xef\xbb\xbf")),
    ("header", "malformed", H(CLEAN, C)),
    ("header", "malformed", H(C, CLEAN)),
    ("header", "malformed", H(C, C)),
    ("header", "malformed", H(C + "," + CLEAN)),
    ("header", "malformed", H(CLEAN + ", " + C)),
    ("header", "malformed", H(C, name="X_Card_No")),
    ("header", "malformed", H(C, name="X-Card_No")),
    ("header", "malformed", H(CLEAN) + H(C, name="X_Card_No")),
    ("arg", "listed", "?card=" + C),
    ("arg", "listed", "?card=" + ESC),
    ("arg", "listed", "?%63%61rd=" + C),
    ("arg", "listed", "?card=+" + C + "+"),
    ("arg", "listed", "?card=%20" + C + "%0d%0a"),
    ("arg", "listed", "?card=" + "".join(f"%EF%BC%{0x90 + int(d):02X}" for d in C)),
    ("arg", "listed", "?x=1&&card=" + C + "&y=2"),
    ("arg", "listed", "?card=%E3%80%80" + C),
    ("arg", "malformed", "?card=" + C + "&card=" + CLEAN),
    ("arg", "malformed", "?card=" + CLEAN + "&card=" + C),
    ("arg", "malformed", "?card=" + CLEAN + "&c%61rd=" + C),
    ("arg", "malformed", "?card=&card=" + C),
    ("arg", "malformed", "?Card=" + C),
    ("arg", "malformed", "?card=" + CLEAN + "&CARD=" + C),
    ("arg", "malformed", "?card[]=" + C),
    ("arg", "malformed", "?card%5B%5D=" + C),
    ("arg", "malformed", "?card=" + CLEAN + "&card[0]=" + C),
    ("arg", "malformed", "?card=" + CLEAN + ";card=" + C),
    ("arg", "malformed", "?x=1;card=" + C),
    ("cookie", "listed", [("Cookie", "card=" + C)]),
    ("cookie", "listed", [("Cookie", 'a=b; card="' + C + '"; c=d')]),
    ("cookie", "listed", [("Cookie", "a=b;card=" + C)]),
    ("cookie", "malformed", [("Cookie", f"card={CLEAN}; card={C}")]),
    ("cookie", "malformed", [("Cookie", f"card={C}; card={CLEAN}")]),
    ("cookie", "malformed", [("Cookie", "card=" + CLEAN), ("Cookie", "card=" + C)]),
    ("cookie", "malformed", [("Cookie", "card=" + ESC)]),
    ("form", "listed", [FORM], "card=" + C),
    ("form", "listed", [], "card=" + C),
    ("form", "listed", [FORM], "card=" + ESC),
    ("form", "listed", [FORM], "a=1&c%61rd=" + C + "+"),
    ("form", "listed", [FORM], ("card=" + FULL).encode()),
    ("form", "listed", [(FORM[0], FORM[1] + '; charset="UTF-8"')], "card=" + C),
    ("form", "malformed", [FORM], f"card={CLEAN}&card={C}"),
    ("form", "malformed", [FORM], f"card={CLEAN}&card[]={C}"),
    ("form", "malformed", [FORM], f"CARD={C}"),
    ("form", "malformed", [("Content-Type", "multipart/form-data; boundary=b")], multipart()),
    ("form", "malformed", [(FORM[0], FORM[1] + "; charset=utf-16le")], ("card=" + C).encode("utf-16-le")),
    ("form", "malformed", [JSON], f'{{"card":"{C}"}}'),
    ("json", "listed", [JSON], f'{{"card":"{C}"}}'),
    ("json", "listed", [], f'{{"card":"{C}"}}'),
    ("json", "listed", [FORM], f'{{"card":"{C}"}}'),
    ("json", "listed", [("Content-Type", "application/vnd.city+json; charset=utf-8")], f'{{"card":"{C}"}}'),
    ("json", "listed", [JSON], f'\r\n {{"x":[1,{{"card":"{CLEAN}"}}], "card" : {C} }}\n'),
    ("json", "listed", [JSON], f'{{"card":"{UNI}"}}'),
    ("json", "listed", [JSON], f'{{"c\\u0061rd":"{C}"}}'),
    ("json", "listed", [JSON], f'{{"card":"{FULL}"}}'.encode()),
    ("json", "listed", [JSON], f'{{"card":" {C}\\n"}}'),
    ("json", "malformed", [JSON], f'{{"card":"{CLEAN}","card":"{C}"}}'),
    ("json", "malformed", [JSON], f'{{"card":"{C}","card":"{CLEAN}"}}'),
    ("json", "malformed", [JSON], f'{{"card":"{CLEAN}","c\\u0061rd":"{C}"}}'),
    ("json", "malformed", [JSON], f'{{"card":"{CLEAN}","Card":"{C}"}}'),
    ("json", "malformed", [JSON], f'{{"CARD":"{C}"}}'),
    ("json", "malformed", [JSON], f'{{"card":"{C}"}} trailing'),
    ("json", "malformed", [JSON], f'{{"card":"{C}"}}{{"card":"{CLEAN}"}}'),
    ("json", "malformed", [JSON], b"\xef\xbb\xbf" + f'{{"card":"{C}"}}'.encode()),
    ("json", "malformed", [JSON], f'{{"card":"{C}"}}'.encode("utf-16")),
    ("json", "malformed", [("Content-Type", "application/json; charset=utf-16le")],
     f'{{"card":"{C}"}}'.encode("utf-16-le")),
    ("json", "malformed", [JSON, ("Content-Encoding", "gzip")], gzip.compress(f'{{"card":"{C}"}}'.encode())),
    ("json", "malformed", [JSON, ("Content-Type", "text/plain")], f'{{"card":"{C}"}}'),
    ("both", "listed", [], "card=" + C),
    ("both", "listed", [], f' {{"card":"{C}"}}'),
    ("both", "listed", [JSON], f'{{"card":"{C}"}}'),
    ("both", "listed", [FORM], "card=" + C),
    ("both", "malformed", [("Content-Type", "text/plain")], "card=" + C),
]


def send(port, location, spelling):
    headers, query, body = [], "", None
    for part in spelling:
        if isinstance(part, list):
            headers = part
        elif isinstance(part, str) and part.startswith("?"):
            query = part
        else:
            body = part.encode() if isinstance(part, str) else part
    return request(port, f"/{location}/{query}", "GET" if body is None else "POST", headers, body)


def check_all(gate):
    wrong = []
    for place, want, *spelling in SPELLINGS:
        plain = send(gate.nginx.port, "plain", spelling)
        got = send(gate.nginx.port, place, spelling)
        if C not in plain.json()["reads"]:
            wrong.append(f"{place} {spelling}: no backend reads the card, a spelling of nothing: {plain.json()}")
        if reason(got) != want or got.status != (403 if want == "listed" else 200):
            wrong.append(f"{place} {spelling}: {got.status} {reason(got)}, not {want}")
    assert not wrong, "\n".join(wrong)


def test_spellings(world):
    assert len(SPELLINGS) >= 40
    gate = Gate(world, SERVER)
    check_all(gate)
    gate.reload()
    check_all(gate)


def test_nothing_else_is_malformed(world):
    """A clean card, and requests that carry none, are clear or without a subject: not swept into malformed."""
    gate = Gate(world, SERVER)
    p = gate.nginx.port
    cases = [
        ("clear", "header", (H(CLEAN),)),
        ("no_subject", "header", ()),
        ("no_subject", "header", (H(""),)),
        ("no_subject", "header", (H(C, name="X-Card"),)),
        ("clear", "arg", ("?card=" + CLEAN,)),
        ("no_subject", "arg", ("?cards=" + C,)),
        ("no_subject", "arg", ("?card=",)),
        ("no_subject", "arg", ("",)),
        ("no_subject", "cookie", ([("Cookie", "Card2=" + C)],)),
        ("clear", "form", ([FORM], "card=" + CLEAN)),
        ("no_subject", "form", ([FORM], "a=b")),
        ("no_subject", "form", ([FORM], b"")),
        ("no_subject", "form", ()),
        ("clear", "json", ([JSON], f'{{"card":"{CLEAN}"}}')),
        ("no_subject", "json", ([JSON], '{"other":1}')),
        ("no_subject", "json", ([JSON], '{"card":null}')),
        ("no_subject", "json", ([JSON], "{}")),
        ("no_subject", "json", ([JSON], " ")),
        ("no_subject", "json", ()),
        ("malformed", "json", ([JSON], f'{{"card":["{C}"]}}')),
        ("malformed", "json", ([JSON], f'{{"card":"{C}\\u0000"}}')),
        ("malformed", "arg", ("?card=" + C + "%00",)),
        ("malformed", "arg", ("?card=" + C + "%zz",)),
        ("malformed", "header", (H("1 2"),)),
        ("malformed", "header", (H("1" * 300),)),
    ]
    wrong = []
    for want, place, spelling in cases:
        got = send(p, place, spelling)
        if got.status != 200 or reason(got) != want:
            wrong.append(f"{place} {spelling}: {got.status} {reason(got)}, not {want}")
    assert not wrong, "\n".join(wrong)


def test_several_places(world):
    """Several lines of one scheme must agree; several schemes are all looked up."""
    gate = Gate(world, f"""
        location / {{ jd_gate credit bus.ride; {ENFORCE}
            jd_subject card header:X-Card-No; jd_subject card arg:card; jd_subject cnid header:X-Person;
            proxy_pass http://@B@; }}""", orders=None)
    cnid = "11010519491231002X"
    assert gate.get("/?card=" + LISTED).status == 403
    assert gate.get("/?card=" + LISTED, card=LISTED).status == 403
    assert reason(gate.get("/?card=" + CLEAN, card=LISTED)) == "malformed"
    assert reason(gate.get("/", card=CLEAN)) == "clear"
    assert reason(gate.get("/", headers=[("X-Person", cnid)])) == "clear"
    assert reason(gate.get("/", headers=[("X-Person", "110105194912310021")])) == "no_subject"
    assert gate.get("/", card=LISTED, headers=[("X-Person", cnid)]).status == 403
    from jdschema import Order
    gate.list.put("cnid:" + cnid, [Order("CS-2026-000900", ["bus.ride"])])
    wait_for(lambda: gate.get("/", headers=[("X-Person", cnid.lower())]).status == 403)
    assert gate.get("/", card=CLEAN, headers=[("X-Person", cnid)]).status == 403


def test_value(world):
    """value: takes what a complex value gives, here a part of the URI."""
    gate = Gate(world, f"""
        location ~ ^/tap/(?<who>\\w+)$ {{ jd_gate credit bus.ride; {ENFORCE} jd_subject card value:$who;
            proxy_pass http://@B@; }}""")
    assert gate.get("/tap/" + LISTED).status == 403
    assert reason(gate.get("/tap/" + CLEAN)) == "clear"
