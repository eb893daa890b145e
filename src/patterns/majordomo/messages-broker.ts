/** What a broker sends, as frames behind the peer's routing id (forms: protocol.ts). */
import {
  CLIENT_HEADERS,
  ClientCommand,
  commandFrame,
  Dialect,
  EMPTY,
  ERROR_MARK,
  WORKER_HEADERS,
  WorkerCommand,
  workerCommandFrame,
} from "./protocol.js";

export type Frames = (Buffer | string)[];

/** A piece of the answer, or its end, to a client. 0.1 has the latter only. */
export function answer(
  to: Buffer,
  dialect: Dialect,
  final: boolean,
  id: Buffer,
  service: Buffer,
  body: readonly Buffer[],
): Frames {
  const command = final ? ClientCommand.Final : ClientCommand.Partial;
  let frames: Frames;
  if (dialect === Dialect.Shoal) frames = [to, CLIENT_HEADERS[Dialect.Shoal], commandFrame(command), id];
  else if (dialect === Dialect.Mdp02) {
    frames = [to, CLIENT_HEADERS[Dialect.Mdp02], commandFrame(command), service];
  } else frames = [to, EMPTY, CLIENT_HEADERS[Dialect.Mdp01], service];
  for (let i = 0; i < body.length; i++) frames.push(body[i] as Buffer);
  return frames;
}

/** Tells a client that there will be no answer; a plain one in the form of an answer. */
export function refusal(
  to: Buffer,
  dialect: Dialect,
  id: Buffer,
  service: Buffer,
  reason: string,
  text: string,
): Frames {
  if (dialect === Dialect.Shoal) {
    return [to, CLIENT_HEADERS[Dialect.Shoal], commandFrame(ClientCommand.Error), id, reason, text];
  }
  return answer(to, dialect, true, id, service, [ERROR_MARK, Buffer.from(reason), Buffer.from(text)]);
}

/** Tells a client which workers were asked. */
export function asked(to: Buffer, id: Buffer, workers: readonly string[]): Frames {
  return [to, CLIENT_HEADERS[Dialect.Shoal], commandFrame(ClientCommand.Asked), id, ...workers];
}

/** What one of the asked workers said. `ok` false: the body is reason and text. */
export function oneAnswer(
  to: Buffer,
  id: Buffer,
  worker: string,
  ok: boolean,
  body: readonly (Buffer | string)[],
): Frames {
  const command = commandFrame(ClientCommand.Answer);
  return [to, CLIENT_HEADERS[Dialect.Shoal], command, id, worker, commandFrame(ok ? 1 : 0), ...body];
}

/** The broker lives, and which life it is. */
export function clientHeartbeat(to: Buffer, incarnation: Buffer): Frames {
  return [to, CLIENT_HEADERS[Dialect.Shoal], commandFrame(ClientCommand.Heartbeat), incarnation];
}

/** A request for a worker. Plain ones get the tag as the client's address. */
export function delivery(
  to: Buffer,
  dialect: Dialect,
  tag: number,
  id: Buffer,
  body: readonly Buffer[],
): Frames {
  const tagFrame = Buffer.allocUnsafe(4);
  tagFrame.writeUInt32BE(tag, 0);
  let frames: Frames;
  if (dialect === Dialect.Shoal) {
    frames = [to, WORKER_HEADERS[Dialect.Shoal], commandFrame(WorkerCommand.Request), tagFrame, id];
  } else {
    const command = workerCommandFrame(dialect, "Request");
    frames =
      dialect === Dialect.Mdp01
        ? [to, EMPTY, WORKER_HEADERS[Dialect.Mdp01], command, tagFrame, EMPTY]
        : [to, WORKER_HEADERS[Dialect.Mdp02], command, tagFrame, EMPTY];
  }
  for (let i = 0; i < body.length; i++) frames.push(body[i] as Buffer);
  return frames;
}

/** HEARTBEAT or DISCONNECT for a worker. */
export function workerSignal(to: Buffer, dialect: Dialect, name: "Heartbeat" | "Disconnect"): Frames {
  const command = workerCommandFrame(dialect, name);
  return dialect === Dialect.Mdp01
    ? [to, EMPTY, WORKER_HEADERS[dialect], command]
    : [to, WORKER_HEADERS[dialect], command];
}

/** Nobody waits for this delivery's answer any more; plain workers are not told. */
export function cancellation(to: Buffer, tag: number): Frames {
  const tagFrame = Buffer.allocUnsafe(4);
  tagFrame.writeUInt32BE(tag, 0);
  return [to, WORKER_HEADERS[Dialect.Shoal], commandFrame(WorkerCommand.Cancel), tagFrame];
}
