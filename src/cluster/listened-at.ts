/** Detects whether a process listens on a socket file. A killed process leaves a file that refuses connections. */
import { createConnection } from "node:net";

/** The socket counts as used without an answer. */
const TRY_TIMEOUT = 500;

/** Also a stopped one. */
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
      // Other codes come from a full queue or from this process.
      end(code !== "ECONNREFUSED" && code !== "ENOENT" && code !== "ENOTSOCK");
    });
  });
}
