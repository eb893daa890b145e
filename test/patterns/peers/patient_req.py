"""A REQ that sends each line that it reads until it is answered, and prints the reply."""
import sys, zmq
context = zmq.Context()
socket = context.socket(zmq.REQ)
socket.linger = 0
# Not by a poll: that reports a late reply to an earlier request, too, which recv throws away, and then waits.
socket.rcvtimeo = 300
socket.setsockopt(zmq.REQ_RELAXED, 1)
socket.setsockopt(zmq.REQ_CORRELATE, 1)
for endpoint in sys.argv[1:]:
    socket.connect(endpoint)
print("ready", flush=True)
for line in sys.stdin:
    while True:
        socket.send(line.strip().encode())
        try:
            print(socket.recv().decode(), flush=True)
            break
        except zmq.Again:
            pass
