"""Normalising and digests against the independent reading in jdschema.py."""
import collections
import random

import pytest

import jdschema
from driver import ask, compare, hexed

WHITE = [' ', '\t', '\u3000', '\u00a0', '\ufeff', '\r\n']
ODD = ['\0', '\x7f', '\x85', ' ', '\u200b', '\u3000', '卡', 'é', '\U0001f600', '０', 'Ａ', 'ｘ', '～', '\uff5f', '-', '\u202e']


def cnid(rnd):
    first = (f'{rnd.randrange(10 ** 6):06}{rnd.choice([1799, 1800, 1900, 1980, 2000, 2199, 2200])}'
             f'{rnd.randrange(0, 14):02}{rnd.randrange(0, 33):02}{rnd.randrange(1000):03}')
    return first + (jdschema.cnid_check(first) if rnd.random() < 0.8 else rnd.choice('0123456789X'))


def uscc(rnd):
    first = ''.join(rnd.choices('0123456789ABCDEFGHJKLMNPQRTUWXY', k=17))
    return first + (jdschema.uscc_check(first) if rnd.random() < 0.8 else rnd.choice('019AXY'))


def raw(rnd, scheme):
    text = cnid(rnd) if scheme == 'cnid' else uscc(rnd) if scheme == 'uscc' else ''.join(
        rnd.choices('0000123456789abcXYZ', k=rnd.choice([0, 1, 4, 10, 16, 40, 64, 65])))
    if rnd.random() < 0.3:
        text = text.lower()
    if rnd.random() < 0.2:
        text = ''.join(chr(ord(c) - 0x21 + 0xff01) if '!' <= c <= '~' and rnd.random() < 0.5 else c for c in text)
    if rnd.random() < 0.15:
        at = rnd.randrange(len(text) + 1)
        text = text[:at] + rnd.choice(ODD) + text[at + rnd.randrange(2):]
    if rnd.random() < 0.2:
        text = ''.join(rnd.choices(WHITE, k=2)) + text + ''.join(rnd.choices(WHITE, k=2))
    data = text.encode()
    if rnd.random() < 0.05:
        at = rnd.randrange(len(data) + 1)
        data = data[:at] + rnd.choice([b'\xff', b'\xc0\xaf', b'\xed\xa0\x80', b'\xe3\x80', b'\xf4\x90\x80\x80']) + data[at:]
    return data if rnd.random() < 0.99 else data + b' ' * 250


@pytest.mark.parametrize('seed', range(3))
def test_generated_identifiers(seed):
    rnd = random.Random(seed)
    cases, expected = [], []
    for _ in range(6000):
        scheme = rnd.choice(jdschema.SCHEMES)
        words = rnd.choice(['', 'upper', 'strip_zeros', 'upper,strip_zeros'])
        words = '' if scheme in ('cnid', 'uscc') else words
        data = raw(rnd, scheme)
        state, normal = jdschema.normalise(scheme, data, words.split(','))
        cases.append((scheme, f'{scheme}={words}'.encode() if words else b'', data))
        expected.append(f'{state} {hexed(normal or b"")}')
    kinds = collections.Counter(e.split()[0] for e in expected)
    assert min(kinds.values()) > 100 and len(kinds) == 4, kinds
    compare(cases, [('subject', *c) for c in cases], expected)


TABLE = [
    ('cnid', '11010519491231002X', 'ok 11010519491231002X'), ('cnid', '34052419800101001x', 'ok 34052419800101001X'),
    ('cnid', '１１０１０５１９４９１２３１００２Ｘ', 'ok 11010519491231002X'), ('cnid', '110105194912310021', 'other'),
    ('cnid', '110105491231002', 'other'), ('cnid', '11010519491331002X', 'other'), ('cnid', '110105 19491231002X', 'malformed'),
    ('uscc', '91350100M000100Y43', 'ok 91350100M000100Y43'), ('uscc', '11320000mb151840xj', 'ok 11320000MB151840XJ'),
    ('uscc', '91350100M000100Y44', 'other'), ('uscc', '9135010OM000100Y43', 'other'),
    ('card', ' 007a\u3000', 'ok 007a'), ('card', '', 'empty'), ('card', ' \u3000\t', 'empty'), ('card', 'a b', 'malformed'),
    ('card', 'a\u200bb', 'malformed'), ('card', '1' * 64, 'ok ' + '1' * 64), ('card', '1' * 65, 'malformed'),
]


def test_table():
    expected = []
    for _, _, want in TABLE:
        state, _, normal = want.partition(' ')
        expected.append(f'{state} {hexed(normal.encode())}')
    compare(TABLE, [('subject', s, b'', r.encode()) for s, r, _ in TABLE], expected)


@pytest.mark.parametrize('text, printed', [
    (b'', b''), (b'card=upper', b'card=upper'), (b'uid=strip_zeros,upper  card=upper', b'card=upper uid=upper,strip_zeros'),
    (b'cnid=upper', None), (b'uscc=upper', None), (b'card', None), (b'card=', None), (b'card=lower', None), (b'card=upper,', None),
    (b'bank=upper', None), (b'card=upper card=strip_zeros', None), (b'card=upper,upper', None), (b'=upper', None), (b'card=upper\0', None),
])
def test_normalisers(text, printed):
    (answer,) = ask([('normalisers', text)])
    assert answer == ('bad' if printed is None else 'ok ' + hexed(printed))


def test_siphash_and_digest():
    rnd = random.Random(5)
    cases, expected = [], []
    for n in list(range(70)) + [1000, 4096]:
        key, text = rnd.randbytes(16), rnd.randbytes(n)
        cases.append(('siphash', key, text))
        expected.append(jdschema.siphash128(key, text).hex())
    for scheme in jdschema.SCHEMES:
        key, normal = rnd.randbytes(16), rnd.randbytes(rnd.randrange(1, 65))
        cases.append(('digest', key, scheme, normal))
        expected.append(jdschema.digest(jdschema.Key('k', key), scheme, normal).hex())
    compare(cases, cases, expected)


GOOD = '00112233445566778899aabbccddeeff'


@pytest.mark.parametrize('text, want', [
    (f'k1 {GOOD}\n', 'ok'), (f'# c\n\n  k1\t{GOOD.upper()} \r\nk-2._ {GOOD}', 'ok'), ('k' * 32 + f' {GOOD}', 'ok'),
    ('', 'line 1 no key'), ('# only\n\n', 'line 2 no key'), (f'k1 {GOOD}\nk1 {GOOD}\n', 'line 2 two keys with one id'),
    (f'a {GOOD}\nb {GOOD}\nc {GOOD}\n', 'line 3 more than two'), (f'k1 {"0" * 32}', 'line 1 key is all zero'), (f'k1 {GOOD}0', 'line 1 key is not 32'),
    (f'k1 {GOOD[:-1]}', 'line 1 key is not 32'), (f'k1 {GOOD[:-1]}g', 'line 1 key is not 32'), (GOOD, 'line 1 not'), (f'k/1 {GOOD}', 'line 1 not'),
    (f'\nk1 {GOOD} x', 'line 2 key is not 32'), ('k' * 33 + f' {GOOD}', 'line 1 key id longer'), (f'k1\0 {GOOD}', 'line 1 not'),
])
def test_key_files(text, want):
    (answer,) = ask([('keys', text.encode())])
    assert answer.startswith(want) and GOOD[:8] not in answer
    if want == 'ok':
        key = jdschema.Key('k', bytes.fromhex(GOOD))
        assert answer.split()[2:4] == [key.check, key.record.hex()]
