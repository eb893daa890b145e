/**
 * Notes to other nodes that they may lack retained values of this one, so that they ask again (retained-sync.ts): at once, then once in
 * `STALE_INTERVAL` for each of them, whatever happened meanwhile.
 */
import { MAX_STALE_NODES, STALE_INTERVAL } from "./bounds.js";
import { encodeStale, StaleReason } from "./retained-items.js";
import type { RetainedSender } from "./retained-sender.js";

/** What the next note to a node has. */
interface Note {
  hasForgotten: boolean;
  hasMissed: boolean;
  /** Nodes that were lost. */
  readonly lost: Set<string>;
}

export class StaleNotes {
  readonly #sender: RetainedSender;
  /** A note could not be sent. */
  readonly #onUnsent: (id: string) => void;
  /** Of those that had one lately: the next one. */
  readonly #notes = new Map<string, Note>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(sender: RetainedSender, onUnsent: (id: string) => void) {
    this.#sender = sender;
    this.#onUnsent = onUnsent;
  }

  /** It did not get what it should have. */
  missed(id: string): void {
    this.#add(id, (note) => {
      note.hasMissed = true;
    });
  }

  /** What it has asked is not answered. */
  forgot(id: string): void {
    this.#add(id, (note) => {
      note.hasForgotten = true;
    });
  }

  /** @param node that was lost, of which or from which this node has values */
  lost(id: string, node: string): void {
    this.#add(id, (note) => {
      if (note.lost.size < MAX_STALE_NODES) note.lost.add(node);
      else note.hasMissed = true;
    });
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #add(id: string, change: (note: Note) => void): void {
    if (this.#closed) return;
    const known = this.#notes.get(id);
    const note = known ?? { hasForgotten: false, hasMissed: false, lost: new Set<string>() };
    change(note);
    if (known !== undefined) return;
    this.#notes.set(id, note);
    void this.#send(id, note);
  }

  async #send(id: string, note: Note): Promise<void> {
    const items = itemsOf(note);
    note.hasForgotten = false;
    note.hasMissed = false;
    note.lost.clear();
    for (const item of items) {
      const result = await this.#sender.send(id, item);
      if (this.#closed) return;
      if (result === "sent") continue;
      this.#notes.delete(id);
      this.#onUnsent(id);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (itemsOf(note).length === 0) this.#notes.delete(id);
      else void this.#send(id, note);
    }, STALE_INTERVAL).unref();
    this.#timers.add(timer);
  }
}

/** Who forgot is asked all that was asked, who missed something all that it may lack: either has the others with it. */
function itemsOf({ hasForgotten, hasMissed, lost }: Note): Buffer[] {
  if (hasForgotten) return [encodeStale(StaleReason.FORGOT)];
  if (hasMissed) return [encodeStale(StaleReason.MISSED)];
  return [...lost].map((node) => encodeStale(StaleReason.LOST, node));
}
