/** Nodes that a node watches: the next few in the order of ids, so that each node is watched by equally many. */

const WATCHED = 3;
/** ms without a change of members before the choice: in a mass start, each change would choose other streams. */
const WATCH_DELAY = 500;
/** Maximum ms after the first change. */
const LONGEST_DELAY = 2_000;

interface Watchable {
  readonly id: string;
  readonly address: string;
}

/** Addresses of the next nodes after `self` in the circular order of ids. */
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

/** Circular order from `self`. */
function isBefore(self: string, a: string, b: string): boolean {
  const [aWraps, bWraps] = [a < self, b < self];
  return aWraps === bWraps ? a < b : bWraps;
}

export class Watcher {
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** Latest time of the choice, and its time without further changes. */
  #latest = 0;
  #due = 0;
  #stopped = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** Called at each change of members. */
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
      // Timers may fire a fraction of a millisecond early.
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
