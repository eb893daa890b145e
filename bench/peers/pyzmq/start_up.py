"""From start to the first message: a PUSH and a PULL over tcp, then the end of the process."""

import time

began = time.perf_counter()
import zmq  # noqa: E402

imported = time.perf_counter()
context = zmq.Context()
pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
port = pull.bind_to_random_port("tcp://127.0.0.1")
push.connect(f"tcp://127.0.0.1:{port}")
push.send(b"first")
pull.recv()
print('{"type":"first","import":%f}' % (imported - began), flush=True)
