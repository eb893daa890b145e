"""A REQ that says that it is ready, in the words that it is given, and answers with what it gets, perhaps under an identity."""
import sys, zmq
socket = zmq.Context().socket(zmq.REQ)
socket.linger = 0
if len(sys.argv) > 4: socket.identity = sys.argv[4].encode()
socket.connect(sys.argv[1])
socket.send(sys.argv[2].encode())
while True:
    address, empty, body = socket.recv_multipart()
    socket.send_multipart([address, empty, sys.argv[3].encode() + b":" + body])
