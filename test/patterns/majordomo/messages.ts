/** Messages of our dialect for tests of the rules, and what the rules send as frames. */
import { Batcher, messagesAt } from "../../../src/patterns/majordomo/batch.js";
import {
  type Answer,
  type AtBroker,
  type AtClient,
  type AtWorker,
  Body,
  Dialect,
  encode,
  type Failure,
  type Frame,
  type FromWorker,
  type Numbered,
  newRequest,
  type Request,
  type Role,
  type ToClient,
  type ToWorker,
} from "../../../src/patterns/majordomo/protocol.js";

export type FromBroker = ToClient | ToWorker;

const { Mdp01, Shoal } = Dialect;
const ECHO = Buffer.from("echo");
const NOWHERE: readonly Buffer[] = [];

/** The id of a request of one client. */
export function idOf(sequence: number, client = 3): Numbered {
  return { clientId: { high: client, low: client }, sequence };
}

/** Of a plain client. */
export const NO_ID: Numbered = { clientId: undefined, sequence: 0 };

export function requestOf(sequence: number, given: Partial<Request> = {}): Request {
  const body = Body.of(["x"]);
  return {
    ...newRequest(),
    number: sequence,
    ...idOf(sequence),
    oldest: sequence,
    service: ECHO,
    body,
    ...given,
  };
}

export function deliveryOf(number: number, given: Partial<Request> = {}): Request {
  return { ...newRequest(), number, ...idOf(number), body: Body.of([Buffer.from(String(number))]), ...given };
}

/** The answer to a delivery, or a piece of one. */
export function replyTo(delivery: Request, final: boolean, pieces: number, ...body: Frame[]): Answer {
  const { dialect, number, address } = delivery;
  return { kind: "answer", dialect, number, address, final, pieces, body: Body.of(body) };
}

export function readyOf(
  name: string,
  concurrency: number,
  capacity = concurrency,
  dialect: Dialect = Shoal,
): FromWorker {
  return { kind: "ready", dialect, service: Buffer.from("echo"), concurrency, capacity, name };
}

/** From a broker of shoal, or without a sequence a plain one. */
export function answerOf(sequence: number | undefined, given: Partial<Answer> = {}): Answer {
  const isPlain = sequence === undefined;
  const fixed = { kind: "answer", dialect: isPlain ? Mdp01 : Shoal, address: NOWHERE, final: true } as const;
  return { ...fixed, number: sequence ?? 0, pieces: isPlain ? -1 : 0, body: Body.of([]), ...given };
}

/** At a client's or a worker's connection. */
export function failureOf(number: number, reason: string, text = ""): Failure {
  return { kind: "failure", dialect: Shoal, number, address: [], reason, text, details: undefined };
}

/** As a ROUTER takes it. */
export function framesOf(to: Buffer, message: FromBroker): Buffer[] {
  const isForClient = ["answer", "failure", "client-heartbeat", "forgotten"].includes(message.kind);
  const frames = encode(isForClient ? "client" : "worker", message, [to]);
  return frames.map((frame) => Buffer.from(frame as Buffer));
}

/** Two or more messages as one. */
export function batchOf<M extends Request | Answer>(role: Role, members: readonly M[]): Buffer[] {
  const sent: Buffer[][] = [];
  const send = (_: undefined, frames: Frame[]): void => {
    sent.push(frames.map((frame) => Buffer.from(frame as Buffer)));
  };
  const batches = new Batcher<undefined, M>(role, send, () => undefined);
  for (const member of members) batches.add(undefined, member);
  batches.flush();
  const [batch, ...others] = sent as [Buffer[]];
  if (others.length > 0 || members.length < 2) throw new Error("These do not make one batch");
  return batch;
}

/** What a receiver reads. */
function readerAt<M extends object>(role: Role | "broker"): (frames: readonly Buffer[]) => M[] {
  return (frames) => {
    const read: M[] = [];
    messagesAt(role as Role, frames, (message) => read.push({ ...message } as object as M));
    return read;
  };
}

/** @param frames of the ROUTER, routing id first */
export const readAtBroker = readerAt<AtBroker>("broker");
export const readAtClient = readerAt<AtClient>("client");
export const readAtWorker = readerAt<AtWorker>("worker");
