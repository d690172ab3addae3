"""Instants and dates against Python's datetime."""
import datetime
import random
import re

import pytest

from driver import ask, compare

CHINA = datetime.timezone(datetime.timedelta(hours=8))
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def reference(text):
    m = re.fullmatch(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:[0-5]\d)', text, re.ASCII)
    if not m or int(text[:4]) < 1970:
        return 'bad'
    try:
        at = datetime.datetime.fromisoformat(m[1])
        offset = 0 if m[3] == 'Z' else (int(m[3][1:3]) * 60 + int(m[3][4:])) * (-1 if m[3][0] == '-' else 1)
    except ValueError:
        return 'bad'
    if abs(offset) >= 24 * 60:
        return 'bad'
    seconds = (at.replace(tzinfo=datetime.timezone.utc) - EPOCH).total_seconds()
    return f'ok {int(seconds) - offset * 60}'


def test_generated_instants():
    rnd = random.Random(1)
    cases = []
    for _ in range(8000):
        text = (f'{rnd.choice([1969, 1970, 1999, 2000, 2024, 2026, 2100, 9999]):04}-{rnd.randrange(14):02}-{rnd.randrange(33):02}'
                f'T{rnd.choice([0, 12, 23, 24]):02}:{rnd.choice([0, 59, 60]):02}:{rnd.choice([0, 30, 59, 60]):02}'
                + rnd.choice(['', '', '.5', '.', '.123456789']) + rnd.choice(['Z', 'Z', '+08:00', '-03:30', '+23:59', '+24:00', '', 'z', '+0800', '-00:00']))
        if rnd.random() < 0.1:
            at = rnd.randrange(len(text))
            text = text[:at] + rnd.choice('0T:-+ x\0') + text[at + rnd.randrange(2):]
        cases.append(text)
    expected = list(map(reference, cases))
    assert sum(e != 'bad' for e in expected) > 700
    compare(cases, [('time', c.encode()) for c in cases], expected)


def test_every_day_of_the_calendar():
    days = [datetime.date(1970, 1, 1) + datetime.timedelta(n) for n in range(0, 200000)][::37] + [datetime.date(2000, 2, 29), datetime.date(9999, 12, 31)]
    expected = [f'ok {int((datetime.datetime(d.year, d.month, d.day, tzinfo=CHINA) - EPOCH).total_seconds())}' for d in days]
    compare(days, [('date', d.isoformat().encode()) for d in days], expected)


@pytest.mark.parametrize('text', ['2023-02-29', '1900-02-29', '2026-13-01', '2026-00-10', '2026-1-01', '2026-01-32', '2026-01-00', '2026/01/01',
                                  '1969-12-31', '2026-01-01 ', '', '２０２６-01-01', '2100-02-29'])
def test_no_dates(text):
    assert ask([('date', text.encode())]) == ['bad']


def test_printing():
    rnd = random.Random(3)
    cases = [0, -1, -28800, 253402271999] + [rnd.randrange(-62135625600, 253402272000) for _ in range(3000)]
    expected = [(EPOCH + datetime.timedelta(seconds=c)).astimezone(CHINA).isoformat() if c < 253402271999 else '9999-12-31T23:59:59+08:00' for c in cases]
    compare(cases, [('timeprint', c) for c in cases], expected)
    last, first = '9999-12-31T23:59:59+08:00', '0001-01-01T00:00:00+08:00'
    assert ask([('timeprint', 253402272000), ('timeprint', 2 ** 63 - 1), ('timeprint', -2 ** 63)]) == [last, last, first]
