/**
 * State machine of a caller: chooses nodes, retries, gives up.
 *
 *   waiting ──a node serves it, its delay is over──> sent ──REPLY, END, or no retry──> over
 *      ^──────────FAILURE, lost, late: a retry────────┘
 *
 * A refused request (draining, overloaded, full link) has not run. A lost or late node may have run it: only
 * idempotent requests are repeated.
 */
import { NumberTable } from "../../core/collections/number-table.js";
import {
  ClosedError,
  InvalidArgumentError,
  InvalidStateError,
  type ShoalError,
  TimeoutError,
} from "../../core/errors.js";
import { backOff, Deadlines } from "../../core/timers.js";
import { decodeDetails, FAILURES, type FailureReason, ServiceError, toReason } from "../../kit/errors.js";
import { LatestMap } from "../bounds.js";
import { MAX_QUEUED_BYTES, MAX_QUEUED_ITEMS } from "../messaging/bounds.js";
import type { NodeQueues } from "../messaging/node-queues.js";
import { type AttemptResult, Balancer, type Candidate, type NodeLoad } from "./balancer.js";
import { Call, type CallSink, type CallTerms, isStreamed, NO_NODES, timeoutOf } from "./call.js";
import { CHECK_AFTER, MAX_CALLED_SERVICES, MAX_CHECK_AFTER, type RequestsEvent } from "./types.js";
import {
  type BodyForm,
  encodeCall,
  encodeCredit,
  encodeSign,
  type FailureItem,
  type RequestItem,
  RequestOp,
} from "./wire.js";

export interface CallsEffects {
  candidates(service: string): readonly Candidate[];
  /** Changes with what `candidates` returns. */
  version(): number;
  /** Whether new nodes' services are unknown. */
  isSettling(): boolean;
  readonly queues: Pick<NodeQueues, "send" | "sendLater">;
  nameOf(node: string): string;
  /** Counts a refused item. */
  refuse(reason: string): void;
  readonly random: () => number;
  readonly report: (event: RequestsEvent) => void;
}

export interface CallCounts {
  called: number;
  succeeded: number;
  failed: number;
  retried: number;
}

export class RequestCalls {
  readonly counts: CallCounts = { called: 0, succeeded: 0, failed: 0, retried: 0 };
  readonly #effects: CallsEffects;
  /** Remote input may determine names; requests keep an evicted balancer. */
  readonly balancers = new LatestMap<string, Balancer>(MAX_CALLED_SERVICES);
  /** Attempts by id. */
  readonly #sent = new NumberTable<Call>();
  /** Requests that wait for a change of the serving nodes. */
  readonly #waiting = new Set<Call>();
  #isClosed = false;
  readonly #deadlines = new Deadlines<Call>();
  #id = 0;

  constructor(effects: CallsEffects) {
    this.#effects = effects;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws ClosedError `EBADF` */
  assertOpen(): void {
    if (this.#isClosed) throw new ClosedError("EBADF", "the node is closed");
  }

  /** Its sink may be called before this returns. */
  call(now: number, terms: CallTerms, sink: CallSink): Call {
    let balancer = this.balancers.get(terms.service);
    if (balancer === undefined) {
      balancer = new Balancer(this.#effects.random);
      this.balancers.set(terms.service, balancer);
    }
    const call = new Call(terms, sink, balancer, now);
    this.counts.called += 1;
    this.#attempt(now, call);
    return call;
  }

  /** @param error for the caller; `undefined`: none */
  giveUp(now: number, call: Call, error: ShoalError | undefined): void {
    if (call.state === "over") return;
    this.#cancelAttempt(now, call, "given-up");
    this.#over(call);
    this.counts.failed += 1;
    if (error !== undefined) call.sink.fail(error);
  }

  /** Credit of a streamed reply; dropping it would block the request forever. */
  read(now: number, call: Call, parts: number, bytes: number): void {
    if (call.state !== "sent" || call.node === undefined) return;
    const { id } = call.node;
    this.#effects.queues.sendLater(id, encodeCredit(call.id, parts, bytes), (result) => {
      if (result !== "dropped") return;
      const text = `${call.terms.service}: ${this.#effects.nameOf(id)} takes nothing, and at most ${MAX_QUEUED_ITEMS} items of ${MAX_QUEUED_BYTES} bytes may wait for it`;
      this.giveUp(now, call, new InvalidStateError("ERR_TOO_MANY_PENDING", text));
    });
  }

  onItem(now: number, from: string, item: RequestItem): void {
    const call = this.#sent.get(item.id);
    if (call === undefined) {
      this.#effects.refuse(item.id <= this.#id ? "late" : "foreign");
      return;
    }
    const node = call.node as NodeLoad;
    if (node.id !== from) {
      this.#effects.refuse("foreign");
      return;
    }
    switch (item.op) {
      case RequestOp.REPLY:
        node.report(now, item.busy, item.slots);
        this.#succeeded(now, call, node);
        call.sink.reply(item.form, item.body);
        return;
      case RequestOp.END:
        node.report(now, item.busy, item.slots);
        if (!isStreamed(call)) {
          this.#effects.refuse("not-a-stream");
          return;
        }
        this.#succeeded(now, call, node);
        call.sink.end?.();
        return;
      case RequestOp.PART:
        this.#onPart(now, call, item.form, item.body);
        return;
      case RequestOp.FAILURE:
        node.report(now, item.busy, item.slots);
        this.#onFailure(now, call, item);
        return;
      case RequestOp.GONE:
        this.#lost(now, call, `${this.#effects.nameOf(node.id)} has it no more`);
        return;
      default:
        this.#effects.refuse("op");
        return;
    }
  }

  onGone(now: number, id: string): void {
    // Oldest first.
    for (const call of this.#sent.values().sort((one, other) => one.id - other.id)) {
      if (call.node?.id !== id || call.state !== "sent") continue;
      this.#lost(now, call, `${this.#effects.nameOf(id)} was lost before it answered`);
    }
  }

  /** The nodes of a service may have changed. */
  onChanged(now: number): void {
    for (const call of [...this.#waiting]) if (call.state === "waiting") this.#attempt(now, call);
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  tick(now: number): void {
    for (const call of this.#deadlines.take(now)) {
      if (call.state === "over") continue;
      if (now >= call.until) this.#expire(now, call);
      else if (call.state === "waiting" && now >= call.retryAt) this.#attempt(now, call);
      else if (call.state === "sent" && now >= this.#attemptUntil(call)) this.#late(now, call);
      else if (call.state === "sent" && now >= call.checkAt) this.#check(now, call);
      else this.#schedule(now, call);
    }
  }

  close(error: () => ShoalError): void {
    this.#isClosed = true;
    for (const call of [...this.#sent.values(), ...this.#waiting]) this.giveUp(0, call, error());
    for (const call of this.#deadlines.take(Number.POSITIVE_INFINITY)) this.giveUp(0, call, error());
  }

  // --- Attempts ------------------------------------------------------------------------------------------------------

  #attempt(now: number, call: Call): void {
    if (now >= call.until) {
      this.#expire(now, call);
      return;
    }
    const { terms } = call;
    for (;;) {
      const node = this.#pick(now, call);
      if (node === undefined) {
        this.#onNobody(now, call);
        return;
      }
      this.#id += 1;
      const id = this.#id;
      const item = encodeCall(id, timeoutOf(now, call), terms.service, terms.extras, call.body);
      call.keepBody(item);
      // This node may answer before `send` returns.
      call.id = id;
      call.node = node;
      call.sentAt = now;
      call.checkedAt = now;
      call.checkAt = now + CHECK_AFTER;
      call.checkAfter = CHECK_AFTER;
      call.isUnserved = false;
      call.state = "sent";
      this.#waiting.delete(call);
      this.#sent.set(id, call);
      node.outstanding += 1;
      const result = this.#effects.queues.send(node.id, item);
      if (result === "sent") {
        if (call.state === "sent" && call.id === id) this.#schedule(now, call);
        return;
      }
      this.#endAttempt(now, call, result === "unreachable" ? "failed" : "refused");
      const name = this.#effects.nameOf(node.id);
      if (result === "too-large") {
        const text = `${name} takes no request of ${item.length} bytes`;
        this.#fail(call, new InvalidArgumentError(text));
        return;
      }
      call.error =
        result === "full"
          ? this.#error(call, "overloaded", `the link to ${name} is full`)
          : this.#error(call, "worker-lost", `${name} is out of reach`);
      call.tried = [...call.tried, node.id];
    }
  }

  #pick(now: number, call: Call): NodeLoad | undefined {
    const { terms, balancer, tried } = call;
    const version = this.#effects.version();
    if (version !== balancer.version) {
      balancer.version = version;
      balancer.setCandidates(this.#effects.candidates(terms.service));
    }
    if (terms.node !== undefined)
      return tried.includes(terms.node) ? undefined : balancer.nodes.get(terms.node);
    return balancer.pick(now, tried, terms.self);
  }

  #onNobody(now: number, call: Call): void {
    const { terms, error } = call;
    const mayWait = terms.node === undefined && terms.waitForReady;
    if (mayWait && call.isUnserved) {
      // The last serving node may return.
      const { retryDelay, maxRetryDelay } = terms;
      call.tried = NO_NODES;
      call.holds += 1;
      const delay = backOff(call.holds, retryDelay, maxRetryDelay, this.#effects.random);
      this.#wait(now, call, now + delay);
      return;
    }
    if (mayWait && call.balancer.untried(NO_NODES, terms.self).length === 0) {
      call.tried = NO_NODES;
      this.#wait(now, call);
      return;
    }
    if (error !== undefined) {
      // All refused it: all once more, later.
      if (terms.node !== undefined || !this.#retry(now, call)) this.#fail(call, error);
      return;
    }
    if (this.#effects.isSettling()) {
      this.#wait(now, call);
      return;
    }
    const nobody = "no node serves it; waitForReady: true waits for one";
    const text = terms.node === undefined ? nobody : "the node does not serve it";
    this.#fail(call, this.#error(call, "no-service", text));
  }

  /** @param retryAt when known nodes are tried again */
  #wait(now: number, call: Call, retryAt = Number.POSITIVE_INFINITY): void {
    call.state = "waiting";
    call.retryAt = retryAt;
    call.keepBody();
    this.#waiting.add(call);
    this.#schedule(now, call);
  }

  #retry(now: number, call: Call): boolean {
    const { terms, balancer } = call;
    if (call.attempts >= terms.retries) return false;
    const delay = backOff(call.attempts, terms.retryDelay, terms.maxRetryDelay, this.#effects.random);
    call.attempts += 1;
    if (now + delay >= call.until) return false;
    if (balancer.untried(call.tried, terms.self).length === 0) call.tried = NO_NODES;
    call.state = "waiting";
    this.#waiting.delete(call);
    call.retryAt = now + delay;
    this.#schedule(now, call);
    return true;
  }

  /** @param safe whether it may be repeated */
  #failed(now: number, call: Call, reason: FailureReason, error: ShoalError, safe: boolean): void {
    const node = call.node as NodeLoad;
    this.#endAttempt(now, call, reason === "overloaded" || reason === "stopping" ? "refused" : "failed");
    call.error = error;
    if (!safe || call.hasBegun || call.terms.node !== undefined) {
      this.#fail(call, error);
      return;
    }
    call.tried = [...call.tried, node.id];
    const attempt = call.attempts + 1;
    if (reason === "stopping" || reason === "no-service") {
      // It did not run: an uncounted immediate retry.
      call.isUnserved = true;
      this.#attempt(now, call);
    } else if (!this.#retry(now, call)) this.#fail(call, error);
    if (call.state === "over") return;
    this.counts.retried += 1;
    const { service } = call.terms;
    this.#effects.report({ type: "request:retried", service, node: node.id, reason, attempt });
  }

  #lost(now: number, call: Call, text: string): void {
    this.#failed(now, call, "worker-lost", this.#error(call, "worker-lost", text), call.terms.idempotent);
  }

  /** The node, or a replaced link, may have dropped it. */
  #check(now: number, call: Call): void {
    this.#effects.queues.sendLater((call.node as NodeLoad).id, encodeSign(RequestOp.CHECK, call.id));
    call.checkedAt = now;
    call.checkAfter = Math.min(2 * call.checkAfter, MAX_CHECK_AFTER);
    call.checkAt = now + call.checkAfter;
    this.#schedule(now, call);
  }

  #onFailure(now: number, call: Call, item: FailureItem): void {
    const reason = toReason(item.reason);
    const text = item.message === "" ? FAILURES[reason] : item.message;
    const error = new ServiceError(reason, call.terms.service, text, decodeDetails(item.details));
    switch (reason) {
      case "overloaded":
      case "stopping":
      case "no-service":
        this.#failed(now, call, reason, error, true);
        return;
      case "worker-failed":
      case "invalid-reply":
        this.#endAttempt(now, call, "failed");
        this.#fail(call, error);
        return;
      default:
        // The request's fault.
        this.#endAttempt(now, call, "ok");
        this.#fail(call, error);
        return;
    }
  }

  #onPart(now: number, call: Call, form: BodyForm, body: Buffer): void {
    if (!isStreamed(call)) {
      this.#effects.refuse("not-a-stream");
      return;
    }
    const reason = call.sink.part?.(form, body);
    if (reason === undefined) {
      const isSoon = call.checkAfter === CHECK_AFTER;
      // The node gives up a caller that is silent for three times as long, and credit for small parts may take longer.
      call.checkAt = Math.min(now + CHECK_AFTER, call.checkedAt + MAX_CHECK_AFTER);
      call.checkAfter = CHECK_AFTER;
      if (call.hasBegun && isSoon) return;
      call.hasBegun = true;
      this.#schedule(now, call);
      return;
    }
    this.#effects.refuse(reason);
    this.#cancelAttempt(now, call, "failed");
    this.#fail(call, this.#error(call, "invalid-reply", `a part of the reply is refused: ${reason}`));
  }

  #late(now: number, call: Call): void {
    const { attemptTimeout, idempotent, service } = call.terms;
    const node = call.node as NodeLoad;
    this.#effects.queues.sendLater(node.id, encodeSign(RequestOp.CANCEL, call.id));
    const text = `${service}: ${this.#effects.nameOf(node.id)} did not answer within ${attemptTimeout} ms`;
    this.#failed(now, call, "expired", new TimeoutError("ETIMEDOUT", text), idempotent);
  }

  #expire(now: number, call: Call): void {
    const { service, timeout } = call.terms;
    const { error: cause, node, state } = call;
    const from = state === "sent" && node !== undefined ? ` from ${this.#effects.nameOf(node.id)}` : "";
    const why = from === "" && cause === undefined ? "no node serves it" : `no reply${from}`;
    const last = cause === undefined ? "" : `; last: ${cause.message}`;
    this.#cancelAttempt(now, call, "failed");
    this.#fail(
      call,
      new TimeoutError("ETIMEDOUT", `${service}: ${why} within ${timeout} ms${last}`, { cause }),
    );
  }

  #cancelAttempt(now: number, call: Call, result: AttemptResult): void {
    if (call.state !== "sent" || call.node === undefined) return;
    this.#effects.queues.sendLater(call.node.id, encodeSign(RequestOp.CANCEL, call.id));
    this.#endAttempt(now, call, result);
  }

  #endAttempt(now: number, call: Call, result: AttemptResult): void {
    this.#sent.delete(call.id);
    call.state = "waiting";
    (call.node as NodeLoad).ended(now, result, now - call.sentAt);
    call.node = undefined;
  }

  #succeeded(now: number, call: Call, node: NodeLoad): void {
    this.#sent.delete(call.id);
    // Its reader slows a stream, too.
    node.ended(now, "ok", call.hasBegun ? 0 : now - call.sentAt);
    this.#over(call);
    this.counts.succeeded += 1;
  }

  #fail(call: Call, error: ShoalError): void {
    this.#over(call);
    this.counts.failed += 1;
    call.sink.fail(error);
  }

  #over(call: Call): void {
    call.state = "over";
    call.node = undefined;
    call.link.unlink();
    this.#waiting.delete(call);
    call.sink.over?.();
  }

  #attemptUntil(call: Call): number {
    const { attemptTimeout } = call.terms;
    return attemptTimeout < 0 || call.hasBegun ? Number.POSITIVE_INFINITY : call.sentAt + attemptTimeout;
  }

  #schedule(now: number, call: Call): void {
    let next = call.until;
    if (call.state === "sent") next = Math.min(next, this.#attemptUntil(call), call.checkAt);
    else if (call.state === "waiting") next = Math.min(next, call.retryAt);
    if (next === Number.POSITIVE_INFINITY) call.link.unlink();
    else this.#deadlines.set(call.link, now, Math.round(next - now));
  }

  #error({ terms }: Call, reason: FailureReason, text: string): ServiceError {
    return new ServiceError(reason, terms.service, text);
  }
}
