/** A pair in a simulation: two servers that can crash, be stopped and be cut off, clients and an operator. */
import { BinaryStarState, encodeState, parseState } from "../../../src/patterns/binary-star/protocol.js";
import { type BinaryStarRole, BinaryStarRules } from "../../../src/patterns/binary-star/rules.js";
import type { Network } from "../../../src/testing/network.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";

export const HEARTBEAT = 1_000;

export class PairServer {
  rules: BinaryStarRules | undefined;
  /** States heard of since it became active last, in which the peer was active: must stay 0 while it answers. */
  rivalsHeard = 0;
  answers = 0;
  fences = 0;
  #activeSince = 0;
  /** Called with each answer. */
  onAnswer: (() => void) | undefined;
  #timer: RulesTimer | undefined;
  #held = 0;
  #frozen = false;
  /** What came while it was stopped: states keep their order, requests theirs. */
  #unreadStates: (() => void)[] = [];
  #unreadRequests: (() => void)[] = [];

  constructor(
    readonly name: string,
    readonly role: BinaryStarRole,
    readonly peer: string,
    readonly simulation: Simulation,
    readonly network: Network,
  ) {}

  get up(): boolean {
    return this.rules !== undefined;
  }

  /** Whether it would answer a request at this moment. */
  get answersNow(): boolean {
    return !this.#frozen && this.rules !== undefined && this.rules.serving;
  }

  start(): void {
    if (this.up) return;
    this.network.join(this.name, (_, frames) =>
      this.#whenAwake(this.#unreadStates, () => this.#hear(frames)),
    );
    this.rules = new BinaryStarRules(
      { role: this.role, heartbeatInterval: HEARTBEAT, liveness: 2 },
      {
        publish: (state) => this.network.send(this.name, this.peer, [encodeState(state)]),
        changed: (reason) => {
          const { state, fence, doubting } = this.rules as BinaryStarRules;
          this.simulation.note(`${this.name}: ${state}, ${reason}`);
          if (fence !== undefined) {
            this.fences += 1;
            this.#held = 0;
          } else if (reason !== "stalled") {
            if (state === BinaryStarState.ACTIVE) this.#becameActive();
          } else if (!doubting) this.#answerHeld();
        },
        votesDropped: () => {
          this.#held = 0;
        },
        sameRole: () => undefined,
      },
      this.simulation.now,
    );
    this.#timer = new RulesTimer(this.simulation, this.rules);
  }

  crash(): void {
    if (!this.up) return;
    this.network.crash(this.name);
    this.#timer?.stop();
    this.rules = undefined;
    this.#held = 0;
    this.#frozen = false;
    this.#unreadStates = [];
    this.#unreadRequests = [];
  }

  /** SIGSTOP. */
  freeze(): void {
    if (!this.up || this.#frozen) return;
    this.simulation.note(`${this.name} is stopped`);
    this.#frozen = true;
    this.#timer?.stop();
  }

  /** SIGCONT: what came meanwhile is read, requests and states in any order, and its timers are late. */
  thaw(): void {
    if (!this.#frozen) return;
    this.simulation.note(`${this.name} goes on`);
    this.#frozen = false;
    const sources = [this.#unreadStates.splice(0), this.#unreadRequests.splice(0)];
    if (this.simulation.random.chance(0.5)) sources.reverse();
    for (const read of sources.flat()) read();
    if (this.rules !== undefined) this.#timer = new RulesTimer(this.simulation, this.rules);
  }

  request(): void {
    this.#whenAwake(this.#unreadRequests, () => {
      const admission = this.rules?.request(this.simulation.now);
      this.#timer?.update();
      if (admission === "serve") this.#answer();
      else if (admission === "hold") this.#held += 1;
    });
  }

  /** The operator does something, which the rules may refuse. @returns whether they let it */
  operate(action: (rules: BinaryStarRules, now: number) => void): boolean {
    if (this.rules === undefined || this.#frozen) return false;
    try {
      action(this.rules, this.simulation.now);
      this.#timer?.update();
      return true;
    } catch {
      return false;
    }
  }

  #hear(frames: Buffer[]): void {
    const state = parseState(frames);
    if (state === undefined || this.rules === undefined) throw new Error("No state came");
    this.simulation.note(`${this.name} hears ${state}`);
    const wasActive = this.rules.state === BinaryStarState.ACTIVE;
    this.rules.receive(state, this.simulation.now);
    // For a heartbeat after a take-over it may be the word of a peer in doubt, which yields.
    const old = this.simulation.now - this.#activeSince >= HEARTBEAT;
    if (wasActive && old && this.rules.state === BinaryStarState.ACTIVE && state === BinaryStarState.ACTIVE)
      this.rivalsHeard += 1;
    this.#timer?.update();
  }

  #becameActive(): void {
    this.rivalsHeard = 0;
    this.#activeSince = this.simulation.now;
    this.#answerHeld();
  }

  #answerHeld(): void {
    const held = this.#held;
    this.#held = 0;
    for (let i = 0; i < held; i++) this.#answer();
  }

  #answer(): void {
    this.answers += 1;
    this.simulation.note(`${this.name} ANSWERS`);
    this.onAnswer?.();
  }

  #whenAwake(unread: (() => void)[], action: () => void): void {
    if (this.#frozen) unread.push(action);
    else action();
  }
}
