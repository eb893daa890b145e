/**
 * What programs do with sockets, by which their process lives on or ends.
 *
 *   node life-program.js PROGRAM [ENDPOINT]      one of PROGRAMS; each of LIVING says so when it has lived on
 */
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Stream,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "shoal";

const [program, endpoint] = process.argv.slice(2);
const ANY = "tcp://127.0.0.1:*";
const NOBODY = "tcp://127.0.0.1:1";
const ignore = () => undefined;
const printCode = (error) => console.log(error.code);

/** None is forgotten. */
const sockets = [];

function made(Type, options) {
  const socket = new Type(options);
  sockets.push(socket);
  return socket;
}

/** A socket that is connected to nobody. */
function connected(Type, options) {
  const socket = made(Type, options);
  socket.connect(NOBODY);
  return socket;
}

async function bound(Type, options) {
  const socket = made(Type, options);
  await socket.bind(ANY);
  return socket;
}

async function readAll(messages) {
  for await (const _ of messages);
}

/** By what their sockets do, or wait for. */
export const LIVING = {
  "a socket is bound": () => bound(Pull),
  "a socket is bound with bindSync": () => made(Reply).bindSync(ANY),
  "a receive waits on a connected socket": () => void connected(Dealer).receive(),
  "a loop over a connected socket waits": () => {
    const sub = connected(Subscriber);
    sub.subscribe();
    void readAll(sub);
  },
  "a send waits for room": () => {
    const push = connected(Push, { sendHighWaterMark: 1 });
    for (let i = 0; i < 3; i++) push.send("full").catch(ignore);
  },
  "a send on a socket without peers waits": () => void made(Push).send("nobody"),
  "an event listener is attached": () => {
    const dealer = made(Dealer);
    dealer.events.on("handshake", ignore);
    dealer.connect(NOBODY);
  },
  "somebody waits for the next event": () => void readAll(connected(Dealer).events),
  "somebody waits for subscribers": () => void connected(Publisher).waitForSubscribers(),
  "somebody waits until the socket is ready": () => void connected(Dealer).ready(),
};

const TYPES = [
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
];

export const ENDING = {
  "its sockets are idle and only connected": () => {
    for (const Type of [...TYPES, Stream]) connected(Type);
  },
  "its sockets were never used": () => [Dealer, Router, Stream].map((Type) => made(Type)),
  "its bound sockets are unreferenced": async () => {
    await made(Publisher).unref().bind(ANY);
    (await bound(Reply)).ref().unref();
  },
  "the waiting receive is aborted": async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    await connected(Dealer).receive({ signal: stop.signal }).catch(printCode);
  },
  "the waiting receive times out": () => connected(Dealer, { receiveTimeout: 50 }).receive().catch(printCode),
  "the waiting send times out": () => new Push({ sendTimeout: 50 }).send("nobody").catch(printCode),
  "the last event listener is removed": () => {
    const dealer = new Dealer();
    dealer.events.on("handshake", ignore);
    dealer.connect(NOBODY);
    setTimeout(() => dealer.events.off("handshake", ignore), 50);
  },
  "the socket is unbound": async () => {
    const pull = await bound(Pull);
    await pull.unbind(pull.lastEndpoint);
  },
  "the bound socket is closed": async () => (await bound(Pull)).close(),
  "the bound socket is closed under its waiting calls": async () => {
    const pull = await bound(Pull);
    pull.receive().catch(printCode);
    void readAll(pull.events).then(() => console.log("events ended"));
    setTimeout(() => pull.close(), 50);
  },
  "two connected sockets have finished their work": async () => {
    const pull = await bound(Pull);
    const push = new Push();
    push.connect(pull.lastEndpoint);
    await push.send("work");
    console.log(String(await pull.receive()));
    await pull.close();
  },
  "sockets with all the time in the world are closed, and have sent everything": async () => {
    const pull = await bound(Pull, { linger: 600_000 });
    const push = new Push({ linger: 600_000 });
    push.connect(pull.lastEndpoint);
    await push.send("work");
    console.log(String(await pull.receive()));
    await push.close();
    await pull.close();
  },
  "messages wait for an absent peer, and linger is 0": async () => {
    const push = connected(Push, { linger: 0 });
    for (let i = 0; i < 100; i++) await push.send("lost");
  },
  "an authenticated server is closed": async () => {
    const rep = await bound(Reply, { plainServer: true, authenticate: () => true });
    const req = new Request({ plainUsername: "u", plainPassword: "p" });
    req.connect(rep.lastEndpoint);
    req.send("q");
    console.log(String(await rep.receive()));
    await rep.send("a");
    await req.receive();
    await rep.close();
  },
};

/** Prints where it is bound, and how many messages came before an empty one. @param pause after each of 50; ms */
async function sink(options, pause = 0) {
  const pull = await bound(Pull, options);
  console.log(pull.lastEndpoint);
  let count = 0;
  for await (const [frame] of pull) {
    if (frame.length === 0) break;
    if (++count % 50 === 0 && pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
  console.log(count);
  await pull.close();
}

/** Connected to a sink. */
function source(sendHighWaterMark) {
  const push = new Push({ sendHighWaterMark });
  push.connect(endpoint);
  return push;
}

let stop = false;

async function flood() {
  const pull = await bound(Pull);
  const push = made(Push, { linger: 0 });
  push.connect(pull.lastEndpoint);
  void (async () => {
    let count = 0;
    for await (const _ of pull) if (++count === 10_000) console.log("flowing");
  })();
  void (async () => {
    while (!stop) await push.send("x".repeat(100)).catch(ignore);
  })();
}

const PROGRAMS = {
  ...LIVING,
  ...ENDING,
  "all of its sockets are done": () => Promise.all(Object.values(ENDING).map((each) => each())),
  sink: () => sink(),
  slowSink: () => sink({ receiveHighWaterMark: 10 }, 5),
  endsWithoutClose: () => {
    const push = source(0);
    for (let i = 0; i < 5_000; i++) push.send("x".repeat(1_000));
    push.send("");
  },
  exits: async () => {
    const push = source(0);
    await push.ready(); // Nothing can wait in process.exit: the kernel gets what it takes at once.
    for (let i = 0; i < 50; i++) await push.send("x".repeat(1_000));
    await push.send("");
    process.exit(7);
  },
  closesWithSends: async () => {
    const push = source(10);
    for (let i = 0; i < 1_000; i++) push.send("x".repeat(10_000));
    push.send("");
    console.log(push.stats().pendingSends > 0);
    console.log(JSON.stringify(await push.close()));
  },
  closesWithCalls: async () => {
    const push = connected(Push, { sendHighWaterMark: 1 });
    for (let i = 0; i < 5; i++) push.send("nobody");
    push.ready();
    push.events.receive();
    push.events.receive();
    const request = connected(Request);
    request.request("nobody");
    request.request("nobody");
    const pull = connected(Pull);
    pull.receive();
    pull.receiveMany();
    const binds = new Pull();
    binds.bind(ANY);
    const pub = connected(Publisher);
    pub.waitForSubscribers();
    const awaited = push.send("somebody").catch(printCode);
    await Promise.all([push, request, pull, binds, pub].map((socket) => socket.close({ linger: 20 })));
    await awaited;
  },
  flood,
  floodWithHandler: async () => {
    await flood();
    process.on("SIGTERM", async () => {
      stop = true;
      await Promise.all(sockets.map((socket) => socket.close()));
      console.log("closed");
    });
  },
};

// A test that reads the names runs none of them.
if (program in PROGRAMS) await PROGRAMS[program]();
// For longer than the engine's own slices and ticks.
if (program in LIVING) setTimeout(() => console.log("still here"), 1_500).unref();
