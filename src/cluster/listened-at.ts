/** A killed process leaves a socket file that refuses connections. */
import { createConnection } from "node:net";

/** Whether a process, also a stopped one, has the socket; without an answer it counts as used. */
export function isListenedAt(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const end = (result: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(true), 500);
    socket.once("connect", () => end(true));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      // Other codes come from a full queue or from this process.
      end(code !== "ECONNREFUSED" && code !== "ENOENT" && code !== "ENOTSOCK");
    });
  });
}
