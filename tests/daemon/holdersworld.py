"""People, bodies, their cards, and what a test asks of rcctl holders."""
import json
import time

import harness
import jdschema
from fake_office import instant, record
from harness import wait_for

CARD = '3401005512'


def person(i=1):
    """A made-up resident number (GB 11643)."""
    first = f'11010119{i // 1000:02}0101{i % 1000:03}' if i < 100_000 else None
    return first + jdschema.cnid_check(first)


def body(i=1):
    """A made-up unified social credit code (GB 32100)."""
    first = f'91110108{i:09}'
    return first + jdschema.uscc_check(first)


def link(card=CARD, holder=None, use='own', **more):
    """A line of NDJSON; from_ and until are Unix seconds."""
    o = {'card': card, 'holder': holder or f'cnid:{person()}', 'use': use}
    o.update({k.rstrip('_'): instant(v) if isinstance(v, int) else v for k, v in more.items() if v is not None})
    return json.dumps(o) + '\n'


def order(number='CS-1', holder=None, **changes):
    scheme, _, number_of = (holder or f'cnid:{person()}').partition(':')
    return record(number, subject={'scheme': scheme, 'id': number_of}, **changes)


def holders(feed, *args, stdin='', code=0):
    run = harness.rcctl(feed.conf, '--json', 'holders', *args, stdin=stdin)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return json.loads(run.stdout) if run.stdout else run.stderr


def full(feed, *lines, code=0):
    return holders(feed, 'import', '--full', '-', stdin=''.join(lines), code=code)


def delta(feed, *lines, code=0):
    return holders(feed, 'import', '--delta', '-', stdin=''.join(lines), code=code)


def show(feed, identifier=CARD, code=0):
    return holders(feed, 'show', stdin=identifier + '\n', code=code)['links']


def states(feed, identifier=CARD):
    return sorted(x['state'] for x in show(feed, identifier))


def settle(feed, seconds=15):
    """Until nothing is on its way to Redis."""
    begun = time.time()
    feed.wait_status(lambda s: s['now'] > begun + 1 and s['redis']['dirty'] == 0 and s['redis']['state'] == 'ready'
                     and not s['holders']['importing'], seconds, 'settled')


def wait_quarantine(feed, want, seconds=15):
    def look():
        run = harness.rcctl(feed.conf, '--json', 'quarantine')
        return sorted((q['order'], q['code']) for q in json.loads(run.stdout)['quarantine']) == sorted(want)
    wait_for(look, seconds, every=0.1, why=f'quarantine {want}')
