"""The form and cookie scanners against urllib.parse and a reference, over generated texts."""
import collections
import random
import re
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest

from driver import ask, compare, hexed

MALFORMED, ABSENT = 'malformed -', 'absent -'
BAD_ESCAPE = re.compile(rb'%(?![0-9A-Fa-f]{2})')


def fold(name):
    return bytes(b'_'[0] if c in b'. [_' else c + 32 if 65 <= c <= 90 else c for c in name)


def alike(name, wanted):
    """Whether some backend would take the name for the wanted one."""
    view = name if wanted.startswith(b' ') else name.lstrip(b' ')
    n = len(wanted)
    return fold(view[:n]) == fold(wanted) and len(view) >= n and view[n:n + 1] in (b'', b'[', b'\0')


def reference(text, wanted, plus, size):
    def decode(part):
        return unquote_to_bytes(part.replace(b'+', b' ') if plus else part)

    values = []
    for part in text.split(b'&'):
        for at, field in enumerate(part.split(b';')):
            name = decode(field.split(b'=', 1)[0])
            if not alike(name, wanted):
                continue
            if name != wanted or at > 0 or b';' in part:
                return MALFORMED
            raw = part.partition(b'=')[2]
            value = decode(raw)
            if BAD_ESCAPE.search(raw) or b'\0' in value or len(value) > size:
                return MALFORMED
            values.append(value)
    if not values:
        return ABSENT
    return 'found ' + hexed(values[0]) if len(values) == 1 else MALFORMED


PIECES = [b'card', b'card_no', b'Card', b'card.no', b'card+no', b'card%20no', b'card[no', b'card[]', b'%63ard', b'c%61rd_no',
          b'other', b'x', b'123', b'%31%32', b'+', b'%00', b'%', b'%4', b'%zz', b'%u0063', b'\0', b'\xe5\x8d\xa1',
          b'%EF%BC%91', b' ', b'[', b'cards', b'9' * 70]


def cases(seed, n):
    rnd = random.Random(seed)
    for _ in range(n):
        text, wanted = b'', rnd.choice([b'card', b'card_no', b'card.no', b'x'])
        for _ in range(rnd.randrange(4)):
            name = rnd.choice([wanted, rnd.choice(PIECES[:12]), b''.join(rnd.choices(PIECES, k=2))])
            value = b''.join(rnd.choices(PIECES, k=rnd.randrange(3)))
            text += name + rnd.choice([b'=', b'=', b'=', b'', b'==']) + value
            text += rnd.choice([b'&', b'&', b'&', b'&', b';', b'&&', b''])
        yield text, wanted, rnd.randrange(2), rnd.choice([8, 64])


@pytest.mark.parametrize('seed', range(4))
def test_generated_forms(seed):
    all_cases = list(cases(seed, 5000))
    expected = [reference(*c) for c in all_cases]
    kinds = collections.Counter(e.split()[0] for e in expected)
    assert min(kinds.values()) > 300 and len(kinds) == 3, kinds
    compare(all_cases, [('form', w, t, s, p) for t, w, p, s in all_cases], expected)


def test_what_is_found_is_what_python_reads():
    all_cases = [(t, w) for t, w, p, s in cases(99, 5000)]
    answers = ask([('form', w, t, 64, 1) for t, w in all_cases])
    found = 0
    for (text, wanted), answer in zip(all_cases, answers):
        if answer.startswith('found '):
            found += 1
            pairs = parse_qsl(text.decode('latin-1'), keep_blank_values=True, encoding='latin-1')
            values = [v for n, v in pairs if n == wanted.decode()]
            assert [hexed(v.encode('latin-1')) for v in values] == [answer.split()[1]], text
    assert found > 300


FORMS = [
    (b'card=123', b'123'), (b'a=1&card=12%33&b', b'123'), (b'card', b''), (b'card=', b''), (b'card=1+2', b'1 2'),
    (b'card=1%262', b'1&2'), (b'c%61rd=5', b'5'), (b'card=a=b', b'a=b'), (b'&&card=1&&', b'1'), (b'%=1&card=2', b'2'),
    (b'', ABSENT), (b'cards=1', ABSENT), (b'car=1', ABSENT), (b'x=card=1', ABSENT), (b'xcard=1', ABSENT),
    (b'card=1&card=2', MALFORMED), (b'card=1&c%61rd=1', MALFORMED), (b'card&card=1', MALFORMED),
    (b'Card=1', MALFORMED), (b'card=1&CARD=1', MALFORMED), (b'card[]=1', MALFORMED), (b'card[0]=1', MALFORMED),
    (b'+card=1', MALFORMED), (b'%20card=1', MALFORMED), (b'card%00x=1', MALFORMED), (b'a=1;card=2', MALFORMED),
    (b'card=2;a=1', MALFORMED), (b'card=%', MALFORMED), (b'card=%4', MALFORMED), (b'card=%4g', MALFORMED),
    (b'card=%00', MALFORMED), (b'card=a\0', MALFORMED), (b'card=' + b'1' * 65, MALFORMED), (b'card=' + b'1' * 64, b'1' * 64),
]


def test_forms():
    expected = [w if isinstance(w, str) else 'found ' + hexed(w) for _, w in FORMS]
    compare(FORMS, [('form', b'card', t, 64, 1) for t, _ in FORMS], expected)


def test_underscore_of_php():
    texts = [b'card.no=1', b'card%20no=1', b'card+no=1', b'card[no=1', b'CARD_NO=1', b'card_no=1&card.no=2']
    answers = ask([('form', b'card_no', t, 64, 1) for t in texts])
    assert set(answers) == {MALFORMED}


COOKIES = [
    (b'card=123', b'123'), (b'a=1; card=123; b=2', b'123'), (b'card="123"', b'123'), (b' card = 123 ', b'123'), (b'card=%31', b'%31'),
    (b'card=a=b', b'a=b'), (b'card=', b''), (b'card', b''), (b'a=1;card=2', b'2'), (b'card=""', b''), (b'card="1 "', b'1'),
    (b'', ABSENT), (b'Card=1', ABSENT), (b'xcard=1', ABSENT), (b'a=card=1', ABSENT), (b';;', ABSENT),
    (b'card=1; card=2', MALFORMED), (b'card=1;card=1', MALFORMED), (b'card; card=1', MALFORMED), (b'card="1', MALFORMED),
    (b'card=1"', MALFORMED), (b'card="\\061"', MALFORMED), (b'card=1\0', MALFORMED), (b'card=' + b'1' * 65, MALFORMED),
]


def test_cookies():
    expected = [w if isinstance(w, str) else 'found ' + hexed(w) for _, w in COOKIES]
    compare(COOKIES, [('cookie', b'card', t, 64) for t, _ in COOKIES], expected)
