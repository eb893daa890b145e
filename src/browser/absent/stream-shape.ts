/** A page has no Stream; stands in for sockets/stream-shape.ts. */
export { FRAMES as STREAM_FRAMES } from "../../sockets/shape.js";
