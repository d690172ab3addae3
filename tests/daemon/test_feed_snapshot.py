"""Snapshots: verified whole before anything of them acts; and the HTTPS below them."""
import gzip
import json
import time

import pytest
from fake_office import Ca, SigningKey, record
from harness import wait_for


def jwt(text):
    return lambda h: h.reply(200, text() if callable(text) else text, 'application/jwt') or True


def test_a_new_daemon_begins_with_a_snapshot(make_feed):
    feed = make_feed()
    for n in range(300):
        feed.office.publish(record(f'CS-{n}', card=f'{n:08}'), send=False)
    feed.start()
    feed.wait_contact()
    wait_for(lambda: feed.count() == 300, 15, why=lambda: feed.count())
    assert set(feed.orders('00000299')) == {'CS-299'}
    s = feed.wait_status(lambda s: s['snapshot']['state'] == 'idle' and s['redis']['dirty'] == 0)
    assert s['marks']['seq'] == 300 and s['snapshot']['fault'] == ''


def test_absence_from_a_snapshot_ends_an_order(feed):
    o = feed.office
    o.publish(record('CS-1'))
    o.publish(record('CS-2', card='2'))
    feed.wait_orders(['CS-1'])
    feed.wait_orders(['CS-2'], card='2')
    with o.news:
        del o.orders['CS-1']
        o.seq += 1                                   # a gap: the daemon asks for a snapshot
        jti = o.publish(record('CS-3', card='3'))
    feed.wait_orders([])
    feed.wait_orders(['CS-2'], card='2')
    feed.wait_orders(['CS-3'], card='3')
    feed.wait_acked(jti)


def bad_snapshots(o):
    data = o.ndjson()
    spoiled = {
        'signature': lambda: o.sign(o.claims(records={}), 'jd-snapshot+jwt', spoil=True),
        'kid': lambda: o.sign(o.claims(records={}), 'jd-snapshot+jwt', key=SigningKey('k9')),
        'typ': lambda: o.sign(o.claims(records={}), 'jd-head+jwt'),
        'list': lambda: o.statement(data, list='another'),
        'expired': lambda: o.statement(data, exp=int(time.time()) - 1),
        'future': lambda: o.statement(data, iat=int(time.time()) + 900),
        'hash': lambda: o.statement(data, records={'sha256': '0' * 64}),
        'count': lambda: o.statement(data, records={'count': 99}),
        'size small': lambda: o.statement(data, records={'bytes': len(data) - 1}),
        'size large': lambda: o.statement(data, records={'bytes': len(data) + 1}),
        'href up': lambda: o.statement(data, href='../../records'),
        'href host': lambda: o.statement(data, href='//evil.test/records'),
        'href missing': lambda: o.statement(data, href='', records={'href': ''}),
        'not json': lambda: o.sign(b'no', 'jd-snapshot+jwt'),
    }
    return spoiled


WORDS = {'signature': 'bad signature', 'kid': 'k9: unknown kid', 'typ': 'header', 'list': 'list is not ours',
         'expired': 'expired', 'future': 'ahead', 'hash': 'hash', 'count': 'number', 'size small': 'longer',
         'size large': 'size', 'href up': 'href', 'href host': 'href', 'href missing': 'href', 'not json': 'JSON'}


@pytest.mark.parametrize('how', WORDS)
def test_a_bad_snapshot_changes_nothing(feed, how):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    with o.news:
        del o.orders['CS-1']
        o.publish(record('CS-2', card='2'), send=False)
        o.fault['snapshot'] = jwt(bad_snapshots(o)[how])
        o.publish(record('CS-3', card='3'))
    s = feed.wait_status(lambda s: s['snapshot']['fault'] != '')
    assert WORDS[how] in s['snapshot']['fault'], s['snapshot']
    assert s['marks']['changes_gap'] and s['marks']['seq'] == 1
    assert set(feed.orders()) == {'CS-1'} and feed.orders('2') == {} == feed.orders('3')
    jti = o.lift('CS-1')                             # relief does not wait for it
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(jti)
    del o.fault['snapshot']
    feed.wait_orders(['CS-2'], card='2', seconds=30)
    feed.wait_status(lambda s: s['snapshot']['fault'] == '' and not s['marks']['changes_gap'])


def endless(h, encode=lambda b: b, **headers):
    h.send_response(200)
    h.send_header('Connection', 'close')
    for name, value in headers.items():
        h.send_header(name.replace('_', '-'), value)
    h.end_headers()
    chunk = encode(b'{"order":"x"}\n' * 4096)
    while True:
        h.wfile.write(chunk)


@pytest.mark.parametrize('where, how', [('records', 'endless'), ('records', 'bomb'), ('records', 'cut'), ('records', '404'),
                                        ('records', 'redirect'), ('snapshot', 'endless'), ('snapshot', 'redirect'),
                                        ('snapshot', '500')])
def test_a_download_is_capped_and_whole(feed, where, how):
    o = feed.office
    o.publish(record('CS-1'), send=False)

    def cut(h):
        body = o.ndjson()
        h.send_response(200)
        h.send_header('Content-Length', str(len(body)))
        h.end_headers()
        h.wfile.write(body[:-5])
        h.close_connection = True
        return True
    o.fault[where] = {
        'endless': endless, 'cut': cut,
        'bomb': lambda h: h.reply(200, gzip.compress(b'\n' * 100_000_000), Content_Encoding='gzip') or True,
        '404': lambda h: h.reply(404) or True, '500': lambda h: h.reply(500) or True,
        'redirect': lambda h: h.reply(302, Location=f'{o.base}/head') or True,
    }[how]
    o.publish(record('CS-2'))
    s = feed.wait_status(lambda s: s['snapshot']['fault'] != '')
    word = {'endless': 'longer than allowed', 'bomb': 'longer than allowed', 'cut': 'no answer', '404': '404', '500': '500',
            'redirect': '302'}[how]
    assert word in s['snapshot']['fault'], s['snapshot']
    assert feed.orders() == {}
    o.fault.clear()
    feed.wait_orders(['CS-1', 'CS-2'], seconds=30)


def test_retry_after_is_honoured(make_feed):
    feed = make_feed()
    o = feed.office
    o.publish(record('CS-1'), send=False)
    asked = []

    def later(h):
        asked.append(time.monotonic())
        return len(asked) <= 2 and (h.reply(503, Retry_After=2) or True)
    o.fault['snapshot'] = later
    feed.start()
    feed.wait_orders(['CS-1'])
    assert len(asked) == 3 and all(1.9 < b - a < 4 for a, b in zip(asked, asked[1:]))


def test_a_snapshot_is_asked_for_with_what_is_known(feed):
    o = feed.office
    for n in range(3):
        o.publish(record(f'CS-{n}'))
    feed.wait_orders(['CS-0', 'CS-1', 'CS-2'])
    feed.wait_acked(o.lift('CS-0'))
    o.publish(record('CS-3'), send=False)
    o.publish(record('CS-4'))
    feed.wait_status(lambda s: s['marks']['seq'] == 5)
    assert any(p.endswith('snapshot?min_seq=5&min_relief_seq=1') for _, p in o.requests)


def test_relief_that_comes_while_a_snapshot_is_fetched(feed):
    """It acts at once; the snapshot is older than the journal now, and a newer one is fetched."""
    o = feed.office
    lifted = []

    def slow(h):
        if not lifted:
            lifted.append(o.lift('CS-1'))
            feed.wait_acked(*lifted)
    o.fault['records'] = slow
    o.publish(record('CS-1'), send=False)
    o.publish(record('CS-2'))
    feed.wait_orders(['CS-2'])
    assert feed.relief('CS-1') == 'lffff o0'
    feed.log_has('fetching a newer one')
    feed.wait_contact()


def test_lifts_act_while_a_large_snapshot_is_applied(make_feed):
    feed = make_feed(expected=20000)
    o = feed.office
    with o.news:
        template = json.dumps(record('N-0', card='C-0'))
        o.orders = {f'N-{n}': json.loads(template.replace('N-0', f'N-{n}').replace('C-0', f'C-{n:07}')) for n in range(20000)}
        o.seq = 20000
    feed.start()
    feed.wait_status(lambda s: s['snapshot']['applying'] or s['marks']['seq'] == 20000, 30)
    waits = []
    for n in range(10):
        t = time.monotonic()
        o.lift(f'N-{n}')
        feed.wait_relief(f'N-{n}', 'lffff o0')
        waits.append(time.monotonic() - t)
    assert max(waits) < 1.5, waits
    wait_for(lambda: feed.count() >= 19990, 60, why=lambda: feed.count())


def test_no_raw_identifier_is_left_anywhere(feed):
    o = feed.office
    o.publish(record('CS-1', card='SECRETCARD77'), send=False)
    o.publish(record('CS-2', card='SECRETCARD78'))
    feed.wait_orders(['CS-1'], card='SECRETCARD77')
    for path in feed.state.rglob('*'):
        assert not path.is_file() or b'SECRETCARD' not in path.read_bytes(), path
    assert 'SECRETCARD' not in feed.daemon.log()


def test_the_server_must_be_the_office(make_feed, world):
    feed = make_feed()
    other = Ca(world.dir('ca'), 'another CA')
    feed.configure(ca_file=other.ca_file)
    feed.start()
    s = feed.wait_status(lambda s: s['lanes']['relief']['fault'] != '' and s['contact']['fault'] != '')
    assert 'certificate' in s['lanes']['relief']['fault'], s
    assert feed.office.requests == []


def test_the_client_shows_a_certificate(make_feed):
    feed = make_feed()
    o = feed.office
    o.tls.load_verify_locations(o.ca.ca_file)
    o.tls.verify_mode = 2                            # ssl.CERT_REQUIRED
    cert, key = o.ca.issue(feed.folder, 'client')
    feed.configure(auth=f'client_cert = {cert}\nclient_key = {key}')
    feed.start().wait_contact()


def test_a_refused_token_is_told(make_feed):
    feed = make_feed()
    feed.secret(feed.token_file, 'another-token\n')
    feed.start()
    s = feed.wait_status(lambda s: '401' in s['lanes']['relief']['fault'])
    assert s['contact']['verified_at'] == 0 and 'another-token' not in feed.daemon.log()
