/**
 * One-to-one messages under way: each is numbered for its node, and that node answers which numbers it has handled and which of
 * them failed. Pure but for the promises.
 *
 *   sender      numbers 1, 2, 3 … for each node ──DIRECT──>
 *   receiver    ──RESULT upTo 3, failed: 2 closed──>      once for all that came in a turn, and again to who was lost and is back
 */
import { type ShoalError, TimeoutError, UnroutableError } from "../../core/errors.js";
import { KEPT_FAULTS, MAX_DIRECT_FAULTS, MAX_UNREAD_FAULTS } from "./bounds.js";
import { DirectFault, encodeResult, type ItemReader } from "./items.js";
import type { SendResult } from "./parts.js";

interface Pending {
  readonly number: number;
  /** When it is given up; infinite: never. */
  readonly deadline: number;
  resolve(): void;
  reject(error: ShoalError): void;
  /** The client does not exist any more. */
  closed(): void;
}

/** Numbers are 32 bits; a node that has sent so many to another one begins again. */
const LAST_NUMBER = 0xffff_ffff;

/** Numbers begin again: what is far above is of the round before. */
function isAbove(number: number, other: number): boolean {
  return number > other && number - other < LAST_NUMBER / 2;
}

/** What this node sent to another one. */
class Sent {
  number = 0;
  /** In the order of their numbers. */
  readonly pending = new Map<number, Pending>();
}

export class DirectSends {
  readonly #byNode = new Map<string, Sent>();
  #count = 0;

  /** Messages without an answer. */
  get count(): number {
    return this.#count;
  }

  /** The number of the next message to a node. */
  next(node: string): number {
    const number = this.#byNode.get(node)?.number ?? 0;
    return number >= LAST_NUMBER ? 1 : number + 1;
  }

  /** The message of that number was given to the link. @param closed called when the client is not there any more */
  add(node: string, deadline: number, closed: () => void): Promise<void> {
    const number = this.next(node);
    let sent = this.#byNode.get(node);
    if (sent === undefined) {
      sent = new Sent();
      this.#byNode.set(node, sent);
    }
    sent.number = number;
    const { pending } = sent;
    return new Promise((resolve, reject) => {
      this.#count += 1;
      pending.set(number, { number, deadline, resolve, reject, closed });
    });
  }

  /** A RESULT after its first byte. @returns whether it is well-formed */
  onResult(node: string, reader: ItemReader): boolean {
    const upTo = reader.varint();
    const failed = new Map<number, number>();
    while (!reader.failed && reader.at < reader.item.length && failed.size < MAX_DIRECT_FAULTS)
      failed.set(reader.varint(), reader.byte());
    if (reader.failed || reader.at < reader.item.length) return false;
    const sent = this.#byNode.get(node);
    // An answer to numbers that were forgotten since.
    if (sent === undefined || isAbove(upTo, sent.number)) return true;
    const { pending } = sent;
    for (const each of pending.values()) {
      if (isAbove(each.number, upTo)) break;
      this.#remove(pending, each);
      const fault = failed.get(each.number);
      if (fault === undefined) each.resolve();
      else {
        if (fault === DirectFault.CLOSED) each.closed();
        each.reject(new UnroutableError("the client is closed"));
      }
    }
    return true;
  }

  /** Nothing comes of what was sent to a node. */
  fail(node: string, error: () => ShoalError): void {
    const pending = this.#byNode.get(node)?.pending;
    if (pending === undefined) return;
    for (const each of pending.values()) {
      this.#remove(pending, each);
      each.reject(error());
    }
  }

  /** A node that is gone: its numbers are not continued. */
  forget(node: string): void {
    this.#byNode.delete(node);
  }

  /** The caller gives one up. */
  expire(now: number): void {
    for (const { pending } of this.#byNode.values())
      for (const each of pending.values()) {
        if (each.deadline > now) continue;
        this.#remove(pending, each);
        each.reject(new TimeoutError("ETIMEDOUT", "the recipient's node did not answer in time"));
      }
  }

  failAll(error: () => ShoalError): void {
    for (const node of this.#byNode.keys()) this.fail(node, error);
  }

  #remove(pending: Map<number, Pending>, { number }: Pending): void {
    if (pending.delete(number)) this.#count -= 1;
  }
}

/** What was handled of a node's messages. */
class Handled {
  readonly node: string;
  upTo = 0;
  /** Numbers and reasons that were not sent yet. */
  failed: number[] = [];
  /** The latest of those that were. */
  answered: number[] = [];
  /** Whether there is something to send. */
  isDue = false;
  /** Whether an answer waits for room. It says all that was handled when it goes: a node that reads none has no more than one. */
  isWaiting = false;
  /** Whether the node was lost since, and answers with it. */
  isLost = false;

  constructor(node: string) {
    this.node = node;
  }
}

export interface DirectResultsEffects {
  send(node: string, item: Buffer): SendResult;
  /** Whether something waits for room there already, which is not overtaken. */
  mustWait(node: string): boolean;
  /** @param send attempts it, as long as it answers `full` @returns settles when it waits no longer */
  wait(node: string, send: () => SendResult): Promise<unknown>;
  /** Failures that a node has not read were forgotten: more came than is kept. */
  dropped(node: string): void;
}

/** What this node answers the others about what they sent it. */
export class DirectResults {
  readonly #byNode = new Map<string, Handled>();
  readonly #due: Handled[] = [];
  readonly #effects: DirectResultsEffects;
  #isScheduled = false;

  constructor(effects: DirectResultsEffects) {
    this.#effects = effects;
  }

  /** @param fault why it failed; 0: it did not */
  handled(node: string, number: number, fault: number): void {
    let handled = this.#byNode.get(node);
    if (handled === undefined) {
      handled = new Handled(node);
      this.#byNode.set(node, handled);
    }
    handled.upTo = number;
    if (fault !== 0) this.#fail(handled, number, fault);
    if (handled.isWaiting) return;
    if (!handled.isDue) this.#due.push(handled);
    handled.isDue = true;
    if (fault !== 0 && handled.failed.length % (2 * MAX_DIRECT_FAULTS) === 0) this.#flush();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  /** A node was lost, and may come back. */
  lost(node: string): void {
    const handled = this.#byNode.get(node);
    if (handled !== undefined) handled.isLost = true;
  }

  /** It is there. Where it was lost, answers were lost with it; it may only have stood still, and wait for them. */
  found(node: string): void {
    const handled = this.#byNode.get(node);
    if (handled === undefined || !handled.isLost) return;
    handled.isLost = false;
    handled.failed = [...handled.answered, ...handled.failed];
    handled.answered = [];
    this.#answer(handled);
  }

  /** A node that is gone. */
  forget(node: string): void {
    this.#byNode.delete(node);
  }

  #fail(handled: Handled, number: number, fault: number): void {
    const { failed, node } = handled;
    failed.push(number, fault);
    if (failed.length <= 2 * MAX_UNREAD_FAULTS) return;
    failed.splice(0, 2 * MAX_DIRECT_FAULTS);
    this.#effects.dropped(node);
  }

  #flush(): void {
    for (const handled of this.#due.splice(0)) {
      handled.isDue = false;
      this.#answer(handled);
    }
  }

  #answer(handled: Handled): void {
    if (handled.isWaiting) return;
    if (!this.#effects.mustWait(handled.node) && this.#send(handled) !== "full") return;
    handled.isWaiting = true;
    const send = (): SendResult => {
      const result = this.#send(handled);
      if (result !== "full") handled.isWaiting = false;
      return result;
    };
    void this.#effects.wait(handled.node, send).then(() => {
      if (!handled.isWaiting) return;
      // It was given up with its link. The node may be back already, without an answer.
      handled.isWaiting = false;
      if (!handled.isLost) this.#answer(handled);
    });
  }

  /** Sends what was handled until now, in as many answers as its failures take. What did not go stays. */
  #send(handled: Handled): SendResult {
    for (;;) {
      const { node, failed } = handled;
      const part = failed.slice(0, 2 * MAX_DIRECT_FAULTS);
      const isLast = part.length === failed.length;
      const upTo = isLast ? handled.upTo : (part.at(-2) as number);
      const result = this.#effects.send(node, encodeResult(upTo, part));
      if (result !== "sent") return result;
      handled.failed = failed.slice(part.length);
      handled.answered = [...handled.answered, ...part].slice(-2 * KEPT_FAULTS);
      if (isLast) return result;
    }
  }
}
