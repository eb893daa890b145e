/** A store of sessions in NATS JetStream as a URL: `nats://USER:PASSWORD@HOST:PORT,HOST:PORT/STREAM?replicas=3`. */
import type { NatsSessionStoreOptions } from "../sessions/index.js";
import { UsageError } from "./failure.js";

const FORM = /^nats:\/\/(?:([^:@/?]*)(?::([^@/?]*))?@)?([^@/?]+)(?:\/([^/?]*))?(?:\?(.*))?$/i;
const HELP = "nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST…][/STREAM][?replicas=N&reads=leader&ca=FILE]";
const TLS_FILES = { ca: "caFile", cert: "certFile", key: "keyFile" } as const;

export function isNatsUrl(store: string): boolean {
  return /^nats:\/\//i.test(store);
}

/** @throws UsageError for what is not such a URL; the message has no password */
export function natsStoreOptions(url: string): NatsSessionStoreOptions {
  const [, user, password, servers, stream, query] = FORM.exec(url) ?? [];
  if (servers === undefined) throw new UsageError(`A store in NATS is ${HELP}`);
  const connection: Record<string, unknown> = {};
  if (password !== undefined) Object.assign(connection, { user: decode(user ?? ""), pass: decode(password) });
  else if (user !== undefined) connection.token = decode(user);
  const options: Record<string, unknown> = { servers };
  if (stream !== undefined && stream !== "") options.stream = stream;
  const tls: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === "replicas" || name === "maxBytes") options[name] = Number(value);
    else if (name === "reads") options[name] = value;
    else if (name in TLS_FILES) tls[TLS_FILES[name as keyof typeof TLS_FILES]] = value;
    else throw new UsageError(`A store in NATS has no ${name}; it is ${HELP}`);
  }
  if (Object.keys(tls).length > 0) connection.tls = tls;
  return { ...options, ...(Object.keys(connection).length > 0 ? { connection } : {}) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new UsageError("The user and the password of a store in NATS are percent-encoded");
  }
}
