/** Servers of Node.js that a test has, at a port of 127.0.0.1 that the system chooses. */
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import { onTestFinished } from "vitest";

/** Has it listen until the test is over. @returns its port */
export async function listening(
  server: Server & { closeAllConnections?(): void },
  host = "127.0.0.1",
): Promise<number> {
  onTestFinished(() => {
    server.close();
    server.closeAllConnections?.();
  });
  await once(server.listen(0, host), "listening");
  return (server.address() as AddressInfo).port;
}
