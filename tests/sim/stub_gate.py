"""A small HTTP server that tests script: it answers what it is told, byte for byte."""

import json
import socket
import threading
import time


class Request:
    def __init__(self, method, path, headers, body, n, on_connection):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.n = n                              # of the server, from 1
        self.on_connection = on_connection      # of its connection, from 1

    def card(self):
        if "x-card-no" in self.headers:
            return self.headers["x-card-no"]
        if self.body.startswith(b"{"):
            return json.loads(self.body)["patron_barcode"]
        return dict(p.split("=") for p in self.body.decode().split("&"))["card"]


def passed(extra=b"", body=b'{"result":"ride"}'):
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (extra, len(body), body)


def denied(order="CS-1", status=403):
    body = json.dumps({"title": "restricted", "order": order}).encode()
    return (b"HTTP/1.1 %d X\r\nContent-Type: application/problem+json\r\n"
            b"JD-Status: DENIED;reason=listed;list=\"credit\";measure=bus.ride\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (status, len(body), body))


class StubGate:
    """`answer(request)` returns the bytes to send; with CLOSE at their end the connection is closed after them.

    `stall_at` and `stall_sec`: request number stall_at and all that come meanwhile wait that long.
    """

    CLOSE = b"<close>"

    def __init__(self, answer, stall_at=0, stall_sec=0.0, trickle=False):
        self.answer = answer
        self.stall_at = stall_at
        self.stall_sec = stall_sec
        self.trickle = trickle
        self.requests = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()
        for c in self.connections:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        f = c.makefile("rb")
        on_connection = 0
        try:
            while True:
                on_connection += 1
                request = self._read(f, on_connection)
                if request is None or not self._send(c, self.answer(request)):
                    break
        except (OSError, ValueError):
            pass
        try:
            c.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        f.close()
        c.close()

    def _read(self, f, on_connection):
        line = f.readline()
        if not line:
            return None
        method, path, _ = line.decode().split(" ")
        headers = {}
        while (line := f.readline().strip()):
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        body = f.read(int(headers.get("content-length", 0)))
        with self.lock:                         # a stall holds the lock: everybody waits
            n = len(self.requests) + 1
            request = Request(method, path, headers, body, n, on_connection)
            self.requests.append(request)
            if n == self.stall_at:
                time.sleep(self.stall_sec)
        return request

    def _send(self, c, data):
        close = data.endswith(self.CLOSE)
        if close:
            data = data[:-len(self.CLOSE)]
        if self.trickle:
            for i in range(len(data)):
                c.sendall(data[i:i + 1])
        else:
            c.sendall(data)
        return not close
