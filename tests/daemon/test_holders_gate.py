"""The gate's side of holders: a terminal sees a card, the order names its holder. And relief while a large import
is at work."""
import threading
import time

import pytest

import feedworld
import harness
from harness import wait_for
from holdersworld import body, delta, full, holders, link, order, person

SERVER = """
    server {{
        listen 127.0.0.1:@PORT@;
        jd_contest https://desk.example/help phone=12345;
        location /bus/tap {{
            jd_gate credit bus.ride;
            jd_subject card header:X-Card-No;
            jd_dry_run off;
            proxy_pass http://127.0.0.1:{backend};
        }}
        location = /jd/status {{ jd_status; }}
    }}
"""


class Gate:
    def __init__(self, feed):
        world = feed.world
        ports = feed.folder / 'ports'
        world.proc([harness.BIN / 'terminal-sim', 'backends', '--ports-file', ports, '--bus-validator', 0,
                    '--library-checkout', 0, '--citizen-card', 0], 'backends')
        wait_for(ports.exists, why='backends')
        bus = dict(x.split() for x in ports.read_text().splitlines())['bus-validator']
        self.nginx = world.nginx(f'key_file {world.key_file((feedworld.KEY.id, feedworld.KEY.raw))};\n'
                                 f'list credit {{ redis 127.0.0.1:{feed.redis_server.port}; zone 1m; timeout 500ms; }}'
                                " ledger @DIR@/ledger 1m gateway=gw1;",
                                 SERVER.format(backend=bus))

    def tap(self, card):
        return self.nginx.get('/bus/tap', {'X-Card-No': card}).status

    def until(self, card, status, seconds=20):
        """Seconds until the card is answered so."""
        begun = time.monotonic()
        wait_for(lambda: self.tap(card) == status, seconds, every=0.02, why=f'{card} {status}')
        return time.monotonic() - begun


@pytest.fixture
def gate(feed):
    return Gate(feed)


def test_a_card_follows_its_holder(feed, gate):
    full(feed, link('C1'), link('C2', use='other'), link('C3', holder=f'cnid:{person(2)}'))
    feed.office.publish(order())
    gate.until('C1', 403)
    assert gate.tap('C2') == gate.tap('C3') == 200
    # replaced: the new card is refused, the old one, whoever finds it, is not
    delta(feed, '{"op":"remove","card":"C1"}\n', link('C4'))
    assert gate.until('C4', 403) < 3 and gate.until('C1', 200) < 3
    # passes to somebody else
    delta(feed, '{"op":"remove","card":"C4"}\n', link('C4', holder=f'cnid:{person(2)}'))
    assert gate.until('C4', 200) < 3
    holders(feed, 'add', stdin=f'C5\ncnid:{person()}\n')
    gate.until('C5', 403)
    holders(feed, 'add', stdin=f'C5\ncnid:{person(3)}\n')         # two at once: neither
    gate.until('C5', 200)
    holders(feed, 'remove', stdin=f'C5\ncnid:{person(3)}\n')
    gate.until('C5', 403)
    feed.office.lift('CS-1')
    gate.until('C5', 200)


def test_a_link_begins_and_ends_by_the_clock(feed, gate):
    """Nobody writes at these moments: the term is in the record."""
    now = int(time.time())
    full(feed, link('C1', from_=now + 8), link('C2', until=now + 8))
    feed.office.publish(order())
    gate.until('C2', 403)
    last = int(feed.meta()['last_id'])
    assert gate.tap('C1') == 200 or time.time() >= now + 8
    gate.until('C1', 403)
    assert time.time() >= now + 8
    gate.until('C2', 200)
    assert int(feed.meta()['last_id']) == last


def test_a_body_does_not_stand_for_its_people(feed, gate):
    full(feed, link('C1', holder=f'uscc:{body()}'), link('C2', holder=f'uscc:{body()}', use='other'),
         link('C2', holder=f'cnid:{person()}'))
    feed.office.publish(order(holder=f'uscc:{body()}'))
    gate.until('C1', 403)
    assert gate.tap('C2') == 200


def test_relief_does_not_wait_for_an_import(feed, gate):
    """Lifts while a large file is read, merged and marked take effect as fast as with nothing else to do."""
    n = 40_000 if harness.BIN != harness.PLAIN else 200_000
    full(feed, *[link(f'L{i}') for i in range(20)])
    for i in range(20):
        feed.office.publish(order(f'CS-{i}'))
    gate.until('L0', 403)
    feed.wait_status(lambda s: s['marks']['seq'] == 20 and s['redis']['dirty'] == 0)
    lines = [link(f'L{i}') for i in range(20)] + [link(f'D{i}', holder=f'cnid:{person(i % 90_000)}') for i in range(n)]
    answer = {}
    t = threading.Thread(target=lambda: answer.update(full(feed, *lines)))
    t.start()
    feed.wait_status(lambda s: s['holders']['importing'], 20)
    took = []
    for i in range(10):
        begun = time.monotonic()
        feed.office.lift(f'CS-{i}')
        feed.wait_relief(f'CS-{i}', 'lffff o0')
        took.append((time.monotonic() - begun, t.is_alive()))
    t.join(120)
    during = [s for s, busy in took if busy]
    print(f'\nrelief in Redis during an import of {n} cards: {sorted(round(s, 3) for s in during)} s')
    assert answer['cards'] == n + 20 and len(during) >= 3
    assert max(during) < 1.5                       # a sanitized build on a busy machine; steps are of 10 ms
