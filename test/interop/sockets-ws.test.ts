/** Every socket type over WebSocket against pyzmq, both ways: Debian's libzmq has the transport. */
import { describeMatrix } from "./matrix.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

describeMatrix("pyzmq", startPython, NO_PYTHON, ["zmtp"], ["ws"]);
