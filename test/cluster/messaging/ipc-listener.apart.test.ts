/** The listener of ipc, whose server the test reaches. */
import type { Server } from "node:net";
import { expect, it, vi } from "vitest";
import { ipcProtocol } from "../../../src/cluster/messaging/protocols.js";

const servers: Server[] = [];

vi.mock("node:net", async (importOriginal) => {
  const net = await importOriginal<typeof import("node:net")>();
  return {
    ...net,
    createServer: (onStream: () => void) => {
      const server = net.createServer(onStream);
      servers.push(server);
      return server;
    },
  };
});

it("survives a stream that cannot be accepted, since files are exhausted for example", async () => {
  const host = { cluster: "default", id: "a".repeat(32), host: "127.0.0.1", ports: undefined };
  const listener = await ipcProtocol().listen(() => undefined, host);
  const [server] = servers as [Server];
  expect(() => server.emit("error", new Error("accept EMFILE"))).not.toThrow();
  expect(server.listening).toBe(true);
  await listener.close(0);
});
