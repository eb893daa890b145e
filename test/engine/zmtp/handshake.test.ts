import { describe, expect, test } from "vitest";
import { commandFrame } from "../../../src/engine/frame.js";
import { mechanismOf } from "../../../src/engine/zmtp/admission.js";
import { encodeCommand, encodeGreeting, encodeMetadata } from "../../../src/engine/zmtp/codec/command.js";
import { NODE_PARTS } from "../../../src/engine/zmtp/engine.js";
import { Handshake } from "../../../src/engine/zmtp/handshake.js";
import type { Fault, Mechanism, Step } from "../../../src/engine/zmtp/mechanism/mechanism.js";
import { optionsOf, properties } from "./mechanism/support.js";

const READY = commandFrame(encodeCommand("READY", properties("ROUTER")));
const GREETING = encodeGreeting("NULL", false);

const sideOf = (name: Mechanism["name"], isServer: boolean, asks = false): Handshake =>
  new Handshake(mechanismOf({ name, isServer }, optionsOf({ asks }), NODE_PARTS.curve));
const nullSide = (asks = false): Handshake => sideOf("NULL", false, asks);
const faultOf = (steps: readonly Step[]): Fault | undefined => steps.find((step) => step.failed)?.failed;
const isDone = (steps: readonly Step[]): boolean => steps.some((step) => step.done !== undefined);

test("what has come of a handshake is kept, though its memory is written to again: cut at each byte", () => {
  const bytes = Buffer.concat([GREETING, READY, Buffer.from("000161", "hex")]);
  for (let cut = 1; cut < bytes.length; cut++) {
    const memory = Buffer.from(bytes);
    const side = nullSide();
    const steps = side.receive(memory, cut);
    memory.fill(0xff);
    if (!isDone(steps)) steps.push(...side.receive(bytes.subarray(cut)));
    const done = steps.find((step) => step.done !== undefined)?.done;
    expect([cut, faultOf(steps), done?.get("socket-type")?.toString()]).toEqual([cut, undefined, "ROUTER"]);
    const rest = bytes.subarray(Math.max(cut, GREETING.length + READY.length)).toString("hex");
    const kept = side.takeRemaining().toString("hex");
    expect(cut < GREETING.length + READY.length ? kept : kept + rest).toBe("000161");
  }
});

describe("a peer that opens with the bytes of the one before", () => {
  const opening = Buffer.concat([GREETING, READY]);
  const letIn = (): Handshake => {
    const side = nullSide();
    expect(isDone(side.receive(opening))).toBe(true);
    return side;
  };

  test("is let in as that was, from memory that is written to again", () => {
    const first = letIn();
    const memory = Buffer.concat([opening, Buffer.from("more")]);
    const side = nullSide();
    const steps = side.receive(memory, opening.length);
    memory.fill(0);
    expect(steps.at(-1)?.done?.get("socket-type")?.toString()).toBe("ROUTER");
    expect([side.greeting, side.phase]).toEqual([first.greeting, first.phase]);
    expect(side.takeRemaining()).toHaveLength(0);
    expect(side.receive(READY)).toEqual([]);
  });

  test("is asked about where the side asks, and refused by one of another mechanism", () => {
    letIn();
    expect(nullSide(true).receive(opening)).toEqual([{ ask: { mechanism: "NULL" } }]);
    const plain = sideOf("PLAIN", true);
    expect(faultOf(plain.receive(opening))?.code).toBe("ERR_ZMTP_MECHANISM_MISMATCH");
  });

  test("but for one of them is read by itself", () => {
    letIn();
    const other = Buffer.concat([GREETING, commandFrame(encodeCommand("READY", properties("ROUTES")))]);
    expect(nullSide().receive(other).at(-1)?.done?.get("socket-type")?.toString()).toBe("ROUTES");
    const spoiled = Buffer.from(opening);
    spoiled[GREETING.length] = 0x05;
    expect(faultOf(nullSide().receive(spoiled))?.code).toBe("ERR_ZMTP_UNEXPECTED_COMMAND");
  });

  test("with a routing id has memory of its own for it", () => {
    const named = Buffer.concat([
      GREETING,
      commandFrame(encodeCommand("READY", encodeMetadata([["Identity", Buffer.from("me")]]))),
    ]);
    const ids = [1, 2].map(() => nullSide().receive(named).at(-1)?.done?.get("identity"));
    ids[0]?.fill(0);
    expect(ids[1]?.toString()).toBe("me");
  });
});

test("commands wait for what the mechanism loads before its start", () => {
  const started = { send: [Buffer.from("first")] };
  const received: string[] = [];
  let loading: Promise<void> | undefined = Promise.resolve();
  const mechanism: Mechanism = {
    name: "CURVE",
    asServer: true,
    get loading() {
      return loading;
    },
    start: () => started,
    receive: (body) => {
      received.push(body.toString("latin1"));
      return {};
    },
    authenticated: () => ({}),
  };
  const command = commandFrame(Buffer.from("command"));
  const side = new Handshake(mechanism);
  expect(side.receive(Buffer.concat([encodeGreeting("CURVE", false), command]))).toEqual([{ wait: loading }]);
  expect([side.receive(command), received]).toEqual([[], []]);
  loading = undefined;
  expect(side.loaded()).toEqual([started, {}, {}]);
  expect(received).toEqual(["command", "command"]);
  expect(new Handshake(mechanism).receive(encodeGreeting("CURVE", false))).toEqual([started]);
  const other = new Handshake({ ...mechanism, loading: Promise.resolve() });
  expect(faultOf(other.receive(GREETING))?.code).toBe("ERR_ZMTP_MECHANISM_MISMATCH");
});

describe("ends with a fault", () => {
  const UNEXPECTED = "ERR_ZMTP_UNEXPECTED_COMMAND";
  const TOO_LONG = "ERR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED";
  test.each([
    ["no ZMTP", "ERR_ZMTP_UNSPECIFIED", Buffer.from("GET / HTTP/1.1\r\n")],
    ["an older version", "ERR_ZMTP_UNSPECIFIED", Buffer.from("ff00000000000000017f0100", "hex")],
    ["another mechanism", "ERR_ZMTP_MECHANISM_MISMATCH", encodeGreeting("PLAIN", true)],
    ["a message", UNEXPECTED, Buffer.concat([GREETING, Buffer.from("000161", "hex")])],
    ["MORE", UNEXPECTED, Buffer.concat([GREETING, Buffer.of(5, 0)])],
    ["reserved bits", UNEXPECTED, Buffer.concat([GREETING, Buffer.of(0x84, 0)])],
    [
      "a command past the bound",
      TOO_LONG,
      Buffer.concat([GREETING, Buffer.of(6, 0, 0, 0, 0, 0, 0, 0x20, 1)]),
    ],
    ["an endless command", TOO_LONG, Buffer.concat([GREETING, Buffer.from(`06${"ff".repeat(8)}`, "hex")])],
  ])("after %s, and reads no further", (_, code, bytes) => {
    const side = nullSide();
    expect(faultOf(side.receive(bytes))).toMatchObject({ kind: "protocol", code });
    expect(side.receive(Buffer.concat([GREETING, READY]))).toEqual([]);
  });

  test("that is known from a command's header alone", () => {
    const side = nullSide();
    side.receive(GREETING);
    expect(side.receive(Buffer.from(`06${"00".repeat(6)}2000`, "hex"))).toEqual([]);
  });
});
