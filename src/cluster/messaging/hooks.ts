/**
 * Hooks: functions of the program at each stage that a message passes. Each may change it, answer it, or veto it. Those of
 * members decide which members messaging uses.
 *
 *   sending     evaluate:send ──> channel:send ──> protocol:send ──> the other member
 *   receiving   protocol:receive ──> channel:receive ──> evaluate:receive ──> member:validate ──> member:evaluate ──> query | event ──> handler
 *
 * Hooks of a sending stage are called in the order of their addition, those of a receiving stage in reverse: the last to
 * wrap is the first to unwrap. A reply passes the stages of evaluate, channel and protocol.
 *
 * Hooks are synchronous. A returned promise is a veto.
 */

import { describe, invalidArgument, isInstance, suggest } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, ShoalError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import { MAX_VETO_REASON } from "./bounds.js";
import { type ClusterChannel, channelSet, checkChannel } from "./channels.js";
import { checkedData, checkRuid, refusePromise } from "./options.js";

/** Stages of sending: once for all recipients, then once for each protocol. */
export const ENCODING = ["evaluate:send", "channel:send"] as const;
export const TRANSMITTING = ["protocol:send"] as const;
export const SENDING = [...ENCODING, ...TRANSMITTING] as const;
/** Stages of receiving up to what the handler gets. */
export const UNWRAPPING = ["protocol:receive", "channel:receive", "evaluate:receive"] as const;
const HANDLING = ["member:evaluate", "query", "event"] as const;
const OF_MEMBERS = ["member:validate", "member:discovered", "member:lost", "member:found"] as const;

export type MessageStage = (typeof SENDING | typeof UNWRAPPING | typeof HANDLING)[number];
const DECIDING = ["member:validate", "member:discovered", "member:found"] as const;

export type MemberStage = (typeof OF_MEMBERS)[number];
export type HookStage = MessageStage | MemberStage;

const STAGES: readonly HookStage[] = [...SENDING, ...UNWRAPPING, ...HANDLING, ...OF_MEMBERS];

export interface HookPayload {
  /** Arrives as it was sent, as text or bytes. */
  readonly data: string | Buffer;
  /** Only `evaluate:send` may change it. */
  readonly channel: ClusterChannel;
  /** "": none. */
  readonly ruid: string;
}

export interface HookContext {
  readonly stage: HookStage;
  readonly kind: "message" | "query" | "reply";
  /** Receiving: the sender. Sending: the recipients. */
  readonly members: readonly Member[];
  /** Whether all of `members` are on this host. */
  readonly local: boolean;
  /** `ipc`, `tcp`, `udp`, `self`, or the name of a custom protocol; "" before it is known. */
  readonly protocol: string;
  /**
   * A hook returns this to answer; no later hook or handler is called. It answers a received query. A query is not sent
   * and has it as its response; `send` has it as `answer`. Throws for a received message, and for a reply.
   */
  answer(data: string | Uint8Array): HookAnswer;
  /**
   * Throws: no later hook or handler is called. Unlike those of other errors, its reason goes to the sender of a query,
   * up to 256 bytes.
   */
  veto(reason: string): never;
}

/** A changed payload, an answer, or `undefined`: unchanged. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing in one branch, and something in another.
export type HookResult = Partial<HookPayload> | HookAnswer | undefined | void;

/** Its errors veto the message. It is synchronous: a returned promise is a veto, too. */
export type MessageHook = (payload: HookPayload, context: HookContext) => HookResult;

/**
 * Errors of `member:validate`, `member:discovered` and `member:found` keep the member out of `send` and `query`. It is
 * synchronous: a returned promise is an error, too.
 */
export type MemberHook = (member: Member) => void;

export interface HookOptions {
  /** Default: all. */
  readonly channels?: readonly ClusterChannel[] | undefined;
  /** For the stages of protocols. Default: all. */
  readonly protocols?: readonly string[] | undefined;
}

export class HookAnswer {
  readonly data: string | Buffer;

  /** @internal */
  constructor(data: string | Uint8Array) {
    this.data = checkedData("an answer", data);
  }
}

/** A hook of a `stage` vetoed, with a `reason` if it gave one. Code `ERR_VETOED`. */
export class VetoError extends ShoalError {
  readonly stage: HookStage;
  readonly reason: string | undefined;

  /** @internal */
  constructor(stage: HookStage, reason: string | undefined, cause?: unknown) {
    super("ERR_VETOED", `vetoed by a hook of ${stage}${reason === undefined ? "" : `: ${reason}`}`, {
      cause,
    });
    this.stage = stage;
    this.reason = reason;
  }
}

interface Entry {
  readonly stage: HookStage;
  readonly channels: ReadonlySet<ClusterChannel> | undefined;
  readonly protocols: ReadonlySet<string> | undefined;
  readonly call: MessageHook | MemberHook;
}

export type Passed = HookPayload | HookAnswer;

/** `found`: it is back. */
export type MemberChange = "discovered" | "found" | "changed" | "lost";

/** `undefined`: it is admitted. */
type Verdict = VetoError | undefined;

/**
 * The hooks of a node, and which members messaging uses: all except those vetoed by a hook of `member:validate`,
 * `member:discovered` or `member:found`.
 *
 *   discovered, found ── hooks ──> a verdict until it is found again or forgotten
 *   first message, and the first after its details changed ── member:validate ──> a verdict until they change again
 */
export class Hooks {
  readonly #byStage = new Map<HookStage, readonly Entry[]>();
  readonly #onVeto: (member: Member, error: VetoError) => void;
  /** Send hooks in progress: a hook may send. */
  #depth = 0;
  #size = 0;
  /** Verdicts of `member:discovered` or `member:found`, by id. */
  readonly #arrivals = new Map<string, Verdict>();
  /** Of `member:validate`, for the current details. */
  readonly #validations = new Map<string, Verdict>();

  constructor(onVeto: (member: Member, error: VetoError) => void) {
    this.#onVeto = onVeto;
  }

  isEmpty(stage: HookStage): boolean {
    return this.#of(stage).length === 0;
  }

  /**
   * @returns removes it
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` for more than 256
   */
  add(stage: HookStage, options: HookOptions, call: MessageHook | MemberHook): () => void {
    if (!STAGES.includes(stage))
      throw new InvalidArgumentError(
        `a hook's stage must be one of ${STAGES.join(", ")}; got ${describe(stage)}${suggest(stage, STAGES)}`,
      );
    if (typeof call !== "function") throw invalidArgument("a hook must be a function", call);
    const channels = channelSet(options.channels);
    const protocols = options.protocols && new Set(options.protocols);
    if (channels !== undefined && OF_MEMBERS.includes(stage as MemberStage))
      throw new InvalidArgumentError(`a hook of ${stage} has no channels`);
    if (protocols !== undefined && !stage.startsWith("protocol:"))
      throw new InvalidArgumentError(`a hook of ${stage} has no protocols`);
    if (this.#size >= 256) throw new InvalidStateError("EFSM", "a node has 256 hooks at most");

    const entry: Entry = { stage, channels, protocols, call };
    this.#change(stage, [...this.#of(stage), entry]);
    return () =>
      this.#change(
        stage,
        this.#of(stage).filter((each) => each !== entry),
      );
  }

  #of(stage: HookStage): readonly Entry[] {
    return this.#byStage.get(stage) ?? [];
  }

  /** All members are validated again. */
  #change(stage: HookStage, entries: readonly Entry[]): void {
    this.#size += entries.length - this.#of(stage).length;
    this.#byStage.set(stage, entries);
    this.#validations.clear();
  }

  /**
   * Passes a payload through stages, in their order, up to the first answer.
   *
   * @throws VetoError; InvalidStateError `EFSM` for send hooks nested too deep, mostly one called for its own sends
   */
  pass(stages: readonly MessageStage[], payload: HookPayload, about: HookAbout): Passed {
    if (this.#size === 0) return payload;
    if (this.#depth > 16)
      throw new InvalidStateError("EFSM", `hooks of sending send within each other ${this.#depth} deep`);
    let current = payload;
    for (const { stage, channels, protocols, call } of stages.flatMap((each) => this.#inOrder(each))) {
      if (channels?.has(current.channel) === false || protocols?.has(about.protocol) === false) continue;
      const isNested = isSending(stage);
      try {
        if (isNested) this.#depth += 1;
        const next = changed(stage, current, (call as MessageHook)(current, contextOf(stage, about)));
        if (next instanceof HookAnswer) {
          // It may be of another call.
          assertAnswered(stage, about);
          return next;
        }
        current = next;
      } catch (error) {
        throw vetoOf(stage, error);
      } finally {
        if (isNested) this.#depth -= 1;
      }
    }
    return current;
  }

  #inOrder(stage: MessageStage): readonly Entry[] {
    const entries = this.#of(stage);
    return isSending(stage) ? entries : entries.toReversed();
  }

  // --- Members ---------------------------------------------------------------------------------------------------------

  /** Whether hooks decide, which need the details of a member. */
  get decides(): boolean {
    return DECIDING.some((stage) => !this.isEmpty(stage));
  }

  onMember(what: MemberChange, member: Member): void {
    const { id } = member;
    if (what !== "discovered") this.#validations.delete(id);
    if (what === "found") this.#arrivals.delete(id);
    // A veto of a lost one is only reported.
    const into = what === "lost" ? undefined : this.#arrivals;
    if (what !== "changed" && !this.isEmpty(`member:${what}`)) this.#ask(`member:${what}`, member, into);
  }

  /** A member is gone for good. */
  onForgotten(id: string): void {
    this.#arrivals.delete(id);
    this.#validations.delete(id);
  }

  verdictOf(member: Member): Verdict {
    const arrival = this.#arrivals.get(member.id);
    if (arrival !== undefined || this.isEmpty("member:validate")) return arrival;
    return this.#validations.has(member.id)
      ? this.#validations.get(member.id)
      : this.#ask("member:validate", member, this.#validations);
  }

  /** @param into gets the verdict */
  #ask(stage: MemberStage, member: Member, into: Map<string, Verdict> | undefined): Verdict {
    // The hook may send to the member.
    into?.set(member.id, undefined);
    try {
      for (const { call } of this.#of(stage))
        refusePromise("a hook", (call as (member: Member) => unknown)(member));
      return undefined;
    } catch (error) {
      const veto = vetoOf(stage, error);
      into?.set(member.id, veto);
      this.#onVeto(member, veto);
      return veto;
    }
  }
}

export type HookAbout = Pick<HookContext, "kind" | "members" | "protocol">;

function isSending(stage: HookStage): boolean {
  return (SENDING as readonly HookStage[]).includes(stage);
}

/** @throws InvalidStateError `EFSM` for what has no answer */
function assertAnswered(stage: HookStage, { kind }: HookAbout): void {
  if (kind === "reply" || (kind === "message" && !isSending(stage)))
    throw new InvalidStateError("EFSM", `a ${kind} is not answered: send a message to its member`);
}

function contextOf(stage: HookStage, about: HookAbout): HookContext {
  const { kind, members, protocol } = about;
  return {
    stage,
    kind,
    members,
    get local() {
      return members.every((member) => member.local);
    },
    protocol,
    answer: (data) => {
      assertAnswered(stage, about);
      return new HookAnswer(data);
    },
    veto: (reason) => {
      throw new VetoError(stage, cut(String(reason)));
    },
  };
}

function changed(stage: HookStage, before: HookPayload, result: unknown): Passed {
  if (result === undefined || result === null) return before;
  if (result instanceof HookAnswer) return result;
  refusePromise("a hook", result);
  if (typeof result !== "object" || Array.isArray(result))
    throw invalidArgument("a hook returns a payload, an answer or nothing", result);
  const { data = before.data, channel = before.channel, ruid = before.ruid } = result as Partial<HookPayload>;
  if (channel !== before.channel) {
    if (stage !== "evaluate:send")
      throw new InvalidArgumentError(`a hook of ${stage} cannot change the channel`);
    checkChannel(channel);
  }
  checkRuid(ruid);
  return { data: data === before.data ? data : checkedData("a payload's data", data), channel, ruid };
}

/** Up to `MAX_VETO_REASON` bytes, in whole characters. */
function cut(reason: string): string {
  return new TextDecoder().decode(Buffer.from(reason).subarray(0, MAX_VETO_REASON), { stream: true });
}

function vetoOf(stage: HookStage, error: unknown): VetoError {
  return isInstance(error, VetoError) ? error : new VetoError(stage, undefined, error);
}
