/**
 * The contract in a page: what a test connects is of the build for browsers, over the standard WebSocket; what it binds
 * is of Node.js, since a page cannot listen. Which socket of a test does what is learnt when the same test runs over ws
 * between sockets of Node.js, just before.
 *
 * The vitest project `page` runs it (vitest.config.ts): Node.js 20 has the standard WebSocket behind a flag.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import * as node from "../../../src/index.js";
import * as draft from "../../../src/sockets/draft/index.js";

export const IN_PAGE = process.env.SHOAL_CONTRACT === "page";

/** What a page without a bundler loads: of all builds the one that differs most from the sources. */
const MIN = join(import.meta.dirname, "../../../dist/web/min");

type Class = new (...args: never[]) => node.Socket;
type Classes = Readonly<Record<string, unknown>>;

async function load(name: string): Promise<Classes> {
  const file = join(MIN, name);
  if (!existsSync(file)) throw new Error("no dist/web: npm run build");
  return (await import(file)) as Classes;
}

const page: Classes = IN_PAGE ? { ...(await load("index.js")), ...(await load("draft.js")) } : {};
if (IN_PAGE) {
  const { enableCurve } = (await load("curve.js")) as unknown as { enableCurve(): void };
  enableCurve();
}

const names = new Map<unknown, string>(
  Object.entries({ ...node, ...draft }).map(([name, value]) => [value, name]),
);
const bound = new WeakSet<object>();

if (IN_PAGE) {
  const { prototype } = node.Socket;
  const { bind, bindSync } = prototype;
  prototype.bind = function (this: node.Socket, ...args: Parameters<typeof bind>) {
    bound.add(this);
    return bind.apply(this, args);
  };
  prototype.bindSync = function (this: node.Socket, ...args: Parameters<typeof bindSync>) {
    bound.add(this);
    return bindSync.apply(this, args);
  };
}

/** For each test over ws: whether each of its sockets was bound, in the order in which they were made. */
const rehearsed = new Map<string, readonly boolean[]>();

/** The name of the test under way without its transport. */
function test(): string {
  const { testPath, currentTestName = "" } = expect.getState();
  return `${testPath} ${currentTestName.replace(/ (?:ws|page) /, " ")}`;
}

/** A test over ws has ended. @param sockets that it made */
export function rehearse(sockets: readonly object[]): void {
  rehearsed.set(
    test(),
    sockets.map((socket) => bound.has(socket)),
  );
}

/** Whether the socket that the test makes next is one of a page. @param index of it */
export function isOfPage(index: number): boolean {
  return rehearsed.get(test())?.[index] === false;
}

/** Whether the test, over ws, has connected a socket. */
export function connects(): boolean {
  return rehearsed.get(test())?.includes(false) === true;
}

/** The page's class of the name that one of Node.js has. */
export function classInPage<C extends Class>(of: C): C {
  const found = page[names.get(of) ?? ""];
  if (found === undefined) throw new Error(`a page has no ${of.name}`);
  return found as C;
}

/** A context of a page. */
export function contextInPage(): node.Context {
  return new (page.Context as typeof node.Context)();
}
