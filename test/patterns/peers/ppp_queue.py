"""Any message of a worker makes it ready; it beats only for idle ones, and only when it is woken. It says when a request was 18 intervals ago: longer than anybody's patience."""
import sys, time, zmq
context, interval = zmq.Context(), 0.1
frontend, backend = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (frontend, backend)]
print(*ports, flush=True)
workers, beat_at, passed = {}, time.time() + interval, []
poller = zmq.Poller()
poller.register(frontend, zmq.POLLIN)
poller.register(backend, zmq.POLLIN)
while True:
    ready = dict(poller.poll(interval * 1000))
    if backend in ready:
        worker, *message = backend.recv_multipart()
        workers.pop(worker, None)
        workers[worker] = time.time() + 15 * interval
        if len(message) == 1:
            if message[0] not in (b"\x01", b"\x02"):
                print("invalid", message, flush=True)
        else:
            frontend.send_multipart(message)
        if time.time() >= beat_at:
            for worker in workers:
                backend.send_multipart([worker, b"\x02"])
            beat_at = time.time() + interval
    if frontend in ready and workers:
        worker = next(iter(workers))
        del workers[worker]
        message = frontend.recv_multipart()
        backend.send_multipart([worker] + message)
        passed.append((time.time() + 18 * interval, message[-1].decode()))
    while passed and passed[0][0] <= time.time():
        print("long ago:", passed.pop(0)[1], flush=True)
    workers = {worker: expiry for worker, expiry in workers.items() if expiry > time.time()}
