"""A ZeroMQ program that shoal's tests talk to: pyzmq, driven by JSON lines.

Each line on standard input is a command {"op": …}; each gets one line of
answer on standard output, {"error": …} if it failed. Commands run one after
the other, and none waits longer than LIMIT.

Test messages are made from a number and a seed, the same here and in
messages.ts, so that both sides know what has to arrive and in which order.
A digest covers the frames' count, lengths and bytes, in order.
"""
import base64
import hashlib
import json
import os
import select
import sys
import time

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

LIMIT = 15.0
PATTERN = bytes(range(256)) * 4097

context = zmq.Context()
sockets = {}
authenticators = []


def body(size, seed):
    start = seed % 256
    return PATTERN[start : start + size]


def message(number, seed):
    if number % 100 == 50:
        return [b"%d" % number, body(1024 * 1024, number + seed)]
    kind = number % 6
    if kind == 0:
        return [b"message %d of %d" % (number, seed)]
    if kind == 1:
        return [b""]
    if kind == 2:
        return [b"%d" % number, b"", body(number % 300, number + seed)]
    if kind == 3:
        return [body(number % 17 + k, number + k) for k in range(10)]
    if kind == 4:
        return [b"", b"", b"%d" % (number + seed)]
    return [body(20000, number + seed)]


class Digest:
    def __init__(self):
        self.hash = hashlib.sha256()

    def add(self, frames):
        self.hash.update(len(frames).to_bytes(4, "big"))
        for frame in frames:
            self.hash.update(len(frame).to_bytes(4, "big"))
            self.hash.update(frame)

    def done(self):
        return self.hash.hexdigest()


def receive(socket, deadline):
    left = deadline - time.monotonic()
    if left <= 0 or not socket.poll(left * 1000):
        raise TimeoutError("nothing came")
    return socket.recv_multipart()


def decoded(frames):
    return [base64.b64decode(frame) for frame in frames]


def op_open(command):
    socket = context.socket(getattr(zmq, command["type"]))
    socket.setsockopt(zmq.LINGER, 5000)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.SNDTIMEO, int(LIMIT * 1000))
    for name, value in command.get("options", {}).items():
        if isinstance(value, str):
            value = value.encode()
        socket.setsockopt(getattr(zmq, name), value)
    sockets[command["id"]] = socket


def op_bind(command):
    socket = sockets[command["id"]]
    socket.bind(command["endpoint"])
    return {"endpoint": socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()}


def op_connect(command):
    socket = sockets[command["id"]]
    if "peer" in command:
        socket.setsockopt(zmq.CONNECT_ROUTING_ID, command["peer"].encode())
    socket.connect(command["endpoint"])


def op_subscribe(command):
    sockets[command["id"]].setsockopt(zmq.SUBSCRIBE, b"")


def op_close(command):
    sockets.pop(command["id"]).close(command.get("linger", 0))


def op_close_all(command):
    global context
    for socket in sockets.values():
        socket.close(0)
    sockets.clear()
    if authenticators:
        for authenticator in authenticators:
            authenticator.stop()
        authenticators.clear()
        # libzmq gives up the handler's inproc name some time after its close: the next handler needs another context.
        context.destroy(linger=0)
        context = zmq.Context()


def op_send_one(command):
    sockets[command["id"]].send_multipart(decoded(command["frames"]))


def op_receive_one(command):
    deadline = time.monotonic() + command.get("limit", LIMIT)
    frames = receive(sockets[command["id"]], deadline)
    return {"frames": [base64.b64encode(frame).decode() for frame in frames]}


def op_send(command):
    socket, digest = sockets[command["id"]], Digest()
    prefix = decoded(command.get("prefix", []))
    for number in range(command["count"]):
        frames = message(number, command["seed"])
        digest.add(frames)
        socket.send_multipart(prefix + frames)
    return {"digest": digest.done()}


def op_receive(command):
    socket, digest = sockets[command["id"]], Digest()
    deadline = time.monotonic() + LIMIT
    count = 0
    while count < command["count"]:
        frames = receive(socket, deadline)
        if frames == [b"sync"]:
            continue
        digest.add(frames)
        count += 1
    return {"digest": digest.done()}


def op_echo(command):
    """Sends every message back as it came; the digest leaves the address out."""
    socket, digest = sockets[command["id"]], Digest()
    deadline = time.monotonic() + LIMIT
    for _ in range(command["count"]):
        frames = receive(socket, deadline)
        digest.add(frames[command["strip"] :])
        socket.send_multipart(frames)
    return {"digest": digest.done()}


def op_ask(command):
    """Sends messages and checks that each comes back; "window" may be on their way."""
    socket, digest = sockets[command["id"]], Digest()
    prefix = decoded(command["prefix"])
    deadline = time.monotonic() + LIMIT
    count, sent = command["count"], 0
    for number in range(count):
        while sent < count and sent - number < command["window"]:
            send_to_known(socket, prefix + message(sent, command["seed"]), deadline)
            sent += 1
        frames = receive(socket, deadline)
        if frames[: len(prefix)] != prefix:
            raise ValueError("reply %d has another address" % number)
        digest.add(frames[len(prefix) :])
    return {"digest": digest.done()}


def send_to_known(socket, frames, deadline):
    """A mandatory ROUTER may not know its peer yet."""
    while True:
        try:
            return socket.send_multipart(frames)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def op_sync(command):
    """Publishes [sync] until the next command is there: by then the subscriber has heard one."""
    socket = sockets[command["id"]]
    while not lines.waiting(0.005):
        socket.send(b"sync")


def op_attend(command):
    """Lets libzmq work for the socket until the next command is there."""
    while not lines.waiting(0.005):
        sockets[command["id"]].getsockopt(zmq.EVENTS)


def op_serve(command):
    """Answers every request, of which retries make several, until the next command is there."""
    socket = sockets[command["id"]]
    while not lines.waiting(0):
        if socket.poll(5):
            socket.send(b"answer to " + socket.recv())


def op_pause(command):
    """Does nothing; ends "sync", "attend" and "serve"."""


def op_stream_send(command):
    """Bytes to the only peer of a STREAM."""
    socket, digest, total = sockets[command["id"]], hashlib.sha256(), 0
    for number in range(command["count"]):
        piece = b"".join(message(number, command["seed"])) or b"-"
        digest.update(piece)
        total += len(piece)
        socket.send_multipart([decoded([command["peer"]])[0], piece])
    return {"digest": digest.hexdigest(), "bytes": total}


def op_stream_receive(command):
    socket, digest, total = sockets[command["id"]], hashlib.sha256(), 0
    deadline = time.monotonic() + LIMIT
    while total < command["bytes"]:
        piece = receive(socket, deadline)[1]
        digest.update(piece)
        total += len(piece)
    return {"digest": digest.hexdigest(), "bytes": total}


def op_authenticate(command):
    """Starts pyzmq's ZAP handler. It has to be referenced, or it stops with its collection."""
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticators.append(authenticator)
    if "passwords" in command:
        # "*" is no wildcard here: the domain is the socket's.
        authenticator.configure_plain(domain=command["domain"], passwords=command["passwords"])
    if "certificates" in command:
        authenticator.configure_curve(domain="*", location=command["certificates"])


def op_make_folder(command):
    os.makedirs(command["folder"], exist_ok=True)


def op_create_certificate(command):
    os.makedirs(command["folder"], exist_ok=True)
    public, secret = zmq.auth.create_certificates(command["folder"], command["name"], command.get("metadata"))
    keys = zmq.auth.load_certificate(secret)
    return {"public": public, "secret": secret, "keys": [key.decode() for key in keys]}


def op_load_certificate(command):
    public, secret = zmq.auth.load_certificate(command["file"])
    return {"public": public.decode(), "secret": None if secret is None else secret.decode()}


def op_load_certificates(command):
    return {"keys": sorted(key.decode() for key in zmq.auth.load_certificates(command["folder"]))}


class Lines:
    """Lines of standard input, read without a buffer that select cannot see."""

    def __init__(self):
        self.buffered = b""
        self.ended = False

    def waiting(self, seconds):
        if b"\n" in self.buffered or self.ended:
            return True
        if not select.select([0], [], [], seconds)[0]:
            return False
        piece = os.read(0, 65536)
        self.ended = not piece
        self.buffered += piece
        return b"\n" in self.buffered or self.ended

    def next(self):
        while not self.waiting(None):
            pass
        line, found, self.buffered = self.buffered.partition(b"\n")
        return line if found else None


def main():
    answer({"pyzmq": zmq.__version__, "libzmq": zmq.zmq_version(), "curve": zmq.has("curve")})
    line = lines.next()
    while line is not None:
        try:
            command = json.loads(line)
            answer(globals()["op_" + command["op"]](command) or {})
        except Exception as error:  # The test decides what it means.
            answer({"error": "%s: %s" % (type(error).__name__, error)})
        line = lines.next()
    for authenticator in authenticators:
        authenticator.stop()
    context.destroy(linger=0)


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


lines = Lines()
main()
