/**
 * Delays an accepted connection's greeting until the peer's first bytes, or for two turns of the event loop.
 *
 *   accepted --first bytes of the peer--> open
 *      `--two turns without any--> open: a peer may wait for this side's greeting
 *
 * Greeting and READY are then one write if the mechanism allows it (mechanism.ts), and this side knows the
 * peer before the peer gets READY.
 */

let recent: (() => void)[] = [];
let older: (() => void)[] = [];
let isScheduled = false;

export function openSoon(open: () => void): void {
  recent.push(open);
  if (isScheduled) return;
  isScheduled = true;
  // With an unreferenced immediate the event loop would sleep until the next event.
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
