/** From what a file says to what a proxy is made of. Pure; the files that it names are read elsewhere. */
import { curveKeyPair, curvePublicKey } from "../../sockets/security/curve-keys.js";
import { plainUsers } from "../../sockets/security/plain-users.js";
import type { SocketProxyOptions } from "../socket-proxy.js";
import { type ProxyConfiguration, SOCKET_NAMES, type SocketConfiguration, type SocketName } from "./model.js";
import { KINDS, type ProxyKind } from "./schema.js";

type Given = Readonly<Record<string, unknown>>;

/** @param given fits the schema */
export function shapeOf(given: Given): ProxyConfiguration {
  const kind = given.kind as ProxyKind;
  const [frontend, backend] = KINDS[kind] ?? [undefined, undefined];
  const usual: Partial<Record<SocketName, string | undefined>> = { frontend, backend, control: "rep" };
  const sockets = SOCKET_NAMES.flatMap((name) =>
    given[name] === undefined ? [] : [[name, socketOf(given[name] as Given, usual[name])]],
  );
  return { kind, ...Object.fromEntries(sockets) } as ProxyConfiguration;
}

function socketOf(
  { bind, connect, policy, ...options }: Given,
  type: string | undefined,
): SocketConfiguration {
  return {
    bind: listOf(bind),
    connect: listOf(connect),
    ...(policy === undefined ? {} : { policy: policy as Given }),
    options: { ...(type === undefined ? {} : { type }), ...options },
  };
}

function listOf(value: unknown): readonly string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as string[]) : [value as string];
}

/** The options with the keys of a certificate in its place. */
export function withCertificate(
  { curveCertificate: _, ...options }: Given,
  keys: { readonly publicKey: string; readonly secretKey: string },
): Given {
  const { publicKey, secretKey } = keys;
  const server = options.curveServerKey === undefined ? { curveServer: true } : {};
  return { ...options, ...server, curvePublicKey: publicKey, curveSecretKey: secretKey };
}

/** What the constructor of a proxy takes. */
export function optionsOf(proxy: ProxyConfiguration): SocketProxyOptions {
  const sockets = SOCKET_NAMES.flatMap((name) => {
    const socket = proxy[name];
    return socket === undefined ? [] : [[name, socketOptions(socket)]];
  });
  return Object.fromEntries(sockets) as unknown as SocketProxyOptions;
}

function socketOptions({ bind, connect, policy, options }: SocketConfiguration): Given {
  const { plainUsers: users, ...rest } = options;
  return {
    ...rest,
    bind,
    connect,
    ...(policy === undefined ? {} : { policy }),
    ...clientKeys(options),
    ...(users === undefined
      ? {}
      : { plainServer: true, authenticate: plainUsers(users as Readonly<Record<string, string>>) }),
  };
}

/** A CURVE client without keys of its own is given some, which nobody has to know. */
function clientKeys({ curveServerKey, curveSecretKey, curvePublicKey: known }: Given): Given {
  if (curveServerKey === undefined || known !== undefined) return {};
  if (curveSecretKey !== undefined) return { curvePublicKey: curvePublicKey(curveSecretKey as string) };
  const { publicKey, secretKey } = curveKeyPair();
  return { curvePublicKey: publicKey, curveSecretKey: secretKey };
}
