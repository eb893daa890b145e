/**
 * Programs typed for the package `zeromq` v6, with only the import changed.
 * Nothing here runs: `npm run typecheck` is the test.
 */
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

/** Options of each kind, at construction and as properties that read as they do there. */
export async function options(): Promise<void> {
  const context = new zmq.Context({ ioThreads: 2, blocky: false, maxSockets: 100, ipv6: true });
  context.threadPriority = 4;
  const limit: number = context.maxSocketsLimit;
  zmq.context.ioThreads = limit > 10 ? 2 : 1;

  const all: zmq.SocketOptions<zmq.XPublisher> = {
    context,
    verbosity: "allSubs",
    welcomeMessage: "hello",
    manual: true,
    sendHighWaterMark: 1,
    tcpKeepalive: 1,
    curveServer: false,
  };
  const xpub = new zmq.XPublisher(all);
  xpub.verbosity = null;
  const welcome: string | null = xpub.welcomeMessage;

  const { publicKey, secretKey }: { publicKey: string; secretKey: string } = zmq.curveKeyPair();
  const request = new zmq.Request({ routingId: "me", correlate: true, relaxed: true });
  request.curvePublicKey = publicKey;
  request.curveSecretKey = secretKey;
  const key: string | null = request.curvePublicKey;
  const id: string | null = request.routingId;
  const mechanism: null | "plain" | "curve" | "gssapi" = request.securityMechanism;
  const endpoint: string | null = request.lastEndpoint;
  const flags: boolean[] = [request.closed, request.readable, request.writable, request.threadSafe];
  const stream: zmq.StreamConnectOptions = { routingId: "s" };
  const route: zmq.RouterConnectOptions = { routingId: "r" };
  new zmq.Stream().connect("tcp://127.0.0.1:1", stream);
  new zmq.Router({ handover: true }).connect("tcp://127.0.0.1:1", route);
  if (request.type !== 3)
    throw new Error(`${welcome}${key}${id}${mechanism}${endpoint}${flags}${zmq.version}`);
  if (zmq.capability.curve) await request.bind("tcp://*:*");
}

/** What can be sent, and the shape of what comes. */
export async function messages(): Promise<void> {
  const dealer = new zmq.Dealer();
  const frames: zmq.MessageLike[] = [
    "text",
    1,
    null,
    Buffer.alloc(1),
    new ArrayBuffer(1),
    new Float64Array(1),
  ];
  await dealer.send(frames);
  await dealer.send(null);
  await dealer.send(new SharedArrayBuffer(1));
  const [first, second]: zmq.Message[] = await dealer.receive();
  await dealer.send([first as Buffer, second as Buffer]);

  const stream = new zmq.Stream();
  const [id, data]: [zmq.Message, zmq.Message] = await stream.receive();
  await stream.send([id, data]);

  const subscriber = new zmq.Subscriber();
  subscriber.subscribe("a", Buffer.from("b"));
  subscriber.unsubscribe();
  const iterator: AsyncIterator<zmq.Message[], undefined> = subscriber[Symbol.asyncIterator]();
  await iterator.next();

  // @ts-expect-error an object is no frame
  await dealer.send({});
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
