/**
 * What a proxy's control socket understands, and how it answers. Pure.
 *
 *   PAUSE RESUME TERMINATE KILL      reply: one empty frame (libzmq, zmq_proxy_steerable)
 *   STATISTICS                       reply: 8 frames of 8 bytes, unsigned, in the machine's byte order
 *   {"command":"status"} …           reply: {"ok":true,…}
 *   anything else                    reply: {"ok":false,"error":{"code","message"}}
 */
import { type CommandTable, commandText, jsonOf, parseCommand } from "../control/protocol.js";
import { InvalidArgumentError } from "../core/errors.js";

/** Bytes of a command that is looked at. */
const MAX_COMMAND = 4_096;

const WORDS = {
  PAUSE: "pause",
  RESUME: "resume",
  TERMINATE: "terminate",
  KILL: "kill",
  STATISTICS: "statistics",
} as const;

/** The longest time a command can name, in ms: what a timer of the platform can hold. */
const MAX_TIMEOUT = 2_147_483_647;

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

/** What is asked of the proxy. */
export type ControlAction = (typeof WORDS)[keyof typeof WORDS] | keyof typeof COMMANDS;

/** A message that was understood. */
export interface ControlCommand {
  readonly action: ControlAction;
  /** How it is answered: as libzmq does, or as JSON. */
  readonly as: "word" | "json";
  /** Of a drain, in ms. */
  readonly timeout: number | undefined;
  /** Whose peers. */
  readonly side?: "frontend" | "backend" | undefined;
}

/** Reads what came at the control socket. @throws InvalidArgumentError `EINVAL` for what is not a command, nothing else */
export function parseControl(frames: readonly Buffer[]): ControlCommand {
  const text = commandText(frames, MAX_COMMAND);
  if (Object.hasOwn(WORDS, text))
    return { action: WORDS[text as keyof typeof WORDS], as: "word", timeout: undefined };
  const value = jsonOf(text);
  if (value === undefined)
    throw new InvalidArgumentError(
      `expected ${Object.keys(WORDS).join(", ")} or JSON such as {"command":"status"}; got ${frames[0]?.length} bytes`,
    );
  const { name, members } = parseCommand(value, COMMANDS);
  const { timeout, side } = members as {
    readonly timeout?: number;
    readonly side?: "frontend" | "backend";
  };
  return { action: name, as: "json", timeout, ...(side === undefined ? {} : { side }) };
}

/** What libzmq reports of one side of a proxy. */
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
