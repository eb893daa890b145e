"""Beats from its loop only, takes exactly three frames, and gives its queue up after fifteen silent intervals."""
import sys, time, zmq
context, interval = zmq.Context(), 0.1
def connect():
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(sys.argv[1])
    socket.send(b"\x01")
    return socket
socket, lives, beat_at = connect(), 15, time.time() + interval
beats = 0
print("ready", flush=True)
while True:
    if socket.poll(interval * 1000):
        frames = socket.recv_multipart()
        if len(frames) == 3:
            socket.send_multipart([frames[0], b"", b"py:" + frames[2]])
            lives = 15
        elif frames == [b"\x02"]:
            lives = 15
            beats += 1
            if beats == 18:
                print("beats", flush=True)
        else:
            print("invalid", frames, flush=True)
    else:
        lives -= 1
        if lives == 0:
            print("lost", flush=True)
            socket.close()
            socket, lives = connect(), 15
    if time.time() > beat_at:
        beat_at = time.time() + interval
        socket.send(b"\x02")
