/**
 * Programs for the package `zeromq` that extend its classes, or reach options by libzmq's numbers as those do. Each runs
 * on shoal-zeromq and on the package itself, and those that shoal's own classes allow on shoal, too.
 */
import { describe, expect, it } from "vitest";
import { thrown, turn, within } from "./support/wait.js";
import { inproc, own, PACKAGES, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

/** What the package's declarations have, but do not show to callers from outside. */
interface Numbered {
  getBoolOption(option: number): boolean;
  setBoolOption(option: number, value: unknown): void;
  getInt32Option(option: number): number;
  setInt32Option(option: number, value: unknown): void;
  getUint32Option(option: number): number;
  setUint32Option(option: number, value: unknown): void;
  getInt64Option(option: number): number;
  setInt64Option(option: number, value: unknown): void;
  getUint64Option(option: number): number;
  setUint64Option(option: number, value: unknown): void;
  getStringOption(option: number): string | null;
  setStringOption(option: number, value: unknown): void;
}

interface Raw {
  send(message: unknown): Promise<void>;
  receive(): Promise<Buffer[]>;
}

type SocketConstructor = new (
  type?: unknown,
  options?: unknown,
  more?: unknown,
) => InstanceType<typeof import("../../src/index.js").Dealer>;

describe.each(
  PACKAGES.filter(([name]) => name !== "shoal"),
)("a program that extends zeromq on %s", (_, zmq) => {
  const numbered = (socket: object): Numbered => socket as Numbered;
  const Socket = zmq.Socket as unknown as SocketConstructor;

  it("makes a socket of a type by its number, with the type's methods and the socket's options", async () => {
    const push = own(new Socket(8, { linger: 0 }));
    const pull = own(new Socket(7));
    expect([push.type, pull.type, push.linger]).toEqual([8, 7, 0]);
    const endpoint = inproc();
    await push.bind(endpoint);
    pull.connect(endpoint);
    await push.send("work");
    expect((await within(pull.receive(), "the work")).map(String)).toEqual(["work"]);
  });

  it("extends Socket with a class of its own, in the context it is given", async () => {
    class Talker extends Socket {
      constructor(options?: object) {
        super(0, options);
      }
      get parts(): Raw {
        return this as unknown as Raw;
      }
      async listen(): Promise<string[]> {
        return (await this.parts.receive()).map(String);
      }
    }
    const context = new zmq.Context();
    const [a, b] = [own(new Talker({ context })), own(new Talker({ context }))];
    expect(a.context).toBe(context);
    expect(a).toBeInstanceOf(zmq.Socket);
    const endpoint = inproc();
    await a.bind(endpoint);
    b.connect(endpoint);
    await a.parts.send(["hello", "there"]);
    expect(await within(b.listen(), "the message")).toEqual(["hello", "there"]);
    expect(own(new Talker()).context).toBe(zmq.context);
  });

  it.each([
    ["no type", () => [] as unknown[]],
    ["a type that is text", () => ["dealer"]],
    ["options that are a number", () => [3, 1]],
    ["three arguments", () => [1, {}, 2]],
  ])("gets a TypeError for %s", (_, args) => {
    expect(thrown(() => new Socket(...(args() as [])))).toBeInstanceOf(TypeError);
  });

  it.each([37, -1, 4591, 5.5e9])("gets EINVAL for the type %d", (type) => {
    expect(thrown(() => new Socket(type)).code).toBe("EINVAL");
  });

  it("reads and writes options by number", () => {
    const socket = numbered(own(new zmq.Dealer()));
    socket.setBoolOption(39, true);
    socket.setInt32Option(19, 75);
    socket.setInt64Option(22, 0xffff_ffff_ffff);
    socket.setStringOption(5, "näme");
    const dealer = socket as unknown as InstanceType<typeof zmq.Dealer>;
    expect([dealer.immediate, dealer.backlog, dealer.maxMessageSize, dealer.routingId]).toEqual([
      true,
      75,
      0xffff_ffff_ffff,
      "näme",
    ]);
    expect([socket.getBoolOption(39), socket.getInt32Option(39), socket.getInt32Option(19)]).toEqual([
      true,
      1,
      75,
    ]);
    expect([socket.getInt64Option(22), socket.getStringOption(5)]).toEqual([0xffff_ffff_ffff, "näme"]);
    socket.setStringOption(5, Buffer.from("other"));
    expect(dealer.routingId).toBe("other");
    dealer.plainServer = true;
    expect([socket.getInt32Option(16), socket.getInt32Option(43)]).toEqual([5, 1]);
  });

  it("subscribes by number, and names the peer that it connects to", async () => {
    const endpoint = inproc();
    const [sub, xpub] = [own(new zmq.Subscriber()), own(new zmq.XPublisher())];
    await xpub.bind(endpoint);
    sub.connect(endpoint);
    numbered(sub).setStringOption(6, "a");
    expect(await within(xpub.receive(), "the subscription")).toEqual([Buffer.from("\u0001a")]);
    numbered(sub).setStringOption(7, "a");
    expect(await within(xpub.receive(), "its end")).toEqual([Buffer.from("\u0000a")]);

    const [dealer, router] = [own(new zmq.Dealer()), own(new zmq.Router({ mandatory: true }))];
    await dealer.bind("tcp://127.0.0.1:*");
    numbered(router).setStringOption(61, "you");
    router.connect(dealer.lastEndpoint as string);
    await dealer.send("x");
    expect((await within(router.receive(), "a message")).map(String)).toEqual(["you", "x"]);
  });

  it("asks a publisher for each subscription, by number", async () => {
    const endpoint = inproc();
    const [xpub, first, second] = [
      own(new zmq.XPublisher()),
      own(new zmq.XSubscriber()),
      own(new zmq.XSubscriber()),
    ];
    numbered(xpub).setBoolOption(40, true);
    await xpub.bind(endpoint);
    for (const sub of [first, second]) {
      sub.connect(endpoint);
      await sub.send(Buffer.from("\u0001a"));
      expect(await within(xpub.receive(), "a subscription")).toEqual([Buffer.from("\u0001a")]);
    }
  });

  it("gets EINVAL for a number that is not an option, and for a call of another width", () => {
    const socket = numbered(own(new zmq.Dealer()));
    expect(thrown(() => socket.getInt32Option(1_234)).code).toBe("EINVAL");
    expect(thrown(() => socket.setInt32Option(1_234, 1)).code).toBe("EINVAL");
    expect(thrown(() => socket.getInt32Option(22)).code).toBe("EINVAL");
    expect(thrown(() => socket.setInt32Option(6, 1)).code).toBe("EINVAL");
    expect(thrown(() => socket.setInt32Option(19, "many"))).toBeInstanceOf(TypeError);
    expect(thrown(() => socket.setBoolOption(39, 1))).toBeInstanceOf(TypeError);
    expect(thrown(() => socket.setStringOption(5, 1))).toBeInstanceOf(TypeError);
  });

  it("reads and writes a context's options by number", () => {
    class Named extends zmq.Context {
      override set ioThreads(count: number) {
        numbered(this).setInt32Option(1, count);
      }
      override get ioThreads(): number {
        return super.ioThreads;
      }
    }
    const context = new Named();
    const options = numbered(context);
    context.ioThreads = 3;
    options.setBoolOption(70, false);
    expect([context.ioThreads, context.blocky, options.getInt32Option(70)]).toEqual([3, false, 0]);
    expect(options.getInt32Option(3)).toBe(context.maxSocketsLimit);
    options.setInt32Option(70, 1);
    expect(options.getBoolOption(70)).toBe(true);
    expect(thrown(() => options.getInt32Option(1_234)).code).toBe("EINVAL");
  });

  it("is warned of a number beyond what JavaScript counts exactly", async () => {
    const socket = numbered(own(new zmq.Dealer()));
    expect(await warnings(() => socket.setUint64Option(4, 2 ** 60))).toEqual([
      "Value is larger than Number.MAX_SAFE_INTEGER and may have been rounded inaccurately.",
    ]);
    expect(socket.getUint64Option(4)).toBe(2 ** 60);
    expect(await warnings(() => socket.setUint64Option(4, 2 ** 52))).toEqual([]);
  });
});

describe.each(PACKAGES)("a program for zeromq on %s", (_, zmq) => {
  it("extends a socket class, and keeps its own send", async () => {
    class Shouter extends zmq.Push {
      override send(message: unknown): Promise<void> {
        return super.send(String(message).toUpperCase());
      }
    }
    const [push, pull] = [own(new Shouter()), own(new zmq.Pull())];
    const endpoint = inproc();
    await push.bind(endpoint);
    pull.connect(endpoint);
    await push.send("hey");
    expect(String((await within(pull.receive(), "the shout"))[0])).toBe("HEY");
  });

  it("is warned of an option that is set too late, once for each, and not of one that takes effect at once", async () => {
    const late = ["Socket option will not take effect until next connect/bind."];
    const dealer = own(new zmq.Dealer());
    expect(await warnings(() => Object.assign(dealer, { routingId: "early" }))).toEqual([]);
    const binding = dealer.bind("tcp://127.0.0.1:*");
    expect(await warnings(() => Object.assign(dealer, { routingId: "while it binds" }))).toEqual(late);
    await binding;
    expect(await warnings(() => Object.assign(dealer, { routingId: "bound" }))).toEqual(late);
    await dealer.unbind(dealer.lastEndpoint as string);
    expect(await warnings(() => Object.assign(dealer, { routingId: "unbound" }))).toEqual([]);
    const request = own(new zmq.Request());
    request.connect("tcp://127.0.0.1:9");
    expect(await warnings(() => Object.assign(request, { routingId: "connected" }))).toEqual(late);
    const immediate = {
      linger: 0,
      sendTimeout: 1,
      receiveTimeout: 1,
      sendHighWaterMark: 5,
      receiveHighWaterMark: 5,
      relaxed: true,
      correlate: true,
      probeRouter: true,
    };
    expect(await warnings(() => Object.assign(request, immediate))).toEqual([]);
  });
});

/** The texts of the process's warnings that a call causes. */
async function warnings(call: () => unknown): Promise<string[]> {
  const heard: string[] = [];
  const listener = ({ message }: Error): number => heard.push(message);
  process.on("warning", listener);
  try {
    call();
    await turn();
  } finally {
    process.off("warning", listener);
  }
  return heard;
}
