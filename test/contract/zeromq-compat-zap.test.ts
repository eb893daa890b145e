/**
 * Programs for the package `zeromq` with an authentication service of their own (27/ZAP): what a server hears of peers
 * that the service refuses, and of a service that answers wrongly. They run on shoal and on the package.
 */
import { describe, expect, it } from "vitest";
import type { EventOfType } from "../../src/index.js";
import * as shoal from "../../src/index.js";
import { nextEvent, within } from "./support/wait.js";
import { own, PACKAGES, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

type Frames = readonly (Buffer | string)[];
type Answer = (request: { path: Buffer; id: Buffer; version: Buffer }) => Frames;

const METADATA = Buffer.from("\u0004Name\u0000\u0000\u0000\u0001x", "latin1");

const status =
  (code: string, metadata: Buffer | string = ""): Answer =>
  ({ path, id, version }) => [path, "", version, id, code, "text", "user", metadata];

/** What is wrong with the reply, and the code behind ERR_ZAP_ by which the server hears of it. */
const MALFORMED: readonly (readonly [string, string, Answer])[] = [
  ["too few frames", "MALFORMED_REPLY", ({ path, id, version }) => [path, "", version, id, "200", "OK"]],
  ["too many frames", "MALFORMED_REPLY", (request) => [...status("200")(request), "more"]],
  ["nothing but its address", "MALFORMED_REPLY", ({ path }) => [path, ""]],
  ["no delimiter", "UNSPECIFIED", ({ path, id, version }) => [path, "x", version, id, "200", "OK", "", ""]],
  ["another version", "BAD_VERSION", ({ path, id }) => [path, "", "1.1", id, "200", "OK", "", ""]],
  ["another id", "BAD_REQUEST_ID", ({ path, version }) => [path, "", version, "?", "200", "OK", "", ""]],
  ["status 201", "INVALID_STATUS_CODE", status("201")],
  ["status 100", "INVALID_STATUS_CODE", status("100")],
  ["status 2000", "INVALID_STATUS_CODE", status("2000")],
  ["no status", "INVALID_STATUS_CODE", status("")],
];

/** A PLAIN server whose service gives `answer`, and a client of it; nothing is sent between them yet. */
async function meet(zmq: (typeof PACKAGES)[0][1], answer: Answer, context = new zmq.Context()) {
  const service = own(new zmq.Router({ context, linger: 0 }));
  await service.bind("inproc://zeromq.zap.01");
  const server = own(new zmq.Pull({ context, plainServer: true, zapDomain: "test" }));
  const client = own(new zmq.Push({ context, plainUsername: "user", plainPassword: "pass", linger: 0 }));
  let asked = 0;
  void (async () => {
    for await (const [path, , version, id] of service) {
      asked += 1;
      await service.send(answer({ path, version, id } as never) as Buffer[]);
    }
  })().catch(() => undefined);
  await server.bind("tcp://127.0.0.1:*");
  const endpoint = server.lastEndpoint as string;
  return { server, client, endpoint, asked: () => asked, connect: () => client.connect(endpoint) };
}

describe.each(PACKAGES)("a program for zeromq on %s", (_, zmq) => {
  it.each([
    "300",
    "400",
    "500",
  ])("hears handshake:error:auth with the status %s, and lets nobody in", async (code) => {
    const { server, client, endpoint, connect } = await meet(zmq, status(code));
    const refused = nextEvent(server, "handshake:error:auth");
    const heard = code === "300" ? undefined : nextEvent(client, "handshake:error:auth");
    connect();
    const sent = client.send("let me in");
    const { address, error } = await refused;
    expect([address, error.status]).toEqual([endpoint, Number(code)]);
    expect(error).toBeInstanceOf(Error);
    if (heard !== undefined) {
      const event = (await heard.catch(() => undefined)) as EventOfType<"handshake:error:auth"> | undefined;
      // libzmq's PLAIN server misspells its ERROR; its clients hear of it all the same.
      expect(event?.error.status).toBe(Number(code));
    }
    await sent.catch(() => undefined);
    expect(server.readable).toBe(false);
  });

  it.each(MALFORMED)("hears of a reply with %s: ERR_ZAP_%s; nobody gets in", async (_, code, answer) => {
    const { server, client, endpoint, connect } = await meet(zmq, answer);
    const refused = nextEvent(server, "handshake:error:protocol");
    connect();
    const sent = client.send("let me in");
    const { address, error } = await refused;
    expect([address, error.code]).toEqual([endpoint, `ERR_ZAP_${code}`]);
    await sent.catch(() => undefined);
    expect(server.readable).toBe(false);
  });

  it("lets in whom the service lets in, with metadata of its own", async () => {
    const { server, client, connect, asked } = await meet(zmq, status("200", METADATA));
    connect();
    await client.send("hello");
    expect(String((await within(server.receive(), "the message"))[0])).toBe("hello");
    expect(asked()).toBe(1);
  });
});

describe("shoal", () => {
  // libzmq reports nothing then, and keeps the connection as it is.
  it("hears of a reply with metadata that ends too early, on the engine zmtp", async () => {
    const context = new shoal.Context({ engine: "zmtp" });
    const { server, client, connect } = await meet(shoal, status("200", METADATA.subarray(0, -1)), context);
    const refused = nextEvent(server, "handshake:error:protocol");
    connect();
    const sent = client.send("let me in");
    expect((await refused).error.code).toBe("ERR_ZAP_INVALID_METADATA");
    await sent;
    expect(server.readable).toBe(false);
  });

  it("goes on waiting for peers when one is refused", async () => {
    const options = { plainUsername: "user", reconnectInterval: 20 };
    const server = own(
      new shoal.Pull({ plainServer: true, authenticate: ({ password }) => password === "right" }),
    );
    await server.bind("tcp://127.0.0.1:*");
    const ready = server.ready({ timeout: 8_000, peers: 1 });
    const [wrong, right] = ["wrong", "right"].map((plainPassword) =>
      own(new shoal.Push({ ...options, plainPassword, linger: 0 })),
    );
    const refused = nextEvent(server, "handshake:error:auth");
    wrong?.connect(server.lastEndpoint as string);
    expect((await refused).error.status).toBe(400);
    right?.connect(server.lastEndpoint as string);
    await ready;
  });
});
