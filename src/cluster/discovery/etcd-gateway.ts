/**
 * Calls etcd's v3 API through its JSON gateway.
 *
 * | Call | Path | Answer |
 * | --- | --- | --- |
 * | list | `/v3/kv/range` | keys under a prefix |
 * | put | `/v3/kv/put` | |
 * | grant, keep alive, revoke | `/v3/lease/grant`, `…/keepalive`, `…/revoke` | seconds; missing if lost |
 * | log in | `/v3/auth/authenticate` | a token for some minutes, or until a restart |
 *
 * Keys and values are base64, 64-bit numbers are decimal texts, and zero, false and empty fields are omitted.
 *
 * A failed call goes to each other server once.
 */
import { HandshakeError, ProtocolError, type ShoalError, TransportError } from "../../core/errors.js";
import { MAX_MEMBERS } from "../bounds.js";
import { type DiscoveryTls, fieldsOf, type HttpAnswer, itemsOf, requestJson } from "./http.js";

/** gRPC codes of permanent errors. */
const GRPC = { invalidArgument: 3, notFound: 5, permissionDenied: 7, unauthenticated: 16 } as const;

export interface EtcdSettings {
  readonly servers: readonly string[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: DiscoveryTls | undefined;
  readonly timeout: number;
}

export interface EtcdRecord {
  readonly key: string;
  readonly value: string;
}

class Refusal {
  readonly status: number;
  readonly code: number | undefined;
  readonly message: string;

  constructor({ status, body }: HttpAnswer) {
    const { code, message, error } = fieldsOf(body);
    this.status = status;
    this.code = typeof code === "number" ? code : undefined;
    this.message = firstLine(String(message ?? error ?? `status ${status}`));
  }

  get wantsLogin(): boolean {
    // The second message: users changed during the call.
    return (
      this.code === GRPC.unauthenticated || /invalid auth token|revision in header is old/.test(this.message)
    );
  }

  get isFinal(): boolean {
    const { code } = this;
    return (
      code === GRPC.invalidArgument ||
      code === GRPC.notFound ||
      code === GRPC.permissionDenied ||
      code === GRPC.unauthenticated ||
      this.status === 404
    );
  }

  toError(server: string): ShoalError {
    const { code, status, message } = this;
    const details = { endpoint: server };
    const isLogin =
      code === GRPC.permissionDenied ||
      this.wantsLogin ||
      /authentication failed|user name is empty/.test(message);
    if (isLogin) return new HandshakeError("ERR_AUTHENTICATION", `${server}: ${message}`, details);
    if (status === 404 && code === undefined)
      return new ProtocolError(
        `${server} has no JSON gateway: it must be etcd 3.4 or later without --enable-grpc-gateway=false`,
        "ERR_PROTOCOL",
        details,
      );
    return new TransportError("ERR_TRANSPORT", `${server}: ${message} (status ${status})`, details);
  }
}

export class EtcdGateway {
  readonly #settings: EtcdSettings;
  #at = 0;
  #token: string | undefined;

  constructor(settings: EtcdSettings) {
    this.#settings = settings;
    // Spreads nodes over the servers.
    this.#at = Math.floor(Math.random() * settings.servers.length);
  }

  async list(prefix: string, signal: AbortSignal): Promise<readonly EtcdRecord[]> {
    const body = { key: encode(prefix), range_end: endOf(prefix), limit: `${MAX_MEMBERS}` };
    const { header, kvs } = fieldsOf(await this.#call("/v3/kv/range", body, signal));
    if (typeof fieldsOf(header).revision !== "string")
      throw new ProtocolError("the answer of etcd has no revision");
    return itemsOf(kvs)
      .map(fieldsOf)
      .map(({ key, value }) => ({ key: decode(key), value: decode(value) }));
  }

  async put({ key, value }: EtcdRecord, lease: string, signal: AbortSignal): Promise<void> {
    await this.#call("/v3/kv/put", { key: encode(key), value: encode(value), lease }, signal);
  }

  async grant(seconds: number, signal: AbortSignal): Promise<{ id: string; seconds: number }> {
    const { ID, TTL } = fieldsOf(await this.#call("/v3/lease/grant", { TTL: `${seconds}` }, signal));
    if (typeof ID !== "string" || !/^\d{1,20}$/.test(ID))
      throw new ProtocolError(`${this.#server}: the lease has no id`);
    const given = secondsOf(TTL);
    // It would expire at once.
    if (given === 0) throw new ProtocolError(`${this.#server}: the lease has no time to live`);
    return { id: ID, seconds: given };
  }

  /** @returns seconds, or 0 if the lease is lost */
  async keepAlive(id: string, signal: AbortSignal): Promise<number> {
    const { result } = fieldsOf(await this.#call("/v3/lease/keepalive", { ID: id }, signal));
    return secondsOf(fieldsOf(result).TTL);
  }

  async revoke(id: string, signal: AbortSignal): Promise<void> {
    await this.#call("/v3/lease/revoke", { ID: id }, signal);
  }

  get #server(): string {
    return this.#settings.servers[this.#at] as string;
  }

  async #call(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    const { servers } = this.#settings;
    let last: unknown;
    for (let asked = 0; asked < servers.length; asked++) {
      const server = this.#server;
      try {
        return await this.#ask(path, body, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        if (error instanceof Refusal) {
          last = error.toError(server);
          if (error.isFinal) throw last;
        } else last = error;
        this.#at = (this.#at + 1) % servers.length;
      }
    }
    throw last;
  }

  /** @throws Refusal */
  async #ask(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    const hadToken = this.#token !== undefined;
    if (this.#settings.username !== undefined && !hadToken) await this.#logIn(signal);
    const answer = await this.#post(path, body, signal);
    if (answer.status === 200) return answer.body;
    const refusal = new Refusal(answer);
    if (refusal.wantsLogin) this.#token = undefined;
    // The token expired.
    if (hadToken && refusal.wantsLogin) return this.#ask(path, body, signal);
    throw refusal;
  }

  async #logIn(signal: AbortSignal): Promise<void> {
    const { username, password = "" } = this.#settings;
    const answer = await this.#post("/v3/auth/authenticate", { name: username, password }, signal);
    if (answer.status !== 200) throw new Refusal(answer);
    const { token } = fieldsOf(answer.body);
    if (typeof token !== "string" || token === "" || /[^\x21-\x7e]/.test(token))
      throw new ProtocolError(`${this.#server}: the answer to the log-in has no token`);
    this.#token = token;
  }

  #post(path: string, body: object, signal: AbortSignal): Promise<HttpAnswer> {
    const { tls, timeout } = this.#settings;
    // A server without a leader then refuses at once.
    const headers: Record<string, string> = { "grpc-metadata-hasleader": "true" };
    if (this.#token !== undefined) headers.authorization = this.#token;
    const url = new URL(path, this.#server);
    return requestJson({ url, method: "POST", headers, body: JSON.stringify(body), tls, timeout, signal });
  }
}

function secondsOf(value: unknown): number {
  const seconds = Math.floor(Number(value ?? 0));
  // A timer above 24 days fires at once.
  return seconds > 0 ? Math.min(seconds, 86_400) : 0;
}

/** First key after a prefix that ends in plain ASCII. */
function endOf(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return encode(prefix.slice(0, -1) + String.fromCharCode(last + 1));
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

function decode(value: unknown): string {
  return typeof value === "string" ? Buffer.from(value, "base64").toString() : "";
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]?.slice(0, 200) ?? "";
}
