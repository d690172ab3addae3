"""A denial's way to the office and back: counted at the gate, pushed, journalled, reported, receipted, told as done, its cells free again."""

import sys
from pathlib import Path

from chain import Chain
from harness import wait_for

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "nginx"))
from ledgerfile import ORDER, LedgerFile, LedgerKeys, age  # noqa: E402


def test_from_the_cell_to_the_receipt(world):
    chain = Chain(world)
    file = chain.nginx.folder / "ledger"
    chain.conf.write_text(chain.conf.read_text() + "[ledger]\nreport_sec = 1\n")
    for i in range(5):
        wait_for(lambda i=i: chain.tap(chain.card(i)) == 403, 10)
    chain.nginx.quit()
    # counted two months and 30 hours ago: both periods are over
    chain.redis.client().flushall()
    age(file, hours=30, months=2)
    then = LedgerFile(file)
    orders = then.sum(ORDER)
    assert orders >= 5
    chain.daemon.stop()
    chain.daemon = chain.new_daemon()
    chain.nginx.start()
    keys = LedgerKeys(chain.redis.client())
    wait_for(lambda: not LedgerFile(file).used(), 60, why=f"cells are free: {keys.keys()} {chain.daemon.log()[-2000:]}")
    assert keys.keys() == [] and chain.redis.client().hlen("jd:{credit}:ledger:done") == 2
    told = chain.office.do("ledger")
    by_order = {(t["month"], f"{t['order']} {t['measure']}"): t["denied"] for t in told if "order" in t}
    by_hour = {(t["hour"], f"{t['measure']} d {t['authority']}"): t["denied"] for t in told if "hour" in t and t["gateway"] == "gw1"}
    assert {k: (by_order | by_hour).get(k) for k in then.totals()} == then.totals()
    # what is denied now goes into cells of its own
    chain.enforcing()
    assert LedgerFile(file).sum(ORDER) == 1
