"""Records, grounds, relief, meta and names against jdschema.py, each byte."""
import random

import pytest

import jdschema
from driver import ask, compare, hexed, unhexed
from jdschema import Order

KEY = jdschema.Key('k', bytes(range(100, 116)))
DIGEST = bytes(range(16))
ERA = 1795000000


def some_order(rnd, number):
    start = rnd.randrange(2 ** 40 - 2)
    return Order(number=number, measures=rnd.randrange(1, 2 ** 16), from_=start, until=rnd.randrange(start + 1, 2 ** 40),
                 observe=rnd.random() < 0.5, objection=rnd.random() < 0.3,
                 deadline=rnd.choice([None, rnd.randrange(1, 2 ** 24)]), relevance=rnd.choice(['', 'x', '卡']))


def some_orders(rnd, most=32):
    numbers = {''.join(rnd.choices('AB-0123卡é', k=rnd.randrange(1, 12))) for _ in range(rnd.randrange(1, most + 1))}
    return [some_order(rnd, n) for n in numbers]


def fields(o):
    return [o.number.encode(), o.mask(), o.from_, o.until, o.flags(), o.deadline_day(),
            jdschema.encode_grounds(KEY, o.texts())[0]]


def encode(orders, size=4096):
    return ['encode', KEY.raw, DIGEST, ERA, size] + sum(map(fields, orders), [])


def decode(record, digest=DIGEST, era=ERA, key=KEY.raw):
    return ['decode', key, digest, era, record]


def test_records_both_ways():
    rnd = random.Random(1)
    sets = [some_orders(rnd) for _ in range(400)]
    for orders in sets:
        rnd.shuffle(orders)
    records = [jdschema.encode_record(KEY, DIGEST, ERA, orders) for orders in sets]
    compare(sets, map(encode, sets), ['ok ' + hexed(r) for r in records])
    for orders, record, answer in zip(sets, records, ask(map(decode, records))):
        kind, decoded = jdschema.decode_record(KEY, DIGEST, ERA, record)
        words = answer.split()
        mask = 0
        for o in orders:
            mask |= o.mask()
        assert words[:3] == ['ok', str(kind), str(mask)]
        ordered = sorted(orders, key=lambda o: o.number.encode())
        want = [hexed(w) if isinstance(w, bytes) else str(w) for o in ordered for w in fields(o)]
        assert words[3:] == want and [d['number'] for d in decoded] == [o.number for o in ordered]


def test_every_changed_byte_is_seen():
    orders = [Order('A-1', deadline=20000), Order('A-2', observe=True)]
    record = jdschema.encode_record(KEY, DIGEST, ERA, orders)
    changed = [record[:i] + bytes([record[i] ^ bit]) + record[i + 1:] for i in range(len(record)) for bit in (1, 16, 128)]
    cut = [record[:n] for n in range(len(record))] + [record + b'\0']
    assert {a.split()[0] for a in ask(map(decode, changed))} == {'bad', 'forged'}
    assert set(ask(map(decode, cut))) == {'bad'}


def test_record_is_bound_to_digest_era_and_key():
    record = jdschema.encode_record(KEY, DIGEST, ERA, [Order()])
    assert ask([decode(record, digest=bytes(16)), decode(record, era=ERA + 1), decode(record, key=bytes(16))]) == ['forged'] * 3


def signed(kind, n, body):
    record = bytes([kind, n]) + bytes(8) + body
    return record[:2] + jdschema.record_mac(KEY, DIGEST, ERA, record) + body


def body_of(*orders):
    return b''.join(jdschema.encode_record(KEY, DIGEST, ERA, [o])[10:] for o in orders)


def test_rightly_signed_nonsense_is_bad():
    a, b = Order('A'), Order('B')
    whole = body_of(a)
    cases = [signed(1, 0, b''), signed(1, 33, body_of(*[Order(f'{i:02}') for i in range(33)])), signed(2, 1, whole), signed(0, 1, whole),
             signed(1, 1, body_of(Order('A', observe=True))), signed(1, 2, body_of(b, a)), signed(1, 2, body_of(a, a)),
             signed(1, 1, body_of(a, b)), signed(1, 2, whole), signed(1, 1, body_of(Order('A B'))), signed(1, 1, body_of(Order('A"'))),
             signed(1, 1, body_of(Order('A', measures=0))), signed(1, 1, body_of(Order('A', from_=5, until=5))),
             signed(1, 1, whole[:14] + b'\x08' + whole[15:]), signed(1, 1, b'\0' + whole[2:])]
    assert signed(1, 1, whole) == jdschema.encode_record(KEY, DIGEST, ERA, [a])
    answers = ask(map(decode, cases))
    assert answers == ['bad'] * len(cases)


def test_what_encode_refuses():
    cases = [([], 'too_long'), ([Order(f'{i:02}') for i in range(33)], 'too_long'), ([Order('A'), Order('A')], 'bad'),
             ([Order('')], 'bad'), ([Order('A' * 65)], 'bad'), ([Order('A\u00a0B')], 'bad'), ([Order('A\\')], 'bad'),
             ([Order('A', measures=0)], 'bad'), ([Order('A', from_=-1)], 'bad'), ([Order('A', from_=9, until=9)], 'bad'),
             ([Order('A', until=2 ** 40)], 'bad'), ([Order('A', deadline=2 ** 24)], 'bad'), ([Order('A' * 64)], 'ok')]
    answers = ask([encode(orders) for orders, _ in cases])
    assert [a.split()[0] for a in answers] == [want for _, want in cases]
    whole = len(jdschema.encode_record(KEY, DIGEST, ERA, [Order('A')]))
    answers = ask([encode([Order('A')], size) for size in (0, whole - 1, whole)])
    assert [a.split()[0] for a in answers] == ['too_long', 'too_long', 'ok']


def test_random_bytes_are_never_a_record():
    rnd = random.Random(2)
    assert {a.split()[0] for a in ask([decode(rnd.randbytes(rnd.randrange(120))) for _ in range(3000)])} == {'bad'}


def test_grounds():
    texts = [Order().texts(), ['a', 'b', '', '', '1', '', ''], ['市' * 341, 'b', 'c', 'x' * 1024, '', '', 'z']]
    for t in texts:
        gid, value = jdschema.encode_grounds(KEY, t)
        (answer,) = ask([('grounds', KEY.raw, gid, value)])
        assert answer == f'ok ok {hexed(value)} {gid.hex()}' and jdschema.decode_grounds(value) == t


@pytest.mark.parametrize('texts', [
    ['', 'b', '', 'u', '', '', ''], ['a', '', '', 'u', '', '', ''], ['a', 'b', '', '', '', 'u', ''], ['a\n', 'b', '', 'u', '', '', ''],
    ['a', 'b\x7f', '', 'u', '', '', ''], ['a', 'b', '\u0085', 'u', '', '', ''], ['x' * 1025, 'b', '', 'u', '', '', ''],
])
def test_grounds_refused(texts):
    gid, value = jdschema.encode_grounds(KEY, texts)
    assert ask([('grounds', KEY.raw, gid, value)]) == ['bad']


def test_grounds_changed():
    gid, value = jdschema.encode_grounds(KEY, Order().texts())
    changed = [value[:i] + bytes([value[i] ^ 1]) + value[i + 1:] for i in range(len(value))]
    cut = [value[:n] for n in range(len(value))] + [value + b'\0', value[:2] + b'\xff' + value[3:]]
    assert {a for a in ask([('grounds', KEY.raw, gid, v) for v in changed])} <= {'bad', 'forged'}
    assert {a for a in ask([('grounds', KEY.raw, gid, v) for v in cut])} == {'bad'}
    assert ask([('grounds', KEY.raw, bytes(8), value), ('grounds', bytes(16), gid, value)]) == ['forged'] * 2


@pytest.mark.parametrize('text, want', [
    (b'l0000 o0', (0, 0)), (b'lffff o1', (0xffff, 1)), (b'l00a1 o0 s1', (0xa1, 0)), (b'l0001 o0x', None), (b'l0001 o2', None),
    (b'l000 o1', None), (b'l00A1 o0', None), (b'l0001', None), (b'', None), (b'x0001 o0', None), (b'l0001_o0', None), (b'l0001 p0', None),
])
def test_relief(text, want):
    (answer,) = ask([('relief', text)])
    assert answer == ('bad' if want is None else f'ok {want[0]} {want[1]} ' + hexed(jdschema.relief_text(*want).encode()))


META = {'schema': '1', 'era': '1795000000', 'bits': '10', 'last_id': '7', 'epoch': '3', 'seq': '9', 'relief_seq': '5', 'count': '100',
        'key': 'k1', 'key_check': '0123456789abcdef', 'norm': 'card=upper', 'verified_at': '1795000000', 'office_at': '1795000001',
        'beat': '1795000002', 'measures': ' '.join(jdschema.MEASURES)}


def meta(**changed):
    values = {**META, **changed}
    return ['meta'] + ['nil' if values[f] is None else values[f].encode() for f in jdschema.META_FIELDS]


def test_meta():
    whole = f'ok 1795000000 10 {3 << 48 | 5} k1 0123456789abcdef 1795000002'
    wide = whole.replace(str(3 << 48 | 5), str((65535 << 48) + 2 ** 48 - 1))
    assert ask([meta(), meta(epoch='65535', relief_seq=str(2 ** 48 - 1)), meta(measures='bus.ride metro.ride'),
                meta(measures=META['measures'] + ' sea.swim'), meta(norm='')]) == [whole, wide, whole, whole, whole]
    assert ask([meta(schema=None), meta(schema='2'), meta(schema='0')]) == ['empty', 'schema', 'schema']
    for name in jdschema.META_FIELDS[1:]:
        assert ask([meta(**{name: None})]) == [f'bad {name}']


@pytest.mark.parametrize('name, value', [
    ('schema', 'x'), ('schema', ''), ('era', '0'), ('era', '-1'), ('era', '01'), ('era', '9223372036854775808'), ('bits', '21'), ('bits', ' 1'),
    ('last_id', '1.0'), ('last_id', '99999999999999999999999'), ('epoch', '65536'), ('seq', str(2 ** 48)), ('relief_seq', str(2 ** 48)),
    ('count', '1e3'), ('key', ''), ('key', 'a b'), ('key', 'k' * 33), ('key_check', '0123456789ABCDEF'), ('key_check', '0123'), ('norm', 'bank=upper'),
    ('verified_at', '-5'), ('office_at', 'now'), ('beat', ''), ('beat', '1\0'), ('measures', ''), ('measures', 'bus.ride metro'), ('measures', 'metro.ride bus.ride'),
])
def test_meta_refused(name, value):
    assert ask([meta(**{name: value})]) == [f'bad {name}']


def test_buckets():
    rnd = random.Random(4)
    cases, expected = [], []
    for bits in range(21):
        for _ in range(20):
            d = rnd.randbytes(16)
            cases.append(('bucket', 'credit', ERA, bits, d))
            expected.append(f'jd:{{credit}}:{ERA}:{jdschema.bucket_of(d, bits)}')
    compare(cases, cases, expected)
