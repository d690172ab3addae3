"""The decision against a second reading of its contract, over generated sets of orders."""
import collections
import random

import pytest

from driver import ask, compare

HOUR, MAX_STALE = 3600, 72 * 3600


def reference(clocks, bit, observed, orders):
    now, office, verified, max_stale = clocks
    if verified <= 0 or max(0, max(now, office) - verified) > min(max_stale, MAX_STALE):
        return 'stale -1'
    if abs(now - office) > 300:
        return 'clock -1'
    found = collections.defaultdict(list)
    if observed:
        found['other_measure'].append((0, '', -1))
    for i, (number, measures, start, end, link, lifted, objection, stay) in enumerate(orders):
        terms = [(start, end)] + ([link] if link else [])
        if not all(a <= clock < b for a, b in terms for clock in (now, office)):
            continue
        if not measures >> bit & 1:
            if measures & ~lifted:
                found['other_measure'].append((0, '', -1))
            continue
        kind = 'lifted' if lifted >> bit & 1 else 'stayed' if min(now, office) < stay else 'observe' if objection else 'listed'
        found[kind].append((-end, number, i))
    if observed >> bit & 1 and not found['listed'] and not found['observe']:
        return 'observe -1'
    for kind in ('listed', 'observe', 'stayed', 'lifted', 'other_measure'):
        if found[kind]:
            return f'{kind} {min(found[kind])[2]}'
    return 'not_listed -1'


@pytest.mark.parametrize('seed', range(2))
def test_generated_decisions(seed):
    rnd = random.Random(seed)
    cases, requests = [], []
    for _ in range(8000):
        now = 1795000000
        clocks = (now, now + rnd.choice([0, 0, 0, 1, -299, 300, 301, -301]), now - rnd.choice([0, 10, HOUR, HOUR + 1, MAX_STALE + 1, -5]),
                  rnd.choice([HOUR, HOUR, 10 ** 9]))
        if rnd.random() < 0.03:
            clocks = clocks[:2] + (rnd.choice([0, -1]), clocks[3])
        numbers = rnd.sample(['A', 'AA', 'AB', 'B', 'C1', 'C2'], k=rnd.randrange(5))
        orders = [(n, rnd.choice([1, 2, 3, 0x7f]), now + rnd.choice([-HOUR, 0, 1, 200, -10 ** 7]), now + rnd.choice([HOUR, HOUR, 0, 1, 250, 10 ** 7]),
                   rnd.choice([None, None, (now - HOUR, 2 ** 40 - 1), (now + rnd.choice([-HOUR, 0, 1, 200]), now + rnd.choice([250, 300, HOUR]))]),
                   rnd.choice([0, 0, 0, 1, 2, 0xffff]), int(rnd.random() < 0.15),
                   rnd.choice([0, 0, 0, now, now + 1, now + 200, now - 200, 2 ** 40 - 1])) for n in numbers]
        bit, observed = rnd.randrange(3), rnd.choice([0, 0, 0, 1, 2, 7])
        cases.append((clocks, bit, observed, orders))
        words = ['decide', *clocks, bit, observed]
        for number, measures, start, end, link, lifted, objection, stay in orders:
            words += [number.encode(), measures, start, end, 8 if link else 0, 0, bytes(8), b'holder-1' if link else bytes(8), *(link or (0, 0)),
                      lifted, objection, stay]
        requests.append(words)
    expected = [reference(*c) for c in cases]
    kinds = collections.Counter(e.split()[0] for e in expected)
    assert len(kinds) == 8 and min(kinds.values()) > 100, kinds
    compare(cases, requests, expected)


def test_far_clocks_do_not_overflow():
    low, high = -2 ** 63, 2 ** 63 - 1
    order = [b'A', 1, 0, 2 ** 40 - 1, 0, 0, bytes(8), bytes(8), 0, 0, 0, 0, 0]
    answers = ask([('decide', low, high, 1, high, 0, 0, *order), ('decide', high, low, high, high, 0, 0, *order),
                   ('decide', low, low, high, high, 0, 0, *order)])
    assert answers == ['stale -1', 'clock -1', 'not_listed -1']
