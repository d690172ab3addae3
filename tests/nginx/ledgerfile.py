"""An independent Python reading of the ledger's file, from the comments of restrict-cache/core/jd_cells.h, and of its totals in Redis."""

import datetime
import struct
from dataclasses import dataclass

from jdschema import MEASURES

HEAD, CELL = 4096, 256
ORDER, DENIED, DRY = 0, 1, 2
COUNT = (1 << 48) - 1
USED = 1 << 63


@dataclass
class Cell:
    index: int
    tag: int
    generation: int
    count: int
    period: int
    kind: int
    list: int
    measure: str
    text: str

    def field(self):
        if self.kind == ORDER:
            return f"{self.text} {self.measure}"
        return f"{self.measure} {'d' if self.kind == DENIED else 'y'} {self.text}"

    def period_text(self):
        if self.kind == ORDER:
            return f"{1970 + self.period // 12}-{self.period % 12 + 1:02d}"
        return hour_text(self.period)


def hour_text(hour):
    return datetime.datetime.fromtimestamp(hour * 3600, datetime.timezone.utc).strftime("%Y-%m-%dT%H")


class LedgerFile:
    def __init__(self, path):
        self.path = path
        self.data = bytearray(path.read_bytes())
        magic, layout, size, self.size, self.cells = struct.unpack_from("<QIIQQ", self.data)
        assert magic == 0x4a444c4544474552 and layout == 1 and size == CELL and self.size == len(self.data)
        self.runs = [bytes(self.data[32:48]).hex(), bytes(self.data[48:64]).hex()]
        self.gateway = bytes(self.data[64:136]).rstrip(b"\0").decode()

    def busy(self):
        """Pids of cells whose claim or freeing is not done."""
        tags = [struct.unpack_from("<Q", self.data, HEAD + i * CELL)[0] for i in range(self.cells)]
        return [t & 0xffffffff for t in tags if t and not t & USED]

    def used(self):
        out = []
        for i in range(self.cells):
            tag, word, period, kind, lst, measure, size = struct.unpack_from("<QQIBBBB", self.data, HEAD + i * CELL)
            if tag & USED:
                text = bytes(self.data[HEAD + i * CELL + 24:][:size]).decode()
                out.append(Cell(i, tag, word >> 48, word & COUNT, period, kind, lst, MEASURES[measure], text))
        return out

    def totals(self):
        """{(period, field): total}, those with a count"""
        out = {}
        for c in self.used():
            if c.count:
                key = (c.period_text(), c.field())
                out[key] = out.get(key, 0) + c.count
        return out

    def sum(self, kind):
        return sum(c.count for c in self.used() if c.kind == kind)


def age(path, hours, months=0, clear_closed=False):
    """Shifts the periods of all cells back, as if they had been counted then; nobody may use the file."""
    f = LedgerFile(path)
    table = []
    for c in f.used():
        raw = bytearray(f.data[HEAD + c.index * CELL:HEAD + (c.index + 1) * CELL])
        period = c.period - (months if c.kind == ORDER else hours)
        raw[16:20] = struct.pack("<I", period)
        tag = make_tag(period, c.kind, c.list, raw[22], bytes(raw[24:24 + raw[23]]))
        raw[0:8] = struct.pack("<Q", tag)
        table.append((tag, raw))
        f.data[HEAD + c.index * CELL:HEAD + (c.index + 1) * CELL] = bytes(CELL)
    for tag, raw in table:
        i = (tag & ~USED) % f.cells
        while f.data[HEAD + i * CELL:HEAD + i * CELL + 8] != bytes(8):
            i = (i + 1) % f.cells
        f.data[HEAD + i * CELL:HEAD + (i + 1) * CELL] = raw
    path.write_bytes(f.data)


def _mix(h, v):
    h = (h ^ v) * 0x9e3779b97f4a7c15 & (1 << 64) - 1
    return h ^ h >> 32


def make_tag(period, kind, lst, measure, text):
    h = _mix(0, period << 32 | kind << 16 | lst << 8 | measure)
    n = len(text)
    while len(text) >= 8:
        h = _mix(h, int.from_bytes(text[:8], "little"))
        text = text[8:]
    return _mix(_mix(h, int.from_bytes(text, "little")), len(text) if n < 8 else len(text)) | USED


# ---- in Redis -------------------------------------------------------------------------------

class LedgerKeys:
    """The ledger of a list in Redis, and what the daemon does with it: collect, and acknowledge."""

    def __init__(self, client, name="credit"):
        self.redis, self.prefix = client, f"jd:{{{name}}}:"
        self.journal = {}                    # (key, field): total, by max

    def keys(self):
        return sorted(k.decode() for k in self.redis.smembers(self.prefix + "ledger"))

    def hash(self, key):
        return {k.decode(): v.decode() for k, v in self.redis.hgetall(key).items()}

    def totals(self, kind=None):
        """{(period, field): total} of what lies in Redis; kind "o" (orders) or "h" (hours)."""
        out = {}
        for key in self.keys():
            _, _, _, gateway, run, period = key.split(":", 5)
            if kind and kind != ("o" if gateway == "-" else "h"):
                continue
            for f, v in self.hash(key).items():
                if f != ".closed":
                    out[period, f] = out.get((period, f), 0) + int(v)
        return out

    def collect(self):
        """Journals totals by max; returns the keys that are closed, with all that was closed with them in the journal."""
        whole = []
        for key in self.keys():
            fields = self.hash(key)
            closed = fields.pop(".closed", None)
            for f, v in fields.items():
                self.journal[key, f] = max(self.journal.get((key, f), 0), int(v))
            mine = [v for (k, _), v in self.journal.items() if k == key]
            if closed == f"{len(mine)} {sum(mine)}":
                whole.append(key)
        return whole

    def done(self, key):
        """The office has receipted the period."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.delete(key)
        pipe.srem(self.prefix + "ledger", key)
        pipe.hset(self.prefix + "ledger:done", key.split(":", 4)[4], 1)
        pipe.execute()
