/** Ports that a test names before anything is bound there. */
export { freePort, freePorts, freeRange } from "../../bench/peers/ports.js";
