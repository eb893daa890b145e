/** The API of version 5 of the package `zeromq`, in `shoal-zeromq`. */
import { EventEmitter, once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { inherits } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import type * as Compat from "../../packages/shoal-zeromq/v5-compat.js";
import { installShoalZeromq } from "../support/shoal-zeromq.js";

const zmq = createRequire(join(installShoalZeromq(), "program.js"))("zeromq/v5-compat") as typeof Compat;

function kept(made: Compat.Socket): Compat.Socket {
  onTestFinished(() => void (made.closed || made.close()));
  return made;
}
const socket = (type: Compat.SocketType, options?: Record<string, unknown>): Compat.Socket =>
  kept(zmq.socket(type, options));
let names = 0;
const inproc = (): string => `inproc://v5-${++names}`;

/** The next messages of a socket, as texts. */
function heard(from: Compat.Socket, count: number): Promise<string[][]> {
  const messages: string[][] = [];
  return new Promise((resolve) => {
    from.on("message", (...frames: Buffer[]) => {
      if (messages.push(frames.map(String)) === count) resolve(messages);
    });
  });
}

describe("v5-compat", () => {
  it("sends frames one by one, with callbacks, and gives messages as events", async () => {
    const [push, pull, endpoint] = [socket("push"), socket("pull"), inproc()];
    const bound = once(pull, "bind");
    pull.bind(endpoint, (error) => expect(error).toBeUndefined());
    expect(await bound).toEqual([endpoint]);
    const messages = heard(pull, 2);
    const sent = new Promise((resolve) =>
      push.connect(endpoint).send("a", zmq.ZMQ_SNDMORE).send(["b", "c"], 0, resolve).send("next"),
    );
    expect(await messages).toEqual([["a", "b", "c"], ["next"]]);
    expect(await sent).toBeUndefined();
  });

  it("loses nothing that was sent right before close, or before the other side binds", async () => {
    const [push, pull, endpoint] = [socket("push"), socket("pull"), inproc()];
    push.connect(endpoint);
    pull.bindSync(endpoint);
    const messages = heard(pull, 50);
    for (let i = 0; i < 50; i++) push.send(String(i));
    push.close();
    expect((await messages).flat()).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
  });

  it("sends and receives nothing while it is paused, and everything after resume", async () => {
    const [push, pull, endpoint] = [socket("push"), socket("pull"), inproc()];
    pull.bindSync(endpoint);
    push.connect(endpoint);
    push.pause();
    pull.pause();
    const got: string[] = [];
    pull.on("message", (frame: Buffer) => got.push(String(frame)));
    for (const text of ["1", "2", "3"]) push.send(text);
    push.resume();
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    expect(got).toEqual([]);
    const rest = heard(pull, 3);
    pull.resume();
    await rest;
    expect(got).toEqual(["1", "2", "3"]);
  });

  it("is a function that a program's own class calls", async () => {
    function Own(this: Compat.Socket): void {
      (zmq.Socket as unknown as (type: string) => void).call(this, "dealer");
    }
    inherits(Own, zmq.Socket);
    const own = kept(new (Own as unknown as new () => Compat.Socket)());
    expect([own instanceof zmq.Socket, own instanceof EventEmitter, own.closed]).toEqual([true, true, false]);
    expect(own._zmq.state).toBe(zmq.STATE_READY);
    own.bind(inproc());
    expect(own._zmq.state).toBe(zmq.STATE_BUSY);
    await once(own, "bind");
    own.close();
    expect(own._zmq.state).toBe(zmq.STATE_CLOSED);
  });

  it("reports errors to the callback, else as an event", async () => {
    const pull = socket("pull");
    const error = await new Promise((resolve) => pull.bind("foo://bar", resolve));
    expect(error).toMatchObject({ code: "EPROTONOSUPPORT" });
    const reported = once(pull, "error");
    pull.unbind("tcp://127.0.0.1:1");
    expect((await reported)[0]).toMatchObject({ code: "ENOENT" });
    expect(() => socket("nothing" as never)).toThrow("Invalid socket type: nothing");
  });

  it("has options by number, by name and as properties", () => {
    const sub = socket("sub", { linger: 5 });
    expect([sub.linger, sub.getsockopt("linger"), sub.getsockopt(zmq.ZMQ_LINGER)]).toEqual([5, 5, 5]);
    sub.setsockopt(zmq.ZMQ_RCVHWM, 9).setsockopt("_subscribe", Buffer.from("topic"));
    expect(sub.getsockopt(zmq.ZMQ_RCVHWM)).toBe(9);
    const router = socket("router", { identity: "me" });
    router.setsockopt(zmq.ZMQ_ROUTER_MANDATORY, 1).setsockopt(zmq.ZMQ_IPV4ONLY, 0);
    expect([
      router.identity,
      router.getsockopt(zmq.ZMQ_ROUTER_MANDATORY),
      router.getsockopt(zmq.ZMQ_IPV6),
    ]).toEqual(["me", 1, 1]);
    expect(router.getsockopt(zmq.ZMQ_EVENTS) & zmq.ZMQ_POLLIN).toBe(0);
    expect(() => router.setsockopt(12_345, 1)).toThrow("Unknown option");
  });

  it("monitors with the events of version 5", async () => {
    const [rep, req] = [socket("rep").monitor(), socket("req").monitor()];
    const events = ["listen", "accept"].map((name) => once(rep, name));
    rep.bindSync("tcp://127.0.0.1:*");
    const connected = once(req, "connect");
    req.connect(rep.last_endpoint as string);
    expect((await Promise.all([...events, connected])).map(([, address]) => String(address))).toEqual(
      Array(3).fill(expect.stringContaining("tcp://127.0.0.1:")),
    );
    rep.unmonitor();
    req.unmonitor();
  });

  it("forwards between the types that a proxy joins", async () => {
    const [front, back, client, worker] = [socket("router"), socket("dealer"), socket("req"), socket("rep")];
    const [frontend, backend] = [inproc(), inproc()];
    front.bindSync(frontend);
    back.bindSync(backend);
    zmq.proxy(front, back);
    client.connect(frontend);
    worker.connect(backend);
    worker.on("message", (question: Buffer) => worker.send(`${question}!`));
    const answer = once(client, "message");
    client.send("hello");
    expect(String((await answer)[0])).toBe("hello!");
    expect(() => zmq.proxy(client, worker)).toThrow("not supported");
  });
});
