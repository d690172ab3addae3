"""rcctl check: the decision the gate would make, with every order found."""
import json
import os
import time

import pytest

import harness
import jdschema
from jdschema import Order

CARD = '8100000001'
CONF = """[list]
name = credit
[state]
dir = {dir}/state
[digest]
key_file = {dir}/digest.key
[office]
base = https://127.0.0.1:1/v1
iss = https://office.example
aud = jd:test
jwks_file = {dir}/none.jwks
ca_file = {dir}/none.pem
token_file = {dir}/none.token
[redis]
address = {address}
expected = 1000
{extra}
"""


class Desk:
    """A Redis with a list, and rcctl's configuration; no daemon."""

    def __init__(self, world, **kw):
        self.folder = world.dir('desk')
        self.server = world.redis(**kw)
        self.redis = self.server.client()
        self.list = jdschema.RedisList(self.redis, norm='card=upper,strip_zeros')
        (self.folder / 'state').mkdir(mode=0o700)
        (self.folder / 'state' / 'inbox').mkdir(mode=0o700)      # as a daemon leaves it
        self.conf = self.folder / 'rc.conf'
        self.key(self.list.key)
        self.configure()

    def key(self, *keys):
        path = self.folder / 'digest.key'
        path.write_text(''.join(k.line() for k in keys))
        path.chmod(0o600)

    def configure(self, address=None, extra=''):
        address = address or f'127.0.0.1:{self.server.port}'
        self.conf.write_text(CONF.format(dir=self.folder, address=address, extra=extra))

    def check(self, raw=CARD, measure='bus.ride', *args, code=None):
        """The JSON answer of `check`; its exit code follows from the decision unless told."""
        run = harness.rcctl(self.conf, '--json', 'check', '--measure', measure, *args, stdin=raw + '\n')
        assert run.stderr == '', run.stderr
        answer = json.loads(run.stdout)
        assert run.returncode == (code if code is not None else answer['decision'] == 'deny')
        assert raw == '' or raw not in run.stdout
        return answer


@pytest.fixture
def desk(world):
    d = Desk(world)
    d.list.refill({f'card:{CARD}': [Order('CS-1', ('bus.ride', 'library.checkout'))]})
    return d


def test_denied_with_its_grounds(desk):
    answer = desk.check()
    assert (answer['decision'], answer['reason'], answer['list']) == ('deny', 'listed', 'credit')
    (order,) = answer['orders']
    want = Order('CS-1')
    assert order['order'] == 'CS-1' and order['decides'] and order['state'] == 'listed'
    assert order['measures'] == ['bus.ride', 'library.checkout'] and order['lifted'] == []
    assert (order['authority'], order['basis'], order['relevance']) == (want.authority, want.basis, want.relevance)
    assert order['contest'] == {'url': want.contest_url, 'phone': want.contest_phone}
    assert order['repair'] == {'url': want.repair_url} and order['effect'] == 'enforce'


def test_text(desk):
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin=CARD)
    assert run.returncode == 1
    assert run.stdout.startswith('bus.ride: would be denied (listed)\n')
    for part in ('order CS-1: decides', Order().authority, Order().basis, '12345', 'the list was true'):
        assert part in run.stdout, run.stdout
    assert CARD not in run.stdout
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin='8100000002\n')
    assert (run.returncode, run.stdout.split('\n')[0]) == (0, 'bus.ride: would pass (not_listed)')


def test_spellings_and_file(desk, tmp_path):
    for raw in (f' {CARD} ', f'00{CARD}', '８１０００００００１'):
        assert desk.check(raw)['reason'] == 'listed'
    path = tmp_path / 'id'
    path.write_text(CARD + '\nsecond line\n')
    assert desk.check('', 'bus.ride', '--file', str(path))['reason'] == 'listed'


@pytest.mark.parametrize('raw, args, reason', [
    ('', [], 'no_subject'), ('8100 000001', [], 'malformed'), ('x' * 300, [], 'malformed'), ('8100000002', [], 'not_listed'),
    (CARD, ['--scheme', 'patron'], 'not_listed'), ('110105194912310021', ['--scheme', 'cnid'], 'clear'),
])
def test_passes(desk, raw, args, reason):
    answer = desk.check(raw, 'bus.ride', *args)
    assert (answer['decision'], answer['reason'], answer['orders']) == ('pass', reason, [])


def test_other_measure(desk):
    answer = desk.check(CARD, 'metro.ride')
    assert (answer['reason'], answer['orders'][0]['state']) == ('other_measure', 'other_measure')


def test_every_order_is_shown(desk):
    now = int(time.time())
    desk.list.put(f'card:{CARD}', [Order('A-lifted', until=now + 9 * 86400 * 365), Order('B-seen', observe=True), Order('C-over', until=now - 5),
                                   Order('D-future', from_=now + 500), Order('E-objection'), Order('F-bites', until=now + 1000)])
    desk.list.lift('A-lifted', ['bus.ride'])
    desk.list.mark('E-objection')
    answer = desk.check()
    states = {o['order']: o['state'] for o in answer['orders']}
    assert states == {'A-lifted': 'lifted', 'C-over': 'not_in_force', 'D-future': 'not_in_force', 'E-objection': 'observe', 'F-bites': 'listed'}
    assert answer['observed'] == ['bus.ride']           # of B-seen the record has no more
    assert [o['order'] for o in answer['orders'] if o['decides']] == ['F-bites']
    objection = {o['order']: o['objection'] for o in answer['orders']}
    assert objection['E-objection'] and not objection['F-bites']
    desk.list.lift('F-bites')
    assert desk.check()['reason'] == 'observe'


def test_stays_are_shown(desk):
    """Of an order, of the person, of the holder whose order reaches the card."""
    until = int(time.time()) + 1000
    holder = desk.list.digest('cnid:11010519491231002X')
    desk.list.put(f'card:{CARD}', [Order('A'), Order('B', holder=holder, link_from=until - 5000)])
    desk.list.stay('A', until)
    answer = desk.check()
    assert (answer['decision'], [o['state'] for o in answer['orders']]) == ('deny', ['stayed', 'listed'])
    assert answer['orders'][0]['stay'] == jdschema.china_time(until) and 'stay' not in answer['orders'][1]
    assert answer['orders'][1]['link'] == {'from': jdschema.china_time(until - 5000)} and 'link' not in answer['orders'][0]
    desk.list.stay_subject(holder)
    answer = desk.check()
    assert (answer['reason'], [o['state'] for o in answer['orders']]) == ('stayed', ['stayed', 'stayed'])
    assert [o['stay'] for o in answer['orders']] == [jdschema.china_time(until), 'open']
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin=CARD)
    assert f'stayed     until {jdschema.china_time(until)}' in run.stdout and 'stayed     with no end' in run.stdout
    assert 'holder     of this card from' in run.stdout
    desk.list.stay_subject(holder, 0)
    desk.list.stay_subject(f'card:{CARD}', until)
    assert desk.check()['reason'] == 'stayed'
    desk.list.redis.hset(desk.list.name('stays'), desk.list.digest(f'card:{CARD}')[:8], 'soon')
    assert desk.check()['reason'] == 'unconfirmed'


def test_stale_and_clock(desk):
    now = int(time.time())
    desk.list.touch(verified_at=now - 4000)
    assert desk.check()['reason'] == 'stale'
    assert desk.check(CARD, 'bus.ride', '--max-stale', '5000')['reason'] == 'listed'
    desk.list.touch(office_at=now - 400)
    assert desk.check()['reason'] == 'clock'


def test_a_dead_daemons_office_clock_goes_on(desk):
    now = int(time.time())
    desk.list.touch(verified_at=now - 1000, office_at=now - 900, beat=now - 900)
    assert desk.check()['reason'] == 'listed'


def test_forged_record(desk):
    digest = desk.list.digest(f'card:{CARD}')
    record = bytearray(desk.redis.hget(desk.list.bucket(digest), digest))
    record[-1] ^= 1
    desk.list.put_raw(digest, bytes(record))
    answer = desk.check()
    assert (answer['decision'], answer['reason']) == ('pass', 'unconfirmed') and 'MAC' in answer['why']
    desk.list.put_raw(digest, b'\1\1garbage')
    assert desk.check()['reason'] == 'unconfirmed'


def test_relief_that_cannot_be_read(desk):
    desk.redis.hset(desk.list.name('relief'), 'CS-1', 'lifted')
    assert desk.check()['reason'] == 'unconfirmed'


def test_list_of_another_key_schema_or_none(desk):
    desk.key(jdschema.Key('k2', bytes(range(1, 17))))
    assert desk.check()['reason'] == 'unready'
    desk.key(jdschema.Key('k2', bytes(range(1, 17))), desk.list.key)
    assert desk.check()['reason'] == 'listed'
    desk.list.meta(schema=2)
    assert 'schema 2' in desk.check()['why']
    desk.redis.flushall()
    assert desk.check()['reason'] == 'unready'


def test_with_a_password_over_a_socket(world):
    desk = Desk(world)
    desk.list.refill({f'card:{CARD}': [Order()]})
    desk.redis.execute_command('ACL', 'SETUSER', 'desk', 'on', '>secret', '~jd:{credit}:*', '+@read', '+eval_ro')
    desk.redis.execute_command('ACL', 'SETUSER', 'default', 'off')
    auth = desk.folder / 'auth'
    auth.write_text('desk secret\n')
    auth.chmod(0o600)
    desk.configure(f'unix:{desk.server.sock}', f'auth_file = {auth}')
    assert desk.check()['reason'] == 'listed'
    auth.write_text('desk wrong\n')
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin=CARD)
    assert run.returncode == 3 and 'WRONGPASS' in run.stderr and 'wrong' not in run.stderr.replace('WRONGPASS', '')


def test_redis_down_or_hanging(desk):
    desk.server.hang()
    begun = time.monotonic()
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin=CARD)
    assert run.returncode == 3 and run.stdout == '' and time.monotonic() - begun < 5
    desk.server.go_on()
    desk.server.stop()
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin=CARD)
    assert run.returncode == 3 and 'Connection refused' in run.stderr


@pytest.mark.parametrize('args, word', [
    (['check'], '--measure'), (['check', '--measure', 'bus.rid'], 'bus.ride metro.ride'), (['check', '--measure', 'bus.ride', CARD], 'unexpected argument'),
    (['check', '--measure', 'bus.ride', '--scheme', 'bank'], 'cnid uscc'), (['check', '--measure'], 'needs a value'),
    (['check', '--measure', 'bus.ride', '--max-stale', '1h'], 'seconds'), (['check', '--measure', 'bus.ride', '--file', '/nonexistent'], 'No such file'),
    (['check', '--wrong'], 'unknown option'), (['fly'], 'unknown command'), ([], 'no command'), (['import'], 'FILE'), (['approve', 'abc1234'], 'first 8 digits'), (['approve', '--first'], 'a hash'),
    (['approve', '0123456789', '--epoch', '1'], 'a hash'), (['approve', '--reject', 'x'], 'not a hash'),
    (['approve', '--epoch', '65536'], '65535'), (['approve', '--epoch=x'], '65535'), (['status', '--json=1'], 'takes no value'),
    (['import', '/nonexistent'], 'No such file'), (['import', '/dev/null', '--format', 'xml'], 'ndjson'),
])
def test_usage(desk, args, word):
    run = harness.rcctl(desk.conf, *args, stdin='')
    assert run.returncode == 2 and word in run.stderr and run.stdout == '', run


def test_configuration_errors(desk, tmp_path):
    run = harness.rcctl(tmp_path / 'none.conf', 'status')
    assert run.returncode == 2 and 'none.conf' in run.stderr
    os.chmod(desk.folder / 'digest.key', 0o644)
    run = harness.rcctl(desk.conf, 'status')
    assert run.returncode == 2 and 'digest.key' in run.stderr


def test_help_and_version(desk):
    run = harness.rcctl(desk.conf, '--help')
    assert run.returncode == 0 and 'Exit codes' in run.stdout
    manual = (harness.TOP / 'restrict-cache' / 'rcctl.md').read_text()
    for name in ('status', 'check', 'orders', 'quarantine', 'import', 'approve', 'watch'):
        assert f'\n  {name}' in run.stdout
        one = harness.rcctl(desk.conf, name, '--help')
        assert f'\n## `rcctl {name}' in manual
        assert one.returncode == 0 and name in one.stdout and 'Exit codes' in one.stdout
    run = harness.rcctl(desk.conf, '--version')
    assert run.returncode == 0 and run.stdout.startswith('rcctl ')


def test_each_use_leaves_a_note_that_says_who_and_never_about_whom(desk):
    for raw in (CARD, '8100000002', ''):
        desk.check(raw)
    notes = [p for p in (desk.folder / 'state' / 'inbox').iterdir()]
    assert len(notes) == 3
    for p in notes:
        note = json.loads(p.read_text())
        assert set(note) == {'cmd', 'kind', 'unanswered', 'user'} and note['kind'] == 'check' and note['user']
        assert p.stat().st_mode & 0o777 == 0o600


def test_without_a_place_for_the_note_it_answers_and_says_so(desk):
    (desk.folder / 'state' / 'inbox').rmdir()
    run = harness.rcctl(desk.conf, 'check', '--measure', 'bus.ride', stdin=CARD + '\n')
    assert run.returncode == 1 and 'would be denied' in run.stdout
    assert 'it is not noted in the audit chain that check was used' in run.stderr
