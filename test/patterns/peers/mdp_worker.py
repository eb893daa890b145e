"""A worker that upper-cases, and beats only between requests."""
import sys, zmq
endpoint, version = sys.argv[1:3]
old = version == "0.1"
lead = [b"", b"MDPW01"] if old else [b"MDPW02"]
s = zmq.Context().socket(zmq.DEALER); s.linger = 0; s.connect(endpoint)
s.send_multipart(lead + [b"\x01", b"upper"]); print("ready", flush=True)
while True:
    if not s.poll(1000):
        s.send_multipart(lead + [b"\x04" if old else b"\x05"]); continue
    m = s.recv_multipart()[len(lead):]
    if m[0] != b"\x02": continue
    client, empty, body = m[1], m[2], m[3:]
    assert empty == b""
    body = [f.upper() for f in body]
    if old: s.send_multipart(lead + [b"\x03", client, b""] + body)
    else:
        for f in body: s.send_multipart(lead + [b"\x03", client, b"", f])
        s.send_multipart(lead + [b"\x04", client, b"", b"END"])
