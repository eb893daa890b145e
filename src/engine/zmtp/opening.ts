/**
 * Delays the greeting of an accepted connection until the peer's first bytes, or for two turns of the event
 * loop. On TLS the delay starts when the stream is secure.
 *
 *   accepted --first bytes of the peer--> open
 *      `--two turns without any--> open: a peer may wait for this side's greeting
 *
 * A peer usually sends its greeting at once, so it arrives within a turn. If the mechanism allows it
 * (mechanism.ts), greeting and READY are then one write, and this side knows the peer before the peer gets
 * READY. Messages sent as soon as the peer reports the connection reach it.
 */

let recent: (() => void)[] = [];
let older: (() => void)[] = [];
let isScheduled = false;

/** Calls `open` after two turns, even if the connection has ended. The second turn reads the input. */
export function openSoon(open: () => void): void {
  recent.push(open);
  if (isScheduled) return;
  isScheduled = true;
  // A referenced immediate, because the event loop would otherwise sleep until the next event.
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
