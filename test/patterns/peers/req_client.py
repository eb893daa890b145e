"""A REQ client that opens a new socket for each try."""
import sys, zmq
context = zmq.Context()
for number in range(5):
    for attempt in range(5):
        socket = context.socket(zmq.REQ)
        socket.linger = 0
        socket.connect(sys.argv[1])
        socket.send(str(number).encode())
        if socket.poll(2500):
            print(socket.recv().decode(), flush=True)
            break
        socket.close()
