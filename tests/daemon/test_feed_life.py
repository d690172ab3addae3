"""Start, reload, silence, SIGKILL, end: what survives and what is said."""
import random
import resource
import signal
import subprocess
import time

import harness
import jdschema
import pytest
from fake_office import record
from harness import BIN, wait_for


def test_the_office_falls_silent_and_comes_back(feed):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    o.stop()
    s = feed.no_contact_for(3)
    assert s['lanes']['relief']['state'] == s['lanes']['changes']['state'] == 'waiting'
    assert s['contact']['age_sec'] >= 3
    beat = int(feed.meta()['beat'])
    assert set(feed.orders()) == {'CS-1'} and time.time() - beat < 5      # Redis is kept alive
    o.start_again()
    jti = o.lift('CS-1')
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(jti)
    feed.wait_contact()


def test_a_head_that_is_old_or_of_the_future_is_no_contact(feed):
    o = feed.office
    now = int(time.time())
    for iat, word in ((now - 100, 'head'), (now + 400, 'ahead')):
        o.head = lambda i=iat: o.sign(o.claims(iat=i, exp=now + 9999), 'jd-head+jwt')
        s = feed.no_contact_for(2)
        assert word in s['contact']['fault'] or s['contact']['fault'], s['contact']
    del o.head
    feed.wait_contact()


def test_heads_come_by_get_when_polls_carry_none(make_feed):
    feed = make_feed()
    feed.office.heads = False
    feed.start().wait_status(lambda s: s['contact']['verified_at'] > 0, why='contact')
    assert ('GET', '/v1/head') in feed.office.requests


@pytest.mark.parametrize('seed', range(4))
def test_killed_at_any_point_it_resumes(make_feed, seed):
    """SIGKILL at random moments while orders and lifts stream in: at the end Redis holds what the office holds,
    and nothing was acknowledged that a later daemon does not know."""
    rnd = random.Random(seed)
    feed = make_feed(growth='10% 200')               # 150 orders in a burst are usual here
    o = feed.office
    feed.start()
    feed.wait_status(lambda s: True)
    jtis = []
    for round_ in range(5):
        for n in range(30):
            number = f'CS-{round_}-{n}'
            jtis.append(o.publish(record(number, card=f'{round_:04}{n:04}')))
            if rnd.random() < 0.3:
                jtis.append(o.lift(number))
        time.sleep(rnd.random() * 0.3)
        feed.daemon.kill()
        feed.start()
    feed.wait_acked(*jtis, seconds=30)
    live = set(o.orders)
    lifted = {f'CS-{r}-{n}' for r in range(5) for n in range(30)} - live
    for number in lifted:
        feed.wait_relief(number, 'lffff o0')
    feed.wait_contact()

    def in_force():
        found = set()
        for r in range(5):
            for n in range(30):
                found |= {k for k in feed.orders(f'{r:04}{n:04}') if feed.relief(k) != 'lffff o0'}
        return found == live
    wait_for(in_force, 15, every=0.3, why=lambda: 'Redis does not hold what the office holds')


def test_killed_while_a_snapshot_is_applied(make_feed):
    feed = make_feed(expected=5000)
    o = feed.office
    with o.news:
        o.orders = {f'N-{n}': record(f'N-{n}', card=f'{n:08}') for n in range(5000)}
        o.seq = 5000
    for delay in (0.2, 0.5, 0.9, 1.4):
        feed.start(approve=False)
        time.sleep(delay)
        feed.daemon.kill()
    assert not list(feed.state.glob('records.*'))
    feed.start()
    harness.approve_list(feed.conf, 60)
    wait_for(lambda: feed.count() == 5000, 60, why=lambda: feed.count())
    feed.wait_contact()


def test_redis_down_does_not_stop_relief(feed):
    """A lift is journaled and acknowledged while Redis is away, and is the first thing Redis gets."""
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    feed.redis_server.stop()
    feed.wait_status(lambda s: s['redis']['state'] == 'down', 20)
    jti = o.lift('CS-1')
    feed.wait_acked(jti)
    feed.redis_server.start()
    feed.wait_relief('CS-1', 'lffff o0', 30)


def test_a_full_disk_acknowledges_nothing_and_relief_goes_out(feed):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    _, hard = resource.prlimit(feed.daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(feed.daemon.pid, resource.RLIMIT_FSIZE, (4096, hard))
    jti = o.lift('CS-1')
    feed.wait_relief('CS-1', 'lffff o0')
    s = feed.wait_status(lambda s: s['lanes']['relief']['state'] == 'standing')
    assert 'journal cannot be written' in s['lanes']['relief']['fault'] and jti not in o.acked
    feed.no_contact_for(2)
    resource.prlimit(feed.daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    feed.wait_acked(jti)
    feed.wait_contact()


def test_a_standby_takes_no_tokens(make_feed, feed):
    """A second daemon on the same Redis, with a journal of its own: an acknowledgement there would rob the first."""
    second = make_feed(office=None, redis=feed.redis_server)
    second.start(approve=False)
    s = second.wait_status(lambda s: s['redis']['state'] == 'standby')
    assert s['standby']
    time.sleep(1)
    polls = len(second.office.requests)
    second.office.lift('CS-5')
    time.sleep(1.5)
    assert len(second.office.requests) == polls and second.office.acked == []
    feed.daemon.kill()
    jti = next(iter(second.office.queue['relief']))
    second.wait_acked(jti, seconds=20)               # takes over
    second.wait_relief('CS-5', 'lffff o0')


def test_a_bad_reload_keeps_the_old_configuration(feed):
    o = feed.office
    feed.configure(extra='[bogus]\n')
    feed.daemon.signal(signal.SIGHUP)
    line = len(feed.text().splitlines()) + 1
    s = feed.wait_status(lambda s: s['reload_fault'] != '')
    assert s['reload_fault'] == f'{feed.conf}:{line}: unknown section [bogus]'
    feed.log_has('the old configuration stays')
    jti = o.lift('CS-1')
    feed.wait_acked(jti)
    feed.configure()
    feed.daemon.signal(signal.SIGHUP)
    feed.wait_status(lambda s: s['reload_fault'] == '')
    feed.log_has('configuration reloaded')
    feed.wait_contact()


def test_list_and_state_change_by_a_restart_only(feed):
    feed.configure(list='other')
    feed.daemon.signal(signal.SIGHUP)
    s = feed.wait_status(lambda s: s['reload_fault'] != '')
    assert 'restart' in s['reload_fault']


def test_a_new_digest_key_is_a_new_era_from_a_fresh_snapshot(feed):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    era = int(feed.meta()['era'])
    fresh = jdschema.Key('d2', bytes(range(100, 116)))
    feed.secret(feed.key_file, fresh.line())
    feed.daemon.signal(signal.SIGHUP)
    feed.log_has('the digest key changes from d1 to d2')
    feed.wait_orders(['CS-1'], key=fresh)
    assert int(feed.meta()['era']) > era and feed.meta()['key'] == 'd2'
    feed.wait_status(lambda s: s['key_id'] == 'd2')


def test_a_log_file_is_reopened(make_feed):
    feed = make_feed()
    log = feed.folder / 'jd-daemon.txt'
    feed.conf.write_text(feed.text().replace('[log]\n', f'[log]\nfile = {log}\n'))
    feed.start().wait_contact()
    log.rename(log.with_suffix('.old'))
    feed.daemon.signal(signal.SIGUSR1)
    wait_for(log.exists)
    feed.daemon.signal(signal.SIGTERM)
    wait_for(lambda: not feed.daemon.alive())
    assert 'begins' in log.with_suffix('.old').read_text() and 'ends' in log.read_text()


@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(feed, sig):
    assert feed.daemon.stop(sig, seconds=5) == 0
    assert 'restrict-cached ends' in feed.daemon.log()


def test_one_daemon_per_state_directory(feed, world):
    second = world.proc(feed.daemon.args, 'second')
    wait_for(lambda: not second.alive())
    assert second.p.returncode == 1 and 'another restrict-cached' in second.log()
    second.p = None


def test_check_tells_what_is_enabled(make_feed):
    feed = make_feed()
    p = feed.check()
    assert p.returncode == 0 and p.stderr == '', p
    assert 'measure bus.ride enabled: legal source "Measures on public transport of the test city, article 12"; ' \
           'longest term 365 days; authorities: "Haicheng Transport Bureau"' in p.stdout
    assert 'ferry.ride' not in p.stdout and not feed.state.exists()
    feed.measures = ()
    feed.configure()
    assert 'no measure is enabled' in feed.check().stdout


@pytest.mark.parametrize('args, code, words', [
    (['--version'], 0, 'restrict-cached '), (['--help'], 0, 'usage: '), (['-x'], 2, 'usage: '), (['extra'], 2, 'usage: '),
    (['-c', '/nonexistent'], 2, '/nonexistent: No such file'),
])
def test_options(args, code, words):
    p = subprocess.run([BIN / 'restrict-cached', *args], text=True, capture_output=True, timeout=20)
    assert p.returncode == code and words in (p.stdout if code == 0 else p.stderr)


def break_file(feed, what):
    if what == 'key readable':
        feed.key_file.chmod(0o644)
    elif what == 'token readable':
        feed.token_file.chmod(0o604)
    elif what == 'token two lines':
        feed.secret(feed.token_file, 'a\nX-Evil: 1\n')
    elif what == 'jwks':
        feed.jwks_file.write_text('{"keys":[]}')
    elif what == 'ca':
        feed.configure(ca_file=feed.jwks_file)
    elif what == 'no key':
        feed.key_file.unlink()
    elif what == 'client key':
        cert, _ = feed.office.ca.issue(feed.folder, 'a')
        _, key = feed.office.ca.issue(feed.folder, 'b')
        feed.configure(auth=f'client_cert = {cert}\nclient_key = {key}')
    elif what == 'http':
        feed.configure(base='http://127.0.0.1:1/v1')


@pytest.mark.parametrize('what, words', [
    ('key readable', 'digest.key: others may read this secret; chmod o= it'),
    ('token readable', 'office.token: others may read this secret'),
    ('token two lines', 'office.token: must hold one bearer token'),
    ('jwks', 'office.jwks: "keys" must be an array of 1 to 16 keys'),
    ('ca', 'office.jwks: holds no PEM certificate'),
    ('no key', 'digest.key: No such file'),
    ('client key', 'not the key of'),
    ('http', ':8: base must be https://'),
])
def test_check_refuses(make_feed, what, words):
    feed = make_feed()
    break_file(feed, what)
    p = feed.check()
    assert p.returncode == 2 and p.stdout == '' and words in p.stderr, p
    assert p.stderr.count('\n') == 1 and p.stderr.startswith(f'restrict-cached: {feed.conf}:')


def test_secrets_are_not_in_argv_or_log(feed):
    from fake_office import TOKEN
    with open(f'/proc/{feed.daemon.pid}/cmdline', 'rb') as f:
        assert f.read().split(b'\0')[1:3] == [b'-c', str(feed.conf).encode()]
    assert TOKEN not in feed.daemon.log() and bytes(range(16)).hex() not in feed.daemon.log()
