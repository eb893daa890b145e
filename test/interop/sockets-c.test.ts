/** Every socket type of every engine against a C program and the system's libzmq, both ways. */
import { NO_C, startC } from "./c-peer.js";
import { describeMatrix } from "./matrix.js";

describeMatrix("C", startC, NO_C);
