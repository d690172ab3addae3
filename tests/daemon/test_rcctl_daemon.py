"""rcctl beside a running daemon: status, orders, quarantine, import, approve, watch."""
import json
import os
import signal
import subprocess
import time

import pytest

import harness
from fake_office import record
from harness import wait_for


def rcctl(feed, *args, code=0, **kw):
    run = harness.rcctl(feed.conf, *args, **kw)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return run


def answer(feed, *args, code=0):
    return json.loads(rcctl(feed, '--json', *args, code=code).stdout)


def wait_well(feed):
    def well():
        run = harness.rcctl(feed.conf, '--json', 'status')
        return run.returncode == 0 and json.loads(run.stdout)
    return wait_for(well, 15, every=0.1, why='rcctl status says all is well')


# ---- status -----------------------------------------------------------------------------------

def test_all_is_well(feed):
    s = wait_well(feed)
    assert s['ok'] and s['faults'] == [] and s['daemon_running'] and s['redis']['schema'] == 1
    assert s['daemon']['redis']['state'] == 'ready'
    text = rcctl(feed, 'status').stdout
    assert 'all is well' in text and 'running' in text and 'WRONG' not in text


def test_daemon_gone(feed):
    wait_well(feed)
    feed.daemon.stop()
    run = wait_for(lambda: (r := harness.rcctl(feed.conf, 'status')).returncode == 3 and r, 15, every=0.2)
    assert 'WRONG: the daemon does not run' in run.stdout and 'DO: start restrict-cached' in run.stdout
    assert not json.loads(harness.rcctl(feed.conf, '--json', 'status').stdout)['daemon_running']


def test_never_started(make_feed):
    feed = make_feed()
    run = rcctl(feed, 'status', code=3)
    assert 'no word of the daemon' in run.stdout and 'Redis holds no list' in run.stdout
    assert rcctl(feed, 'orders', code=3).stderr.startswith('rcctl: ')
    assert 'does not run' in rcctl(feed, 'approve', '--epoch', 1, code=3).stderr


def test_redis_gone(feed):
    wait_well(feed)
    feed.redis_server.stop()
    run = rcctl(feed, 'status', code=3)
    assert 'WRONG: Redis at 127.0.0.1' in run.stdout


def broken_from_now_on(office):
    """Every poll after the ones that are open is answered 500."""
    office.fault['relief'] = office.fault['changes'] = lambda h: h.reply(500) or True
    office.publish(record('CS-wake-1'))
    office.lift('CS-wake-2')


def test_broken_office(feed):
    wait_well(feed)
    broken_from_now_on(feed.office)
    faults = wait_for(lambda: json.loads(harness.rcctl(feed.conf, '--json', 'status').stdout)['faults'], 15, every=0.2)
    assert any('lane does not move' in f['what'] for f in faults), faults
    assert all(f['do'] for f in faults)


def test_unknown_key_id(feed):
    wait_well(feed)
    from fake_office import SigningKey
    feed.office.lift('CS-1', key=SigningKey('stranger'))

    def told():
        run = harness.rcctl(feed.conf, 'status')
        return run.returncode == 5 and 'key stranger' in run.stdout and 'jwks_file' in run.stdout
    wait_for(told, 15, every=0.2, why='status names the key')


# ---- orders and quarantine --------------------------------------------------------------------

def test_orders(feed):
    o = feed.office
    o.publish(record('CS-1'))
    o.publish(record('CS-2', card='5', measures=('bus.ride', 'metro.ride')))
    o.publish(record('CS-3', card='6', effect='observe'))
    feed.wait_orders(['CS-1'])
    wait_for(lambda: len(answer(feed, 'orders')['orders']) == 3, 10, every=0.1)
    o.lift('CS-2', ['metro.ride'])
    o.lift('CS-3')
    feed.wait_relief('CS-3', 'lffff o0')
    by_number = {x['order']: x for x in answer(feed, 'orders')['orders']}
    assert by_number['CS-1']['state'] == 'active' and by_number['CS-3']['state'] == 'lifted'
    assert by_number['CS-2']['lifted'] == ['metro.ride'] and by_number['CS-2']['measures'] == ['bus.ride', 'metro.ride']
    assert by_number['CS-1']['authority'] == 'Haicheng Transport Bureau' and by_number['CS-1']['basis']
    assert [x['order'] for x in answer(feed, 'orders', '--active')['orders']] == ['CS-1', 'CS-2']
    assert [x['order'] for x in answer(feed, 'orders', '--order', 'CS-2')['orders']] == ['CS-2']
    assert len(answer(feed, 'orders', '--authority', 'Haicheng Transport Bureau')['orders']) == 3
    assert answer(feed, 'orders', '--authority', 'Nobody', code=1)['orders'] == []
    assert 'no such order' in rcctl(feed, 'orders', '--order', 'CS-9', code=1).stdout
    text = rcctl(feed, 'orders').stdout
    assert 'order CS-1: active' in text and 'lifted     metro.ride' in text and 'the whole order' in text
    everything = text + rcctl(feed, '--json', 'orders').stdout
    assert '3401005512' not in everything
    feed.daemon.stop()
    assert len(answer(feed, 'orders')['orders']) == 3          # the journal is enough


def test_quarantine(feed):
    assert 'nothing is in quarantine' in rcctl(feed, 'quarantine').stdout
    feed.office.publish(record('CS-7', basis=''))
    entries = wait_for(lambda: answer(feed, 'quarantine')['quarantine'], 15, every=0.1)
    assert [(e['order'], e['code']) for e in entries] == [('CS-7', 'jd_no_basis')] and 'basis' in entries[0]['why']
    text = rcctl(feed, 'quarantine').stdout
    assert 'order CS-7: jd_no_basis' in text and '3401005512' not in text


# ---- import and approve -----------------------------------------------------------------------

def nothing_left(feed):
    return [p.name for box in ('inbox', 'outbox') for p in (feed.state / box).iterdir()] == []


def test_import_unsigned(feed, tmp_path):
    path = tmp_path / 'orders.ndjson'
    path.write_text('\n'.join(json.dumps(r) for r in (record('U-1'), record('U-2', card='2', basis=None))) + '\n')
    run = rcctl(feed, 'import', path)
    assert run.stdout.startswith('imported as observe-only: 1 written, 0 unchanged, 1 in quarantine\n')
    wait_for(lambda: feed.observed() == 1, why='bus.ride is observed')
    assert feed.orders() == {}
    again = answer(feed, 'import', path)
    assert again['ok'] and again['unchanged'] == 1
    assert nothing_left(feed) and '3401005512' not in feed.daemon.log()


def test_import_signed(feed, tmp_path):
    o = feed.office
    o.publish(record('CS-1'), send=False)
    data = o.ndjson()
    good = o.statement(data, records={'href': ''}).encode()
    path = tmp_path / 'signed'
    path.write_bytes(good + b'\n' + data)
    assert rcctl(feed, 'import', path).stdout.startswith('imported as a signed snapshot: 1 written')
    feed.wait_orders(['CS-1'])
    assert feed.observed() == 0
    path.write_bytes(good + b'\n' + data.replace(b'3401005512', b'3401005513'))
    run = rcctl(feed, 'import', path, code=4)
    assert 'refused: ' in run.stderr and 'hash' in run.stderr
    assert answer(feed, 'import', path, code=4)['ok'] is False
    assert feed.orders('3401005513') == {} and nothing_left(feed)


HEADER = 'order,scheme,id,measures,authority,basis,served,from,until,contest_url,contest_phone,contest_deadline,repair_url\r\n'


def row(number, card, **more):
    r = record(number, card=card)
    cells = {'order': number, 'scheme': 'card', 'id': card, 'measures': 'bus.ride metro.ride', 'authority': r['authority'], 'basis': 'Measures, "article" 12',
             'served': r['served'], 'from': r['from'], 'until': r['until'], 'contest_url': 'https://x.example/c', 'contest_phone': '', 'contest_deadline': '2027-01-15',
             'repair_url': '', **more}
    return ','.join('"' + cells[c.strip()].replace('"', '""') + '"' if set(cells[c.strip()]) & set(',"\n') else cells[c.strip()]
                    for c in HEADER.split(',')) + '\r\n'


def test_import_csv(feed, tmp_path):
    path = tmp_path / 'orders.csv'
    path.write_bytes(b'\xef\xbb\xbf' + (HEADER + row('C-1', '3401005512') + '\r\n' + row('C-2', '8', authority='Nobody')).encode())
    run = rcctl(feed, 'import', path)
    assert '1 written, 0 unchanged, 1 in quarantine' in run.stdout, run.stdout
    wait_for(lambda: feed.observed() == 3, why='bus.ride and metro.ride are observed')
    assert feed.orders() == {}
    (shown,) = answer(feed, 'orders', '--order', 'C-1')['orders']
    assert shown['basis'] == 'Measures, "article" 12' and shown['effect'] == 'observe' and shown['imported']
    assert shown['contest'] == {'url': 'https://x.example/c', 'deadline': '2027-01-15'}


@pytest.mark.parametrize('text, word', [
    ('', 'line 1: the file is empty'), ('order,scheme,wrong\n', 'line 1: column 3 is not'), ('order,order\n', 'line 1: column 2 is there twice'),
    ('order,id\nA,1\nB\n', 'line 3: as many cells'), ('order,id\nA,1,2\n', 'line 2: as many'), ('order,id\n"A,1\n', 'line 2: a quote is not closed'),
    ('order,id\n"A"x,1\n', 'line 2: text behind'), ('order,id\nA"x,1\n', 'line 2: a quote inside'), ('order,id\nA\0,1\n', 'line 2: a NUL'),
    ('order,id\nA\rB,1\n', 'line 2: a carriage return'), ('order,id\n' + 'A' * 2049 + ',1\n', 'longer than 2048'), ('order,id\n"a\nb",1\nC\n', 'line 4: as many'),
])
def test_csv_refused(feed, tmp_path, text, word):
    path = tmp_path / 'orders.txt'
    path.write_text(text, newline='')
    run = rcctl(feed, 'import', path, '--format', 'csv', code=2)
    assert word in run.stderr and nothing_left(feed)


def test_import_without_a_daemon(feed, tmp_path):
    path = tmp_path / 'orders.ndjson'
    path.write_text(json.dumps(record('U-1')) + '\n')
    feed.daemon.stop()
    wait_for(lambda: harness.rcctl(feed.conf, 'import', path).returncode == 3, 15, every=0.2)
    assert nothing_left(feed)


def test_a_hanging_daemon_is_not_waited_for(feed, tmp_path):
    path = tmp_path / 'orders.ndjson'
    path.write_text(json.dumps(record('U-1')) + '\n')
    feed.daemon.signal(signal.SIGSTOP)
    try:
        run = rcctl(feed, 'import', path, code=3)
    finally:
        feed.daemon.signal(signal.SIGCONT)
    assert 'does not run' in run.stderr and nothing_left(feed)


def test_approve(feed):
    assert 'epoch 2 is approved' in rcctl(feed, 'approve', '--epoch', 2).stdout
    assert feed.log_has('epoch 2 approved by')
    assert 'refused: ' in rcctl(feed, 'approve', '--epoch', 0, code=4).stderr
    assert answer(feed, 'approve', '--epoch', '0', code=4)['ok'] is False
    assert nothing_left(feed)


# ---- watch ------------------------------------------------------------------------------------

class Watch:
    def __init__(self, feed, *args):
        self.path = feed.folder / 'watch.out'
        self.out = open(self.path, 'wb')
        self.p = subprocess.Popen([harness.BIN / 'rcctl', '-c', feed.conf, *args, 'watch'], stdout=self.out, stderr=self.out,
                                  env={**os.environ, **harness.SAN_ENV})

    def text(self):
        return self.path.read_text()

    def sees(self, *words, seconds=15):
        wait_for(lambda: any(all(w in line for w in words) for line in self.text().splitlines()), seconds,
                 why=f'{words} in:\n{self.text()}')

    def end(self):
        self.p.send_signal(signal.SIGINT)
        code = self.p.wait(10)
        self.out.close()
        return code


def test_watch(feed):
    w = Watch(feed)
    try:
        w.sees('daemon', 'running')
        w.sees('link', 'ready')
        w.sees('list', 'era ')
        feed.office.publish(record('CS-1'))
        w.sees('stream', '1 put, 0 removed')
        broken_from_now_on(feed.office)
        w.sees('relief', 'waiting: ')
        feed.redis_server.stop()
        w.sees('list', 'Redis')
        feed.daemon.stop()
        w.sees('daemon', 'not running')
    finally:
        code = w.end()
    assert code == 0
    lines = w.text().splitlines()
    assert sum(' daemon ' in line and 'not running' not in line for line in lines) == 1, 'one line for each change'
    assert '3401005512' not in w.text()


def test_watch_json(feed):
    w = Watch(feed, '--json')
    try:
        w.sees('"what":"list"')
        feed.office.publish(record('CS-1'))
        w.sees('"what":"stream"')
    finally:
        assert w.end() == 0
    lines = [json.loads(line) for line in w.text().splitlines()]
    assert {line['what'] for line in lines} >= {'daemon', 'contact', 'relief', 'changes', 'snapshot', 'fork', 'link', 'list', 'stream'}
    assert sum(line.get('put', 0) for line in lines) == 1 and all(abs(line['at'] - time.time()) < 60 for line in lines)
