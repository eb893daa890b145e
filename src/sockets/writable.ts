import { checkCallOptions, describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { MessageLike } from "./message.js";
import { checkMemory, SEND_OPTIONS, type SendOptions, TRY_OPTIONS } from "./outbox.js";
import { CORE, type HasCore } from "./socket-core.js";
import type { WritableOptions } from "./socket-options.js";

/** Sends messages of type `M`, by default frames. */
export interface Writable<M = MessageLike | MessageLike[]> extends Required<WritableOptions> {
  /**
   * Sends a message, whole or not at all; waits while no peer has room. At most `maxPendingSends` calls wait; messages
   * leave in order.
   *
   * Without `copy` the socket owns the bytes: do not change them afterwards or transfer them to a thread (engine `zmtp`
   * drops such a message as `detached`). With `transfer` the receiver owns them.
   *
   * @returns settled when the engine has the message
   * @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`: the message was not sent
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` if the codec or its schema refuses the message
   * @throws TimeoutError `EAGAIN` after `sendTimeout` or `timeout`
   * @throws InvalidStateError `EFSM` if the socket must receive first (Request, Reply) and no receive waits
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`
   * @throws ClosedError `EBADF` when the socket is closed, `EAGAIN` when it closes meanwhile
   * @throws UnroutableError `EHOSTUNREACH` (Router with `mandatory`, Stream)
   * @throws TransportError `ENOMEM` without memory for a copy: the message was not sent
   */
  send(message: M, options?: SendOptions): Promise<void>;
  /**
   * Sends a message if that is possible at once.
   *
   * @returns `false`, without effect, if no peer has room or earlier sends wait
   * @throws as {@link send}, except for waiting
   */
  trySend(message: M, options?: Pick<SendOptions, "copy" | "transfer">): boolean;
}

/** Last frozen options with only booleans, checked once for many messages. */
let checked: object | undefined;

/** @throws InvalidArgumentError `EINVAL` */
function check(call: string, options: unknown, known: readonly string[]): void {
  // A likely mistake: a frame as second argument.
  if (typeof options !== "object" || options === null || ArrayBuffer.isView(options))
    throw new InvalidArgumentError(
      `${call} takes one message: the frames of one must be an array, [frame, frame]; got ${describe(options)}, too`,
    );
  checkCallOptions(call, options, known);
  checkMemory(options);
  if (known !== TRY_OPTIONS || !Object.isFrozen(options)) return;
  checked = options;
}

/** @internal */
export const SENDING: Omit<Writable<unknown>, keyof WritableOptions> & ThisType<HasCore> = {
  send(message, options) {
    const core = this[CORE];
    let encoded: ReturnType<typeof core.encode>;
    try {
      core.assertFree();
      if (options !== undefined && options !== checked) check("send", options, SEND_OPTIONS);
      encoded = core.encode(message);
    } catch (error) {
      return Promise.reject(error);
    }
    return core.outbox.send(encoded, options, false);
  },
  trySend(message, options) {
    const core = this[CORE];
    core.assertFree();
    if (options !== undefined && options !== checked) check("trySend", options, TRY_OPTIONS);
    return core.outbox.trySend(core.encode(message), options);
  },
};
