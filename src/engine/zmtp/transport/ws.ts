/**
 * ZMQ over WebSocket (45/ZWS): `ws://HOST:PORT/PATH` over tcp, `wss://HOST:PORT/PATH` over tls.
 *
 *   listen  a port, shared by the sockets of this thread that are bound to paths of it (ws-paths.ts), or an HTTP server of
 *           the program's own (ws-server.ts)
 *   dial    stream --upgrade request, answer--> done
 */
import { TransportError } from "../../../core/errors.js";
import { isSecret, OPTIONS, type OptionName, type OptionValues } from "../../../core/option-table.js";
import { formatHostPort, parseHostPort } from "../../../core/schemes/host-port.js";
import { serverOf } from "../../../core/schemes/http-server.js";
import { addressOf } from "../../../core/schemes/scheme.js";
import { parseWs } from "../../../core/schemes/ws.js";
import { chosenMechanism } from "../mechanism/chosen.js";
import { renewedOptions } from "../options.js";
import { newUpgradeKey, nextMaskKey, sha1 } from "../ws/random.js";
import { isBare } from "../ws/subprotocol.js";
import { readResponse, upgradeRequest } from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { bindAddress } from "./address.js";
import {
  type Acceptor,
  DialFault,
  handOver,
  type Listener,
  type Stream,
  type Transport,
  type TransportOptions,
} from "./transport.js";
import { type Found, HeadSink, Paths, type PathUser, upgradeFault, WsStream } from "./ws-paths.js";
import { attach } from "./ws-server.js";

const crypto = { sha1 };

/** A listening port. */
interface Port {
  readonly listener: Listener;
  readonly paths: Paths;
}

/** @param scheme of its endpoints @param beneath tcp or tls @param defaultPort of the scheme, which `Host` leaves out */
export function webSocketOver(scheme: string, beneath: Transport, defaultPort: number): Transport {
  /** By the endpoint beneath, as resolved; or about to be bound. */
  const ports = new Map<string, Port | Promise<unknown>>();

  function beneathOf(endpoint: string, ipv6: boolean): { key: string; port: number; target: string } {
    const { authority } = parseWs(endpoint);
    const inner = `${beneath.scheme}://${authority}`;
    const { host, port } = parseHostPort(inner);
    return {
      key: formatHostPort(beneath.scheme, bindAddress(host, ipv6, endpoint), port),
      port,
      target: inner,
    };
  }

  function acceptorOf(paths: Paths): Acceptor {
    return {
      accepted: (stream) => paths.accept(stream),
      refused: (address, why) => paths.first?.acceptor.refused?.(address, why),
      failed: (error) => paths.first?.acceptor.failed(error),
    };
  }

  /** The options for the transport beneath: certificates are those of the socket that is there the longest, as they are now. */
  function optionsOf(paths: Paths, options: TransportOptions): TransportOptions {
    return renewedOptions(options, () => liveOf(paths.first?.options ?? options));
  }

  /** One more path at a port that is bound. */
  function join(port: Port, key: string, endpoint: string, user: PathUser): Listener {
    const { first } = port.paths;
    if (first !== undefined && !haveSameCertificates(liveOf(first.options), liveOf(user.options)))
      throw new TransportError(
        "EADDRINUSE",
        `Cannot bind ${endpoint}: the sockets of a port have the same certificates`,
        { endpoint },
      );
    const { path, suffix } = parseWs(endpoint);
    port.paths.add(path, user, endpoint);
    return {
      endpoint: `${scheme}://${addressOf(key)}${suffix}`,
      async close() {
        port.paths.remove(path);
        if (port.paths.size > 0) return;
        ports.delete(key);
        port.paths.close();
        await port.listener.close();
      },
    };
  }

  /** The first path of a port. */
  function open(listener: Listener, paths: Paths, endpoint: string, user: PathUser): Listener {
    const key = listener.endpoint;
    const port: Port = { listener, paths };
    ports.set(key, port);
    return join(port, key, endpoint, user);
  }

  return {
    scheme,
    framed: true,
    assertUsable(use, options) {
      beneath.assertUsable?.(use, options);
    },

    async listen(endpoint, options, acceptor) {
      const own = serverOf(endpoint);
      if (own !== undefined) return attach(own.server, own.path, endpoint, { acceptor, options });
      const { key, port, target } = beneathOf(endpoint, options.ipv6);
      const user = { acceptor, options };
      for (let known = ports.get(key); port !== 0 && known !== undefined; known = ports.get(key)) {
        if (!(known instanceof Promise)) return join(known, key, endpoint, user);
        await known;
      }
      const paths = new Paths();
      const opening = beneath.listen(target, optionsOf(paths, options), acceptorOf(paths));
      if (port === 0) return open(await opening, paths, endpoint, user);
      ports.set(
        key,
        opening.catch(() => undefined), // Who waits for it looks again; the error is this call's.
      );
      try {
        const listener = await opening;
        ports.delete(key);
        return open(listener, paths, endpoint, user);
      } catch (error) {
        ports.delete(key);
        throw error;
      }
    },

    listenSync(endpoint, options, acceptor) {
      const { key, port, target } = beneathOf(endpoint, options.ipv6);
      const user = { acceptor, options };
      const known = port === 0 ? undefined : ports.get(key);
      if (known !== undefined && !(known instanceof Promise)) return join(known, key, endpoint, user);
      const paths = new Paths();
      const listener = beneath.listenSync(target, optionsOf(paths, options), acceptorOf(paths));
      return open(listener, paths, endpoint, user);
    },

    dial(endpoint, options, done) {
      const { authority, target } = parseWs(endpoint);
      const inner = `${beneath.scheme}://${authority}`;
      let stream: Stream | undefined;
      let sink: HeadSink | undefined;
      const cancelDial = beneath.dial(inner, options, (result) => {
        if (result instanceof Error) {
          done(result);
          return;
        }
        stream = result;
        const { host, port } = parseHostPort(inner);
        const { name } = chosenMechanism(options);
        const key = newUpgradeKey();
        const named = host.includes(":") ? `[${host}]` : host;
        const shown = port === defaultPort ? named : `${named}:${port}`;
        sink = new HeadSink(result, options.handshakeInterval, (found) => {
          const agreed = answerOf(found, key, name, options);
          if ("fault" in agreed) {
            const fault = found === "ended" ? result.fault?.(true) : undefined;
            result.socket.destroy();
            done(new DialFault(fault ?? upgradeFault(agreed.fault)));
            return;
          }
          const framing = new WsFraming(name, isBare(agreed.protocol), nextMaskKey);
          const remote = `${scheme}://${addressOf(result.remote)}`;
          handOver(result, agreed.rest, () => done(new WsStream(result, remote, framing, result.socket)));
        });
        result.socket.write(Buffer.from(upgradeRequest(target, shown, key, name), "latin1"));
      });
      return () => {
        cancelDial();
        sink?.cancel();
        stream?.socket.destroy();
      };
    },
  };
}

function answerOf(
  found: Found,
  key: string,
  mechanism: ReturnType<typeof chosenMechanism>["name"],
  { handshakeInterval }: Readonly<OptionValues>,
): { readonly protocol: string; readonly rest: Buffer } | { readonly fault: string } {
  if (found === "ended") return { fault: "the server hung up before it answered the upgrade to WebSocket" };
  if (found === "late")
    return { fault: `the server did not answer the upgrade within ${handshakeInterval} ms` };
  if (found === "too-long") return { fault: "the server's answer is too long" };
  if (found === "malformed") return { fault: "the server's answer is not HTTP/1.1" };
  const agreed = readResponse(found.head, key, mechanism, crypto);
  return "fault" in agreed ? agreed : { protocol: agreed.protocol, rest: found.rest };
}

function liveOf(options: TransportOptions): Readonly<OptionValues> {
  return options.live ?? options;
}

const CERTIFICATE_OPTIONS = (Object.keys(OPTIONS) as OptionName[]).filter(
  (name) => name.startsWith("tls") && (!isSecret(name) || name === "tlsCertificates"),
);

/** What all users of a port must have in common, as it is now; keys follow from their certificates. */
function haveSameCertificates(one: Readonly<OptionValues>, other: Readonly<OptionValues>): boolean {
  return CERTIFICATE_OPTIONS.every((name) => one[name] === other[name]);
}
