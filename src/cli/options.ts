/** The options that the socket commands share, and what has to hold between them. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "./failure.js";

/** A user name and its password. */
export interface Plain {
  readonly username: string;
  readonly password: string;
}

/** What the shared options come to. */
export interface Settings {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** Messages after which the command stops. */
  readonly count?: number;
  /** ms of the longest wait. */
  readonly timeout?: number;
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly multipart?: string;
  readonly plain: Plain | undefined;
  readonly curveServerKey?: string;
  readonly curveCertificate?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** The part of them that says how an end is secured; whoever binds is the server of PLAIN. */
export type SecuritySettings = Pick<Settings, "bind" | "plain" | "curveServerKey" | "curveCertificate">;

type Mechanisms = Partial<Record<"plain" | "curveServerKey" | "curveCertificate", unknown>>;

/** The options of security of a command that only connects, as commander hands them over. */
export interface ClientSecurityOptions {
  readonly plain?: string;
  readonly curveServerKey?: string;
  readonly curveCertificate?: string;
}

/** What commander hands over: nothing is required yet. */
export type Given<S extends Settings = Settings> = Partial<Omit<S, "plain">> & { readonly plain?: string };

/** The longest time a timer can be set for, in ms. */
const MAX_TIMEOUT = 2_147_483_647;

/** Adds an item to a repeatable option. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(Array.isArray(previous) ? previous : []), value];
}

function wholeNumber(min: number, max: number, unit: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number of ${unit} from ${min} to ${max}.`);
  };
}

function separator(text: string): string {
  if (text === "") throw new InvalidArgumentError("Expected at least one character.");
  return text;
}

/** Checked here and not by commander, whose error would repeat what may be a password. */
function userAndPassword(text: string): Plain {
  const colon = text.indexOf(":");
  if (colon > 0) return { username: text.slice(0, colon), password: text.slice(colon + 1) };
  throw new UsageError("--plain expects a user name, a colon and a password");
}

/** @throws InvalidArgumentError for what is no key */
export function publicKey(text: string): string {
  if (/^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/.test(text)) return text;
  throw new InvalidArgumentError("Expected a public key, 40 characters of Z85.");
}

function curveServerKey(): Option {
  return new Option(
    "--curve-server-key <KEY>",
    "CURVE security, as a client of this public key (Z85)",
  ).argParser(publicKey);
}

/** Gives a command that only connects, to what its arguments name, the options of security. */
export function addClientSecurityOptions(command: Command): Command {
  return command
    .option("--plain <USER:PASSWORD>", "PLAIN security, as a client")
    .addOption(curveServerKey())
    .option("--curve-certificate <FILE>", "CURVE keys of the client, the secret file; with a server key");
}

/** Gives a command the shared options. */
export function addSocketOptions(command: Command): Command {
  return command
    .addOption(new Option("--bind <EP>", "listen at an endpoint (repeatable)").argParser(collect))
    .addOption(new Option("--connect <EP>", "connect to an endpoint (repeatable)").argParser(collect))
    .option("--count <N>", "stop after N messages", wholeNumber(1, Number.MAX_SAFE_INTEGER, "messages"))
    .option(
      "--timeout <MS>",
      "longest wait for a peer or a message; then fail",
      wholeNumber(0, MAX_TIMEOUT, "ms"),
    )
    .option("--multipart <SEP>", "frames with SEP between them", separator)
    .option("--json", 'messages as JSON, {"frames":["text",{"base64":"…"}]}')
    .option("--raw", "bytes: the whole input is one message, nothing is added to the output")
    .option("--plain <USER:PASSWORD>", "PLAIN security; with --bind the server")
    .addOption(curveServerKey())
    .option("--curve-certificate <FILE>", "CURVE keys, the secret file; without a server key: the server")
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "peers that come and go on standard error");
}

/**
 * Checks what one option alone cannot know, before anything is opened.
 *
 * @throws UsageError
 */
export function checkSettings(given: Given): Settings {
  const settings: Settings = {
    ...given,
    bind: given.bind ?? [],
    connect: given.connect ?? [],
    plain: given.plain === undefined ? undefined : userAndPassword(given.plain),
  };
  const { bind, connect, json, raw, multipart, plain } = settings;
  if (bind.length + connect.length === 0) throw new UsageError("expected --bind EP or --connect EP");
  for (const endpoint of [...bind, ...connect]) {
    if (endpoint.startsWith("inproc:")) {
      throw new UsageError(`${endpoint} reaches only this process; expected a tcp:// or ipc:// endpoint`);
    }
  }
  if (json === true && raw === true) throw new UsageError("--json and --raw exclude each other");
  if (json === true && multipart !== undefined) {
    throw new UsageError("--json and --multipart exclude each other");
  }
  if (raw !== true && multipart?.includes("\n") === true) {
    throw new UsageError("--multipart: a line cannot have a line feed in it");
  }
  checkMechanism(settings);
  if (plain !== undefined) {
    if (bind.length > 0 && connect.length > 0) {
      throw new UsageError(
        "--plain is the server's with --bind, the client's with --connect; expected one of them",
      );
    }
  }
  return settings;
}

/**
 * What the options of a command that only connects come to.
 *
 * @throws UsageError
 */
export function clientSecurity(given: ClientSecurityOptions): SecuritySettings {
  const { plain, curveServerKey, curveCertificate } = given;
  checkMechanism(given);
  if (curveCertificate !== undefined && curveServerKey === undefined)
    throw new UsageError("--curve-certificate needs --curve-server-key: the key of the server to connect to");
  return {
    bind: [],
    plain: plain === undefined ? undefined : userAndPassword(plain),
    ...(curveServerKey === undefined ? {} : { curveServerKey }),
    ...(curveCertificate === undefined ? {} : { curveCertificate }),
  };
}

function checkMechanism({ plain, curveServerKey, curveCertificate }: Mechanisms): void {
  if (plain !== undefined && (curveServerKey !== undefined || curveCertificate !== undefined))
    throw new UsageError("--plain and the CURVE options exclude each other");
}
