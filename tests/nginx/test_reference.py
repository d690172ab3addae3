"""The reference (ngx_jd_module/README.md) has an entry for each directive and variable of the sources, and no other."""

import re
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "ngx_jd_module"
README = (MODULE / "README.md").read_text()
SOURCES = {p.name: p.read_text() for p in sorted(MODULE.glob("*.c"))}


def tables(kind):
    """Names in the tables of this type: ngx_command_t or ngx_http_variable_t."""
    names = []
    for text in SOURCES.values():
        for table in re.findall(rf"static {kind}\s+\w+\[\] = \{{(.*?)\n\}};", text, re.S):
            names += re.findall(r'\{ ngx_string\("(\w+)"\),', table)
    return names


def entries(form):
    return re.findall(form, README, re.M)


def test_directives():
    code = tables("ngx_command_t")
    assert len(code) > 15 and len(set(code)) == len(code)
    assert sorted(entries(r"^#### ([a-z_]+)$")) == sorted(code)


def test_directive_entries_are_whole():
    for entry in re.split(r"^#### ", README, flags=re.M)[1:]:
        name = entry.split("\n")[0]
        if name.startswith("$"):
            continue
        for word in ("Syntax:", "Default:", "Context:"):
            assert f"{word} " in entry, f"{name}: no {word}"
        assert f"`{name}" in entry.split("Syntax:")[1].split("\n")[0], f"{name}: its syntax names another"


def test_variables():
    code = tables("ngx_http_variable_t")
    assert len(code) == 12
    assert sorted(entries(r"^#### \$([a-z_]+)$")) == sorted(code)


def test_reasons():
    policy = (MODULE.parent / "restrict-cache" / "core" / "jd_policy.h").read_text()
    words = re.search(r'/\* "(off exempt [^"]*)" \*/', policy).group(1).split()
    table = re.findall(r"^\| `(\w+)` \|", README.split("## Reasons")[1].split("\n## ")[0], re.M)
    assert table == words


def test_status_fields():
    status = SOURCES["ngx_http_jd_status.c"]
    values = re.findall(r'^    \{ "(\w+)", (?:"(\w+)"|NULL),', status, re.M)
    assert len(values) > 15
    section = README.split("## Status")[1].split("\n## ")[0]
    for name, metric in values:
        assert f"`{name}`" in section, name
        assert not metric or f"`{metric}`" in section, metric
    told = set(re.findall(r"`(jd_(?:list|confirm|confirms|follower|decisions|undecided|build|ledger|brake[ds]|lift)\w*)`", section))
    assert told == {m for _, m in values if m} | {
        "jd_decisions_total", "jd_list_state", "jd_build_info", "jd_braked", "jd_brakes_total", "jd_lift_seconds"}
