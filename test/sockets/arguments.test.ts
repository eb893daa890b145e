/** What a socket's methods do with options and arguments that they do not have: refuse them, and change nothing. */
import { describe, expect, it } from "vitest";
import {
  Context,
  curvePublicKey,
  Envelope,
  formatCertificate,
  Observer,
  Publisher,
  Pull,
  Push,
  parseCertificate,
  Request,
  Router,
  readCertificate,
  type Socket,
  Stream,
  writeCertificate,
} from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { FakeEngine } from "../support/fake-engine.js";

const context = new Context({ engine: new FakeEngine() });
const own = closeAfterEach();

/** Without the types, which refuse all of it. @returns the error's message, thrown or rejected */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    expect(error).toMatchObject({ name: "InvalidArgumentError", code: "EINVAL" });
    expect(error).toBeInstanceOf(TypeError);
    return (error as Error).message;
  }
  return "nothing";
}

async function expectRefused(
  socket: Socket,
  call: (socket: Socket) => unknown,
  message: string,
): Promise<void> {
  expect(await refusal(() => call(socket))).toBe(message);
  expect(socket.closed).toBe(false);
  expect(socket.lastEndpoint).toBeNull();
  expect(socket.stats()).toMatchObject({ sent: 0, pendingSends: 0, pendingReceives: 0 });
}

// biome-ignore lint/suspicious/noExplicitAny: the calls are wrong on purpose
type Wrong = any;

const A = "inproc://a";

describe("an unknown option is refused, with the nearest known one", () => {
  const routed = Envelope.parse([Buffer.from("id"), Buffer.alloc(0)]).envelope;
  it.each<[string, new (options: Wrong) => Socket, (socket: Wrong) => unknown]>([
    ["receive has no option tiemout; did you mean timeout?", Pull, (s) => s.receive({ tiemout: 1 })],
    ["receiveMany has no option maxx; did you mean max?", Pull, (s) => s.receiveMany({ maxx: 1 })],
    ["messages has no option singal; did you mean signal?", Pull, (s) => s.messages({ singal: 1 })],
    ["send has no option tmieout; did you mean timeout?", Push, (s) => s.send("x", { tmieout: 1 })],
    ["close has no option lingr; did you mean linger?", Push, (s) => s.close({ lingr: 0 })],
    ["ready has no option peer; did you mean peers?", Push, (s) => s.ready({ peer: 1 })],
    ["request has no option timeuot; did you mean timeout?", Request, (s) => s.request("x", { timeuot: 1 })],
    ["reply has no option timeot; did you mean timeout?", Router, (s) => s.reply(routed, "x", { timeot: 1 })],
    [
      "connect has no option routingID; did you mean routingId?",
      Router,
      (s) => s.connect(A, { routingID: "x" }),
    ],
    [
      "connect has no option routingid; did you mean routingId?",
      Stream,
      (s) => s.connect("tcp://127.0.0.1:1", { routingid: "x" }),
    ],
    [
      "waitForSubscribers has no option topics; did you mean topic?",
      Publisher,
      (s) => s.waitForSubscribers({ topics: "x" }),
    ],
    ["receive has no option timout; did you mean timeout?", Pull, (s) => s.events.receive({ timout: 1 })],
  ])("%s", async (message, Class, call) => {
    await expectRefused(own(new Class({ context })), call, message);
  });

  it("at construction, too", async () => {
    expect(await refusal(() => new Push({ context, sendHighWatermark: 1 } as Wrong))).toBe(
      "Push has no option sendHighWatermark; did you mean sendHighWaterMark?",
    );
    expect(await refusal(() => new Push({ contxt: context } as Wrong))).toBe(
      "Push has no option contxt; did you mean context?",
    );
  });

  it("and so are options that are not an object", async () => {
    expect(await refusal(() => new Push(["a"] as Wrong))).toBe(
      "The options of Push must be an object; got an array",
    );
  });
});

describe("an argument too many, or of another kind, is refused", () => {
  it.each<[string, new (options: Wrong) => Socket, (socket: Wrong) => unknown]>([
    [
      'send takes one message: the frames of one must be an array, [frame, frame]; got "message", too',
      Push,
      (s) => s.send("topic", "message"),
    ],
    [
      'trySend takes one message: the frames of one must be an array, [frame, frame]; got "message", too',
      Push,
      (s) => s.trySend("topic", "message"),
    ],
    ['copy must be true or false; got "yes"', Push, (s) => s.send("topic", { copy: "yes" })],
    ["The options of receive must be an object; got 0", Pull, (s) => s.receive(0)],
    ["The options of receive must be an object; got null", Pull, (s) => s.receive(null)],
    [
      "The options of receive must be an object, { signal }; got an AbortSignal",
      Pull,
      (s) => s.receive(new AbortController().signal),
    ],
    ["The options of receiveMany must be an object; got 10", Pull, (s) => s.receiveMany(10)],
    ["The options of close must be an object; got 100", Push, (s) => s.close(100)],
    ["The options of ready must be an object; got 1000", Push, (s) => s.ready(1000)],
    ["The options of request must be an object; got 1000", Request, (s) => s.request("x", 1000)],
    ['The options of connect must be an object; got "x"', Router, (s) => s.connect(A, "x")],
    ['An endpoint must be a string such as "tcp://127.0.0.1:5555"; got 5', Push, (s) => s.connect(5)],
    [
      "routingId must be a string of 1 to 255 bytes that does not begin with a zero byte; got 5",
      Router,
      (s) => s.connect(A, { routingId: 5 }),
    ],
    ["revoke takes a function; got undefined", Push, (s) => s.revoke()],
    ["The options of waitForSubscribers must be an object; got 2", Publisher, (s) => s.waitForSubscribers(2)],
  ])("%s", async (message, Class, call) => {
    await expectRefused(own(new Class({ context })), call, message);
  });

  it("but undefined counts as not given", async () => {
    const push = own(new Push({ context })) as Wrong;
    await push.bind("inproc://arguments");
    await push.send("a", undefined, undefined);
    expect(push.trySend("b", undefined)).toBe(true);
    const engine = new FakeEngine();
    const pull = own(new Pull({ context: new Context({ engine }) })) as Wrong;
    pull.connect("inproc://arguments");
    engine.last.arrive([Buffer.from("a")]);
    expect((await pull.receive(undefined)).map(String)).toEqual(["a"]);
    await push.close(undefined);
  });
});

describe("a value of another type is an invalid argument", () => {
  const others: Wrong[] = [
    undefined,
    null,
    Number.NaN,
    -1,
    1n,
    Symbol("x"),
    {},
    Object.create(null),
    () => 1,
    Buffer.alloc(32),
  ];
  const metadata = { name: Symbol("x") };
  const publicKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

  it.each<[string, (other: Wrong) => unknown]>([
    ["bind", (other) => own(new Push({ context })).bind(other)],
    ["connect", (other) => own(new Push({ context })).connect(other)],
    ["new Envelope", (other) => new Envelope(other)],
    ["Envelope.parse", (other) => Envelope.parse(other)],
    ["new Observer", (other) => new Observer(other)],
    ["curvePublicKey", curvePublicKey],
    ["parseCertificate", parseCertificate],
    ["formatCertificate", (other) => formatCertificate(other, false)],
    ["a key of formatCertificate", (other) => formatCertificate({ publicKey: other, metadata: {} }, false)],
    ["metadata of formatCertificate", () => formatCertificate({ publicKey, metadata } as Wrong, false)],
    ["readCertificate", readCertificate],
    [
      "writeCertificate",
      (other) => writeCertificate(other, { publicKey, secretKey: publicKey, metadata: {} }),
    ],
    ["the certificate of writeCertificate", (other) => writeCertificate("file", other)],
  ])("of %s", async (_, call) => {
    for (const other of others) expect(await refusal(() => call(other))).not.toBe("nothing");
  });

  it("of a context", async () => {
    for (const other of others.slice(1)) {
      expect(await refusal(() => new Context({ blocky: other }))).toMatch(/^Context option blocky must be/);
      if (other !== -1) await refusal(() => new Context({ threadPriority: other }));
    }
  });
});
