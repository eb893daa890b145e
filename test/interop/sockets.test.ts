/** Every socket type of every engine against pyzmq, both ways. */
import { describeMatrix } from "./matrix.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

describeMatrix("pyzmq", startPython, NO_PYTHON);
