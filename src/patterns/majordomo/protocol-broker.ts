/** What a broker's ROUTER receives, as typed commands (forms: protocol.ts). */
import {
  ClientCommand,
  Dialect,
  EMPTY,
  headerOf,
  ID_LENGTH,
  MAX_CAPACITY,
  MAX_SERVICE_NAME,
  TAG_LENGTH,
  WorkerCommand,
  workerCommandOf,
} from "./protocol.js";

/** A client asks a service. */
export interface RequestCommand {
  readonly kind: "request" | "ask-all";
  readonly dialect: Dialect;
  readonly service: Buffer;
  /** Empty for a plain client. */
  readonly id: Buffer;
  readonly body: Buffer[];
}

/** A worker's answer, or a piece of it, to the delivery with this tag. */
export interface ReplyCommand {
  readonly kind: "partial" | "final";
  readonly dialect: Dialect;
  readonly tag: number;
  readonly body: Buffer[];
}

export type BrokerCommand =
  | RequestCommand
  | ReplyCommand
  | { readonly kind: "cancel"; readonly id: Buffer }
  | { readonly kind: "client-heartbeat" }
  | {
      readonly kind: "ready";
      readonly dialect: Dialect;
      readonly service: Buffer;
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
  if (role === "worker") return parseWorker(frames, start + 1, dialect);
  return dialect === Dialect.Shoal
    ? parseExtendedClient(frames, start + 1)
    : parsePlainClient(frames, start + 1, dialect);
}

function parsePlainClient(frames: Buffer[], next: number, dialect: Dialect): BrokerCommand {
  let at = next;
  if (dialect === Dialect.Mdp02) {
    if (byteOf(frames[at]) !== ClientCommand.Request) return fault("command", undefined);
    at += 1;
  }
  return request("request", dialect, EMPTY, frames, at);
}

function parseExtendedClient(frames: Buffer[], at: number): BrokerCommand {
  const command = byteOf(frames[at]);
  if (command === ClientCommand.Heartbeat) return { kind: "client-heartbeat" };
  const id = frames[at + 1];
  if (id?.length !== ID_LENGTH) return fault("id", undefined);
  switch (command) {
    case ClientCommand.Request:
      return request("request", Dialect.Shoal, id, frames, at + 2);
    case ClientCommand.AskAll:
      return request("ask-all", Dialect.Shoal, id, frames, at + 2);
    case ClientCommand.Cancel:
      return { kind: "cancel", id };
    default:
      return fault("command", undefined);
  }
}

function request(
  kind: "request" | "ask-all",
  dialect: Dialect,
  id: Buffer,
  frames: Buffer[],
  at: number,
): BrokerCommand {
  const service = frames[at];
  if (!isServiceName(service)) return fault("service", undefined);
  if (frames.length === at + 1) return fault("body", undefined);
  return { kind, dialect, service, id, body: frames.slice(at + 1) };
}

function parseWorker(frames: Buffer[], at: number, dialect: Dialect): BrokerCommand {
  switch (workerCommandOf(dialect, frames[at])) {
    case WorkerCommand.Partial:
      return reply("partial", dialect, frames, at + 1);
    case WorkerCommand.Final:
      return reply("final", dialect, frames, at + 1);
    case WorkerCommand.Heartbeat:
      return HEARTBEATS[dialect];
    case WorkerCommand.Ready:
      return ready(dialect, frames, at + 1);
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    case WorkerCommand.Drain:
      return { kind: "drain" };
    case WorkerCommand.Failure: {
      const tag = tagOf(frames[at + 1]);
      if (tag === undefined) return fault("tag", dialect);
      if (frames.length !== at + 4) return fault("frames", dialect);
      return { kind: "failure", tag, reason: String(frames[at + 2]), text: String(frames[at + 3]) };
    }
    default: // REQUEST and CANCEL, too: a broker sends these.
      return fault("command", dialect);
  }
}

function ready(dialect: Dialect, frames: Buffer[], at: number): BrokerCommand {
  const service = frames[at];
  if (!isServiceName(service)) return fault("service", dialect);
  if (dialect !== Dialect.Shoal) return { kind: "ready", dialect, service, capacity: 1, name: "" };
  const declared = frames[at + 1];
  if (declared?.length !== 4) return fault("capacity", dialect);
  const capacity = declared.readUInt32BE(0);
  if (capacity < 1 || capacity > MAX_CAPACITY) return fault("capacity", dialect);
  return { kind: "ready", dialect, service, capacity, name: String(frames[at + 2] ?? "") };
}

function reply(kind: "partial" | "final", dialect: Dialect, frames: Buffer[], at: number): BrokerCommand {
  const tag = tagOf(frames[at]);
  if (tag === undefined) return fault("tag", dialect);
  let body = at + 1;
  if (dialect !== Dialect.Shoal) {
    if (frames[body]?.length !== 0) return fault("frames", dialect);
    body += 1;
    if (frames.length === body) return fault("body", dialect);
  }
  return { kind, dialect, tag, body: frames.slice(body) };
}

function isServiceName(frame: Buffer | undefined): frame is Buffer {
  return frame !== undefined && frame.length > 0 && frame.length <= MAX_SERVICE_NAME;
}

function byteOf(frame: Buffer | undefined): number {
  return frame?.length === 1 ? (frame[0] as number) : 0;
}

function tagOf(frame: Buffer | undefined): number | undefined {
  return frame?.length === TAG_LENGTH ? frame.readUInt32BE(0) : undefined;
}

function fault(reason: FaultReason, worker: Dialect | undefined): BrokerCommand {
  return { kind: "fault", reason, worker };
}
