"""A broker of 0.1 for one service, as small as the Guide's: idle workers in turn, 501 for all of mmi but mmi.service."""
import zmq
s = zmq.Context().socket(zmq.ROUTER); s.linger = 0
print("tcp://127.0.0.1:%d" % s.bind_to_random_port("tcp://127.0.0.1"), flush=True)
idle, waiting = [], []
while True:
    m = s.recv_multipart(); sender, empty, header = m[:3]; m = m[3:]
    assert empty == b""
    if header == b"MDPC01":
        if m[0].startswith(b"mmi."): s.send_multipart([sender, b"", b"MDPC01", m[0], b"200" if m[0] == b"mmi.service" and idle else b"501"])
        else: waiting.append((sender, m[0], m[1:]))
    elif m[0] == b"\x01": idle.append(sender)
    elif m[0] == b"\x03":
        s.send_multipart([m[1], b"", b"MDPC01", b"upper"] + m[3:]); idle.append(sender)
    while idle and waiting:
        client, service, body = waiting.pop(0)
        s.send_multipart([idle.pop(0), b"", b"MDPW01", b"\x02", client, b""] + body)
