/** What each end sends first, as a peer sees it that waits for it. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { commandFrame } from "../../../src/engine/frame.js";
import { encodeCommand } from "../../../src/engine/zmtp/codec/command.js";
import { encodeGreeting, GREETING_SIZE } from "../../../src/engine/zmtp/codec/greeting.js";
import { encodeMetadata } from "../../../src/engine/zmtp/codec/metadata.js";
import { Dealer, Router } from "../../../src/index.js";

const GREETING = encodeGreeting("NULL", false);

/** The first bytes that come, up to `length`. */
async function firstBytes(socket: Socket, length: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < length) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  return bytes;
}

async function routerAt(authenticate?: () => Promise<boolean>): Promise<string> {
  const router = new Router({
    heartbeatInterval: 0,
    ...(authenticate === undefined ? {} : { authenticate }),
  });
  onTestFinished(async () => void (await router.close({ linger: 0 })));
  await router.bind("tcp://127.0.0.1:*");
  return router.lastEndpoint as string;
}

function dial(endpoint: string): Socket {
  const socket = connect(Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  return socket;
}

it("a peer that connects and waits gets greeting and READY", async () => {
  const bytes = await firstBytes(dial(await routerAt()), GREETING_SIZE + 8);
  expect(bytes.subarray(0, GREETING_SIZE)).toEqual(GREETING);
  const [flags, , ...ready] = bytes.subarray(GREETING_SIZE);
  expect([flags, String.fromCharCode(...ready.slice(1, 6))]).toEqual([0x04, "READY"]);
});

it("a peer that a hook is asked about gets the greeting, and READY when it may come in", async () => {
  let allow: (allowed: boolean) => void = () => undefined;
  let asked: () => void = () => undefined;
  const question = new Promise<void>((resolve) => (asked = resolve));
  const endpoint = await routerAt(() => {
    asked();
    return new Promise((resolve) => (allow = resolve));
  });
  const socket = dial(endpoint);
  const greeting = await firstBytes(socket, GREETING_SIZE);
  socket.write(GREETING);
  await question;
  expect(greeting).toEqual(GREETING);
  const rest = firstBytes(socket, 8);
  allow(true);
  expect((await rest).toString("latin1", 3, 8)).toBe("READY");
});

it("a socket that connects sends greeting and READY to a peer that says nothing, and no message before its READY", async () => {
  const server = createServer();
  onTestFinished(() => void server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const dealer = new Dealer({ heartbeatInterval: 0 });
  onTestFinished(async () => void (await dealer.close({ linger: 0 })));
  dealer.connect(`tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
  await dealer.send("hello");
  const [socket] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => void socket.destroy());
  const opening = await firstBytes(socket, GREETING_SIZE + 8);
  expect(opening.subarray(0, GREETING_SIZE)).toEqual(GREETING);
  const readyLength = (opening[GREETING_SIZE + 1] as number) + 2;
  expect(opening).toHaveLength(GREETING_SIZE + readyLength);
  const traffic = firstBytes(socket, 7);
  // The same as a ROUTER's opening, in pieces.
  socket.write(GREETING);
  socket.write(
    commandFrame(encodeCommand("READY", encodeMetadata([["Socket-Type", Buffer.from("ROUTER")]]))),
  );
  expect((await traffic).toString("hex")).toBe("000568656c6c6f");
});
