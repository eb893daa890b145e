/** Whether a socket in the file system is of somebody who lives: that of a killed process refuses connections, and is still there. */
import { createConnection } from "node:net";

/** ms until a socket that neither takes nor refuses a connection counts as one that lives. */
const TRY_TIMEOUT = 500;

/** Whether somebody listens at a path: a process that is stopped does. */
export function isListenedAt(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const end = (result: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(true), TRY_TIMEOUT);
    socket.once("connect", () => end(true));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      // Any other code is of a queue that is full, or of this process.
      end(code !== "ECONNREFUSED" && code !== "ENOENT" && code !== "ENOTSOCK");
    });
  });
}
