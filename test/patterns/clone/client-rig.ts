/** A client's rules without a network, and what they did. */
import type { CloneCall, UpdateResult } from "../../../src/patterns/clone/client-calls.js";
import { ClientRules } from "../../../src/patterns/clone/client-rules.js";
import { encodeGoodbye } from "../../../src/patterns/clone/protocol.js";

export const [KEY, VALUE, EMPTY] = ["k", "v", ""].map((text) => Buffer.from(text)) as [
  Buffer,
  Buffer,
  Buffer,
];

/** A call whose result is given at once. */
export function resultOf(done: (sequence: number) => void = () => undefined): UpdateResult {
  return { resolve: done, reject: () => undefined };
}

/** @param options `random` for the jitter; `mute`: nothing that is sent leaves; `watching`: changes are noted */
export function rig(
  servers: readonly string[],
  { random = 1, mute = false, watching = false, subtree: prefix = "", maxBytes = 1_000 } = {},
) {
  const subtree = Buffer.from(prefix);
  const done: string[] = [];
  /** Changes and events, with all that they say. */
  const told: string[] = [];
  /** Keys of sent updates. */
  const unsent: string[] = [];
  /** The program's listeners. */
  const listeners = new Map<string, () => void>();
  const now = { attempt: 0 };
  const rules = new ClientRules(
    {
      subtree,
      heartbeatInterval: 1_000,
      liveness: 2,
      attemptTimeout: 3_000,
      random: () => random,
      maxPending: 10,
      maxBytes,
      token: Buffer.alloc(8, 1),
    },
    {
      open: (attempt, server) => {
        now.attempt = attempt;
        done.push(`open ${attempt} ${server}`);
      },
      ask: (attempt) => done.push(`ask ${attempt}`),
      sendSet: ([key]) => void unsent.push(String(key)),
      unsent: () => (mute ? unsent.length : 0),
      failure: () => undefined,
      watching: () => watching,
      changed: (change) => {
        told.push(JSON.stringify(change));
        done.push(`changed ${change.key}`);
      },
      synced: () => done.push("synced"),
      event: (event) => {
        told.push(JSON.stringify(event));
        done.push(event.type);
        listeners.get(event.type)?.();
      },
    },
    0,
  );
  const start = (time: number): void => rules.setServers(servers, time);
  /** It has the empty map of its first server. */
  const begin = (sequence = 0): void => {
    start(0);
    rules.connected(1, 0);
    rules.snapshot(1, encodeGoodbye(sequence, subtree), 0);
  };
  /** An update at 0. @param result hears of its sequence */
  const set = (key = KEY, result?: (sequence: number) => void, value = VALUE): CloneCall =>
    rules.calls.add({ key, properties: EMPTY, value, conditional: false, timeout: -1 }, resultOf(result), 0);
  return { rules, start, begin, set, done, told, unsent, listeners, now };
}
