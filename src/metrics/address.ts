/** HOST:PORT, as metrics are served at. Pure. */
import { InvalidArgumentError } from "../core/errors.js";

/** Where to listen. */
export interface ListenAddress {
  /** `undefined`: every address of the machine. */
  readonly host: string | undefined;
  /** 0: one that is free. */
  readonly port: number;
}

/**
 * @param text `127.0.0.1:9464`, `[::1]:9464`, `name:9464`; `*:9464` and `:9464` are every address of the machine
 * @throws InvalidArgumentError `EINVAL`
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\s:[\]/]*)):(\d{1,5}|\*)$/.exec(String(text));
  const port = match?.[3] === "*" ? 0 : Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new InvalidArgumentError(
      `Metrics address ${JSON.stringify(String(text).slice(0, 60))}: expected HOST:PORT, such as 127.0.0.1:9464`,
    );
  const host = match[1] ?? match[2];
  return { host: host === "" || host === "*" ? undefined : host, port };
}

/** An address as a URL has it. */
export function urlHost(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
