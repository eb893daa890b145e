/**
 * When an accepted connection opens its handshake: with the peer's first bytes, or after two turns of the event loop; over
 * TLS, from when that is secured.
 *
 *   accepted --its first bytes--> open
 *      `--two turns, and none--> open: a peer may wait for this side's greeting
 *
 * A peer sends its greeting as soon as it is connected, so that it is there with the next turn as a rule. Where the mechanism
 * need not wait for it (mechanism.ts), this side's greeting and READY are one write, and a peer that opened so, too, is known
 * here before it has this side's READY: what is sent to it as soon as it reports the connection finds it.
 */

/** Those of this turn, and of the one before. */
let recent: (() => void)[] = [];
let older: (() => void)[] = [];
let isScheduled = false;

/** Calls `open` after two turns of the event loop, whatever became of the connection: the second reads what came with it. */
export function openSoon(open: () => void): void {
  recent.push(open);
  if (isScheduled) return;
  isScheduled = true;
  // Not `unref`: the event loop would not turn until something else comes.
  setImmediate(immediateOnTurn);
}

function immediateOnTurn(): void {
  const due = older;
  older = recent;
  recent = [];
  isScheduled = older.length > 0;
  if (isScheduled) setImmediate(immediateOnTurn);
  for (const open of due) open();
}
