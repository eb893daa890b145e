/** What a broker sends, as frames behind the peer's routing id (forms: protocol.ts). */
import { ERROR_MARK } from "../kit/errors.js";
import {
  answerHead,
  clientSignal,
  countedHead,
  deliveryHead,
  workerCreditHead,
  workerSignalHead,
} from "./heads.js";
import {
  CLIENT_HEADERS,
  ClientCommand,
  commandFrame,
  Dialect,
  EMPTY,
  WORKER_HEADERS,
  WorkerCommand,
  workerCommandFrame,
} from "./protocol.js";

export type Frames = (Buffer | string)[];

/** Whom an answer goes to, and what it is an answer to. */
export interface Asker {
  readonly client: Buffer;
  readonly dialect: Dialect;
  /** The request's head; empty for a plain client. */
  readonly head: Buffer;
}

/**
 * A piece of the answer, or its end, to a client. 0.1 has the latter only.
 *
 * @param frames the body begins at `at`
 * @param pieces that were sent before
 */
export function answer(
  { client, dialect, head }: Asker,
  final: boolean,
  service: Buffer,
  frames: readonly Buffer[],
  at: number,
  pieces = 0,
): Frames {
  const command = final ? ClientCommand.Final : ClientCommand.Partial;
  let message: Frames;
  if (dialect === Dialect.Shoal) {
    const bare = final && pieces === 0;
    message = [client, bare ? answerHead(command, head) : countedHead(command, head, pieces)];
  } else if (dialect === Dialect.Mdp02) {
    message = [client, CLIENT_HEADERS[Dialect.Mdp02], commandFrame(command), service];
  } else message = [client, EMPTY, CLIENT_HEADERS[Dialect.Mdp01], service];
  for (let i = at; i < frames.length; i++) message.push(frames[i] as Buffer);
  // 0.1 and 0.2 have no answer without a body.
  if (dialect !== Dialect.Shoal && at >= frames.length) message.push(EMPTY);
  return message;
}

/** Tells a client that there will be no answer; a plain one in the form of an answer. */
export function refusal(to: Asker, service: Buffer, reason: string, text: string): Frames {
  if (to.dialect === Dialect.Shoal)
    return [to.client, answerHead(ClientCommand.Error, to.head), reason, text];
  return answer(to, true, service, [ERROR_MARK, Buffer.from(reason), Buffer.from(text)], 0);
}

/** Tells a client whether its request waits because no worker offers the service. */
export function waiting({ client, head }: Asker, unserved: boolean): Frames {
  return [client, answerHead(ClientCommand.Waiting, head), commandFrame(unserved ? 1 : 0)];
}

/** Tells a client which workers were asked. */
export function asked({ client, head }: Asker, workers: readonly string[]): Frames {
  return [client, answerHead(ClientCommand.Asked, head), ...workers];
}

/** What one of the asked workers said. `ok` false: the body is reason and text. */
export function oneAnswer(
  { client, head }: Asker,
  worker: string,
  ok: boolean,
  body: readonly (Buffer | string)[],
): Frames {
  return [client, answerHead(ClientCommand.Answer, head), worker, commandFrame(ok ? 1 : 0), ...body];
}

/** The broker lives, and which life it is. */
export function clientHeartbeat(to: Buffer, incarnation: Buffer): Frames {
  return [to, clientSignal(ClientCommand.Heartbeat), incarnation];
}

/**
 * A request for a worker. Plain ones get the tag as the client's address.
 *
 * @param head the request's; empty for a plain client's
 * @param frames the body begins at `at`
 */
export function delivery(
  to: Buffer,
  dialect: Dialect,
  tag: number,
  head: Buffer,
  frames: readonly Buffer[],
  at: number,
): Frames {
  let message: Frames;
  if (dialect === Dialect.Shoal) message = [to, deliveryHead(WorkerCommand.Request, tag, head)];
  else {
    const tagFrame = Buffer.allocUnsafe(4);
    tagFrame.writeUInt32BE(tag, 0);
    const command = workerCommandFrame(dialect, "Request");
    message =
      dialect === Dialect.Mdp01
        ? [to, EMPTY, WORKER_HEADERS[Dialect.Mdp01], command, tagFrame, EMPTY]
        : [to, WORKER_HEADERS[Dialect.Mdp02], command, tagFrame, EMPTY];
  }
  for (let i = at; i < frames.length; i++) message.push(frames[i] as Buffer);
  return message;
}

/** HEARTBEAT or DISCONNECT for a worker. */
export function workerSignal(to: Buffer, dialect: Dialect, name: "Heartbeat" | "Disconnect"): Frames {
  if (dialect === Dialect.Shoal) return [to, workerSignalHead(WorkerCommand[name])];
  const command = workerCommandFrame(dialect, name);
  return dialect === Dialect.Mdp01
    ? [to, EMPTY, WORKER_HEADERS[dialect], command]
    : [to, WORKER_HEADERS[dialect], command];
}

/** Nobody waits for this delivery's answer any more; plain workers are not told. */
export function cancellation(to: Buffer, tag: number): Frames {
  return [to, deliveryHead(WorkerCommand.Cancel, tag, EMPTY)];
}

/** More of an answer's pieces are wanted; plain workers know no credit. */
export function credit(to: Buffer, tag: number, bytes: number): Frames {
  return [to, workerCreditHead(WorkerCommand.Credit, tag, bytes)];
}
