"""A side of a run in Python, by bench/contract.ts, for every role."""

import argparse
import gc
import json
import math
import os
import resource
import sys
import threading
import time

import zmq

PERCENTILES = [50, 75, 90, 99, 99.9, 99.99, 100]


class Side:
    def __init__(self, arguments):
        parser = argparse.ArgumentParser()
        parser.add_argument("--scenario", required=True)
        parser.add_argument("--role", required=True)
        parser.add_argument("--index", type=int, default=0)
        parser.add_argument("--transport", default="tcp")
        parser.add_argument("--size", type=int, default=0)
        parser.add_argument("--count", type=int, default=0)
        parser.add_argument("--endpoint")
        parser.add_argument("--option", action="append", default=[])
        parsed = parser.parse_args(arguments)
        self.scenario = parsed.scenario
        self.role = parsed.role
        self.index = parsed.index
        self.size = parsed.size or 16
        self.count = parsed.count
        self.endpoint = parsed.endpoint or ("inproc://bench" if parsed.role == "both" else None)
        self.options = dict(pair.split("=", 1) for pair in parsed.option)
        self.warmup = self.number("warmup", 0)
        self.context = zmq.Context()
        self.context.max_sockets = 4096
        self.stopping = False
        self._started = threading.Event()
        self._seconds = None
        self._collected = 0.0
        gc.callbacks.append(self._on_collection)
        self._begin()
        threading.Thread(target=self._read_input, daemon=True).start()

    def option(self, name, otherwise=None):
        return self.options.get(name, otherwise)

    def number(self, name, otherwise):
        return int(self.options.get(name, otherwise))

    # Sockets

    def socket(self, kind):
        """A socket with the case's security and high-water marks."""
        socket = self.context.socket(kind)
        mark = self.number("high-water-mark", -1)
        if mark >= 0:
            socket.set_hwm(mark)
        socket.backlog = self.number("backlog", 100)
        if self.option("security") == "curve":
            socket.curve_publickey = self.option("public-key").encode()
            socket.curve_secretkey = self.option("secret-key").encode()
            server = self.option("server-key")
            if server is None:
                socket.curve_server = True
            else:
                socket.curve_serverkey = server.encode()
        return socket

    # Life: a separate thread reads standard input, and ends the process when that closes.

    def _read_input(self):
        for line in sys.stdin:
            if line.strip() == "start":
                self._started.set()
            elif line.strip() == "begin":
                self._begin()
            elif line.strip() == "stop":
                self.stopping = True
        os._exit(0)

    def ready(self, bound=None):
        """Prints `ready`; for a bound socket, with its endpoint."""
        line = {"type": "ready"}
        if bound is not None:
            line["endpoint"] = bound.last_endpoint.rstrip(b"\0").decode()
        self.report(line)

    def wait_for_start(self):
        self._started.wait()
        self._begin()

    def wait_for_end(self):
        while True:
            time.sleep(3600)  # The thread that reads the input ends the process.

    @staticmethod
    def report(line):
        print(json.dumps(line), flush=True)

    # The measured part

    def begin(self):
        """Begins the measured part again, after the warm-up."""
        self.report({"type": "begun"})
        self._begin()

    def _begin(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._cpu = usage.ru_utime + usage.ru_stime
        self._collected = 0.0
        self._from = time.perf_counter()

    def end(self):
        self._seconds = time.perf_counter() - self._from
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._cpu = usage.ru_utime + usage.ru_stime - self._cpu
        self.report({"type": "ended"})

    def _on_collection(self, phase, _info):
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._collecting

    def done(self, messages, tally=None, checksum=None, ordered=True, latencies=None, extra=None):
        """Prints `done`. `latencies` are in seconds."""
        if self._seconds is None:
            self.end()
        if tally is not None:
            checksum, ordered = tally.sum, tally.good
        line = {
            "type": "done",
            "messages": messages,
            "bytes": messages * self.size,
            "seconds": self._seconds,
            "ordered": ordered,
            "cpuSeconds": self._cpu,
            "peakRss": peak_resident(),
            "gcSeconds": self._collected,
        }
        if checksum is not None:
            line["checksum"] = f"{checksum & 0xFFFFFFFF:08x}"
        if latencies:
            line["latency"] = percentiles(latencies)
        if extra is not None:
            line["extra"] = extra
        self.report(line)
        self.wait_for_end()


def percentiles(latencies):
    """In microseconds: the smallest value that this percentage does not exceed."""
    ordered = sorted(latencies)
    table = {"mean": sum(ordered) / len(ordered) * 1e6}
    for wanted in PERCENTILES:
        rank = min(len(ordered), max(1, math.ceil(wanted / 100 * len(ordered))))
        table[f"{wanted:g}"] = ordered[rank - 1] * 1e6
    return table


def peak_resident():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return peak_resident()
