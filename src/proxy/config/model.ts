/** A checked configuration: plain, comparable data, and its conversion to a proxy's options. Pure. */

import { curveKeyPair, curvePublicKey } from "../../sockets/security/curve-keys.js";
import { plainUsers } from "../../sockets/security/plain-users.js";
import { type ProxyCertificates, type ProxySocketName, SOCKET_NAMES } from "../options.js";
import type { SocketProxyOptions } from "../socket-proxy.js";
import { CONFIGURED_KINDS, type ConfiguredKind } from "./schema.js";

export interface SocketConfiguration {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** The written policy, with the key folder's absolute path. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Contents of the tls:// and wss:// files, or their names before reading. */
  readonly tls?: TlsConfiguration;
  /** Everything else: type, subscriptions, socket options, certificate keys, PLAIN users. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface TlsConfiguration {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

export interface ProxyConfiguration {
  readonly kind: ConfiguredKind;
  readonly frontend: SocketConfiguration;
  readonly backend: SocketConfiguration;
  readonly capture?: SocketConfiguration;
  readonly control?: SocketConfiguration;
}

export type Proxies = Readonly<Record<string, ProxyConfiguration>>;

export interface Configuration {
  /** ms. */
  readonly drain: number;
  readonly proxies: Proxies;
}

export function socketsOf(
  proxy: ProxyConfiguration,
): readonly (readonly [name: ProxySocketName, socket: SocketConfiguration])[] {
  return SOCKET_NAMES.flatMap((name) => {
    const socket = proxy[name];
    return socket === undefined ? [] : [[name, socket] as const];
  });
}

type Given = Readonly<Record<string, unknown>>;

export function shapeOf(given: Given): ProxyConfiguration {
  const kind = given.kind as ConfiguredKind;
  const [frontend, backend] = CONFIGURED_KINDS[kind] ?? [undefined, undefined];
  const usual: Partial<Record<ProxySocketName, string | undefined>> = { frontend, backend, control: "rep" };
  const sockets = SOCKET_NAMES.flatMap((name) =>
    given[name] === undefined ? [] : [[name, socketOf(given[name] as Given, usual[name])]],
  );
  return { kind, ...Object.fromEntries(sockets) } as ProxyConfiguration;
}

function socketOf(
  { bind, connect, policy, tls, ...options }: Given,
  type: string | undefined,
): SocketConfiguration {
  return {
    bind: listOf(bind),
    connect: listOf(connect),
    ...(policy === undefined ? {} : { policy: policy as Given }),
    ...(tls === undefined ? {} : { tls: tls as TlsConfiguration }),
    options: { ...(type === undefined ? {} : { type }), ...options },
  };
}

function listOf(value: unknown): readonly string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as string[]) : [value as string];
}

export function withCertificate(
  { curveCertificate: _, ...options }: Given,
  keys: { readonly publicKey: string; readonly secretKey: string },
): Given {
  const { publicKey, secretKey } = keys;
  const server = options.curveServerKey === undefined ? { curveServer: true } : {};
  return { ...options, ...server, curvePublicKey: publicKey, curveSecretKey: secretKey };
}

export function optionsOf(proxy: ProxyConfiguration): SocketProxyOptions {
  const sockets = socketsOf(proxy).map(([name, socket]) => [name, socketOptions(socket)]);
  return Object.fromEntries(sockets) as SocketProxyOptions;
}

/** Absent ones are reset. */
export function tlsOptions({ cert, key, ca }: TlsConfiguration): ProxyCertificates {
  return { tlsCert: cert ?? null, tlsKey: key ?? null, tlsCa: ca ?? null };
}

export function socketOptions({ bind, connect, policy, tls, options }: SocketConfiguration): Given {
  const { plainUsers: users, ...rest } = options;
  return {
    ...rest,
    bind,
    connect,
    ...(policy === undefined ? {} : { policy }),
    ...(tls === undefined ? {} : tlsOptions(tls)),
    ...clientKeys(options),
    ...(users === undefined
      ? {}
      : { plainServer: true, authenticate: plainUsers(users as Readonly<Record<string, string>>) }),
  };
}

/** Gives a CURVE client without keys its own pair. */
function clientKeys({ curveServerKey, curveSecretKey, curvePublicKey: known }: Given): Given {
  if (curveServerKey === undefined || known !== undefined) return {};
  if (curveSecretKey !== undefined) return { curvePublicKey: curvePublicKey(curveSecretKey as string) };
  const { publicKey, secretKey } = curveKeyPair();
  return { curvePublicKey: publicKey, curveSecretKey: secretKey };
}
