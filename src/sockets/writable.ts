/** What sockets that send can do. */
import { checkCallOptions, describe } from "../core/arguments.js";
import { InvalidArgumentError, type ShoalError } from "../core/errors.js";
import { checkMemory, SEND_OPTIONS, TRY_OPTIONS } from "./copy-option.js";
import { TRANSFERS } from "./leases.js";
import type { MessageLike } from "./message.js";
import { isSendObserved, OBSERVABLE, observeSend, observeTrySend } from "./observation.js";
import type { SendOptions } from "./outbox.js";
import { CORE, type HasCore, type SocketCore } from "./socket-core.js";
import type { WritableOptions } from "./socket-options.js";

/** A socket that sends messages of type `M`: frames, unless said otherwise. */
export interface Writable<M = MessageLike | MessageLike[]> extends Required<WritableOptions> {
  /**
   * Sends a message, whole or not at all; waits while no peer has room. Any
   * number of calls may wait, at most `maxPendingSends`; messages leave in the
   * order of the calls.
   *
   * Bytes are not copied, unless `copy` asks for it: they belong to the socket and must not change after the call, nor be
   * transferred to a thread (engine `zmtp`: dropped then, and counted as `detached`). With `transfer` they are the receiver's.
   *
   * @returns settled when the engine has the message
   * @throws InvalidArgumentError `EINVAL` for an invalid message, an unknown option, or a third argument
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` for what the codec or its schema refuses
   * @throws TimeoutError `EAGAIN` after `sendTimeout` or `timeout`
   * @throws InvalidStateError `EFSM` at once if the socket has to receive first (Request, Reply), and no receive waits
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` past `maxPendingSends` or `maxPendingSendBytes`
   * @throws AbortedError `ABORT_ERR`: the message was not sent
   * @throws ClosedError `EBADF` when the socket is closed, `EAGAIN` when it closes while the call waits
   * @throws UnroutableError `EHOSTUNREACH` (Router with `mandatory`, Stream)
   * @throws TransportError `ENOMEM` when the process has no memory for a copy of the message: it was not sent
   */
  send(message: M, options?: SendOptions): Promise<void>;
  /**
   * Sends a message if that is possible at once.
   *
   * @returns `false` when no peer has room or earlier sends still wait; nothing has happened then
   * @throws the errors of {@link send}, but for the waits
   */
  trySend(message: M, options?: Pick<SendOptions, "copy" | "transfer">): boolean;
  /**
   * Sends an array of messages, as by {@link send} for each, with one promise for all: they leave in their order, and where they wait
   * for room, those of other calls may leave between them. An empty array sends nothing. Not in a page.
   *
   * @param options as of `send`; `timeout`, or `sendTimeout`, is for all of them together; with `copy` those that wait are all
   *   copied within the call, whatever `maxPendingSendBytes` is
   * @returns settled when the engine has them all
   * @throws InvalidArgumentError `EINVAL` for what is no array, an invalid message or an unknown option: nothing was sent
   * @throws the errors of {@link send}, with `sent`: how many messages went before ({@link SendManyError}); the others are the program's
   */
  sendMany(messages: readonly M[], options?: SendOptions): Promise<void>;
}

/** What `sendMany` rejects with: the error of `send` for the message that was not sent. */
export interface SendManyError extends ShoalError {
  /** Messages of the array that were sent; the first one that was not is at this place. */
  readonly sent: number;
}

/** A second argument that is a frame: somebody took `send` for one that has a parameter for each. */
function refuse(call: string, given: unknown): never {
  throw new InvalidArgumentError(
    `${call} takes one message: the frames of one are an array, [frame, frame]; got ${describe(given)}, too`,
  );
}

/** The last options that were checked and cannot change, with nothing but booleans: what is said once for many messages. */
let checked: object | undefined;
/** The same, if they say `transfer`. */
let transferring: object | undefined;

/** @throws InvalidArgumentError `EINVAL` for what a sending call does not take */
export function checkSendOptions(call: string, options: unknown, extra: unknown): void {
  if (options !== undefined && options === checked && extra === undefined) return;
  check(call, options, SEND_OPTIONS, extra);
}

function check(call: string, options: unknown, known: readonly string[], extra: unknown): void {
  if (extra !== undefined) refuse(call, extra);
  if (typeof options !== "object" || options === null || ArrayBuffer.isView(options)) refuse(call, options);
  checkCallOptions(call, options, known);
  checkMemory(options);
  if (!TRANSFERS || known !== TRY_OPTIONS || !Object.isFrozen(options)) return;
  checked = options;
  transferring = (options as SendOptions).transfer === true ? options : undefined;
}

/** Whether it was sent by the short way. */
function passes(core: SocketCore, message: unknown, options: object, extra: unknown): boolean {
  if (options !== transferring || extra !== undefined || isSendObserved()) return false;
  return core.lane?.trySend(message) === true;
}

/** The methods of {@link Writable} but `sendMany`. @internal */
export const SENDING: Omit<Writable<unknown>, keyof WritableOptions | "sendMany"> & ThisType<HasCore> = {
  // Not rest parameters: they would make an array for each message.
  send(message, options, extra?: unknown) {
    const core = this[CORE];
    let encoded: ReturnType<typeof core.encode>;
    try {
      core.assertFree();
      if ((options !== undefined && (!TRANSFERS || options !== checked)) || extra !== undefined)
        check("send", options, SEND_OPTIONS, extra);
      encoded = core.encode(message);
    } catch (error) {
      return Promise.reject(error);
    }
    if (OBSERVABLE && isSendObserved())
      return observeSend(this, core.typeName, encoded, (sent) => core.outbox.send(sent, options, false));
    return core.outbox.send(encoded, options, false);
  },
  trySend(message, options, extra?: unknown) {
    const core = this[CORE];
    core.assertFree();
    if (TRANSFERS && options !== undefined && passes(core, message, options, extra)) return true;
    if ((options !== undefined && (!TRANSFERS || options !== checked)) || extra !== undefined)
      check("trySend", options, TRY_OPTIONS, extra);
    if (OBSERVABLE && isSendObserved()) {
      const encoded = core.encode(message);
      return observeTrySend(this, core.typeName, encoded, (sent) => core.outbox.trySend(sent, options));
    }
    return core.outbox.trySend(core.encode(message), options);
  },
};
