/** Habits of the package `zeromq` that shoal itself does not have, in `shoal-zeromq`; test/contract/zeromq-*.test.ts run on it, too. */
import { execFileSync } from "node:child_process";
import { EventEmitter } from "node:events";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type * as Draft from "../../packages/shoal-zeromq/draft.js";
import type * as Zeromq from "../../packages/shoal-zeromq/index.js";
import { installShoalZeromq } from "../support/shoal-zeromq.js";

const folder = installShoalZeromq();
const require = createRequire(join(folder, "program.js"));
const zmq = require("zeromq") as typeof Zeromq;

const own = <S extends Zeromq.Socket>(socket: S): S => {
  onTestFinished(() => void (socket.closed || socket.close()));
  return socket;
};
let names = 0;
const inproc = (): string => `inproc://habits-${++names}`;

/** What a call throws, or its promise rejects with. */
async function failure(call: () => unknown): Promise<Record<string, unknown>> {
  try {
    await call();
  } catch (error) {
    const { message, code, errno, address } = error as Record<string, unknown>;
    return { message, code, errno, address };
  }
  throw new Error("The call did not fail");
}

async function linked(): Promise<[Zeromq.Push, Zeromq.Pull]> {
  const [push, pull] = [own(new zmq.Push({ linger: 0 })), own(new zmq.Pull())];
  await pull.bind(inproc());
  push.connect(pull.lastEndpoint as string);
  return [push, pull];
}

describe("shoal-zeromq", () => {
  it("is there for require and import, by name and by default", () => {
    writeFileSync(
      join(folder, "all.mjs"),
      `import zmq, { Dealer } from "zeromq";
       import { Server } from "zeromq/draft";
       import v5, { socket, ZMQ_SNDMORE } from "zeromq/v5-compat";
       import * as dotted from "zeromq/v5-compat.js";
       import * as draft from "zeromq/draft.js";
       import { createRequire } from "node:module";
       const required = createRequire(import.meta.url)("zeromq");
       console.log(zmq === required, required.default === zmq, Dealer === zmq.Dealer, socket === v5.socket, typeof Server);
       console.log(dotted.ZMQ_SNDMORE === ZMQ_SNDMORE, draft.Server === Server);`,
    );
    const said = execFileSync(process.execPath, ["--no-warnings", "all.mjs"], {
      cwd: folder,
      encoding: "utf8",
    });
    expect(said.trim()).toBe("true true true true function\ntrue true");
  });

  it("has libzmq's texts and numbers, with shoal's error as the cause", async () => {
    const pull = own(new zmq.Pull({ receiveTimeout: 0 }));
    expect(await failure(() => pull.receive())).toMatchObject({
      message: "Operation was not possible or timed out",
      code: "EAGAIN",
    });
    expect(await failure(() => pull.bind("foo-bar"))).toMatchObject({
      message: "Invalid argument",
      code: "EINVAL",
      address: "foo-bar",
    });
    expect(await failure(() => pull.disconnect("tcp://127.0.0.1:1"))).toMatchObject({
      message: "No such endpoint",
      code: "ENOENT",
    });
    const error = (await pull.receive().catch((reason: unknown) => reason)) as Error;
    expect(error.cause).toMatchObject({ code: "EAGAIN" });
    pull.close();
    expect(await failure(() => pull.receive())).toMatchObject({ message: "Socket is closed", code: "EBADF" });
  });

  it("has one call of a kind at a time", async () => {
    const dealer = own(new zmq.Dealer({ linger: 0 }));
    const [sending, receiving] = [dealer.send("waits"), dealer.receive()];
    expect(() => dealer.send("too many")).toThrow(expect.objectContaining({ code: "EBUSY" }));
    expect(await failure(() => dealer.receive())).toMatchObject({ code: "EBUSY" });
    const binding = dealer.bind("tcp://127.0.0.1:*");
    expect(() => dealer.connect("tcp://127.0.0.1:1")).toThrow(expect.objectContaining({ code: "EBUSY" }));
    // It closes when the call is over.
    dealer.close();
    expect(dealer.closed).toBe(false);
    expect(await binding).toBeUndefined();
    expect(dealer.closed).toBe(true);
    for (const call of [sending, receiving])
      expect(await failure(() => call)).toMatchObject({ code: "EAGAIN" });
  });

  it("sends many messages without waiting, as long as there is room", async () => {
    const [push, pull] = await linked();
    const sent = Array.from({ length: 100 }, (_, i) => push.send(String(i)));
    await Promise.all(sent);
    for (let i = 0; i < 100; i++) expect(String((await pull.receive())[0])).toBe(String(i));
  });

  it("has queues for sending without a bound in bytes", async () => {
    const push = own(new zmq.Push({ sendHighWaterMark: 0, linger: 0 }));
    push.connect("tcp://127.0.0.1:1");
    const frame = Buffer.alloc(1_048_576);
    // shoal's own bound of 64 MiB would have the 65th wait, and the 66th be EBUSY.
    await Promise.all(Array.from({ length: 100 }, () => push.send(frame)));
  });

  it("sends the text of whatever it is given", async () => {
    const [push, pull] = await linked();
    const values = [
      true,
      12n,
      1.5,
      { a: 1 },
      undefined,
      null,
      new Uint8Array([1, 2]).buffer,
      new Date(0),
    ] as never[];
    await push.send(values);
    const frames = (await pull.receive()).map(String);
    expect(frames).toEqual([
      "true",
      "12",
      "1.5",
      "[object Object]",
      "undefined",
      "",
      "\x01\x02",
      String(new Date(0)),
    ]);
    await push.send([]);
    expect(() => push.send(undefined as never)).toThrow("Message must be present");
  });

  it("ends an endpoint of either kind with unbind and disconnect", async () => {
    const dealer = own(new zmq.Dealer());
    await dealer.bind("tcp://127.0.0.1:*");
    dealer.disconnect(dealer.lastEndpoint as string);
    dealer.connect("tcp://127.0.0.1:1");
    await dealer.unbind("tcp://127.0.0.1:1");
  });

  it("returns nothing from bind and close, and has no context once it is closed", async () => {
    const pair = own(new zmq.Pair());
    expect(pair.context).toBe(zmq.context);
    expect(await pair.bind(inproc())).toBeUndefined();
    expect(pair.close()).toBeUndefined();
    expect([pair.closed, pair.context]).toEqual([true, undefined]);
  });

  it("takes CURVE keys and texts as buffers, and gives subclasses their options by number", () => {
    const { publicKey } = zmq.curveKeyPair();
    class Numbered extends zmq.Dealer {
      get mark(): number {
        return this.getInt32Option(23);
      }
      set mark(value: number) {
        this.setInt32Option(23, value);
      }
    }
    const dealer = own(
      new Numbered({ curveServerKey: Buffer.from(publicKey) as never, zapDomain: Buffer.from("d") as never }),
    );
    dealer.mark = 7;
    expect([dealer.curveServerKey, dealer.zapDomain, dealer.mark, dealer.sendHighWaterMark]).toEqual([
      publicKey,
      "d",
      7,
      7,
    ]);
    expect(() => new zmq.Dealer({ nope: 1 } as never)).toThrow("object is not extensible");
  });

  it("leaves the event loop its turns, however often a failed receive is called again", async () => {
    const closed = own(new zmq.Pull());
    closed.close();
    let turned = false;
    setImmediate(() => setImmediate(() => (turned = true)));
    for (let calls = 0; !turned; calls++) {
      expect(calls).toBeLessThan(10);
      await failure(() => closed.receive());
    }
  });

  it("cuts a group at a zero byte, as libzmq does", async () => {
    const { Dish, Radio } = require("zeromq/draft") as typeof Draft;
    const [radio, dish] = [own(new Radio()), own(new Dish())];
    await dish.bind(inproc());
    radio.connect(dish.lastEndpoint as string);
    dish.join("news\0more");
    const received = dish.receive();
    let heard = false;
    void received.then(() => (heard = true));
    // Until the radio knows the group.
    while (!heard) {
      await radio.send("hello", { group: "news" });
      await new Promise(setImmediate);
    }
    const [message, { group }] = await received;
    expect([String(message), String(group)]).toEqual(["hello", "news"]);
  });

  it("lets a second question wait for the answer to the first", async () => {
    const [reply, request] = [own(new zmq.Reply()), own(new zmq.Request({ linger: 0 }))];
    const early = reply.send("early");
    await reply.bind(inproc());
    request.connect(reply.lastEndpoint as string);
    await request.send("first");
    const second = request.send("second");
    expect(() => request.send("third")).toThrow(expect.objectContaining({ code: "EBUSY" }));
    expect(String((await reply.receive())[0])).toBe("first");
    await early;
    expect(String((await request.receive())[0])).toBe("early");
    await second;
    expect(String((await reply.receive())[0])).toBe("second");
    request.sendTimeout = 1;
    expect(await failure(() => request.send("again"))).toMatchObject({ code: "EFSM" });
    request.sendTimeout = -1;
    const waiting = request.send("again");
    request.close();
    expect(await failure(() => waiting)).toMatchObject({ code: "EFSM" });
  });

  it("goes on with an iterator after a receive that failed", async () => {
    const pull = own(new zmq.Pull({ receiveTimeout: 1 }));
    const messages = pull[Symbol.asyncIterator]();
    for (let i = 0; i < 2; i++)
      expect(await failure(() => messages.next())).toMatchObject({ code: "EAGAIN" });
    pull.close();
    expect((await messages.next()).done).toBe(true);
  });

  it("takes numbers with a fraction, typed arrays, an empty routing id, and arguments of a subclass", async () => {
    const push = own(new zmq.Push({ linger: 1.7, affinity: -1, sendTimeout: Number.NaN }));
    expect([push.linger, push.affinity, push.sendTimeout]).toEqual([1, 0, 0]);
    const sub = own(new zmq.Subscriber());
    sub.subscribe(new Uint8Array([0, 65]).subarray(1) as never);
    await sub.bind(inproc());
    const xpub = own(new zmq.XPublisher({ linger: 0 }));
    xpub.connect(sub.lastEndpoint as string);
    expect(String((await xpub.receive())[0])).toBe("\x01A");
    own(new zmq.Router({ linger: 0 })).connect("tcp://127.0.0.1:1", { routingId: "" });
    own(Reflect.construct(zmq.Push, [{ linger: 0 }, "more"]));
  });

  it("reports each attempt to connect, and its end", async () => {
    const dealer = own(new zmq.Dealer({ linger: 0, reconnectInterval: 1 }));
    const reserved = own(new zmq.Dealer());
    await reserved.bind("tcp://127.0.0.1:*");
    const address = reserved.lastEndpoint as string;
    await reserved.unbind(address);
    const { events } = dealer;
    dealer.connect(address);
    const attempt = ["connect:delay", "close", "connect:retry"];
    for (const type of [...attempt, ...attempt])
      expect(await events.receive()).toMatchObject({ type, address });
    await reserved.bind(address);
    const types: string[] = [];
    while (!types.includes("connect")) types.push((await events.receive()).type);
    expect(types.slice(-2)).toEqual(["connect:delay", "connect"]);
    expect(events.on("end", () => undefined)).toBeInstanceOf(EventEmitter);
  });

  it("closes the sockets that a program has forgotten", () => {
    const program = `const { Pull } = require("zeromq");
      const turn = () => new Promise(setImmediate);
      let address;
      const forget = () => {
        const pull = new Pull();
        pull.bindSync("tcp://127.0.0.1:*");
        address = pull.lastEndpoint;
        pull.events.on("accept", () => {});
      };
      (async () => {
        forget();
        const next = new Pull();
        for (;;) {
          await turn();
          global.gc();
          try {
            next.bindSync(address);
            break;
          } catch {}
        }
        console.log("bound");
      })();`;
    const said = execFileSync(process.execPath, ["--expose-gc", "-e", program], {
      cwd: folder,
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(said).toBe("bound\n");
  });

  it("does not hold the process with a bound socket that nobody waits at", () => {
    const program = `const { Reply } = require("zeromq");
      new Reply().bind("tcp://127.0.0.1:*").then(() => console.log("bound"));`;
    expect(execFileSync(process.execPath, ["-e", program], { cwd: folder, encoding: "utf8" })).toBe(
      "bound\n",
    );
  });
});
