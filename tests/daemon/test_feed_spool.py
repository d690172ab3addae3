"""Commands by files: inbox to the daemon, outbox back."""
import json
import os
import time

from fake_office import record
from harness import wait_for


def command(feed, name='c1.json', **body):
    path = feed.state / 'inbox' / (name + '.tmp')
    path.write_text(json.dumps({'user': 'operator', **body}))
    path.rename(feed.state / 'inbox' / name)
    answer = feed.state / 'outbox' / name

    def done():
        if not answer.exists():
            return None
        a = json.loads(answer.read_text())
        return a if a['state'] == 'done' else None
    a = wait_for(done, 15)
    answer.unlink()
    assert not (feed.state / 'inbox' / name).exists()
    return a


def test_an_unsigned_import_only_observes(feed):
    lines = [json.dumps(record('U-1')), json.dumps(record('U-2', card='2', basis=None))]
    (feed.state / 'inbox' / 'file1').write_text('\n'.join(lines) + '\n')
    a = command(feed, cmd='import', file='file1', signed=False)
    assert a == {'state': 'done', 'ok': True, 'applied': 1, 'quarantined': 1, 'unchanged': 0}, a
    assert not (feed.state / 'inbox' / 'file1').exists()
    wait_for(lambda: feed.observed() == 1, why='bus.ride is observed')
    assert feed.orders() == {}
    feed.log_has('import of an unsigned file by operator')


def test_a_signed_import_is_a_snapshot(feed):
    o = feed.office
    o.publish(record('CS-1'), send=False)
    data = o.ndjson()
    text = o.statement(data, records={'href': ''})
    (feed.state / 'inbox' / 'file1').write_bytes(text.encode() + b'\n' + data)
    a = command(feed, cmd='import', file='file1', signed=True)
    assert a['ok'] and a['applied'] == 1, a
    feed.wait_orders(['CS-1'])
    assert feed.observed() == 0


def test_a_signed_import_with_changed_bytes_is_refused(feed):
    o = feed.office
    o.orders['CS-1'] = record('CS-1')
    data = o.ndjson()
    good = o.statement(data, records={'href': ''}).encode()
    for content, word in ((good + b'\n' + data.replace(b'3401005512', b'3401005513'), 'hash'),
                          (good + b'\n' + data + data, 'size'), (data, 'JWS'), (good, 'JWS'),
                          (o.sign(o.claims(records={}), 'jd-snapshot+jwt', spoil=True).encode() + b'\n', 'signature')):
        (feed.state / 'inbox' / 'file1').write_bytes(content)
        a = command(feed, cmd='import', file='file1', signed=True)
        assert not a['ok'] and word in a['error'], a
    assert feed.orders() == {} and feed.orders('3401005513') == {}


def test_an_epoch_is_approved_and_its_snapshot_fetched(feed):
    o = feed.office
    o.publish(record('CS-1'))
    o.publish(record('CS-2', card='2'))
    feed.wait_orders(['CS-1'])
    feed.wait_orders(['CS-2'], card='2')
    with o.news:                                     # the office is restored from a backup
        o.epoch, o.seq, o.relief_seq = 2, 1, 0
        del o.orders['CS-2']
    s = feed.no_contact_for(2)
    assert 'epoch' in s['contact']['fault'] and set(feed.orders('2')) == {'CS-2'}
    a = command(feed, cmd='approve-epoch', epoch=2)
    assert a == {'state': 'done', 'ok': True}
    feed.wait_status(lambda s: s['marks']['epoch'] == 2, 20)
    feed.wait_orders([], card='2')
    feed.wait_contact()
    assert not command(feed, cmd='approve-epoch', epoch=1)['ok']


def test_commands_that_are_none(feed):
    for body, word in (({'cmd': 'dance'}, 'unknown command'), ({'cmd': 'approve-epoch'}, 'epoch'),
                       ({'cmd': 'approve-epoch', 'epoch': 70000}, 'epoch'),
                       ({'cmd': 'import', 'file': '../journal.db', 'signed': False}, 'file'),
                       ({'cmd': 'import', 'file': 'absent', 'signed': False}, 'regular file')):
        a = command(feed, **body)
        assert a['ok'] is False and word in a['error'], a
    (feed.state / 'inbox' / 'link').symlink_to('/etc/passwd')
    assert 'regular file' in command(feed, cmd='import', file='link', signed=False)['error']


def test_what_a_killed_daemon_left_is_answered(feed):
    feed.daemon.kill()
    (feed.state / 'outbox' / 'c7.json').write_text('{"state":"running","done":1,"total":9}')
    feed.start().wait_contact()
    a = json.loads((feed.state / 'outbox' / 'c7.json').read_text())
    assert a['state'] == 'done' and not a['ok'] and 'try again' in a['error']


def test_records_without_a_command_do_not_stay(feed):
    """A killed rcctl leaves its copy of a file, with identifiers; one that is still being written stays."""
    inbox = feed.state / 'inbox'
    for name in ('.0011', '0011', '.0022.json'):
        (inbox / name).write_text(json.dumps(record('U-1')))
        os.utime(inbox / name, (time.time() - 61,) * 2)
    (inbox / '.0033').write_text(json.dumps(record('U-2')))
    wait_for(lambda: [p.name for p in inbox.iterdir()] == ['.0033'], why='leftovers')
