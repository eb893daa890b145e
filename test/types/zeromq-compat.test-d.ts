/**
 * Programs typed for the package `zeromq` v6, with only the import changed.
 * Nothing here runs: `npm run typecheck` is the test.
 */
import { expectTypeOf } from "vitest";
import type * as zeromq from "zeromq";
import * as zmq from "../../src/index.js";

/** Variables and parameters typed by class, base class and interface take any fitting socket. */
export function sockets(): zmq.Socket[] {
  const pair: zmq.Pair = new zmq.Pair({ linger: 0 });
  const either: zmq.Pair | zmq.Request = new zmq.Request();
  const target: zmq.Writable = new zmq.Push();
  const source: zmq.Readable = new zmq.Pull({ receiveHighWaterMark: 1 });
  target.sendTimeout = 0;
  source.receiveTimeout = 100;
  void relay(pair, new zmq.Dealer());
  return [pair, either, new zmq.Publisher(), new zmq.XSubscriber(), new zmq.Stream({ notify: false })];
}

async function relay(from: zmq.Readable, to: zmq.Writable): Promise<void> {
  for await (const message of from) await to.send(message);
}

/** A class that holds sockets, and one that is one. */
export class Service {
  readonly #router: zmq.Router;
  readonly sockets: zmq.Socket[] = [];

  constructor(options: zmq.SocketOptions<zmq.Router> = {}) {
    this.#router = new zmq.Router({ mandatory: true, ...options });
    this.sockets.push(this.#router);
  }

  async run(): Promise<void> {
    for await (const [sender, , ...parts] of this.#router) {
      const id: zmq.Message = sender as zmq.Message;
      await this.#router.send([id, null, ...parts]);
    }
  }
}

export class NamedDealer extends zmq.Dealer {
  constructor(options?: zmq.SocketOptions<zmq.Dealer>) {
    super({ ...options, routingId: "named" });
  }
}

type Theirs = InstancesOf<typeof zeromq>;
type Ours = InstancesOf<typeof zmq>;
type InstancesOf<M> = {
  [C in keyof M as M[C] extends Class<unknown> ? C : never]: M[C] extends Class<infer I> ? I : never;
};
type Class<I> = abstract new (...args: never[]) => I;
type Sockets = Exclude<keyof Theirs, "Context" | "Observer" | "Proxy">;
/** Properties but for methods, and for objects that have more here. */
type Values<T> = Omit<
  { [K in keyof T as T[K] extends (...args: never[]) => unknown ? never : K]: T[K] },
  "context" | "events" | "type"
>;
type Compared<C extends keyof Theirs> = { [K in keyof Values<Theirs[C]>]: Ours[C][K & keyof Ours[C]] };

// Options of each kind are what they are there, at construction and as properties.
expectTypeOf<{ [C in Sockets | "Context"]: Compared<C> }>().toEqualTypeOf<{
  [C in Sockets | "Context"]: Values<Theirs[C]>;
}>();
expectTypeOf<{
  [C in Sockets]: Omit<zeromq.SocketOptions<Theirs[C] & zeromq.Socket>, "context">;
}>().toExtend<{
  [C in Sockets]: zmq.SocketOptions<Ours[C]>;
}>();

/** What is exported beside classes. */
export async function others(): Promise<void> {
  const { publicKey, secretKey }: { publicKey: string; secretKey: string } = zmq.curveKeyPair();
  const context = new zmq.Context({ ioThreads: 2, blocky: false, maxSockets: 100, ipv6: true });
  const request = new zmq.Request({ context, curvePublicKey: publicKey, curveSecretKey: secretKey });
  const stream: zmq.StreamConnectOptions = { routingId: "s" };
  const route: zmq.RouterConnectOptions = { routingId: "r" };
  new zmq.Stream().connect("tcp://127.0.0.1:1", stream);
  new zmq.Router({ handover: true }).connect("tcp://127.0.0.1:1", route);
  zmq.context.ioThreads = 1;
  if (request.type !== 3) throw new Error(zmq.version);
  if (zmq.capability.curve) await request.bind("tcp://*:*");
}

/** Listeners and iteration over events; narrowing by type gives the event's fields. */
export async function events(socket: zmq.Socket): Promise<void> {
  const subscriber: zmq.EventSubscriber = socket.events;
  const onBind = (event: zmq.EventOfType<"bind">): void => void event.address.length;
  subscriber.on("bind", onBind).off("bind", onBind);
  socket.events.on("connect:retry", ({ interval, address }) => interval + address.length);
  socket.events.on("accept:error", ({ error }) => `${error.code} ${error.errno}`);
  socket.events.on("handshake:error:auth", ({ error }) => error.status + 1);
  const observer: zmq.Observer = new zmq.Observer(socket);
  const event: zmq.Event = await observer.receive();
  const type: zmq.EventType = event.type;
  for await (const heard of socket.events) {
    switch (heard.type) {
      case "end":
      case "unknown":
        return;
      case "connect:retry":
        console.log(heard.interval, heard.address, type);
        break;
      case "handshake:error:protocol":
        if (heard.error.code === "ERR_ZMTP_MECHANISM_MISMATCH") console.log(heard.address);
        break;
      default:
        console.log(heard.address);
    }
  }
  observer.close();
}

/** A proxy keeps the types of its sockets. */
export async function proxy(): Promise<void> {
  const forwarder: zmq.Proxy<zmq.Router, zmq.Dealer> = new zmq.Proxy(new zmq.Router(), new zmq.Dealer());
  forwarder.frontEnd.mandatory = true;
  await forwarder.backEnd.bind("inproc://back");
  const done: Promise<void> = forwarder.run();
  forwarder.pause();
  forwarder.resume();
  forwarder.terminate();
  await done;
  forwarder.frontEnd.close();
}
