/** The part of msgpackr that src/sockets/codec.ts uses. */
export { Packr } from "msgpackr";
