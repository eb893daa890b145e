/**
 * What the contract runs on: every engine of the package, over every transport
 * that all of them must have. A new engine joins by its name in `ENGINE_NAMES`.
 */
import { describe, it, type TestContext } from "vitest";
import type { EngineCapabilities } from "../../../src/engine/engine.js";
import { selectEngine } from "../../../src/engine/select.js";
import { ENGINES, RUNTIME } from "../../support/engines.js";
import { LONG } from "../../support/long.js";
import { IN_PAGE } from "./page.js";
import { World } from "./world.js";

export const TRANSPORTS = ["tcp", "ipc", "inproc"] as const;
/** Those that only some engines have; they are tried where tcp is. */
const MORE_TRANSPORTS = ["tls", "ws", "wss"] as const;
/** Each socket of the contract binds and connects with one set of options, and Deno cannot bind with authorities (tls.test.ts). */
const WITH_AUTHORITIES: readonly string[] = ["tls", "wss"];
export type Transport = (typeof TRANSPORTS)[number] | (typeof MORE_TRANSPORTS)[number] | "threads";

export function capabilitiesOf(engine: string): EngineCapabilities {
  return selectEngine(engine).capabilities;
}

/** What an engine has of `transports`, and those of its own. */
function transportsOf(engine: string, transports: readonly Transport[]): Transport[] {
  const own = capabilitiesOf(engine).transports;
  const more = MORE_TRANSPORTS.filter(
    (each) =>
      own.includes(each) &&
      transports.includes("tcp") &&
      (RUNTIME !== "deno" || !WITH_AUTHORITIES.includes(each)),
  );
  // inproc between threads, where this engine does it itself: each socket is in a context of its own.
  const apart = engine === "zmtp" && RUNTIME === "node" && transports.includes("inproc");
  return [...transports, ...more, ...(apart ? (["threads"] as const) : [])];
}

/** Subjects that transports differ in: by default each of them meets these, and with SHOAL_LONG=1 all. */
const EVERYWHERE: readonly string[] = ["round trips", "messages", "bind", "endpoints", "an address in use"];
/** The same, but for wss, which is ws in tls, and for libzmq, whose transports end as its tcp does. */
const NEARLY_EVERYWHERE: readonly string[] = ["close", "disconnect"];

/** By default the other subjects meet tcp, and zmtp's inproc, which has no connection. */
function isLeftOut(subject: string, engine: string, transport: Transport): boolean {
  if (LONG || EVERYWHERE.includes(subject)) return false;
  if (transport === "tcp" || (engine === "zmtp" && transport === "inproc")) return false;
  return engine === "libzmq" || transport === "wss" || !NEARLY_EVERYWHERE.includes(subject);
}

/** Defines a group of tests once for each engine and transport. */
export function describeTransports(
  subject: string,
  define: (world: World) => void,
  transports: readonly Transport[] = TRANSPORTS,
  engines: readonly string[] = ENGINES,
): void {
  if (IN_PAGE) {
    describe("engine zmtp", () => {
      // Over ws first: page.ts.
      if (transportsOf("zmtp", transports).includes("ws"))
        describe.each(["ws", "page"])("%s", (where) => {
          describe(subject, () => define(new World("zmtp", "ws", where === "page")));
        });
      else describe.skip(subject, () => it("is not tried over ws", () => undefined));
    });
    return;
  }
  describe.each(engines)("engine %s", (engine) => {
    const some = transportsOf(engine, transports).filter((each) => !isLeftOut(subject, engine, each));
    describe.each(some)("%s", (transport) => {
      describe(subject, () => define(new World(engine, transport)));
    });
  });
}

/** The same for transports with a connection of their own, and so with a handshake, heartbeats and peer events. */
export function describeWired(subject: string, define: (world: World) => void): void {
  describeTransports(subject, define, ["tcp", "ipc"]);
}

/** Defines a group of tests once for each engine, over tcp, where the transport makes no difference. */
export function describeEngines(subject: string, define: (world: World) => void): void {
  if (IN_PAGE) return;
  describe.each(ENGINES)("engine %s", (engine) => {
    describe(subject, () => define(new World(engine, "tcp")));
  });
}

type Test = (title: string, body: (context: TestContext) => unknown) => void;

/** `it` where the engine has the capability; otherwise a skip that prints `reason`. */
export function itIf(
  engine: string,
  has: boolean | ((capabilities: EngineCapabilities) => boolean),
  reason: string,
): Test {
  const runs = typeof has === "boolean" ? has : has(capabilitiesOf(engine));
  return (title, body) =>
    runs ? it(title, body) : it(title, (context) => context.skip(`engine ${engine}: ${reason}`));
}
