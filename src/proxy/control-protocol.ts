/**
 * What a control socket understands, and how it answers. Pure.
 *
 *   PAUSE RESUME TERMINATE KILL      reply: one empty frame (libzmq, zmq_proxy_steerable)
 *   STATISTICS                       reply: 8 frames of 8 bytes, unsigned, in the machine's byte order
 *   {"command":"status"} …           reply: {"ok":true,…}
 *   anything else                    reply: {"ok":false,"error":{"code","message"}}
 */
import { type ErrorCode, ShoalError } from "../core/errors.js";

/** Bytes of a command that is looked at. */
const MAX_COMMAND = 4_096;

const WORDS = {
  PAUSE: "pause",
  RESUME: "resume",
  TERMINATE: "terminate",
  KILL: "kill",
  STATISTICS: "statistics",
} as const;

const COMMANDS = ["status", "pause", "resume", "drain", "terminate", "kill"] as const;

/** The longest time a command can name, in ms: what a timer of the platform can hold. */
const MAX_TIMEOUT = 2_147_483_647;

/** What is asked of the proxy. */
export type ControlAction = (typeof WORDS)[keyof typeof WORDS] | (typeof COMMANDS)[number];

/** A message that was understood. */
export interface ControlCommand {
  readonly action: ControlAction;
  /** How it is answered: as libzmq does, or as JSON. */
  readonly as: "word" | "json";
  /** Of a drain, in ms. */
  readonly timeout: number | undefined;
}

/** A message that was not. */
export interface ControlRefusal {
  readonly action: "refuse";
  readonly message: string;
}

/** Reads what came at the control socket; whatever it is, it throws nothing. */
export function parseControl(frames: readonly Buffer[]): ControlCommand | ControlRefusal {
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1) return refuse(`expected one frame; got ${frames.length}`);
  if (frame.length > MAX_COMMAND) return refuse(`expected at most ${MAX_COMMAND} bytes; got ${frame.length}`);
  const text = frame.toString("utf8");
  if (Object.hasOwn(WORDS, text)) {
    return { action: WORDS[text as keyof typeof WORDS], as: "word", timeout: undefined };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse(
      `expected ${Object.keys(WORDS).join(", ")} or JSON such as {"command":"status"}; got ${frame.length} bytes`,
    );
  }
  return parseObject(value);
}

function parseObject(value: unknown): ControlCommand | ControlRefusal {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return refuse('expected an object such as {"command":"status"}');
  const { command, timeout, ...more } = value as Record<string, unknown>;
  const action = COMMANDS.find((known) => known === command);
  if (action === undefined) return refuse(`expected a command of ${COMMANDS.join(", ")}`);
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) return refuse(`${action} has no member ${JSON.stringify(unknown.slice(0, 40))}`);
  if (timeout === undefined) return { action, as: "json", timeout: undefined };
  if (action !== "drain") return refuse(`${action} has no member "timeout"`);
  if (Number.isInteger(timeout) && Number(timeout) >= 0 && Number(timeout) <= MAX_TIMEOUT)
    return { action, as: "json", timeout: Number(timeout) };
  return refuse(`timeout is a whole number of ms from 0 to ${MAX_TIMEOUT}`);
}

function refuse(message: string): ControlRefusal {
  return { action: "refuse", message };
}

/** What libzmq tells of one side of a proxy. */
export interface SteeringCounts {
  readonly in: { readonly messages: number; readonly bytes: number };
  readonly out: { readonly messages: number; readonly bytes: number };
}

/**
 * The reply to STATISTICS: of the frontend, then of the backend, what came in and what went out, each the messages and
 * their bytes. Whole messages, as the manual says and libzmq 4.3.4 does; a later libzmq counts each frame as one.
 */
export function statisticsReply(frontend: SteeringCounts, backend: SteeringCounts): Buffer[] {
  const frames: Buffer[] = [];
  for (const side of [frontend, backend]) {
    for (const value of [side.in.messages, side.in.bytes, side.out.messages, side.out.bytes]) {
      frames.push(Buffer.from(BigUint64Array.of(BigInt(value)).buffer));
    }
  }
  return frames;
}

/** The reply to a word that was carried out. */
export function wordReply(): Buffer[] {
  return [Buffer.alloc(0)];
}

/** The reply to a command that was carried out. */
export function jsonReply(result: object): Buffer[] {
  return [Buffer.from(JSON.stringify({ ok: true, ...result }))];
}

/** The reply to what was not understood, or does not fit the proxy's state. */
export function errorReply(error: unknown): Buffer[] {
  const code: ErrorCode = error instanceof ShoalError ? error.code : "EINVAL";
  const message = error instanceof Error ? error.message : String(error);
  return [Buffer.from(JSON.stringify({ ok: false, error: { code, message } }))];
}
