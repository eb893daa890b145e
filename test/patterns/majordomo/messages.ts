/** Messages of our dialect for tests of the rules, and what the rules send as frames. */
import {
  type Answer,
  Body,
  type Delivery,
  Dialect,
  EMPTY,
  encode,
  type Failure,
  type Frame,
  type FromWorker,
  NO_LIMIT,
  type Request,
  RequestId,
  replyTo as replyOf,
  type ToClient,
  type ToWorker,
} from "../../../src/patterns/majordomo/protocol.js";

export type FromBroker = ToClient | ToWorker;

const { Mdp01, Shoal } = Dialect;

/** The id of a request of one client. */
export function idOf(sequence: number, client = 3): RequestId {
  return new RequestId(client, client, sequence);
}

export function requestOf(sequence: number, given: Partial<Request> = {}): Request {
  const fixed = { kind: "request", dialect: Shoal, service: Buffer.from("echo"), headers: EMPTY } as const;
  return { ...fixed, id: idOf(sequence), oldest: sequence, time: NO_LIMIT, body: Body.of(["x"]), ...given };
}

export function deliveryOf(tag: number, given: Partial<Delivery> = {}): Delivery {
  const fixed = { kind: "request", dialect: Shoal, address: [], attempt: 1, headers: EMPTY } as const;
  const body = Body.of([Buffer.from(String(tag))]);
  return { ...fixed, tag, id: idOf(tag), oldest: 0, time: NO_LIMIT, body, epoch: 0, receivedAt: 0, ...given };
}

/** The answer to a delivery, or a piece of one. */
export function replyTo(delivery: Delivery, final: boolean, pieces: number, ...body: Frame[]): Answer {
  return replyOf(delivery, final, pieces, Body.of(body));
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
  const fixed = { kind: "answer", dialect: isPlain ? Mdp01 : Shoal, address: [], final: true } as const;
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
