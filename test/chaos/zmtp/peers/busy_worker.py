"""A libzmq worker whose queue is full after one message, and that is as busy as its first job asks."""
import sys, time, zmq
context = zmq.Context()
worker = context.socket(getattr(zmq, sys.argv[1]))
worker.rcvhwm = 1
worker.connect(sys.argv[2])
for number in range(int(sys.argv[3])):
    frames = worker.recv_multipart()
    assert frames[0] == str(number).encode(), (frames[0], number)
    if number == 0:
        print("busy", flush=True)
        time.sleep(float(sys.argv[4]) / 1000)
print("done", flush=True)
