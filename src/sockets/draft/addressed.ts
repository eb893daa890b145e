/** Methods with addresses: a peer (Server, Peer) or a group (Radio). */
import { checkCallOptions, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, UnroutableError } from "../../core/errors.js";
import type { OutgoingFrame } from "../../engine/engine.js";
import { MAX_DATAGRAM } from "../../engine/frame.js";
import { byteLengthOf } from "../message.js";
import { checkMemory, SEND_OPTIONS, type SendOptions, TRY_OPTIONS } from "../outbox.js";
import { CORE, type HasCore } from "../socket-core.js";
import type { WritableOptions } from "../socket-options.js";
import { groupFrame, routingIdFrame } from "./single-frame.js";

/** Sends messages of type `M` with an address of type `A`. */
export interface AddressedWritable<M, A> extends Required<WritableOptions> {
  /**
   * Sends a message of one frame, whole or not at all.
   *
   * Without `copy` the socket owns the bytes: do not change them afterwards.
   *
   * @param options address, memory and wait; only a Radio with `noDrop` waits for room
   * @returns settled when the engine has the message
   * @throws InvalidArgumentError `EINVAL`; ClosedError `EBADF`, `EAGAIN`; AbortedError `ABORT_ERR`: the message was not
   *   sent
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` if the codec or its schema refuses the message
   * @throws UnroutableError `EHOSTUNREACH` without a connected peer of this routing id (Server, Peer)
   * @throws TimeoutError `EAGAIN` for a full peer (Server, Peer), or after `sendTimeout` or `timeout`
   */
  send(message: M, options: A & SendOptions): Promise<void>;
  /**
   * Sends a message if that is possible at once.
   *
   * @returns `false` if there is no room
   * @throws as {@link send}, except for waiting
   */
  trySend(message: M, options: A & Pick<SendOptions, "copy" | "transfer">): boolean;
}

type FrameOf = (options: Readonly<Record<string, unknown>>) => Buffer;

function checkOptions(call: string, options: unknown, known: readonly string[]): void {
  const given = typeof options === "object" && options !== null && !ArrayBuffer.isView(options);
  if (!given) {
    throw invalidArgument(`${call} takes a message and an object with its ${known[0]}`, options);
  }
  checkCallOptions(call, options, known);
  checkMemory(options);
}

/** @throws InvalidArgumentError for a message larger than a datagram */
function checkDatagram(message: OutgoingFrame[]): void {
  const length = 1 + byteLengthOf(message);
  if (length > MAX_DATAGRAM)
    throw new InvalidArgumentError(
      `A datagram has at most ${MAX_DATAGRAM} bytes, group and its length included; got ${length}`,
    );
}

function methodsOf(
  name: string,
  frameOf: FrameOf,
): Omit<AddressedWritable<unknown, object>, keyof WritableOptions> & ThisType<HasCore> {
  const known = [name, ...SEND_OPTIONS];
  const knownAtOnce = [name, ...TRY_OPTIONS];
  return {
    send(message, options) {
      const core = this[CORE];
      let addressed: OutgoingFrame[];
      try {
        core.assertFree();
        checkOptions("send", options, known);
        addressed = [frameOf(options as Record<string, unknown>), core.encode(message) as OutgoingFrame];
        if (core.endpoints.datagrams) checkDatagram(addressed);
      } catch (error) {
        return Promise.reject(error);
      }
      return core.outbox.send(addressed, options, false);
    },
    trySend(message, options) {
      const core = this[CORE];
      core.assertFree();
      checkOptions("trySend", options, knownAtOnce);
      const addressed = [frameOf(options as Record<string, unknown>), core.encode(message) as OutgoingFrame];
      if (core.endpoints.datagrams) checkDatagram(addressed);
      if (name === "group") return core.outbox.trySend(addressed, options);
      const result = core.outbox.tryDeliver(addressed, options);
      if (result === "gone") throw new UnroutableError("No peer with this routing id is connected");
      return result === "sent";
    },
  };
}

/** @internal */
export const TO_PEER: object = methodsOf("routingId", ({ routingId }) => routingIdFrame(routingId));
/** @internal */
export const TO_GROUP: object = methodsOf("group", ({ group }) => groupFrame(group));
