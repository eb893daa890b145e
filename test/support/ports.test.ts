/** Ports that are chosen before a program binds them. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, it } from "vitest";
import { freePort, isFree } from "./ports.js";

it("are none that the system hands out to others meanwhile, and each is given once", async () => {
  const ports = await Promise.all(Array.from({ length: 50 }, freePort));
  expect(Math.max(...ports)).toBeLessThan(32_768);
  expect(new Set(ports).size).toBe(50);
});

it("are free for streams and for datagrams", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  const socket = createSocket("udp4");
  try {
    await once(server, "listening");
    expect(await isFree((server.address() as AddressInfo).port)).toBe(false);
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    expect(await isFree(socket.address().port)).toBe(false);
  } finally {
    server.close();
    socket.close();
  }
  const port = await freePort();
  expect(await isFree(port)).toBe(true);
});
