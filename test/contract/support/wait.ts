/** Waiting for what a test expects: events and promises, with a bound on each wait. */
import { expect } from "vitest";
import type { EventOfType, EventType, Router, Socket } from "../../../src/index.js";

/** ms until a wait has failed; under a test's own time-out, and long for a machine that does much else. */
const LIMIT = 15_000;

/** Settles as `promise` does, or rejects and names what did not happen. */
export async function within<T>(promise: Promise<T>, what: string, limit = LIMIT): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The next event of a type for which `where` holds. */
export function nextEvent<E extends EventType>(
  socket: Socket,
  type: E,
  where: (event: EventOfType<E>) => boolean = () => true,
): Promise<EventOfType<E>> {
  const happened = new Promise<EventOfType<E>>((resolve) => {
    const listener = (event: EventOfType<E>): void => {
      if (!where(event)) return;
      socket.events.off(type, listener);
      resolve(event);
    };
    socket.events.on(type, listener);
  });
  return within(happened, `event ${type}`);
}

/** For what has no event: asks until it holds. */
export async function until(holds: () => boolean, what: string, limit = LIMIT): Promise<void> {
  const end = performance.now() + limit;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The event loop turns once: timers, input, immediates. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What the promise rejects with; fails when it does not. */
export async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await within(promise, "a rejection");
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected a rejection");
}

/** What the call throws; fails when it does not. */
export function thrown(call: () => unknown): Error & { code?: string } {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error to be thrown");
}

/** Sends until it arrives: no event of every engine reports that a subscription or a JOIN has. */
export async function untilReceived<T>(send: () => Promise<void>, received: Promise<T>): Promise<T> {
  let done = false;
  const settled = received.finally(() => {
    done = true;
  });
  settled.catch(() => undefined); // The caller has it, below.
  while (!done) {
    await send();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return settled;
}

/** A received message as text. */
export function texts(message: readonly Buffer[]): string[] {
  return message.map(String);
}

/** The first `count` messages, each as the text of its only frame. */
export async function collect(
  socket: { receive(options: { timeout: number }): Promise<readonly Buffer[]> },
  count: number,
): Promise<string[]> {
  const all: string[] = [];
  while (all.length < count) all.push(texts(await socket.receive({ timeout: LIMIT })).join("|"));
  return all;
}

/** What the one sends is what the other receives next. */
export async function arrives(
  text: string,
  from: { send(text: string): Promise<void> },
  at: Parameters<typeof collect>[0],
): Promise<void> {
  await from.send(text);
  expect(await collect(at, 1)).toEqual([text]);
}

/** Receives a request at a router: where it came from, with the request id if there is one, and its body. */
export async function nextRequest(router: Router): Promise<{ envelope: Buffer[]; body: string }> {
  const frames = await router.receive({ timeout: LIMIT });
  const end = frames.findIndex((frame) => frame.length === 0) + 1;
  return { envelope: frames.slice(0, end), body: texts(frames.slice(end)).join("|") };
}
