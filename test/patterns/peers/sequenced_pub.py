"""Publishes what a sequenced publisher would, without the messages 3 and 4."""
import struct, sys, time, zmq
socket = zmq.Context().socket(zmq.XPUB)
port = socket.bind_to_random_port("tcp://127.0.0.1")
print(port, flush=True)
socket.recv()
for sequence in (1, 2, 5):
    meta = b"SQ\x01\x01" + b"p" * 16 + struct.pack(">IQQ", 1, sequence, int(time.time() * 1e6))
    socket.send_multipart([b"a", meta, b"%d" % sequence])
sys.stdin.read()
