import type { Message, MessageLike, Readable, Socket, SocketOptions, Writable } from "./index";

interface ServerRoutingOptions {
  routingId: number;
}
interface RadioGroupOptions {
  group: Buffer | string;
}
interface DishGroupOptions {
  group: Buffer;
}

export declare class Server extends Socket {
  constructor(options?: SocketOptions<Server>);
}
export interface Server
  extends Readable<[Message, ServerRoutingOptions]>,
    Writable<MessageLike, [ServerRoutingOptions]> {}

export declare class Client extends Socket {
  constructor(options?: SocketOptions<Client>);
}
export interface Client extends Readable<[Message]>, Writable<MessageLike> {}

export declare class Radio extends Socket {
  constructor(options?: SocketOptions<Radio>);
}
export interface Radio extends Writable<MessageLike, [RadioGroupOptions]> {}

export declare class Dish extends Socket {
  constructor(options?: SocketOptions<Dish>);
  join(...groups: Array<Buffer | string>): void;
  leave(...groups: Array<Buffer | string>): void;
}
export interface Dish extends Readable<[Message, DishGroupOptions]> {}

export declare class Gather extends Socket {
  constructor(options?: SocketOptions<Gather>);
}
export interface Gather extends Readable<[Message]> {
  conflate: boolean;
}

export declare class Scatter extends Socket {
  constructor(options?: SocketOptions<Scatter>);
}
export interface Scatter extends Writable<MessageLike> {
  conflate: boolean;
}

export declare class Datagram extends Socket {
  constructor(options?: SocketOptions<Datagram>);
}
export interface Datagram extends Readable<[Message, Message]>, Writable<[MessageLike, MessageLike]> {}

declare const all: typeof import("./draft");
export default all;
