"""Publishes its time, which is an hour ahead, once a millisecond."""
import time, zmq
socket = zmq.Context().socket(zmq.XPUB)
print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
socket.recv()
while True:
    socket.send(b"%d" % int((time.time() + 3600) * 1000))
    time.sleep(0.001)
