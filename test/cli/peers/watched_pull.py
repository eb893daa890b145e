"""A PULL that says when it is connected."""
import sys, zmq
from zmq.utils.monitor import recv_monitor_message
socket = zmq.Context().socket(zmq.PULL)
monitor = socket.get_monitor_socket()
socket.connect(sys.argv[1])
while recv_monitor_message(monitor)["event"] != zmq.EVENT_HANDSHAKE_SUCCEEDED: pass
print("connected", flush=True)
sys.stdin.read()
