/** Whom a node watches: the next few in the order of ids, so that each node is watched by as many; looked at as members change. */

/** Nodes that watch one: as many streams does each node keep, and as many are kept to it. */
const WATCHED = 3;
/** ms between a change of members and a look at whom this node watches: streams cost more than packets while many join. */
const WATCH_DELAY = 500;

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

/** Looks whom this node watches, a while after members have changed. */
export class Watcher {
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** Members have changed; many changes are one look. */
  lookSoon(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#look();
    }, WATCH_DELAY);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
