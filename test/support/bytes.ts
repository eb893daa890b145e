/** The bytes 1, 2, 3 and 4 in each form that a program may have them in, of this realm and of another. */
import { runInNewContext } from "node:vm";

const memory = (): ArrayBuffer => Uint8Array.of(9, 9, 1, 2, 3, 4, 9, 9).buffer;

export const BYTES: Readonly<Record<string, () => unknown>> = {
  "a Buffer": () => Buffer.from([1, 2, 3, 4]),
  "a Uint8Array": () => Uint8Array.of(1, 2, 3, 4),
  "a Uint16Array": () => new Uint16Array(memory(), 2, 2),
  "a DataView": () => new DataView(memory(), 2, 4),
  "an ArrayBuffer": () => memory().slice(2, 6),
  "a SharedArrayBuffer": () => {
    const shared = new SharedArrayBuffer(4);
    new Uint8Array(shared).set([1, 2, 3, 4]);
    return shared;
  },
  "an ArrayBuffer of another realm": () => runInNewContext("Uint8Array.of(1, 2, 3, 4).buffer"),
  "a DataView of another realm": () => runInNewContext("new DataView(Uint8Array.of(1, 2, 3, 4).buffer)"),
};
