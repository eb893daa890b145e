"""The servers and clients of the Guide's Freelance and Binary Star chapters, in their own manner, with pyzmq.

    stars.py flserver1|flserver2 BIND                answer "OK"; model 1 echoes
    stars.py flserver3 BIND IDENTITY
    stars.py flclient1|flclient2 N SERVER...         N requests, a line each
    stars.py flclient3 C|py N SERVER...              the sequence from 1 without, or from 0 with, an empty frame
    stars.py bstarsrv primary|backup CLIENTS PUB SUB HEARTBEAT_MS
    stars.py bstarcli N PRIMARY BACKUP TIMEOUT_MS

They print what happened, a line each, flushed. All end when standard input does.
"""

import os
import sys
import threading
import time

import zmq

context = zmq.Context()


def say(*words):
    print(*words, flush=True)


def end_with_input():
    sys.stdin.read()
    os._exit(0)


def flserver1(bind):
    server = context.socket(zmq.REP)
    server.bind(bind)
    say("ready", server.getsockopt_string(zmq.LAST_ENDPOINT))
    while True:
        server.send_multipart(server.recv_multipart())


def flserver2(bind):
    server = context.socket(zmq.REP)
    server.bind(bind)
    say("ready", server.getsockopt_string(zmq.LAST_ENDPOINT))
    while True:
        request = server.recv_multipart()
        assert len(request) == 2, request
        server.send_multipart([request[0], b"OK"])


def flserver3(bind, identity):
    server = context.socket(zmq.ROUTER)
    server.setsockopt(zmq.IDENTITY, identity.encode())
    server.bind(bind)
    say("ready", bind)
    while True:
        address, control, *body = server.recv_multipart()
        if control == b"PING":
            server.send_multipart([address, b"PONG"])
        else:
            say("request", control.decode(), len(body))
            server.send_multipart([address, control, b"OK"])


def flclient1(count, *servers):
    for _ in range(int(count)):
        for endpoint in servers:
            client = context.socket(zmq.REQ)
            client.linger = 0
            client.connect(endpoint)
            client.send(b"Hello world")
            if client.poll(1000):
                say("reply", client.recv().decode())
                client.close()
                break
            client.close()


def flclient2(count, *servers):
    client = context.socket(zmq.DEALER)
    for endpoint in servers:
        client.connect(endpoint)
    time.sleep(0.3)
    for sequence in range(1, int(count) + 1):
        for _ in servers:
            client.send_multipart([b"", str(sequence).encode(), b"random name"])
        while True:
            reply = client.recv_multipart()
            assert len(reply) == 3, reply
            if int(reply[1]) == sequence:
                say("reply", reply[2].decode())
                break


def flclient3(dialect, count, *servers):
    router = context.socket(zmq.ROUTER)
    for endpoint in servers:
        router.connect(endpoint)
    time.sleep(0.3)
    first = 1 if dialect == "C" else 0
    alive = list(servers)
    for endpoint in servers:
        router.send_multipart([endpoint.encode(), b"PING"])
    for sequence in range(first, first + int(count)):
        delimiter = [] if dialect == "C" else [b""]
        router.send_multipart([alive[0].encode(), str(sequence).encode(), *delimiter, b"random name"])
        while True:
            if not router.poll(3000):
                alive.append(alive.pop(0))
                break
            endpoint, control, *body = router.recv_multipart()
            assert endpoint.decode() in servers, endpoint
            if control == b"PONG":
                say("pong", endpoint.decode())
            elif int(control) == sequence:
                say("reply", *[frame.decode() for frame in body])
                break


def bstarsrv(role, clients, pub, sub, heartbeat):
    frontend = context.socket(zmq.ROUTER)
    frontend.bind(clients)
    statepub = context.socket(zmq.PUB)
    statepub.bind(pub)
    statesub = context.socket(zmq.SUB)
    statesub.setsockopt_string(zmq.SUBSCRIBE, "")
    statesub.connect(sub)
    interval = int(heartbeat) / 1000
    state = 1 if role == "primary" else 2
    say("state", state, frontend.getsockopt_string(zmq.LAST_ENDPOINT))
    send_at = time.monotonic() + interval
    expiry = time.monotonic() + 2 * interval
    poller = zmq.Poller()
    poller.register(frontend, zmq.POLLIN)
    poller.register(statesub, zmq.POLLIN)
    while True:
        ready = dict(poller.poll(max(0, (send_at - time.monotonic()) * 1000)))
        before = state
        if statesub in ready:
            event = int(statesub.recv())
            expiry = time.monotonic() + 2 * interval
            if state == 1:
                state = {2: 3, 3: 4}.get(event, state)
            elif state == 2:
                state = {3: 4}.get(event, state)
            elif state == 3 and event == 3:
                say("fatal")
                os._exit(1)
            elif state == 4:
                if event == 4:
                    say("fatal")
                    os._exit(1)
                state = {1: 3, 2: 3}.get(event, state)
        if frontend in ready:
            message = frontend.recv_multipart()
            if state in (1, 4) and time.monotonic() >= expiry:
                state = 3
            if state == 3:
                frontend.send_multipart(message)
        if state != before:
            say("state", state)
        if time.monotonic() >= send_at:
            statepub.send_string(str(state))
            send_at = time.monotonic() + interval


def bstarcli(count, primary, backup, timeout):
    servers = [primary, backup]
    current = 0
    client = None
    sequence_sent = 0
    for sequence in range(1, int(count) + 1):
        while True:
            if client is None:
                client = context.socket(zmq.REQ)
                client.linger = 0
                client.connect(servers[current])
                sequence_sent = 0
            if sequence_sent != sequence:
                client.send_string(str(sequence))
            sequence_sent = sequence
            if client.poll(int(timeout)):
                reply = client.recv().decode()
                assert int(reply.split()[-1]) == sequence, reply
                say("reply", reply)
                break
            client.close()
            client = None
            current = 1 - current
            say("failing over to", servers[current])


threading.Thread(target=end_with_input, daemon=True).start()
globals()[sys.argv[1]](*sys.argv[2:])
say("done")
os._exit(0)
