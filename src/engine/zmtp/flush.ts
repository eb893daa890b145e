/**
 * Writes at the end of the turn: all pipes that got messages in it, one write each.
 *
 * `nextTick` runs when the promises that are settled now have been gone through,
 * so a loop of `await send(…)` fills a batch, and a lone message leaves without a
 * delay. (From a microtask each awaited message would be a write of its own.)
 */
import type { Pipe } from "./pipe.js";

let dirty: Pipe[] = [];
let spare: Pipe[] = [];

export function flushSoon(pipe: Pipe): void {
  pipe.dirty = true;
  if (dirty.length === 0) process.nextTick(flushAll);
  dirty.push(pipe);
}

function flushAll(): void {
  const pipes = dirty;
  dirty = spare;
  let next = 0;
  try {
    while (next < pipes.length) {
      const pipe = pipes[next++] as Pipe;
      pipe.dirty = false;
      pipe.flush();
    }
  } finally {
    // Where one has thrown: it is no affair of the others.
    for (; next < pipes.length; next++) flushSoon(pipes[next] as Pipe);
    pipes.length = 0;
    spare = pipes;
  }
}
