"""A Redis that misbehaves on demand: relays to a real one, except for what a test scripts.

    fake = FakeRedis(real.port).start()
    fake.rule("EVALSHA_RO", HANG)              # per command; "*" is any
    fake.rule("HMGET", b"-LOADING ...\\r\\n")    # bytes: this instead of a reply
    fake.rule("*", close_after(b"*15\\r\\n$1"))  # part of a reply, then the connection ends
    fake.heal()                                # no rules, listening
    fake.refuse()                              # nobody listens, all connections end

It speaks RESP2 as far as the gate does: arrays of bulk strings in, any reply out.
"""

import socket
import threading

HANG = object()


class close_after(bytes):
    """These bytes, then the end of the connection."""


class FakeRedis:
    def __init__(self, upstream_port, port=0):
        self.upstream_port = upstream_port
        self.port = port
        self.rules = {}
        self.seen = {}                       # commands by name
        self.released = threading.Event()    # ends all hanging
        self.lock = threading.Lock()
        self.connections = set()
        self.listener = None

    # a process of a World, so that it is ended with it
    args = ["fake Redis"]
    p = None

    def start(self):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", self.port))
        s.listen(64)
        self.port = s.getsockname()[1]
        self.listener = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()
        return self

    def stop(self, *_):
        self.refuse()
        return 0

    def rule(self, command, action):
        self.rules[command.upper()] = action

    def heal(self):
        self.rules.clear()
        self.released.set()
        self.released = threading.Event()
        self.cut()
        if self.listener is None:
            self.start()

    def refuse(self):
        listener, self.listener = self.listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.released.set()
        self.cut()

    def cut(self):
        """Ends every connection."""
        with self.lock:
            for s in self.connections:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with self.lock:
            self.connections.add(s)
        real = None
        try:
            real = socket.create_connection(("127.0.0.1", self.upstream_port))
            incoming, replies = s.makefile("rb"), real.makefile("rb")
            while True:
                raw, args = read_command(incoming)
                if not raw:
                    return
                name = args[0].decode().upper()
                self.seen[name] = self.seen.get(name, 0) + 1
                action = self.rules.get(name, self.rules.get("*"))
                if action is HANG:
                    self.released.wait()
                    return
                if action is None:
                    real.sendall(raw)
                    s.sendall(read_reply(replies))
                    continue
                s.sendall(action)
                if isinstance(action, close_after):
                    return
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.connections.discard(s)
            for one in (s, real):
                if one:
                    one.close()


def read_command(f):
    """(raw bytes, arguments); (b"", []) at the end."""
    head = f.readline()
    if not head:
        return b"", []
    raw, args = head, []
    for _ in range(int(head[1:])):
        size = f.readline()
        value = f.read(int(size[1:]) + 2)
        raw += size + value
        args.append(value[:-2])
    return raw, args


def read_reply(f):
    """One reply, raw."""
    head = f.readline()
    if not head.endswith(b"\r\n"):
        raise OSError("the real Redis is gone")
    kind, n = head[:1], head[1:-2]
    if kind == b"$" and int(n) >= 0:
        return head + f.read(int(n) + 2)
    if kind == b"*" and int(n) > 0:
        return head + b"".join(read_reply(f) for _ in range(int(n)))
    return head
