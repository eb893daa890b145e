/**
 * shoal node pub, sub and request: lines to messages, and messages or replies to lines.
 *
 *   text    pub TOPIC: each line is the data of a message; sub: TOPIC DATA; request: each line is a text
 *   JSON    pub, sub: {"topic":"a/b","data":"text"} or {"topic":"a/b","data":{"base64":"…"}}; request: the reply to each line
 */
import { isUtf8 } from "node:buffer";
import { checkTopic } from "../cluster/messaging/topics.js";
import { asUsage, Failure, FormatError, hasCode, UsageError } from "./failure.js";
import { bytesFromJson, bytesToJson, type Format, formatFor, parseJson } from "./format.js";
import { Input } from "./input.js";
import type { Log } from "./log.js";
import type { MessageData, MessageLine, MessagesReply } from "./node-messages.js";
import { eventsText, list } from "./node-text.js";
import type { Output } from "./output.js";
import type { Stop } from "./terminal.js";

type Members = Readonly<Record<string, unknown>>;

export interface Exchange {
  readonly members: Members;
  readonly json: boolean;
  readonly stop: Stop;
  readonly log: Log;
  /** Aborted when the connection ends, with the failure as reason. */
  readonly connection: AbortSignal;
  readonly output: Output;
  /** @param longer ms in addition to --timeout @param signal default: the first signal to the process */
  ask(members: Members, longer?: number, signal?: AbortSignal): Promise<Members>;
}

/** ms that the node holds a request. */
const WAIT = 10_000;
/** ms for the node to end a subscription. */
const END_TIME = 1_000;

const TOPIC_LINES: Format = {
  whole: false,
  parse(bytes) {
    const value = parseJson(bytes);
    const { topic, data, ...others } = (value ?? {}) as { topic?: unknown; data?: unknown };
    const content = bytesFromJson(data);
    if (typeof topic !== "string" || content === undefined || Object.keys(others).length > 0)
      throw new FormatError('expected {"topic":"…","data":"…"}, or {"base64":"…"} for the data');
    checkLineTopic(topic);
    return [Buffer.from(topic), content];
  },
  print(frames, pieces) {
    const [topic, data] = frames as [Buffer, Buffer];
    pieces.push(Buffer.from(`${JSON.stringify({ topic: String(topic), data: bytesToJson(data) })}\n`));
  },
};

function checkLineTopic(topic: string): void {
  try {
    checkTopic(topic);
  } catch (error) {
    throw new FormatError((error as Error).message);
  }
}

/** One message, or the lines of standard input. */
export async function publishLines(exchange: Exchange): Promise<void> {
  const { members, json, stop, log, connection, ask } = exchange;
  const topic = members.topic as string | undefined;
  const text = members.text as string | undefined;
  if (json && topic !== undefined)
    throw new UsageError("with --json each line has its topic: expected none before");
  if (!json && topic === undefined) throw new UsageError("expected a topic, or --json");
  if (topic !== undefined) await asUsage(() => checkTopic(topic));
  let published = 0;
  let copies = 0;
  const publish = async (to: string, data: MessageData): Promise<void> => {
    const messages = [{ topic: to, data }];
    const { nodes } = await ask(members.retain === true ? { messages, retain: true } : { messages });
    if (!Array.isArray(nodes)) throw new Failure("its reply is not a node's");
    published += 1;
    copies += nodes[0] as number;
  };
  try {
    if (text !== undefined) await publish(topic as string, text);
    else {
      // An idle input would hide the end of the node.
      const until = AbortSignal.any([stop.requested, connection]);
      const input = new Input(json ? TOPIC_LINES : formatFor({}), json, until);
      for await (const frames of input.messages()) {
        const [first, second] = frames as [Buffer, Buffer];
        await publish(topic ?? String(first), bytesToJson(topic === undefined ? second : first));
      }
    }
    connection.throwIfAborted();
  } finally {
    const what = `${published} message${published === 1 ? "" : "s"}, ${copies} ${copies === 1 ? "copy" : "copies"}`;
    log.info(`published ${what}`);
  }
}

const TEXT_LINES: Format = {
  ...formatFor({}),
  parse(bytes) {
    if (!isUtf8(bytes)) throw new FormatError("expected UTF-8");
    return [bytes];
  },
};

/** Prints the replies in order. */
export async function askLines(
  { members, json, stop, ask, connection, output }: Exchange,
  text: ((reply: Members) => readonly string[]) | undefined,
): Promise<void> {
  const input = new Input(TEXT_LINES, false, AbortSignal.any([stop.requested, connection]));
  if (input.isAbsent) throw new UsageError("expected a text, or lines of standard input");
  for await (const [line] of input.messages()) {
    let reply: Members;
    try {
      reply = await ask({ ...members, text: String(line) });
    } catch (error) {
      if (output.gone && hasCode(error, "ABORT_ERR")) break;
      throw error instanceof Failure ? new Failure(`line ${input.taken}: ${error.message}`) : error;
    }
    const lines = json ? [JSON.stringify(reply)] : (text?.(reply) ?? []);
    await output.write(lines.map((each) => `${each}\n`).join(""));
  }
  connection.throwIfAborted();
}

function framesOf(line: MessageLine | null): [Buffer, Buffer] {
  const topic: unknown = line?.topic;
  const data = bytesFromJson(line?.data);
  if (typeof topic !== "string" || data === undefined) throw new Failure("its reply is not a node's");
  return [Buffer.from(topic), data];
}

/** Until a signal or --count. */
export async function printMessages({ ask, members, json, stop, log, output }: Exchange): Promise<void> {
  const {
    filters = [],
    count,
    retained,
  } = members as {
    readonly filters?: readonly string[];
    readonly count?: number;
    readonly retained?: boolean;
  };
  if (filters.length === 0) throw new UsageError("expected a filter");
  const format = json ? TOPIC_LINES : formatFor({});
  const { session, ready } = await ask({ filters, ...(retained === true ? { retained } : {}) });
  if (ready === true) log.info("subscribed, until a signal");
  else log.warn("subscribed; not every other node has answered yet");
  let left = count ?? Number.POSITIVE_INFINITY;
  let after = 0;
  try {
    while (left > 0 && !stop.requested.aborted) {
      const reply = (await ask({ session, after, wait: WAIT }, WAIT)) as unknown as MessagesReply;
      if (!Array.isArray(reply.messages)) throw new Failure("its reply is not a node's");
      if (reply.missed > 0) log.warn(`missed ${reply.missed} messages: too many came at once`);
      const pieces: Buffer[] = [];
      for (const line of reply.messages.slice(0, left)) format.print(framesOf(line), pieces);
      if (pieces.length > 0) await output.write(Buffer.concat(pieces));
      left -= reply.messages.length;
      after = reply.next;
      if (reply.ended === true) throw new Failure("the node has ended");
    }
  } catch (error) {
    if (!stop.requested.aborted || !hasCode(error, "ABORT_ERR")) throw error;
  } finally {
    // The signal aborts other requests. An unreachable node ends the session after 30 s.
    await ask({ session, end: true }, 0, AbortSignal.timeout(END_TIME)).catch(() => undefined); // The loop has the failure.
  }
}

/** Until a signal. Polls after each write, so a slow reader costs no memory. */
export async function printEvents({ ask, json, log, output, stop }: Exchange): Promise<void> {
  let after: unknown;
  while (!stop.requested.aborted) {
    let reply: Members;
    try {
      reply = await ask(after === undefined ? {} : { after, wait: WAIT }, WAIT);
    } catch (error) {
      if (hasCode(error, "ABORT_ERR")) return;
      throw error;
    }
    const { events = [], missed, next, ended } = reply;
    if (typeof missed === "number" && missed > 0) log.warn(`missed ${missed} events: too many came at once`);
    const lines = json ? list(events).map((event) => JSON.stringify(event)) : eventsText(events);
    if (lines.length > 0) await output.write(lines.map((line) => `${line}\n`).join(""));
    if (ended === true) throw new Failure("the node has ended");
    if (typeof next !== "number") throw new Failure("its reply has no events: it is not a node");
    if (after === undefined) log.info("watching, until a signal");
    after = next;
  }
}
