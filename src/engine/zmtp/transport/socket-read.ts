/**
 * Reads an existing socket of TLS, or of `node:http` after its upgrade. Events would cost a receiver over ws
 * 17 to 39 % more processor time.
 */
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { readInto, readsInto } from "../../../core/node-internals.js";
import type { Reader } from "./reader.js";

/** Bun's class for encrypted sockets differs. */
export function isEncrypted(socket: object): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

export function readSocket(socket: Duplex, reader: Reader): void {
  if (!readsInto(socket)) {
    reader.follow(socket);
    return;
  }
  // Bytes may have arrived between an upgrade and this call.
  const waiting: Buffer | null = socket.read();
  if (waiting !== null) reader.giveBack(waiting);
  readInto(socket, isEncrypted(socket) ? reader.onrecord() : reader.onread);
  socket.resume();
}
