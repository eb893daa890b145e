/** What the tests of a file open is closed after each of them, whether it passed or not. */
import { afterEach } from "vitest";

interface Closable {
  close(options?: { linger: number }): unknown;
}

/** Once for a file, outside of its tests. @returns takes what is to be closed after the test, and gives it back */
export function closeAfterEach(): <T extends Closable>(thing: T) => T {
  const open: Closable[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((thing) => thing.close({ linger: 0 })));
  });
  return (thing) => {
    open.push(thing);
    return thing;
  };
}
