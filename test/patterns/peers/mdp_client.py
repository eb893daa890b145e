"""A client that asks 20 times, and prints each answer's frames."""
import sys, zmq
endpoint, version = sys.argv[1:3]
c = zmq.Context()
s = c.socket(zmq.REQ if version == "0.1" else zmq.DEALER); s.linger = 0; s.rcvtimeo = 8000; s.connect(endpoint)
for i in range(20):
    body = b"a%d" % i
    s.send_multipart([b"MDPC01", b"upper", body] if version == "0.1" else [b"MDPC02", b"\x01", b"upper", body])
    while True:
        m = s.recv_multipart()
        print("|".join(repr(f)[2:-1] for f in m), flush=True)
        if version == "0.1" or m[1] == b"\x03": break
