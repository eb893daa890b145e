/** What a broker's ROUTER receives, as typed commands (forms: protocol.ts). */
import {
  commandOf,
  countIn,
  isNumbered,
  isTagged,
  SERVICE_AT,
  serviceIn,
  tagCountIn,
  tagIn,
} from "./heads.js";
import {
  ClientCommand,
  Dialect,
  EMPTY,
  headerOf,
  MAX_CAPACITY,
  MAX_SERVICE_NAME,
  TAG_LENGTH,
  WorkerCommand,
  workerCommandOf,
} from "./protocol.js";

/** A client asks a service. */
export class RequestCommand {
  readonly kind: "request" | "ask-all";
  readonly dialect: Dialect;
  /** With an id, in the third dialect; empty for a plain client. */
  readonly head: Buffer;
  /** The whole message; the body begins at `bodyAt`. */
  readonly frames: Buffer[];
  readonly bodyAt: number;

  constructor(kind: "request" | "ask-all", dialect: Dialect, head: Buffer, frames: Buffer[], bodyAt: number) {
    this.kind = kind;
    this.dialect = dialect;
    this.head = head;
    this.frames = frames;
    this.bodyAt = bodyAt;
  }

  get service(): Buffer {
    return this.head.length > 0 ? serviceIn(this.head) : (this.frames[this.bodyAt - 1] as Buffer);
  }

  get body(): Buffer[] {
    return this.frames.slice(this.bodyAt);
  }
}

/** A worker's answer, or a piece of it, to the delivery with this tag. */
export class ReplyCommand {
  readonly kind: "partial" | "final";
  readonly dialect: Dialect;
  readonly tag: number;
  /** The whole message; the body begins at `bodyAt`. */
  readonly frames: Buffer[];
  readonly bodyAt: number;
  /** Pieces that the worker has sent before this; -1 from a plain one, which does not say. */
  readonly pieces: number;

  constructor(
    kind: "partial" | "final",
    dialect: Dialect,
    tag: number,
    frames: Buffer[],
    bodyAt: number,
    pieces: number,
  ) {
    this.pieces = pieces;
    this.kind = kind;
    this.dialect = dialect;
    this.tag = tag;
    this.frames = frames;
    this.bodyAt = bodyAt;
  }

  get body(): Buffer[] {
    return this.frames.slice(this.bodyAt);
  }
}

export type BrokerCommand =
  | RequestCommand
  | ReplyCommand
  | { readonly kind: "cancel"; readonly head: Buffer }
  | { readonly kind: "credit"; readonly head: Buffer; readonly bytes: number }
  | { readonly kind: "client-heartbeat" }
  | {
      readonly kind: "ready";
      readonly dialect: Dialect;
      readonly service: Buffer;
      readonly concurrency: number;
      readonly capacity: number;
      readonly name: string;
    }
  | { readonly kind: "failure"; readonly tag: number; readonly reason: string; readonly text: string }
  | { readonly kind: "heartbeat"; readonly dialect: Dialect }
  | { readonly kind: "disconnect"; readonly dialect: Dialect }
  | { readonly kind: "drain" }
  /** What no version allows. `worker`: the dialect of the worker who sent it, to be told DISCONNECT. */
  | { readonly kind: "fault"; readonly reason: FaultReason; readonly worker: Dialect | undefined };

/** What is wrong with a message. */
export type FaultReason = "frames" | "header" | "command" | "service" | "body" | "id" | "tag" | "capacity";

const HEARTBEATS = {
  [Dialect.Mdp01]: { kind: "heartbeat", dialect: Dialect.Mdp01 },
  [Dialect.Mdp02]: { kind: "heartbeat", dialect: Dialect.Mdp02 },
  [Dialect.Shoal]: { kind: "heartbeat", dialect: Dialect.Shoal },
} as const;

/** @param frames as the ROUTER gives them: the first is the routing id */
export function parseAtBroker(frames: Buffer[]): BrokerCommand {
  // 7/MDP: each message of 0.1 begins with an empty frame; the others begin with their header.
  const start = frames[1]?.length === 0 ? 2 : 1;
  const header = headerOf(frames[start]);
  if (header === undefined) return fault(frames.length < 3 ? "frames" : "header", undefined);
  const { role, dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 2)) {
    return fault("frames", role === "worker" ? dialect : undefined);
  }
  const head = frames[start] as Buffer;
  if (role === "worker") {
    return dialect === Dialect.Shoal
      ? parseExtendedWorker(frames, head)
      : parsePlainWorker(frames, start + 1, dialect);
  }
  return dialect === Dialect.Shoal
    ? parseExtendedClient(frames, head)
    : parsePlainClient(frames, start + 1, dialect);
}

function parsePlainClient(frames: Buffer[], next: number, dialect: Dialect): BrokerCommand {
  let at = next;
  if (dialect === Dialect.Mdp02) {
    if (byteOf(frames[at]) !== ClientCommand.Request) return fault("command", undefined);
    at += 1;
  }
  if (!isServiceName(frames[at])) return fault("service", undefined);
  if (frames.length === at + 1) return fault("body", undefined);
  return new RequestCommand("request", dialect, EMPTY, frames, at + 1);
}

function parseExtendedClient(frames: Buffer[], head: Buffer): BrokerCommand {
  const command = commandOf(head);
  switch (command) {
    case ClientCommand.Request:
    case ClientCommand.AskAll: {
      if (!isNumbered(head, false)) return fault("id", undefined);
      if (!isNumbered(head, true) || head.length > SERVICE_AT + MAX_SERVICE_NAME) {
        return fault("service", undefined);
      }
      if (frames.length < 3) return fault("body", undefined);
      const kind = command === ClientCommand.Request ? "request" : "ask-all";
      return new RequestCommand(kind, Dialect.Shoal, head, frames, 2);
    }
    case ClientCommand.Cancel:
      return isNumbered(head, false) ? { kind: "cancel", head } : fault("id", undefined);
    case ClientCommand.Credit:
      return isNumbered(head, false)
        ? { kind: "credit", head, bytes: countIn(head) }
        : fault("id", undefined);
    case ClientCommand.Heartbeat:
      return { kind: "client-heartbeat" };
    default:
      return fault("command", undefined);
  }
}

function parseExtendedWorker(frames: Buffer[], head: Buffer): BrokerCommand {
  const dialect = Dialect.Shoal;
  const command = commandOf(head);
  switch (command) {
    case WorkerCommand.Final:
    case WorkerCommand.Partial: {
      if (!isTagged(head)) return fault("tag", dialect);
      const kind = command === WorkerCommand.Final ? "final" : "partial";
      return new ReplyCommand(kind, dialect, tagIn(head), frames, 2, tagCountIn(head));
    }
    case WorkerCommand.Heartbeat:
      return HEARTBEATS[dialect];
    case WorkerCommand.Ready:
      return ready(dialect, frames, 2);
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    case WorkerCommand.Drain:
      return { kind: "drain" };
    case WorkerCommand.Failure:
      if (!isTagged(head)) return fault("tag", dialect);
      if (frames.length !== 4) return fault("frames", dialect);
      return { kind: "failure", tag: tagIn(head), reason: String(frames[2]), text: String(frames[3]) };
    default: // REQUEST and CANCEL, too: a broker sends these.
      return fault("command", dialect);
  }
}

function parsePlainWorker(frames: Buffer[], at: number, dialect: Dialect): BrokerCommand {
  switch (workerCommandOf(dialect, frames[at])) {
    case WorkerCommand.Partial:
      return plainReply("partial", dialect, frames, at + 1);
    case WorkerCommand.Final:
      return plainReply("final", dialect, frames, at + 1);
    case WorkerCommand.Heartbeat:
      return HEARTBEATS[dialect];
    case WorkerCommand.Ready:
      return ready(dialect, frames, at + 1);
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    default: // REQUEST, too: a broker sends it.
      return fault("command", dialect);
  }
}

function ready(dialect: Dialect, frames: Buffer[], at: number): BrokerCommand {
  const service = frames[at];
  if (!isServiceName(service)) return fault("service", dialect);
  if (dialect !== Dialect.Shoal) {
    return { kind: "ready", dialect, service, concurrency: 1, capacity: 1, name: "" };
  }
  const declared = frames[at + 1];
  if (declared?.length !== 8) return fault("capacity", dialect);
  const concurrency = declared.readUInt32BE(0);
  const capacity = declared.readUInt32BE(4);
  if (concurrency < 1 || capacity < concurrency || capacity > MAX_CAPACITY) return fault("capacity", dialect);
  return { kind: "ready", dialect, service, concurrency, capacity, name: String(frames[at + 2] ?? "") };
}

function plainReply(
  kind: "partial" | "final",
  dialect: Dialect,
  frames: Buffer[],
  at: number,
): BrokerCommand {
  const tag = frames[at];
  if (tag?.length !== TAG_LENGTH) return fault("tag", dialect);
  if (frames[at + 1]?.length !== 0) return fault("frames", dialect);
  if (frames.length === at + 2) return fault("body", dialect);
  return new ReplyCommand(kind, dialect, tag.readUInt32BE(0), frames, at + 2, -1);
}

function isServiceName(frame: Buffer | undefined): frame is Buffer {
  return frame !== undefined && frame.length > 0 && frame.length <= MAX_SERVICE_NAME;
}

function byteOf(frame: Buffer | undefined): number {
  return frame?.length === 1 ? (frame[0] as number) : 0;
}

function fault(reason: FaultReason, worker: Dialect | undefined): BrokerCommand {
  return { kind: "fault", reason, worker };
}
