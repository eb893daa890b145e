"""As the Guide's ticlient is: a REQ, MDP 0.1, lower-case UUIDs."""
import sys, time, zmq
socket = zmq.Context().socket(zmq.REQ)
socket.setsockopt(zmq.LINGER, 0)
socket.setsockopt(zmq.RCVTIMEO, 5000)
socket.connect(sys.argv[1])
def ask(service, *body):
    socket.send_multipart([b"MDPC01", service, *body])
    header, name, *reply = socket.recv_multipart()
    assert header == b"MDPC01" and name == service, (header, name)
    return reply
status, uuid = ask(b"titanic.request", b"echo", b"Hello world")
assert status == b"200" and len(uuid) == 32, (status, uuid)
deadline = time.monotonic() + 8
while True:
    reply = ask(b"titanic.reply", uuid.lower())
    if reply != [b"300"]:
        break
    assert time.monotonic() < deadline
    time.sleep(0.02)
assert reply == [b"200", b"Hello world"], reply
assert ask(b"titanic.close", uuid) == [b"200"]
assert ask(b"titanic.reply", uuid) == [b"400"]
assert ask(b"titanic.reply", b"../../../etc/passwd") == [b"400"]
assert ask(b"titanic.request", b"echo") == [b"500"]
print("done")
