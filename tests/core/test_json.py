"""The JSON scanner against Python's json, over generated documents whole and broken."""
import collections
import json
import random

import pytest

from driver import ask, compare, hexed

MALFORMED, ABSENT = 'malformed -', 'absent -'


class Number(str):
    pass


class Members(list):
    pass


def refuse(_):
    raise ValueError('not JSON')


def fold(name):
    """ASCII case, and the two letters that case-blind readers fold into ASCII."""
    name = name.replace('\u212a', 'k').replace('\u017f', 's')
    return ''.join(chr(ord(c) + 32) if 'A' <= c <= 'Z' else c for c in name)


def strings(value):
    if isinstance(value, Members):
        for name, member in value:
            yield name
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)
    elif isinstance(value, str) and not isinstance(value, Number):
        yield value


def depth(value):
    if isinstance(value, Members):
        return 1 + max((depth(v) for _, v in value), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def walk(value, tokens):
    """The value at the pointer, or a string of what it is instead."""
    for token in tokens:
        if isinstance(value, Members):
            alike = [(n, v) for n, v in value if fold(n) == fold(token)]
            if not alike:
                return None
            if len(alike) > 1 or alike[0][0] != token:
                raise ValueError('ambiguous')
            value = alike[0][1]
        elif isinstance(value, list):
            plain = token.isascii() and token.isdigit() and (token == '0' or token[0] != '0')
            if not plain or int(token) >= len(value):
                return None
            value = value[int(token)]
        else:
            return None
    if value is None:
        return None
    if isinstance(value, (list, bool)):
        raise ValueError('not a scalar')
    if isinstance(value, Number):
        if not value.lstrip('-').isdigit():
            raise ValueError('not an integer')
    return value.encode()


def reference(document, tokens, size):
    try:
        text = document.decode()
        if not text.strip(' \t\r\n'):
            return ABSENT
        value = json.loads(text, object_pairs_hook=Members, parse_int=Number, parse_float=Number,
                           parse_constant=refuse)
        if any('\0' in s or any('\ud800' <= c <= '\udfff' for c in s) for s in strings(value)):
            return MALFORMED
        if depth(value) > 32:
            return MALFORMED
        found = walk(value, tokens)
    except (ValueError, RecursionError):
        return MALFORMED
    if found is None:
        return ABSENT
    return 'found ' + hexed(found) if len(found) <= size else MALFORMED


def pointer(tokens):
    return ''.join('/' + t.replace('~', '~0').replace('/', '~1') for t in tokens).encode()


NAMES = ['card', 'Card', 'cards', 'k', 'K', '\u212a', 's', '\u017f', '', '0', '1', '01', 'a/b', 'm~n', '卡',
         'é', 'x' * 64, 'x' * 65]
SPACES = ['', '', '', ' ', '\n', '\t\r']


class Maker:
    def __init__(self, rnd):
        self.rnd = rnd

    def space(self):
        return self.rnd.choice(SPACES)

    def character(self, c):
        n, rnd = ord(c), self.rnd
        if rnd.random() < 0.2:
            units = c.encode('utf-16-be')
            digits = ''.join(f'\\u{units[i]:02x}{units[i + 1]:02x}' for i in range(0, len(units), 2))
            return digits.upper().replace('\\U', '\\u') if rnd.random() < 0.5 else digits
        if c in '"\\' or n < 0x20:
            return json.dumps(c)[1:-1]
        return '\\/' if c == '/' and rnd.random() < 0.5 else c

    def string(self, text):
        return '"' + ''.join(map(self.character, text)) + '"'

    def scalar(self):
        rnd = self.rnd
        return rnd.choice([
            lambda: self.string(''.join(rnd.choice('ab09 /\\"\n\t\u00e9\uff11卡\U0001f600')
                                        for _ in range(rnd.randrange(12)))),
            lambda: str(rnd.randrange(-10 ** rnd.randrange(1, 25), 10 ** 25)),
            lambda: rnd.choice(['0', '-0', '1.0', '1e3', '-1E-2', '10', '1.5e+7']),
            lambda: rnd.choice(['null', 'true', 'false']),
        ])()

    def value(self, level):
        rnd, kind = self.rnd, self.rnd.random()
        if level == 0 or kind < 0.3:
            return self.scalar()
        if kind < 0.8:
            members = []
            for _ in range(rnd.randrange(4)):
                name = self.string(rnd.choice(NAMES if rnd.random() < 0.5 else ['card', 'k', '0']))
                members.append(f'{self.space()}{name}{self.space()}:{self.space()}'
                               f'{self.value(level - 1)}{self.space()}')
            return '{' + (','.join(members) or self.space()) + '}'
        return '[' + ','.join(self.space() + self.value(level - 1) + self.space()
                              for _ in range(rnd.randrange(4))) + ']'

    def broken(self, document):
        """One to three bytes changed, taken out, put in or cut off."""
        data, rnd = bytearray(document), self.rnd
        for _ in range(rnd.randrange(1, 4)):
            at = rnd.randrange(len(data) + 1)
            piece = rnd.choice([b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'\0', b'\xff', b'\xc0\x80',
                                b'\xed\xa0\x80', b'\\u0000', b'\\ud800', b'\\udc00', b'0', b'-', b'.', b'e', b'\x1f',
                                b'\xef\xbb\xbf', b' ', b'1', b'\\x', b'NaN', b'//'])
            kind = rnd.randrange(4)
            if kind == 0:
                data[at:at] = piece
            elif kind == 1:
                data[at:at + 1] = piece
            elif kind == 2:
                del data[at:at + 1]
            else:
                del data[at:]
        return bytes(data)


def path(rnd, value):
    """Tokens that mostly lead somewhere."""
    tokens = []
    while len(tokens) < 8 and isinstance(value, list) and (value or not tokens):
        if isinstance(value, Members) and value and rnd.random() < 0.85:
            token, value = rnd.choice(value)
        elif value and rnd.random() < 0.85:
            at = rnd.randrange(len(value))
            token, value = str(at), value[at]
        else:
            token, value = rnd.choice(NAMES), None
        tokens.append(token if len(token.encode()) <= 64 else 'card')
    return tokens or ['card']


def cases(seed, n):
    rnd = random.Random(seed)
    maker = Maker(rnd)
    for _ in range(n):
        document = (maker.space() + maker.value(rnd.randrange(1, 5)) + maker.space()).encode()
        tokens = path(rnd, json.loads(document, object_pairs_hook=Members))
        if rnd.random() < 0.35:
            document = maker.broken(document)
        yield document, tokens, rnd.choice([3, 64, 64, 256])


@pytest.mark.parametrize('seed', range(4))
def test_generated_documents(seed):
    all_cases = list(cases(seed, 6000))
    expected = [reference(*c) for c in all_cases]
    kinds = collections.Counter(e.split()[0] for e in expected)
    assert min(kinds['found'], kinds['absent'], kinds['malformed']) > 300, kinds
    compare(all_cases, [('json', pointer(t), d, s) for d, t, s in all_cases], expected)


def deep(n, opening, closing):
    return b'{"a":' + opening * (n - 1) + b'1' + closing * (n - 1) + b'}'


TABLE = [
    (b'{"card":"123"}', ['card'], b'123'),
    (b'{"card":"\\u0031\\uFF12"}', ['card'], '1２'.encode()),
    (b'{"card":"\\ud83d\\ude00"}', ['card'], '😀'.encode()),
    (b'{"card":12345678901234567890123}', ['card'], b'12345678901234567890123'),
    (b'{"c\\u0061rd":"1"}', ['card'], b'1'),
    (b'{"card":""}', ['card'], b''),
    (b'{"a":[{"card":"x"},{"card":"y"}]}', ['a', '1', 'card'], b'y'),
    (b'{"a":{"1":"z"}}', ['a', '1'], b'z'),
    (b'{"other":{"card":"1","card":"2"},"card":"3"}', ['card'], b'3'),
    (b'', ['card'], ABSENT), (b' \r\n\t', ['card'], ABSENT), (b'{}', ['card'], ABSENT),
    (b'"card"', ['card'], ABSENT), (b'{"card":null}', ['card'], ABSENT),
    (b'{"cards":"1"}', ['card'], ABSENT), (b'[["1"]]', ['0', '01'], ABSENT),
    (b'{"a":"x"}', ['a', 'card'], ABSENT),
    (b'{"card":"1","card":"2"}', ['card'], MALFORMED), (b'{"card":"1","card":null}', ['card'], MALFORMED),
    (b'{"card":"1","c\\u0061rd":"1"}', ['card'], MALFORMED),
    (b'{"card":"1","CARD":"2"}', ['card'], MALFORMED), (b'{"CARD":"2"}', ['card'], MALFORMED),
    (b'{"A":{},"a":{"card":"1"}}', ['a', 'card'], MALFORMED),
    ('{"\u212aey":"1"}'.encode(), ['key'], MALFORMED),
    (b'{"card":1.0}', ['card'], MALFORMED), (b'{"card":1e2}', ['card'], MALFORMED),
    (b'{"card":true}', ['card'], MALFORMED), (b'{"card":{}}', ['card'], MALFORMED), (b'{"card":[]}', ['card'], MALFORMED),
    (b'{"card":01}', ['card'], MALFORMED), (b'{"card":+1}', ['card'], MALFORMED), (b'{"card":- 1}', ['card'], MALFORMED),
    (b'{"card":"1"} x', ['card'], MALFORMED), (b'{"card":"1"}{}', ['card'], MALFORMED),
    (b'{"card":"1",}', ['card'], MALFORMED), (b"{'card':'1'}", ['card'], MALFORMED),
    (b'{"card":"1"/**/}', ['card'], MALFORMED), (b'{"card":"1"', ['card'], MALFORMED),
    (b'\xef\xbb\xbf{"card":"1"}', ['card'], MALFORMED), (b'{"card":"1\\u0000"}', ['card'], MALFORMED),
    (b'{"x":"\\u0000","card":"1"}', ['card'], MALFORMED), (b'{"card":"1","x":"\xc0\x80"}', ['card'], MALFORMED),
    (b'{"card":"\\ud800"}', ['card'], MALFORMED), (b'{"card":"\\udc00\\ud800"}', ['card'], MALFORMED),
    (b'{"card":"\xed\xa0\x80"}', ['card'], MALFORMED), (b'{"card":"1\n"}', ['card'], MALFORMED),
    (b'{"card":"' + b'1' * 257 + b'"}', ['card'], MALFORMED), (b'{"card":' + b'1' * 257 + b'}', ['card'], MALFORMED),
    (b'{"card":"' + b'1' * 256 + b'"}', ['card'], b'1' * 256),
    (deep(32, b'[', b']'), ['card'], ABSENT), (deep(33, b'[', b']'), ['card'], MALFORMED),
    (deep(100000, b'[', b']'), ['card'], MALFORMED), (b'[' * 100000, ['card'], MALFORMED),
]


def test_table():
    expected = [w if isinstance(w, str) else 'found ' + hexed(w) for _, _, w in TABLE]
    compare(TABLE, [('json', pointer(t), d, 256) for d, t, _ in TABLE], expected)
    for document, tokens, want in TABLE:
        if len(document) < 1000:
            want = want if isinstance(want, str) else 'found ' + hexed(want)
            assert reference(document, tokens, 256) == want, document


@pytest.mark.parametrize('text, ok', [
    (b'/a', True), (b'/', True), (b'/a/b~1c/~0/0', True), (b'/' + b'x' * 64, True), (b'/a' * 8, True),
    (b'', False), (b'a', False), (b'/a~', False), (b'/a~2', False), (b'/' + b'x' * 65, False), (b'/a' * 9, False),
])
def test_pointers(text, ok):
    (answer,) = ask([('json', text, b'{}', 10)])
    assert answer == (ABSENT if ok else 'pointer')


def test_every_prefix_of_a_document_is_malformed():
    document = b'{"a":[1,-2.5e+3,"\\u00e9\\ud83d\\ude00",true,false,null,{}],"card":"12\xc3\xa9"}'
    answers = ask([('json', b'/card', document[:n], 256) for n in range(1, len(document) + 1)])
    assert set(answers[:-1]) == {MALFORMED}
    assert answers[-1] == 'found ' + hexed('12é'.encode())
