/** What sockets that send can do. */
import { checkCallOptions, describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { WAIT_OPTIONS, type WaitOptions } from "../core/waiter.js";
import type { MessageLike } from "./message.js";
import { isSendObserved, OBSERVABLE, observeSend, observeTrySend } from "./observation.js";
import { CORE, type HasCore } from "./socket-core.js";
import type { WritableOptions } from "./socket-options.js";

/** A socket that sends messages of type `M`: frames, unless said otherwise. */
export interface Writable<M = MessageLike | MessageLike[]> extends Required<WritableOptions> {
  /**
   * Sends a message, whole or not at all; waits while no peer has room. Any
   * number of calls may wait, at most `maxPendingSends`; messages leave in the
   * order of the calls.
   *
   * Bytes are not copied: they belong to the socket and must not change after the call, nor be transferred to a thread
   * (engine `zmtp`: dropped then, and counted as `detached`).
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
   */
  send(message: M, options?: WaitOptions): Promise<void>;
  /**
   * Sends a message if that is possible at once.
   *
   * @returns `false` when no peer has room or earlier sends still wait; nothing has happened then
   * @throws the errors of {@link send}, but for the waits
   */
  trySend(message: M): boolean;
}

/** A second argument that is a frame: somebody took `send` for one that has a parameter for each. */
function refuse(call: string, given: unknown): never {
  throw new InvalidArgumentError(
    `${call} takes one message: the frames of one are an array, [frame, frame]; got ${describe(given)}, too`,
  );
}

function checkSend(options: unknown, extra: unknown): void {
  if (extra !== undefined) refuse("send", extra);
  if (typeof options !== "object" || options === null || ArrayBuffer.isView(options)) refuse("send", options);
  checkCallOptions("send", options, WAIT_OPTIONS);
}

const methods: Omit<Writable<unknown>, keyof WritableOptions> & ThisType<HasCore> = {
  // Not rest parameters: they would make an array for each message.
  send(message, options, extra?: unknown) {
    const core = this[CORE];
    let encoded: ReturnType<typeof core.encode>;
    try {
      core.assertFree();
      if (options !== undefined || extra !== undefined) checkSend(options, extra);
      encoded = core.encode(message);
    } catch (error) {
      return Promise.reject(error);
    }
    if (OBSERVABLE && isSendObserved())
      return observeSend(this, core.typeName, encoded, (sent) => core.outbox.send(sent, options, false));
    return core.outbox.send(encoded, options, false);
  },
  trySend(message, extra?: unknown) {
    const core = this[CORE];
    core.assertFree();
    if (extra !== undefined) refuse("trySend", extra);
    if (OBSERVABLE && isSendObserved()) {
      const encoded = core.encode(message);
      return observeTrySend(this, core.typeName, encoded, (sent) => core.outbox.trySend(sent));
    }
    return core.outbox.trySend(core.encode(message));
  },
};

/** Gives a socket class the methods of {@link Writable}. @internal */
export function defineWritable(socketClass: { readonly prototype: HasCore }): void {
  for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(methods))) {
    Object.defineProperty(socketClass.prototype, key, { ...descriptor, enumerable: false });
  }
}
