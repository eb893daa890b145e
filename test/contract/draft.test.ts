/** The draft socket types: CLIENT, SERVER, PEER, RADIO, DISH, SCATTER, GATHER and CHANNEL. */
import { expect, it } from "vitest";
import { Context, json } from "../../src/index.js";
import {
  Channel,
  Client,
  Dish,
  Gather,
  Peer,
  Radio,
  Scatter,
  Server,
} from "../../src/sockets/draft/index.js";
import { ENGINES } from "../support/engines.js";
import { describeTransports, TRANSPORTS } from "./support/engines.js";
import { failure, nextEvent, thrown, until, untilReceived } from "./support/wait.js";
import type { World } from "./support/world.js";

const WAIT = { timeout: 15_000 };

function describeDraft(subject: string, define: (world: World) => void): void {
  describeTransports(subject, define, TRANSPORTS, ["zmtp"]);
}

describeDraft("CLIENT and SERVER", (world) => {
  const client = (options = {}): Client => world.make(Client, options);
  const server = (options = {}): Server => world.make(Server, options);

  it("answers each of several clients by its routing id", async () => {
    const [server_, one, other] = await world.linked(server(), client(), client());
    await one.send("from one");
    await other.send(Buffer.from("from the other"));
    const ids = new Set<number>();
    for (let i = 0; i < 2; i++) {
      const [body, { routingId }] = await server_.receive(WAIT);
      expect(routingId).toBeGreaterThan(0);
      ids.add(routingId);
      await server_.send(`to ${body}`, { routingId });
    }
    expect(ids.size).toBe(2);
    expect((await one.receive(WAIT)).map(String)).toEqual(["to from one"]);
    expect((await other.receive(WAIT)).map(String)).toEqual(["to from the other"]);
  });

  it("refuses two frames, and sends nothing", async () => {
    const [server_, client_] = await world.linked(server(), client());
    const two = ["one", "two"] as unknown as string;
    expect(await failure(client_.send(two))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => client_.trySend(two))).toMatchObject({ code: "EINVAL" });
    await client_.send(["alone"]);
    const [body, { routingId }] = await server_.receive(WAIT);
    expect(String(body)).toBe("alone");
    expect(await failure(server_.send(two, { routingId }))).toMatchObject({ code: "EINVAL" });
    expect(await failure(client_.send([] as unknown as string))).toMatchObject({ code: "EINVAL" });
  });

  it("rejects a message for a routing id that nobody has", async () => {
    const server_ = server();
    await world.bind(server_);
    expect(await failure(server_.send("lost", { routingId: 7 }))).toMatchObject({ code: "EHOSTUNREACH" });
    expect(thrown(() => server_.trySend("lost", { routingId: 7 }))).toMatchObject({ code: "EHOSTUNREACH" });
  });

  it("rejects a message without a routing id, or with what is not one", async () => {
    const server_ = server();
    await world.bind(server_);
    const send = server_.send.bind(server_) as (...given: unknown[]) => Promise<void>;
    const trySend = server_.trySend.bind(server_) as (...given: unknown[]) => boolean;
    for (const options of [
      undefined,
      null,
      7,
      "7",
      [],
      {},
      { routingId: undefined },
      { routingId: "1" },
      { routingId: 0 },
      { routingId: -1 },
      { routingId: 1.5 },
      { routingId: 2 ** 32 },
      { routingId: Number.NaN },
      { routingId: 1, rotuingId: 2 },
      { routingId: 1, group: "g" },
    ]) {
      expect(await failure(send("x", options))).toMatchObject({ code: "EINVAL" });
      expect(thrown(() => trySend("x", options))).toMatchObject({ code: "EINVAL" });
    }
  });

  it("says which client is full, and goes on with the others", async () => {
    const server_ = server({ sendHighWaterMark: 5, linger: 0 });
    const [slow, fast] = [client({ receiveHighWaterMark: 5 }), client()];
    await world.link(server_, slow, fast);
    await slow.send("slow");
    const [, slowAddress] = await server_.receive(WAIT);
    await fast.send("fast");
    const [, fastAddress] = await server_.receive(WAIT);
    const large = Buffer.alloc(1_000_000);
    let sent = 0;
    while (sent < 2_000 && server_.trySend(large, slowAddress)) {
      sent += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(2_000);
    // What the kernel took meanwhile leaves room for a few.
    let error: unknown;
    for (; error === undefined && sent < 2_000; sent++)
      error = await server_.send(large, slowAddress).then(
        () => undefined,
        (cause: unknown) => cause,
      );
    expect(error).toMatchObject({ code: "EAGAIN" });
    await server_.send("still here", fastAddress);
    expect(String(await fast.receive(WAIT))).toBe("still here");
  });

  it("has values with a codec, each with its address", async () => {
    const options = { codec: json<{ n: number }>() };
    const [server_, client_] = await world.linked(
      world.make<Server<{ n: number }>>(Server, options),
      world.make<Client<{ n: number }>>(Client, options),
    );
    await client_.send({ n: 1 });
    const [value, address] = await server_.receive(WAIT);
    await server_.send([{ n: value.n + 1 }], address);
    expect(await client_.receive(WAIT)).toEqual([{ n: 2 }]);
    expect(server_.stats()).toMatchObject({ sent: 1, received: 1 });
  });
});

describeDraft("RADIO and DISH", (world) => {
  const radio = (options = {}): Radio => world.make(Radio, options);
  const dish = (options = {}): Dish => world.make(Dish, options);

  /** The member of group a does not read, and has no room: with noDrop the next send waits for it. */
  async function filled(): Promise<[Radio, Dish]> {
    const radio_ = radio({ sendHighWaterMark: 10, noDrop: true, linger: 0 });
    const dish_ = dish({ receiveHighWaterMark: 10 });
    await world.link(radio_, dish_);
    dish_.join("a");
    await untilReceived(() => radio_.send("x", { group: "a" }), dish_.receive(WAIT));
    const large = Buffer.alloc(500_000);
    let refused: unknown;
    for (let sent = 0; refused === undefined && sent < 2_000; sent++)
      refused = await radio_.send(large, { group: "a", timeout: 100 }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "EAGAIN" });
    return [radio_, dish_];
  }

  it("sends to the members of a group, compared whole, and to nobody else", async () => {
    const [radio_, one, other] = await world.linked(radio(), dish(), dish());
    one.join("news", Buffer.from("news/sport"));
    other.join("news/spor", "end");
    for (const [to, text, name] of [
      [one, "x", "news/sport"],
      [other, "bye", "end"],
    ] as const) {
      const [body, { group }] = await untilReceived(
        () => radio_.send(text, { group: name }),
        to.receive(WAIT),
      );
      expect([String(body), String(group)]).toEqual([text, name]);
    }
  });

  it("has groups of every length from 0 to 255 bytes, and refuses longer ones", async () => {
    const [radio_, dish_] = await world.linked(radio(), dish());
    const groups = ["", "g", "é".repeat(127), "g".repeat(255)];
    for (const group of groups) {
      dish_.join(group);
      const [, meta] = await untilReceived(() => radio_.send("x", { group }), dish_.receive(WAIT));
      expect(String(meta.group)).toBe(group);
      dish_.leave(group);
    }
    expect(thrown(() => dish_.join("ok", "g".repeat(256)))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => dish_.leave("ok"))).toMatchObject({ code: "EINVAL" });
    expect(await failure(radio_.send("x", { group: "g".repeat(256) }))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => radio_.trySend("x", { group: "a\0b" }))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => dish_.join("a\0b"))).toMatchObject({ code: "EINVAL" });
    for (const group of [undefined, null, 1, {}, ["g"]]) {
      expect(await failure(radio_.send("x", { group: group as unknown as string }))).toMatchObject({
        code: "EINVAL",
      });
      expect(thrown(() => dish_.join(group as unknown as string))).toMatchObject({ code: "EINVAL" });
    }
  });

  it("refuses to join a group twice, or to leave one that it is not in, and changes nothing", async () => {
    const [radio_, dish_] = await world.linked(radio(), dish());
    dish_.join("a");
    expect(thrown(() => dish_.join("b", "a"))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => dish_.join("c", "c"))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => dish_.leave("a", "b"))).toMatchObject({ code: "EINVAL" });
    const [, meta] = await untilReceived(() => radio_.send("x", { group: "a" }), dish_.receive(WAIT));
    expect(String(meta.group)).toBe("a");
  });

  it("receives nothing of a group that it has left", async () => {
    const [radio_, dish_] = await world.linked(radio(), dish());
    dish_.join("a", "b");
    await untilReceived(() => radio_.send("x", { group: "a" }), dish_.receive(WAIT));
    dish_.leave("a");
    for (let i = 0; i < 50; i++) await radio_.send("a", { group: "a" });
    const [body, { group }] = await untilReceived(
      () => radio_.send("b", { group: "b" }),
      dish_.receive(WAIT),
    );
    expect([String(body), String(group)]).toEqual(["b", "b"]);
  });

  it("joins again when its connection was lost", async () => {
    const dish_ = dish({ reconnectInterval: 10 });
    dish_.join("a", "b");
    dish_.leave("b");
    const first = radio({ linger: 0 });
    const endpoint = await world.link(first, dish_);
    await untilReceived(() => first.send("1", { group: "a" }), dish_.receive(WAIT));
    await first.close();
    const second = radio();
    await second.bind(endpoint);
    const again = (async () => {
      for (;;) {
        const [body] = await dish_.receive(WAIT);
        if (String(body) === "2") return;
      }
    })();
    await untilReceived(() => second.send("2", { group: "a" }), again);
  });

  it("drops for a member that does not read, and waits for it with noDrop", async () => {
    const [radio_, dish_] = await filled();
    const waits = radio_.send("after", { group: "a", ...WAIT });
    for (;;) if (String((await dish_.receive(WAIT))[0]) === "after") break;
    await waits;
  });

  it.each(["closes", "leaves"])("with noDrop a send that waits for a member ends when it %s", async (end) => {
    const [radio_, dish_] = await filled();
    const waits = radio_.send("for nobody", { group: "a", ...WAIT });
    if (end === "closes") await dish_.close({ linger: 0 });
    else dish_.leave("a");
    await waits;
  });
});

describeDraft("SCATTER and GATHER", (world) => {
  it("hands work out in turn, and collects it", async () => {
    const scatter = world.make(Scatter);
    const gathers = [0, 1].map(() => world.make(Gather));
    const endpoint = await world.bind(scatter);
    for (const each of gathers) each.connect(endpoint);
    // Both are there once each has got something.
    for (const each of gathers) await untilReceived(() => scatter.send("warm up"), each.receive(WAIT));
    const got: string[] = [];
    const readers = gathers.map(async (each) => {
      for await (const [body] of each) if (String(body) !== "warm up") got.push(String(body));
    });
    for (let i = 0; i < 100; i++) await scatter.send(String(i));
    await until(() => got.length === 100, "all work");
    expect(got.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    await Promise.all(gathers.map((each) => each.close()));
    await Promise.all(readers);
  });

  it("waits while nobody takes work, and has one direction", async () => {
    const scatter = world.make(Scatter, { sendTimeout: 20 });
    const gather = world.make(Gather);
    await world.bind(scatter);
    expect(await failure(scatter.send("x"))).toMatchObject({ code: "EAGAIN" });
    expect(await failure(scatter.send(["a", "b"] as unknown as string))).toMatchObject({ code: "EINVAL" });
    expect("receive" in scatter).toBe(false);
    expect("send" in gather).toBe(false);
  });

  it("keeps only the newest message with conflate", async () => {
    const scatter = world.make(Scatter, { conflate: true });
    const gather = world.make(Gather);
    scatter.connect(await world.bind(gather));
    for (let i = 0; i < 10; i++) scatter.trySend(String(i));
    expect(String(await gather.receive(WAIT))).toBe("9");
  });
});

describeDraft("PEER and CHANNEL", (world) => {
  const peer = (options = {}): Peer => world.make(Peer, options);
  const pairOf = (): [Peer, Peer] => [peer(), peer()];

  it("speaks first to a peer it connects to, and is answered", async () => {
    const [one, other] = pairOf();
    const id = one.connectPeer(await world.bind(other));
    await one.send("first", { routingId: id });
    const [body, address] = await other.receive(WAIT);
    expect(String(body)).toBe("first");
    await other.send("second", address);
    const [answer, { routingId }] = await one.receive(WAIT);
    expect([String(answer), routingId]).toEqual(["second", id]);
  });

  it("needs immediate to be false, and an endpoint", async () => {
    expect(thrown(() => peer({ immediate: true }).connectPeer("tcp://127.0.0.1:1"))).toMatchObject({
      code: "EFSM",
    });
    expect(thrown(() => peer().connectPeer("nonsense"))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => peer().connectPeer({} as string))).toMatchObject({ code: "EINVAL" });
  });

  it("talks to one peer, and refuses another", async () => {
    const [one, other, third] = [0, 1, 2].map(() => world.make(Channel)) as [Channel, Channel, Channel];
    const endpoint = await world.link(one, other);
    await other.send("hello");
    expect(String(await one.receive(WAIT))).toBe("hello");
    await one.send("welcome");
    expect(String(await other.receive(WAIT))).toBe("welcome");
    const refused = nextEvent(one, "handshake:error:other");
    third.connect(endpoint);
    expect((await refused).error.message).toContain("a CHANNEL socket has one peer");
    expect(await failure(one.send(["a", "b"] as unknown as string))).toMatchObject({ code: "EINVAL" });
  });
});

describeTransports(
  "draft sockets and others",
  (world) => {
    it("do not talk to each other", async () => {
      const server = world.make(Server);
      const refused = nextEvent(server, "handshake:error:protocol");
      const dealer = world.dealer();
      await world.link(server, dealer);
      await refused;
    });
  },
  ["tcp"],
  ["zmtp"],
);

const DRAFTS = [Channel, Client, Dish, Gather, Peer, Radio, Scatter, Server];

it.runIf(ENGINES.includes("libzmq")).each(DRAFTS)("on libzmq there is no $name", (Draft) => {
  const context = new Context({ engine: "libzmq" });
  expect(thrown(() => new Draft({ context }))).toMatchObject({ code: "NOT_SUPPORTED" });
});
