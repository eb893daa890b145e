/** Programs of pyzmq in `test/patterns/peers`, which are ended after the test. */
import { join } from "node:path";
import { Child } from "../../process/child.js";
import { peerAt } from "../../support/peers.js";

type Keep = (thing: { close(): unknown }) => unknown;

export function pythonIn(keep: Keep): (program: string, ...args: string[]) => Child {
  return (program, ...args) => {
    const path = join(import.meta.dirname, "../peers", program);
    const child = new Child(peerAt("pyzmq"), [path, ...args]);
    keep({ close: () => child.kill() });
    return child;
  };
}
