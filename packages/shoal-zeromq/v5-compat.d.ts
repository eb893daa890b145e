/// <reference types="node" />
import { EventEmitter } from "events";
import type { MessageLike } from "./index";

type Callback = (error?: Error) => void;

export type SocketType =
  | "pair"
  | "req"
  | "rep"
  | "pub"
  | "sub"
  | "dealer"
  | "xreq"
  | "router"
  | "xrep"
  | "pull"
  | "push"
  | "xpub"
  | "xsub"
  | "stream";

/** Events: `message` with its frames, `error`, `bind`, `unbind`; after `monitor` those of version 5. */
export declare class Socket extends EventEmitter {
  [key: string]: any;
  type: SocketType;
  readonly closed: boolean;
  constructor(type: SocketType);
  bind(address: string, callback?: Callback): this;
  unbind(address: string, callback?: Callback): this;
  bindSync(address: string): this;
  unbindSync(address: string): this;
  connect(address: string): this;
  disconnect(address: string): this;
  /** `flags` 2, ZMQ_SNDMORE: the next call has more frames. */
  send(message: MessageLike | MessageLike[], flags?: number | null, callback?: Callback): this;
  pause(): this;
  resume(): this;
  close(): this;
  monitor(interval?: number, count?: number): this;
  unmonitor(): this;
  subscribe(filter: string | Buffer): this;
  unsubscribe(filter: string | Buffer): this;
  setsockopt(option: number | keyof typeof options, value: any): this;
  getsockopt(option: number | keyof typeof options): any;
}

export declare class Context {
  static setMaxThreads(value: number): void;
  static getMaxThreads(): number;
  static setMaxSockets(value: number): void;
  static getMaxSockets(): number;
}

/** `settings` are properties of the socket. */
export declare function createSocket(type: SocketType, settings?: { [key: string]: any }): Socket;
export { createSocket as socket };
export declare function curveKeypair(): { public: string; secret: string };
export declare function proxy(frontend: Socket, backend: Socket, capture?: Socket): void;
export declare const version: string;

/** Properties of a socket, and the numbers of the options that they are. */
export declare const options: {
  readonly _fd: number;
  readonly _ioevents: number;
  readonly _receiveMore: number;
  readonly _subscribe: number;
  readonly _unsubscribe: number;
  readonly affinity: number;
  readonly backlog: number;
  readonly identity: number;
  readonly linger: number;
  readonly rate: number;
  readonly rcvbuf: number;
  readonly last_endpoint: number;
  readonly reconnect_ivl: number;
  readonly recovery_ivl: number;
  readonly sndbuf: number;
  readonly mechanism: number;
  readonly plain_server: number;
  readonly plain_username: number;
  readonly plain_password: number;
  readonly curve_server: number;
  readonly curve_publickey: number;
  readonly curve_secretkey: number;
  readonly curve_serverkey: number;
  readonly zap_domain: number;
  readonly heartbeat_ivl: number;
  readonly heartbeat_ttl: number;
  readonly heartbeat_timeout: number;
  readonly connect_timeout: number;
};

export declare const ZMQ_PAIR: 0;
export declare const ZMQ_PUB: 1;
export declare const ZMQ_SUB: 2;
export declare const ZMQ_REQ: 3;
export declare const ZMQ_REP: 4;
export declare const ZMQ_DEALER: 5;
export declare const ZMQ_XREQ: 5;
export declare const ZMQ_ROUTER: 6;
export declare const ZMQ_XREP: 6;
export declare const ZMQ_PULL: 7;
export declare const ZMQ_PUSH: 8;
export declare const ZMQ_XPUB: 9;
export declare const ZMQ_XSUB: 10;
export declare const ZMQ_STREAM: 11;
export declare const ZMQ_AFFINITY: 4;
export declare const ZMQ_IDENTITY: 5;
export declare const ZMQ_SUBSCRIBE: 6;
export declare const ZMQ_UNSUBSCRIBE: 7;
export declare const ZMQ_RATE: 8;
export declare const ZMQ_RECOVERY_IVL: 9;
export declare const ZMQ_RECOVERY_IVL_MSEC: 9;
export declare const ZMQ_SNDBUF: 11;
export declare const ZMQ_RCVBUF: 12;
export declare const ZMQ_RCVMORE: 13;
export declare const ZMQ_FD: 14;
export declare const ZMQ_EVENTS: 15;
export declare const ZMQ_TYPE: 16;
export declare const ZMQ_LINGER: 17;
export declare const ZMQ_RECONNECT_IVL: 18;
export declare const ZMQ_BACKLOG: 19;
export declare const ZMQ_RECONNECT_IVL_MAX: 21;
export declare const ZMQ_MAXMSGSIZE: 22;
export declare const ZMQ_SNDHWM: 23;
export declare const ZMQ_RCVHWM: 24;
export declare const ZMQ_MULTICAST_HOPS: 25;
export declare const ZMQ_RCVTIMEO: 27;
export declare const ZMQ_SNDTIMEO: 28;
export declare const ZMQ_IPV4ONLY: 31;
export declare const ZMQ_LAST_ENDPOINT: 32;
export declare const ZMQ_ROUTER_MANDATORY: 33;
export declare const ZMQ_TCP_KEEPALIVE: 34;
export declare const ZMQ_TCP_KEEPALIVE_CNT: 35;
export declare const ZMQ_TCP_KEEPALIVE_IDLE: 36;
export declare const ZMQ_TCP_KEEPALIVE_INTVL: 37;
export declare const ZMQ_TCP_ACCEPT_FILTER: 38;
export declare const ZMQ_DELAY_ATTACH_ON_CONNECT: 39;
export declare const ZMQ_XPUB_VERBOSE: 40;
export declare const ZMQ_ROUTER_RAW: 41;
export declare const ZMQ_IPV6: 42;
export declare const ZMQ_MECHANISM: 43;
export declare const ZMQ_PLAIN_SERVER: 44;
export declare const ZMQ_PLAIN_USERNAME: 45;
export declare const ZMQ_PLAIN_PASSWORD: 46;
export declare const ZMQ_CURVE_SERVER: 47;
export declare const ZMQ_CURVE_PUBLICKEY: 48;
export declare const ZMQ_CURVE_SECRETKEY: 49;
export declare const ZMQ_CURVE_SERVERKEY: 50;
export declare const ZMQ_ZAP_DOMAIN: 55;
export declare const ZMQ_ROUTER_HANDOVER: 56;
export declare const ZMQ_HEARTBEAT_IVL: 75;
export declare const ZMQ_HEARTBEAT_TTL: 76;
export declare const ZMQ_HEARTBEAT_TIMEOUT: 77;
export declare const ZMQ_CONNECT_TIMEOUT: 79;
export declare const ZMQ_SNDMORE: 2;
export declare const ZMQ_POLLIN: 1;
export declare const ZMQ_POLLOUT: 2;
export declare const ZMQ_POLLERR: 4;
export declare const ZMQ_CAN_MONITOR: 1;
export declare const ZMQ_CAN_DISCONNECT: 1;
export declare const ZMQ_CAN_UNBIND: 1;
export declare const ZMQ_CAN_SET_CTX: 1;
export declare const ZMQ_IO_THREADS: 1;
export declare const ZMQ_MAX_SOCKETS: 2;
export declare const STATE_READY: 0;
export declare const STATE_BUSY: 1;
export declare const STATE_CLOSED: 2;

declare const all: typeof import("./v5-compat");
export default all;
