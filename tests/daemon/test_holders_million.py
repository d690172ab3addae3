"""Large imports of holders: time, bytes on disk, memory that does not grow with the file, and one link changed in
a large file. JD_MILLION=1 goes up to a million holders with 1.3 cards each."""
import json
import os
import subprocess
import time

import harness
import jdschema
from holdersworld import order, person, wait_for

SMALL, LARGE = (100_000, 1_000_000) if os.environ.get('JD_MILLION') == '1' else (10_000, 100_000)
ORDERS = 300
GROWN_KB = 24 * 1024


def number(i):
    first = f'1101011990{i // 10_000 % 12 + 1:02}{i // 120_000 % 28 + 1:02}{i % 1000:03}'
    first = f'{110101 + i // 1000 % 900:06}' + first[6:]
    return first + jdschema.cnid_check(first)


def write(path, n, csv):
    """n holders, every third or so with two cards, one of them with three."""
    with open(path, 'w') as f:
        f.write('card,holder,use,from,until\n' if csv else '')
        card = 10_000_000
        for i in range(n):
            holder = number(i)
            for _ in range(2 if i % 10 < 3 else 1):
                card += 1
                f.write(f'{card},cnid:{holder},own,2026-01-01,\n' if csv else
                        f'{{"card":"{card}","holder":"cnid:{holder}","use":"own","from":"2026-01-01"}}\n')
    return path


def peak_kb(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmHWM'))


def memory_kb(pid):
    """Without the mapped file, whose pages the kernel takes back when it needs them."""
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('RssAnon'))


def rcctl(feed, *args, stdin=''):
    run = subprocess.run([str(harness.PLAIN / 'rcctl'), '-c', str(feed.conf), '--json', 'holders', *args],
                         input=stdin, text=True, capture_output=True, timeout=600)
    assert run.returncode == 0, run
    return json.loads(run.stdout)


def load(make_feed, n, csv):
    feed = make_feed(growth='10% 400')
    feed.daemon = feed.world.proc([harness.PLAIN / 'restrict-cached', '-c', feed.conf], 'daemon')
    harness.approve_list(feed.conf)
    feed.wait_contact()
    before = peak_kb(feed.daemon.pid)
    path = write(feed.folder / 'holders', n, csv)
    t = time.monotonic()
    a = rcctl(feed, 'import', '--full', str(path))
    took = time.monotonic() - t
    links = feed.state / 'links'
    per = links.stat().st_size / a['links']
    assert a['refused'] == a['two'] == 0 and a['cards'] == a['added'] == a['links'] == n * 13 // 10
    peak = peak_kb(feed.daemon.pid)

    for i in range(ORDERS):
        feed.office.publish(order(f'CS-{i}', holder=f'cnid:{number(i)}'))
    feed.wait_status(lambda s: s['marks']['seq'] == ORDERS and s['redis']['dirty'] == 0, 60)
    # one card more for somebody under an order: from the command to Redis
    t = time.monotonic()
    rcctl(feed, 'add', stdin=f'9000001\ncnid:{number(7)}\n')
    feed.wait_orders(['CS-7'], card='9000001')
    one = time.monotonic() - t
    # the same file again, now that people are listed: old and new links are weighed and compared, too
    t = time.monotonic()
    again = rcctl(feed, 'import', '--full', str(path))
    second = time.monotonic() - t
    assert again['returned'] == 1 and again['listed'] >= ORDERS
    anonymous = memory_kb(feed.daemon.pid)
    path.unlink()
    print(f'\n{n} holders, {a["links"]} cards as {"CSV" if csv else "NDJSON"}: imported in {took:.1f} s, '
          f'{per:.1f} bytes a link on disk, peak memory {before} KB before, {peak} KB after; one link more, '
          f'to Redis: {one:.2f} s; the file again: {second:.1f} s, {anonymous} KB and mapped links')
    feed.daemon.stop()
    return took, per, peak - before, anonymous


def test_a_large_import(make_feed):
    assert number(7) != number(1007) and len({number(i) for i in range(0, LARGE, 97)}) == len(range(0, LARGE, 97))
    _, _, _, small = load(make_feed, SMALL, csv=True)
    took, per, grown, large = load(make_feed, LARGE, csv=False)
    assert took < 60 and per <= 80
    # the peak of an import, and what stays, do not grow with the file
    assert grown < GROWN_KB and large - small < GROWN_KB
