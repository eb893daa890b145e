/**
 * Replaces Node.js's timers, clocks and random numbers for code within a scope. Other code, such as the test runner,
 * gets the real ones.
 *
 * Replaced: the globals, `node:timers`, `node:timers/promises`, `performance`, `process.hrtime`, `process.uptime`,
 * `AbortSignal.timeout`, `Math.random`, random functions of `node:crypto` and `crypto`, and `createSocket` of
 * `node:dgram`; not functions that a module extracted earlier (`const { now } = Date`).
 */
import crypto from "node:crypto";
import dgram from "node:dgram";
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers";
import timersPromises from "node:timers/promises";
import { promisify } from "node:util";
import { type Scope, scopes, timerOf } from "./scope.js";

type Callback = (...args: unknown[]) => void;
type Any = (this: unknown, ...args: unknown[]) => unknown;

/** Originals for a world's loop and code outside of scopes. */
export const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setImmediate: globalThis.setImmediate,
  now: performance.now.bind(performance),
};

interface Replaced {
  readonly target: object;
  readonly name: string;
  readonly descriptor: PropertyDescriptor | undefined;
  /** What is there now: a value, or a getter. */
  readonly own: unknown;
}

let users = 0;
let replaced: Replaced[] = [];

export function replaceGlobals(openDatagrams: (scope: Scope, args: unknown[]) => unknown): () => void {
  users += 1;
  // While a story goes on that its test runner has given up, the runner may put back what it finds replaced.
  if (users === 1 || !replaced.every(isOurs)) {
    putBack();
    replaceAll(openDatagrams);
  }
  return () => {
    users -= 1;
    if (users === 0) putBack();
  };
}

function isOurs({ target, name, own }: Replaced): boolean {
  const { value, get } = Object.getOwnPropertyDescriptor(target, name) ?? {};
  return own === (value ?? get);
}

function putBack(): void {
  for (const each of replaced.reverse()) {
    if (!isOurs(each)) continue;
    const { target, name, descriptor } = each;
    if (descriptor === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, descriptor);
  }
  replaced = [];
  syncBuiltinESMExports();
}

function replaceAll(openDatagrams: (scope: Scope, args: unknown[]) => unknown): void {
  replaceTimers();
  replaceClocks();
  replaceRandom();
  replace(dgram, "createSocket", openDatagrams);
  replaceWarnings();
  syncBuiltinESMExports();
}

/** Hides warnings of unreachable peers, since simulated faults are intended. */
function replaceWarnings(): void {
  const emitWarning = process.emitWarning.bind(process) as Callback;
  replace(process, "emitWarning", (_scope, args) => {
    const { code } = (args[1] ?? {}) as { readonly code?: unknown };
    if (code !== "SHOAL_UNREACHABLE") emitWarning(...args);
  });
}

function replace(target: object, name: string, virtual: (scope: Scope, args: unknown[]) => unknown): void {
  const before = Reflect.get(target, name) as Any | undefined;
  if (typeof before !== "function") return; // Missing in this runtime.
  function standIn(this: unknown, ...args: unknown[]): unknown {
    const scope = scopes.getStore();
    return scope === undefined ? before?.apply(this, args) : virtual(scope, args);
  }
  // Keeps properties such as util.promisify.custom and hrtime.bigint.
  for (const key of Reflect.ownKeys(before)) {
    const descriptor = Object.getOwnPropertyDescriptor(before, key) as PropertyDescriptor;
    if (key !== "prototype") Object.defineProperty(standIn, key, { ...descriptor, configurable: true });
  }
  define(target, name, { value: standIn, writable: true });
}

function define(target: object, name: string, descriptor: PropertyDescriptor): void {
  const own: unknown = descriptor.value ?? descriptor.get;
  replaced.push({ target, name, descriptor: Object.getOwnPropertyDescriptor(target, name), own });
  Object.defineProperty(target, name, { configurable: true, enumerable: true, ...descriptor });
}

function replaceTimers(): void {
  const callbackOf = (value: unknown): Callback => {
    if (typeof value === "function") return value as Callback;
    throw Object.assign(new TypeError('The "callback" argument must be of type function'), {
      code: "ERR_INVALID_ARG_TYPE",
    });
  };
  for (const target of new Set<object>([globalThis, timers])) {
    for (const name of ["setTimeout", "setInterval"] as const)
      replace(target, name, (scope, [callback, delay, ...args]) =>
        scope.setTimer(callbackOf(callback), delay, args, name === "setInterval"),
      );
    replace(target, "setImmediate", (scope, [callback, ...args]) =>
      scope.setImmediate(callbackOf(callback), args),
    );
    for (const name of ["clearTimeout", "clearInterval", "clearImmediate"] as const) {
      // A virtual timer may be cleared outside of a scope, and a real one within.
      const before = Reflect.get(target, name) as Any;
      define(target, name, {
        value: (given: unknown): void => {
          const timer = timerOf(given);
          if (timer === undefined) before(given);
          else timer.cancel();
        },
        writable: true,
      });
    }
  }
  replace(timersPromises, "setTimeout", (scope, [delay, value, options]) =>
    sleep(scope, delay, value, options),
  );
  replace(timersPromises, "setImmediate", (scope, [value, options]) => turn(scope, value, options));
  replace(timersPromises, "setInterval", (scope, [delay, value, options]) =>
    ticks(scope, delay, value, options),
  );
  const { scheduler } = timersPromises;
  replace(scheduler, "wait", (scope, [delay, options]) => sleep(scope, delay, undefined, options));
  replace(scheduler, "yield", (scope) => turn(scope, undefined, undefined));
  for (const target of new Set<object>([globalThis, timers])) {
    for (const [name, custom] of [
      ["setTimeout", timersPromises.setTimeout],
      ["setImmediate", timersPromises.setImmediate],
    ] as const)
      Object.defineProperty(Reflect.get(target, name), promisify.custom, {
        value: custom,
        configurable: true,
      });
  }
  replace(AbortSignal, "timeout", (scope, [delay]) => {
    const controller = new AbortController();
    const reason = (): Error => new DOMException("The operation was aborted due to timeout", "TimeoutError");
    scope.setTimer(() => controller.abort(reason()), delay, [], false);
    return controller.signal;
  });
}

function signalOf(options: unknown): AbortSignal | undefined {
  return (options as { readonly signal?: AbortSignal } | undefined)?.signal;
}

function abortError(signal: AbortSignal): Error {
  return Object.assign(new Error("The operation was aborted", { cause: signal.reason }), {
    name: "AbortError",
    code: "ABORT_ERR",
  });
}

/** Settled by a callback or a signal. @param begin @returns cancels the callback */
function waiting<T>(value: T, options: unknown, begin: (done: () => void) => () => void): Promise<T> {
  const signal = signalOf(options);
  if (signal?.aborted === true) return Promise.reject(abortError(signal));
  return new Promise((resolve, reject) => {
    const signalOnAbort = (): void => {
      giveUp();
      reject(abortError(signal as AbortSignal));
    };
    const giveUp = begin(() => {
      signal?.removeEventListener("abort", signalOnAbort);
      resolve(value);
    });
    signal?.addEventListener("abort", signalOnAbort, { once: true });
  });
}

function sleep(scope: Scope, delay: unknown, value: unknown, options: unknown): Promise<unknown> {
  return waiting(value, options, (done) => {
    const timer = scope.setTimer(done, delay, [], false);
    return () => timer.cancel();
  });
}

function turn(scope: Scope, value: unknown, options: unknown): Promise<unknown> {
  return waiting(value, options, (done) => {
    const immediate = scope.setImmediate(done, []);
    return () => immediate.cancel();
  });
}

async function* ticks(
  scope: Scope,
  delay: unknown,
  value: unknown,
  options: unknown,
): AsyncGenerator<unknown> {
  for (;;) yield await sleep(scope, delay, value, options);
}

function replaceClocks(): void {
  const RealDate = globalThis.Date;
  const now = (): number => {
    const scope = scopes.getStore();
    return scope === undefined ? realDateNow() : Math.floor(scope.wall());
  };
  const realDateNow = RealDate.now.bind(RealDate);
  // Earlier and later dates keep one class.
  const VirtualDate = new Proxy(RealDate, {
    construct(target, args: unknown[], newTarget) {
      const given = args.length === 0 && scopes.getStore() !== undefined ? [now()] : args;
      return Reflect.construct(target, given, newTarget) as object;
    },
    apply(target) {
      return new target(now()).toString();
    },
  });
  define(globalThis, "Date", { value: VirtualDate, writable: true, enumerable: false });
  define(RealDate, "now", { value: now, writable: true, enumerable: false });
  define(RealDate.prototype, "constructor", { value: VirtualDate, writable: true, enumerable: false });
  replace(performance, "now", (scope) => scope.now());
  const origin = performance.timeOrigin;
  define(performance, "timeOrigin", { get: () => scopes.getStore()?.timeOrigin ?? origin });
  const nanoseconds = (scope: Scope): bigint => BigInt(Math.round(scope.now() * 1_000_000));
  replace(process, "uptime", (scope) => scope.now() / 1_000);
  replace(process, "hrtime", (scope, [since]) => {
    const [seconds = 0, rest = 0] = (since as [number, number] | undefined) ?? [];
    const all = nanoseconds(scope) - (BigInt(seconds) * 1_000_000_000n + BigInt(rest));
    return [Number(all / 1_000_000_000n), Number(all % 1_000_000_000n)];
  });
  replace(process.hrtime, "bigint", nanoseconds);
}

function replaceRandom(): void {
  const bytesOf = (view: ArrayBufferView | ArrayBuffer): Uint8Array =>
    view instanceof ArrayBuffer
      ? new Uint8Array(view)
      : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const filled = (scope: Scope, size: unknown): Buffer => {
    const bytes = Buffer.alloc(Number(size));
    scope.random.fill(bytes);
    return bytes;
  };
  const give = (scope: Scope, callback: unknown, value: unknown): unknown => {
    if (typeof callback !== "function") return value;
    scope.setImmediate(callback as Callback, [null, value]);
    return undefined;
  };
  const fill = (scope: Scope, [view, from, length]: unknown[]): unknown => {
    const bytes = bytesOf(view as ArrayBufferView);
    const start = typeof from === "number" ? from : 0;
    scope.random.fill(bytes.subarray(start, typeof length === "number" ? start + length : undefined));
    return view;
  };
  replace(Math, "random", (scope) => scope.random.next());
  replace(crypto, "randomBytes", (scope, [size, callback]) => give(scope, callback, filled(scope, size)));
  replace(crypto, "randomFillSync", fill);
  replace(crypto, "randomFill", (scope, args) => give(scope, args.at(-1), fill(scope, args)));
  replace(crypto, "randomInt", (scope, [first, second, third]) => {
    const [min, max, callback] =
      typeof second === "number" ? [Number(first), second, third] : [0, Number(first), second];
    return give(scope, callback, min + Math.floor(scope.random.next() * (max - min)));
  });
  const uuid = (scope: Scope): string => {
    const bytes = filled(scope, 16);
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  replace(crypto, "randomUUID", uuid);
  // The module's own function is this one.
  replace(crypto.webcrypto, "randomUUID", uuid);
  replace(crypto.webcrypto, "getRandomValues", (scope, [view]) => {
    if (!(view instanceof Uint32Array)) return fill(scope, [view]);
    view.set(view.map(() => scope.random.next() * 2 ** 32)); // One choice for each number.
    return view;
  });
}
