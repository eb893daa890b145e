"""PUSH and PULL: throughput, fan-in, pipeline, CURVE, slow consumer, message size; over inproc, too."""

import threading
import time

import zmq
from bodies import Bodies, Tally
from side import peak_resident, resident


def consume(side, pull, sequence):
    tally = Tally(side.size, side.warmup, side.count, sequence, side.number("peers", 1))
    rate = side.number("rate", 0)
    first = max(1, side.warmup)
    receive, take = pull.recv, tally.take
    since = 0.0
    while tally.seen < tally.total:
        take(receive())
        if tally.seen == first:
            side.begin()
            since = time.perf_counter()
        if rate > 0 and tally.seen > side.warmup:
            ahead = since + (tally.seen - side.warmup) / rate - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
    side.end()
    return tally


def sink_like(sequence_of):
    def play(side):
        pull = side.socket(zmq.PULL)
        pull.bind(side.endpoint)
        side.ready(pull)
        side.wait_for_start()
        side.done(side.count, consume(side, pull, sequence_of(side)))

    return play


def produced(side, messages, before):
    side.done(messages, extra={"rssGrowth": max(0, peak_resident() - before)})


def producer(side):
    """Several sockets in one thread: message k is sent by sender k mod peers."""
    sockets, peers = side.number("sockets", 1), side.number("peers", 1)
    pushes = [side.socket(zmq.PUSH) for _ in range(sockets)]
    for push in pushes:
        push.connect(side.endpoint)
    side.ready()
    make = Bodies(side.size).make
    side.wait_for_start()
    before = resident()
    total = side.warmup + side.count
    sent = 0
    for base in range(0, total, peers):
        for i, push in enumerate(pushes):
            k = base + side.index * sockets + i
            if k >= total:
                break
            push.send(make(k))
            if k >= side.warmup:
                if sent == 0:
                    side.begin()
                sent += 1
    produced(side, sent, before)


def send_all(side, push):
    make, send = Bodies(side.size).make, push.send
    for k in range(side.warmup + side.count):
        send(make(k))


def both(side):
    """inproc: the producer is a thread of the same process."""
    pull, push = side.socket(zmq.PULL), side.socket(zmq.PUSH)
    pull.bind(side.endpoint)
    push.connect(side.endpoint)
    side.ready()
    side.wait_for_start()
    thread = threading.Thread(target=send_all, args=(side, push), daemon=True)
    thread.start()
    tally = consume(side, pull, "order")
    thread.join()
    side.done(side.count, tally)


def ventilator(side):
    push = side.socket(zmq.PUSH)
    push.bind(side.endpoint)
    side.ready(push)
    side.wait_for_start()
    before = resident()
    send_all(side, push)
    produced(side, side.count, before)


def worker(side):
    """Forwards messages until it is stopped."""
    pull, push = side.socket(zmq.PULL), side.socket(zmq.PUSH)
    pull.connect(side.endpoint)
    push.connect(side.option("endpoint-sink"))
    pull.rcvtimeo = 20
    side.ready()
    side.wait_for_start()
    before = resident()
    passed = 0
    while not side.stopping:
        try:
            message = pull.recv()
        except zmq.Again:
            continue
        push.send(message)
        passed += 1
    produced(side, passed, before)


ROLES = {
    "consumer": sink_like(lambda side: "stride" if side.number("peers", 1) > 1 else "order"),
    "sink": sink_like(lambda _side: "once"),
    "producer": producer,
    "ventilator": ventilator,
    "worker": worker,
}
