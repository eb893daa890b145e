/**
 * Commands of a proxy's control socket. Pure.
 *
 *   PAUSE RESUME TERMINATE KILL      reply: one empty frame (libzmq, zmq_proxy_steerable)
 *   STATISTICS                       reply: 8 frames of 8 bytes, unsigned, in the machine's byte order
 *   {"command":"status"} …           reply: {"ok":true,…}
 *   anything else                    reply: {"ok":false,"error":{"code","message"}}
 */
import { type CommandTable, commandText, jsonOf, parseCommand } from "../control/server.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_TIMEOUT } from "../core/waiter.js";
import type { ProxySide } from "./pairs.js";

/** Maximum bytes of a command. */
const MAX_COMMAND = 4_096;

const WORDS = {
  PAUSE: "pause",
  RESUME: "resume",
  TERMINATE: "terminate",
  KILL: "kill",
  STATISTICS: "statistics",
} as const;

const COMMANDS = {
  status: {},
  peers: {
    side: {
      required: true,
      expected: "frontend or backend",
      accepts: (value) => value === "frontend" || value === "backend",
    },
  },
  pause: {},
  resume: {},
  drain: {
    timeout: {
      expected: `a whole number of ms from 0 to ${MAX_TIMEOUT}`,
      accepts: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TIMEOUT,
    },
  },
  terminate: {},
  kill: {},
} as const satisfies CommandTable;

export type ControlAction = (typeof WORDS)[keyof typeof WORDS] | keyof typeof COMMANDS;

export interface ControlCommand {
  readonly action: ControlAction;
  readonly as: "word" | "json";
  /** ms. */
  readonly timeout?: number;
  readonly side?: ProxySide;
}

/** @throws InvalidArgumentError `EINVAL` for anything else */
export function parseControl(frames: readonly Buffer[]): ControlCommand {
  const text = commandText(frames, MAX_COMMAND);
  if (Object.hasOwn(WORDS, text)) return { action: WORDS[text as keyof typeof WORDS], as: "word" };
  const value = jsonOf(text);
  if (value === undefined)
    throw new InvalidArgumentError(
      `expected ${Object.keys(WORDS).join(", ")} or JSON such as {"command":"status"}; got ${frames[0]?.length} bytes`,
    );
  const { name, members } = parseCommand(value, COMMANDS);
  return { action: name, as: "json", ...(members as Pick<ControlCommand, "timeout" | "side">) };
}

export interface SteeringCounts {
  readonly in: { readonly messages: number; readonly bytes: number };
  readonly out: { readonly messages: number; readonly bytes: number };
}

/**
 * Frontend, then backend: received messages and bytes, then sent ones. Counts whole messages, as the manual says and
 * libzmq 4.3.4 does; later versions count frames.
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

export function wordReply(): Buffer[] {
  return [Buffer.alloc(0)];
}
