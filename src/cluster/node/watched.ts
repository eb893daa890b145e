/** Whom a node watches: the next few in the order of ids, so that each node is watched by as many; looked at as members change. */

/** Nodes that watch one: as many streams does each node keep, and as many are kept to it. */
const WATCHED = 3;
/** ms without a change of members before it looks whom this node watches: while many join, each change makes other streams of these. */
const WATCH_DELAY = 500;
/** ms after the first change, at most. */
const LONGEST_DELAY = 2_000;

interface Watchable {
  readonly id: string;
  readonly address: string;
}

/** The addresses of the nodes after `self`, from the greatest id on from the least again. */
export function successors(self: string, members: readonly Watchable[]): string[] {
  const found: Watchable[] = [];
  for (const member of members) {
    let at = found.length;
    while (at > 0 && isBefore(self, member.id, (found[at - 1] as Watchable).id)) at -= 1;
    if (at >= WATCHED) continue;
    found.splice(at, 0, member);
    if (found.length > WATCHED) found.pop();
  }
  return found.map(({ address }) => address);
}

/** Whether going round from `self`, one comes to `a` before `b`. */
function isBefore(self: string, a: string, b: string): boolean {
  const [aWraps, bWraps] = [a < self, b < self];
  return aWraps === bWraps ? a < b : bWraps;
}

/** Looks whom this node watches, when members have changed and do so no more. */
export class Watcher {
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** When it looks at the latest, and when no further change comes. */
  #latest = 0;
  #due = 0;
  #stopped = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** Members have changed; many changes are one look. */
  lookSoon(): void {
    if (this.#stopped) return;
    const now = performance.now();
    if (this.#timer === undefined) {
      this.#latest = now + LONGEST_DELAY;
      this.#wait(WATCH_DELAY);
    }
    this.#due = Math.min(now + WATCH_DELAY, this.#latest);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      const left = this.#due - performance.now();
      // Timers may come a fraction of a millisecond early.
      if (left >= 1) {
        this.#wait(left);
        return;
      }
      this.#timer = undefined;
      this.#look();
    }, ms);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
