import { invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { checkPassword, passwordKey } from "../core/password.js";
import {
  anything,
  bytes,
  checkOptions,
  choice,
  func,
  type Given,
  integer,
  type Settings,
  text,
} from "../kit/options.js";
import { LARGEST_WINDOW, MIN_WINDOW } from "./frames.js";

/** An old and a new one. */
const MAX_PASSWORDS = 2;

export const LINK_OPTIONS = {
  onChannel: func<(channel: never, link: never) => unknown>(),
  /**
   * Shared password of 8 to 1,024 bytes, never sent; the peer needs one too. Of two, the first proves, and both are
   * accepted.
   */
  password: anything<string | readonly string[]>(),
  /** Salt of the password's key (scrypt, about 0.2 s), equal at both ends. Default `link`. */
  group: text(),
  /**
   * Encrypts (AES-256-GCM with keys of this link) at either end's request. `true` requires a password. Default: `true`
   * with a password.
   */
  encrypt: anything<boolean>(),
  /**
   * The initiator proves the password first, so a dialling stranger learns nothing. Equal roles are refused. Default
   * `either`: the hellos decide.
   */
  role: choice(["initiator", "responder", "either"], "either"),
  /** First window of a channel: unread bytes that the peer may send, from 1,024. Default 65,536. */
  window: integer({ default: 65_536, min: MIN_WINDOW, max: LARGEST_WINDOW }),
  /** Largest window, bytes; windows grow while they limit their channels. Default 4,194,304. */
  maxWindow: integer({ default: 4_194_304, min: MIN_WINDOW, max: LARGEST_WINDOW }),
  /** Most unread bytes, the sum of all windows. Default 268,435,456. */
  maxUnread: bytes({ default: 268_435_456, min: MIN_WINDOW }),
  /** Concurrent channels opened by the peer. Default 4,096. */
  maxChannels: integer({ default: 4_096 }),
  /** ms of silence before a ping; 0: never. Default 15,000. */
  pingInterval: integer({ default: 15_000, min: 0 }),
  /** ms without data after a ping until the link fails. Default 10,000. */
  pingTimeout: integer({ default: 10_000 }),
  /** Handshake timeout, ms. Default 10,000. */
  handshakeTimeout: integer({ default: 10_000 }),
} as const;

export type CheckedOptions = Settings<typeof LINK_OPTIONS> & {
  readonly passwords: readonly string[];
};

/** @throws InvalidArgumentError `EINVAL` */
export function checkLinkOptions(what: string, given: object): CheckedOptions {
  const settings = checkOptions(what, LINK_OPTIONS, given);
  const { password, encrypt, window, maxWindow, maxUnread } = settings;
  const passwords = password === undefined ? [] : typeof password === "string" ? [password] : password;
  if (!Array.isArray(passwords) || passwords.length > MAX_PASSWORDS)
    throw new InvalidArgumentError(
      `Option password of ${what} must be a text, or an array of at most ${MAX_PASSWORDS}`,
    );
  if (password !== undefined && passwords.length === 0)
    throw new InvalidArgumentError(`Option password of ${what} must not be an empty array`);
  for (const each of passwords) checkPassword(each);
  if (encrypt !== undefined && typeof encrypt !== "boolean")
    throw invalidArgument(`Option encrypt of ${what} must be true or false`, encrypt);
  if (encrypt === true && passwords.length === 0)
    throw new InvalidArgumentError(
      `Option encrypt of ${what} needs a password, from which the keys are derived`,
    );
  if (maxWindow < window)
    throw new InvalidArgumentError(
      `Option maxWindow of ${what} must be at least window, ${window}; got ${maxWindow}`,
    );
  if (maxUnread < window)
    throw new InvalidArgumentError(
      `Option maxUnread of ${what} must be at least window, ${window}; got ${maxUnread}`,
    );
  return { ...settings, passwords };
}

/** The first link with a password blocks for some 0.2 s. */
export function linkKeys({ passwords, group = "link" }: CheckedOptions): readonly Buffer[] {
  return passwords.map((password) => passwordKey(password, `shoal link password 1 ${group}`));
}

export const OPEN_OPTIONS = {
  /** ms for the peer to accept the channel; -1: no limit. Default 10,000. */
  timeout: integer({ default: 10_000, min: -1 }),
  /** Ends the wait, and the open channel. */
  signal: anything<AbortSignal>(),
} as const;

export type OpenChannelOptions = Given<typeof OPEN_OPTIONS>;
