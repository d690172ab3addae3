"""rcctl audit verify: every way to tamper with a chain, found and named. The chains are written in Python, by the README."""
import json

import pytest
from auditworld import AUD, ISS, Chain, SigningKey, claims_of, jws, line_of, rcctl, read, sample

@pytest.fixture
def chain(world):
    c = sample()
    c.folder = world.dir('chain')
    c.file = c.folder / 'audit.log'
    c.keys = c.folder / 'operator.jwk'
    c.keys.write_text(json.dumps(c.operator.jwk()))
    c.jwks = c.folder / 'office.jwks'
    c.jwks.write_text(json.dumps({'keys': [c.office.jwk()]}))
    return c


def verify(c, lines, *more, receipts=True, keys=True, code=None):
    c.file.write_bytes(b''.join(line + b'\n' for line in lines) if isinstance(lines, list) else lines)
    args = ['--json', 'audit', 'verify', '--file', c.file, *more]
    args += ['--keys', c.keys] if keys else []
    args += ['--receipts', '--office-keys', c.jwks] if receipts else []
    p = rcctl(*args)
    assert p.returncode == (code if code is not None else p.returncode) and p.returncode in (0, 1), p
    answer = json.loads(p.stdout)
    assert answer['whole'] == (p.returncode == 0), p
    return answer


def broken(c, lines, what, n, *more, **kw):
    a = verify(c, lines, *more, code=1, **kw)
    assert (a['damage']['what'], a['damage']['n']) == (what, n), a
    return a


def n_of(c, kind, which=0):
    return [i + 1 for i, r in enumerate(c.records) if r['kind'] == kind][which]


def test_a_whole_chain(chain):
    lines = chain.make()
    a = verify(chain, lines, code=0)
    assert a['records'] == len(lines) and len(read(chain.file)) == len(lines)
    assert a['checkpoints'] == {'count': 4, 'n': n_of(chain, 'checkpoint', -1) - 1, 'at': chain.at, 'kid': 'operator',
                                'verified': True}
    last = n_of(chain, 'receipt', -1)
    assert a['receipts']['count'] == 2 and a['receipts']['batch'] == chain.records[last - 1]['batch']
    assert a['certain'] == a['receipts']['n'] and a['behind'] == len(lines) - a['certain']
    text = rcctl('audit', 'verify', '--file', chain.file, '--keys', chain.keys, '--receipts', '--office-keys', chain.jwks)
    assert text.returncode == 0 and f'certain     up to record {a["certain"]}' in text.stdout, text
    assert f'{a["behind"]} records lie behind it' in text.stdout


AT = 7                                            # the record tampered with
BYTES = [
    ('a digit of n', b'"n":7', b'"n":8'), ('n without quotes gone', b'{"n":7,', b'{"n":07,'),
    ('a digit of at', b'"at":1', b'"at":2'), ('at negative', b'"at":', b'"at":-'),
    ('a letter of kind', b'"kind":"order.applied"', b'"kind":"order.amended"'),
    ('kind in upper case', b'"kind":"order', b'"kind":"Order'), ('kind gone', b'"kind":"order.applied",', b''),
    ('the order', b'"CS-5"', b'"CS-6"'), ('a number', b'"until":2', b'"until":3'),
    ('a member gone', b'"until":2,', b''), ('a member more', b'"until":2,', b'"until":2,"x":1,'),
    ('a member renamed', b'"until"', b'"Until"'), ('a member twice', b'"until":2,', b'"until":2,"until":2,'),
    ('a value of another type', b'"until":2', b'"until":"2"'), ('space', b'"until":2', b'"until": 2'),
    ('a tab', b',"until"', b',\t"until"'), ('carriage return', b'"}', b'"}\r'), ('something behind', b'"}', b'"}x'),
    ('an escape for a letter', b'"CS-5"', b'"\\u0043S-5"'), ('NUL', b'"CS-5"', b'"CS\x005"'),
    ('bad UTF-8', b'"CS-5"', b'"CS\xff5"'), ('a quote gone', b'"order":', b'"order:'),
    ('the brace gone', b'"}', b'"'), ('the first brace gone', b'{"n"', b'"n"'), ('a bracket gone', b'["bus.ride"]', b'"bus.ride"'),
    ('prev', b'"prev":"', b'"prev":"0'), ('prev is no hex', b'"prev":"', b'"prev":"g'),
    ('hash before prev', b'"prev"', b'"hash"'), ('hash gone', b',"hash":"', b',"hush":"'),
    ('empty', None, b''), ('not JSON', None, b'hello'), ('another JSON', None, b'{"n":7}'),
    ('very long', None, b'{"n":7,' + b'x' * 300_000),
]


@pytest.mark.parametrize('what, old, new', BYTES, ids=[b[0].replace(' ', '-') for b in BYTES])
def test_bytes_of_one_record(chain, what, old, new):
    lines = chain.make()
    line = lines[AT - 1]
    if old is None:
        lines[AT - 1] = new
    else:
        assert old in line, line
        lines[AT - 1] = line[::-1].replace(old[::-1], new[::-1], 1)[::-1] if old == b'"}' else line.replace(old, new, 1)
    assert lines[AT - 1] != line
    broken(chain, lines, 'changed', AT)


def test_every_single_byte_of_a_record(chain):
    """One bit of each byte flipped, one at a time: none goes unseen, and each is named."""
    lines = chain.make()[:AT + 3]
    whole = lines[AT - 1]
    for i in range(0, len(whole), 3):
        lines[AT - 1] = whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:]
        broken(chain, lines, 'changed', AT, receipts=False, keys=False)


def test_removed(chain):
    lines = chain.make()
    a = broken(chain, lines[:6] + lines[7:], 'removed', 7)
    assert 'record 7 is missing' in a['damage']['why']
    a = broken(chain, lines[:6] + lines[9:], 'removed', 7)
    assert 'records 7 to 9 are missing' in a['damage']['why']
    broken(chain, lines[1:], 'removed', 1)


def test_inserted(chain):
    lines = chain.make()
    broken(chain, lines[:7] + [lines[4]] + lines[7:], 'inserted', 5)          # one that was there already
    broken(chain, lines[:7] + [lines[6]] + lines[7:], 'inserted', 7)          # the same twice
    prev = json.loads(lines[6])['hash']
    forged, _ = line_of({'n': 8, 'at': 1, 'kind': 'lift', 'order': 'CS-1'}, prev)
    broken(chain, lines[:7] + [forged] + lines[7:], 'inserted', 8)            # fits before, not behind
    broken(chain, lines[:7] + [b''] + lines[7:], 'changed', 8)                # an empty line
    broken(chain, lines[:7] + [b'{"note":"nothing to see here"}'] + lines[7:], 'changed', 8)


def test_reordered(chain):
    lines = chain.make()
    a = broken(chain, lines[:6] + [lines[7], lines[6]] + lines[8:], 'reordered', 7)
    assert 'line 8' in a['damage']['why']
    broken(chain, lines[:6] + lines[7:20] + [lines[6]] + lines[20:], 'reordered', 7)
    broken(chain, list(reversed(lines)), 'reordered', 1)


def test_a_record_and_its_hash_made_anew(chain):
    lines = chain.make()
    r = json.loads(lines[6])
    r['order'] = 'CS-other'
    prev = r.pop('prev')
    del r['hash']
    lines[6], _ = line_of(r, prev)
    broken(chain, lines, 'changed', 7)


def test_the_rest_of_the_chain_made_anew_without_the_key(chain):
    chain.records[6]['order'] = 'CS-other'
    broken(chain, chain.make(), 'checkpoint', n_of(chain, 'checkpoint', 0))


def test_the_whole_file_rebuilt_without_any_checkpoint(chain):
    honest = chain.make()
    forged = Chain(chain.operator, chain.office)
    forged.records = [r for r in chain.records if r['kind'] not in ('checkpoint', 'batch', 'receipt')]
    forged.records[3]['order'] = 'CS-other'
    lines = forged.make()
    broken(chain, lines, 'rebuilt', 1)                       # the key is known, and nobody signed
    held = chain.folder / 'held'                             # what the office has in its hands
    held.write_text(claims_and_tokens(honest, 'receipt') + '\n')
    broken(chain, lines, 'rebuilt', claims_of(held.read_text())['checkpoint']['n'], '--office', held, keys=False)
    held.write_text(claims_and_tokens(honest, 'checkpoint') + '\n')
    chain.keys.write_text(json.dumps({'keys': [chain.operator.jwk()]}))
    a = broken(chain, lines, 'rebuilt', claims_of(held.read_text())['n'], '--office', held)
    assert 'a checkpoint in the office' in a['damage']['why']


def claims_and_tokens(lines, kind, which=0):
    return [json.loads(x)[kind] for x in lines if json.loads(x)['kind'] == kind][which]


def test_the_operator_rewrites_the_past_with_his_own_key(chain):
    """All made anew, all signed anew; only the office's receipts cannot be."""
    receipts = {i: r['receipt'] for i, r in enumerate(chain.records) if r['kind'] == 'receipt'}
    for r in chain.records:
        if r['kind'] == 'checkpoint':
            r['checkpoint'] = None
    chain.records[6]['order'] = 'CS-other'
    kept = chain.make()                                      # batches still name the checkpoint that went with them
    broken(chain, kept, 'rebuilt', n_of(chain, 'batch'))
    for r in chain.records:
        if r['kind'] == 'batch':
            r['checkpoint_n'] = r['checkpoint_hash'] = None
    broken(chain, chain.make(), 'receipt', n_of(chain, 'receipt'))
    assert verify(chain, chain.make(), receipts=False)['whole']          # without receipts nobody can tell
    chain.office, real = SigningKey('office'), chain.office              # and receipts cannot be forged
    for i in receipts:
        chain.records[i]['receipt'] = None
    broken(chain, chain.make(), 'receipt', n_of(chain, 'receipt'))
    chain.office = real


def test_the_receipts_left_out_of_a_rewritten_past(chain):
    honest = chain.make()
    chain.records = [dict(r) for r in chain.records if r['kind'] not in ('receipt', 'batch')]
    for r in chain.records:
        if r['kind'] == 'checkpoint':
            r['checkpoint'] = None
    chain.records[6]['order'] = 'CS-other'
    a = verify(chain, chain.make(), code=0)
    assert a['certain'] == 0 and a['behind'] == a['records']             # says that nothing is certain
    held = chain.folder / 'held'
    held.write_text('\n'.join(claims_and_tokens(honest, 'receipt', i) for i in (0, 1)))
    broken(chain, chain.make(), 'rebuilt', claims_of(held.read_text().split('\n')[0])['checkpoint']['n'], '--office', held)


def test_the_tail_cut(chain):
    lines = chain.make()
    second = json.loads(lines[n_of(chain, 'receipt', 1) - 1])['receipt']
    held = chain.folder / 'held'
    held.write_text(second + '\r\n\n')
    for n in (claims_of(second)['checkpoint']['n'] - 1, 5, 1):
        broken(chain, lines[:n], 'cut', n + 1, '--office', held, keys=False)
    n = claims_of(second)['checkpoint']['n']
    a = verify(chain, lines[:n], '--office', held, code=0)               # just as far as the receipt says
    assert (a['certain'], a['behind']) == (n, 0)
    a = verify(chain, lines[:9], keys=False, code=0)                     # nobody else knows of more
    assert a['certain'] == 0
    torn = b'\n'.join(lines)[:-30]
    a = verify(chain, torn, code=0)
    assert a['torn'] and a['records'] == len(lines) - 1
    broken(chain, torn[:torn.rindex(b'\n', 0, -3)] + b'\n' + lines[-1][:50] + b'\n', 'changed', len(lines))


@pytest.mark.parametrize('what', ['older', 'other list', 'other operator', 'other n', 'other hash', 'other key', 'other typ',
                                  'none', 'text'])
def test_a_checkpoint_from_elsewhere(chain, what):
    n = n_of(chain, 'checkpoint', 1)
    good = claims_of(chain.records[n - 1]['checkpoint'])
    token = {
        'older': lambda: chain.records[n_of(chain, 'checkpoint', 0) - 1]['checkpoint'],
        'other list': lambda: jws(chain.operator, 'jd-checkpoint+jwt', {**good, 'list': 'other'}),
        'other operator': lambda: jws(chain.operator, 'jd-checkpoint+jwt', {**good, 'iss': 'other'}),
        'other n': lambda: jws(chain.operator, 'jd-checkpoint+jwt', {**good, 'n': good['n'] - 1}),
        'other hash': lambda: jws(chain.operator, 'jd-checkpoint+jwt', {**good, 'hash': 'ab' * 32}),
        'other key': lambda: jws(SigningKey('operator'), 'jd-checkpoint+jwt', good),
        'other typ': lambda: jws(chain.operator, 'jd-receipt+jwt', good),
        'none': lambda: '', 'text': lambda: 'a.b.c',
    }[what]()
    chain.records[n - 1]['checkpoint'] = token
    for r in chain.records[n:]:                              # the rest is made anew, as far as the key goes
        if r['kind'] == 'checkpoint':
            r['checkpoint'] = None
    broken(chain, chain.make(), 'checkpoint', n)


@pytest.mark.parametrize('what', ['swapped', 'the same twice', 'other hash', 'other key', 'relief key', 'other typ', 'none',
                                  'other place', 'of a batch that never was'])
def test_a_receipt_that_is_none(chain, what):
    first, second = (n_of(chain, 'receipt', i) - 1 for i in (0, 1))
    r = chain.records
    good = claims_of(r[second]['receipt'])
    if what == 'swapped':
        r[first]['receipt'], r[second]['receipt'] = r[second]['receipt'], r[first]['receipt']
    else:
        r[second]['receipt'] = {
            'the same twice': lambda: r[first]['receipt'],
            'other hash': lambda: jws(chain.office, 'jd-receipt+jwt', {**good, 'hash': 'ab' * 32}),
            'other key': lambda: jws(SigningKey('office'), 'jd-receipt+jwt', good),
            'relief key': lambda: jws(SigningKey('relief'), 'jd-receipt+jwt', good),
            'other typ': lambda: jws(chain.office, 'jd-head+jwt', good),
            'none': lambda: '',
            'other place': lambda: jws(chain.office, 'jd-receipt+jwt', {**good, 'checkpoint': {'n': 3, 'hash': 'ab' * 32}}),
            'of a batch that never was': lambda: jws(chain.office, 'jd-receipt+jwt', {**good, 'batch': 'x-9'}),
        }[what]()
        if what == 'of a batch that never was':
            r[second]['batch'] = 'x-9'
    for i in range(first, len(r)):
        if r[i]['kind'] == 'checkpoint':
            r[i]['checkpoint'] = None
        if r[i]['kind'] == 'batch':
            r[i]['checkpoint_n'] = r[i]['checkpoint_hash'] = None
    if what != 'swapped':                                    # the good one of the batch between is over what is unchanged
        assert r[second - 2]['kind'] == 'batch'
    broken(chain, chain.make(), 'receipt', (first if what == 'swapped' else second) + 1)


def test_a_receipt_without_a_checkpoint_is_counted_and_proves_nothing(chain):
    second = n_of(chain, 'receipt', 1) - 1
    claims = claims_of(chain.records[second]['receipt'])
    del claims['checkpoint']
    chain.records[second]['receipt'] = jws(chain.office, 'jd-receipt+jwt', claims)
    a = verify(chain, chain.make(), code=0)
    first = claims_of(chain.records[n_of(chain, 'receipt', 0) - 1]['receipt'])['checkpoint']['n']
    assert a['receipts']['count'] == 2 and a['certain'] == first


def test_what_the_daemon_noted_stands(chain):
    n = len(chain.records) + 1
    note = {'journal': 'ef' * 16, 'known_n': 3, 'known_hash': 'ab' * 32, 'found_n': n - 1}
    chain.add('chain', why='longer', **note)
    a = verify(chain, chain.make(), code=0)
    assert 'restored from a backup, or is new' in a['notes'][0]
    for why, what in (('changed', 'rebuilt'), ('short', 'rebuilt'), ('missing', 'rebuilt'), ('foreign', 'inserted')):
        chain.records[-1]['why'] = why
        broken(chain, chain.make(), what, n)


def test_held_tokens_that_are_none(chain):
    lines = chain.make()
    held = chain.folder / 'held'
    chain.file.write_bytes(b'\n'.join(lines) + b'\n')
    other = Chain(SigningKey('operator'), SigningKey('office'))
    for text in ('nonsense', jws(other.office, 'jd-receipt+jwt', {'iss': ISS, 'aud': AUD})):
        held.write_text('\n' + text)
        p = rcctl('audit', 'verify', '--file', chain.file, '--office', held, '--office-keys', chain.jwks)
        assert p.returncode == 2 and f'{held}: line 2: ' in p.stderr and p.stdout == '', p


def test_usage(chain):
    chain.file.write_bytes(b'')
    for args, word in ((['verify', '--file', chain.folder / 'none'], 'No such file'),
                       (['verify', '--file', chain.file, '--receipts'], '--office-keys'),
                       (['verify', '--file', chain.file, '--keys', chain.file], str(chain.file)),
                       (['verify', '--file', chain.file, '--bogus'], 'unknown option'), (['verify', 'x'], 'unexpected'),
                       ([], 'verify, show, keygen'), (['show', '--file', chain.file], '--order'),
                       (['show', '--file', chain.file, '--last', '0'], '--last'), (['keygen'], 'FILE')):
        p = rcctl('audit', *args)
        assert p.returncode == 2 and word in p.stderr, p
    assert verify(chain, [], keys=False, receipts=False, code=0)['records'] == 0


def test_show_tells_stays_objections_and_narrowed_terms(chain):
    chain.add('text', id='cd' * 8, authority='Office', basis='Act 1')
    chain.add('order.applied', order='CS-x', by='feed', iat=chain.at, measures=['bus.ride'], served=1, **{'from': 86400},
              until=864000, text='cd' * 8)
    chain.add('order.narrowed', order='CS-x', by='feed', iat=chain.at, measures=['bus.ride'], **{'from': 86400}, until=432000)
    chain.add('stay', order='CS-x', stay=1, since=chain.at, user='clerk', reason='mistaken\nidentity')
    chain.add('stay', order='CS-x', stay=2, since=chain.at, until=chain.at + 60, user='clerk', reason='court')
    chain.add('unstay', order='CS-x', stay=1, how='ended', user='clerk', reason='cleared')
    chain.add('objection', order='CS-x', stands=True, user='clerk', reason='letter')
    chain.add('order.expired', order='CS-x', until=432000)
    chain.add('stay', person=True, stay=3, since=chain.at, user='clerk', reason='another person')
    chain.file.write_bytes(b'\n'.join(chain.make()) + b'\n')
    text = rcctl('audit', 'show', '--file', chain.file, '--order', 'CS-x').stdout
    for words in ('authority  Office', 'term       from 1970-01-02T08:00:00+08:00, until 1970-01-06T08:00:00+08:00',
                  ', until ended, by clerk: mistaken?identity', ', by clerk: court', 'stay ended ', ', by clerk: cleared',
                  'objection  ', ', by clerk: letter', 'expired    '):
        assert words in text, (words, text)
    assert 'another person' not in text
    life = json.loads(rcctl('--json', 'audit', 'show', '--file', chain.file, '--order', 'CS-x').stdout)
    assert life['until'] == 432000 and life['ended']['how'] == 'expired' and len(life['records']) == 7
    assert life['months'] is None                            # a file alone has no ledger
