"""A SUB that prints a topic, the bytes of its meta and the body."""
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"a")
socket.connect(sys.argv[1])
topic, meta, *body = socket.recv_multipart()
print(topic.decode(), len(meta), *[frame.decode() for frame in body], flush=True)
