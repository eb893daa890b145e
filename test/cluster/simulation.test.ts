/** Nodes as programs run them, in a simulated world of bad networks, resets, cuts, stops and kills: what becomes of all that they send and know. */
import { expect, it } from "vitest";
import { ClusterNode, DiscoveryClient, DiscoveryServer, type Service } from "../../src/cluster/index.js";
import { MAX_CHECK_AFTER } from "../../src/cluster/requests/types.js";
import { ignore } from "../../src/core/waiter.js";
import { simulate, type World } from "../../src/testing/index.js";
import { LONG } from "../support/long.js";
import { mayCount } from "../support/seed.js";
import { KEY, pause } from "./simulated.js";

const NAMES = ["a", "b", "c", "d"];
/** Those that serve; the others alone share keys, since a node that serves asks itself. */
const SERVING = ["a", "b"];
/** ms of the time in which things break. */
const TROUBLE = 8_000;
/** ms after it within which all see the same; what was cut off for long is sent again as late as that. */
const CONVERGES = 20_000;
/** ms that a call may take, which is longer than anything stands still. */
const PATIENCE = 60_000;
/** ms of a call, and of each part of a stream, where nobody is lost: a dial that a cut holds up has 3 s, then the next one. */
const IN_TIME = 5_000;
const LIMIT = { timeout: LONG ? 2_400_000 : 180_000 };
/** ms of the probe that follows a reset. */
const PROBE = 1_000;
/** Of requests that may not be repeated, where nodes are lost. */
const CODES = ["ETIMEDOUT", "no-service", "overloaded", "worker-lost", "stopping"];
const USER = { username: "ana", password: "secret" };

/** What members survive. */
const GENTLE = ["reset", "reset", "stall", "blink", "rejoin", "close"] as const;
const HOSTILE = [...GENTLE, "kill", "crash", "leave", "split", "one-way", "pause", "pause"] as const;
type Fault = (typeof HOSTILE)[number];

const sorted = (of: Iterable<string>): string => [...of].sort().join();

interface Settings {
  readonly isByGroup: boolean;
  /** Items that may wait for another node; 0: the default. */
  readonly mark: number;
  /** Who is lost for a short time is forgotten, with all that was sent and received: it is met again as a stranger. */
  readonly forgets: boolean;
  /** Services end now and then. */
  readonly closes: boolean;
}

/** A process of a node, and what it knows of its own doings. */
class Life {
  readonly node: ClusterNode;
  readonly id: string;
  isOver = false;
  /** Calls that have not ended. */
  readonly open = new Set<string>();
  /** Next numbers of what it publishes and sends: by topic, channel, and so on; and those of the time when all had met. */
  readonly next = new Map<string, number>();
  base: ReadonlyMap<string, number> | undefined;
  /** Numbers that came, by sender and kind. */
  readonly got = new Map<string, number[]>();
  readonly filters = new Map<string, { close(): void }>();
  service: Service | undefined;
  tags = "";
  endpoint = "";
  withdraw: () => unknown = () => undefined;

  constructor(id: string, { isByGroup, mark, forgets }: Settings) {
    const name = id.charAt(0);
    const seeds = ["a:7000", "b:7000"];
    this.id = id;
    this.node = new ClusterNode({
      name,
      scope: "link",
      key: KEY,
      port: 7000,
      messaging: { channels: [0, 3, 7], settle: 10_000, ...(mark > 0 && { highWaterMark: mark }) },
      ...(isByGroup ? {} : { multicast: false, seeds }),
      ...(forgets && { profile: { autoclean: 1_500 } }),
    });
  }

  take(kind: string): number {
    const number = this.next.get(kind) ?? 0;
    this.next.set(kind, number + 1);
    return number;
  }

  from(sender: string, kind: string): number[] {
    const key = `${sender} ${kind}`;
    const numbers = this.got.get(key) ?? [];
    this.got.set(key, numbers);
    return numbers;
  }
}

class Crew {
  readonly lives = new Map<string, Life>();
  readonly wrong: string[] = [];
  /** Runs of requests that may not be repeated, and parts of streams that were read. */
  readonly #runs = new Map<string, number>();
  readonly #read = new Map<string, number>();
  /** Who answered what clients asked, when all had met. */
  readonly #asked: Set<string>[] = [];
  readonly #acknowledged: (readonly [from: string, to: Life, number: number])[] = [];
  /** Requests that nobody may run again, of which it is not known whether they ran. */
  readonly #lost: string[] = [];
  readonly #settings: Settings;
  #client: DiscoveryClient | undefined;
  /** A reset is a reason for death where the probe that follows fails in a cut: one does not come during the other, where nobody is lost. */
  #cutUntil = 0;
  #probedUntil = 0;
  #calls = 0;
  #count = 0;
  ahead = 0;

  constructor(
    readonly world: World,
    /** Nobody is lost. */
    readonly isGentle: boolean,
    /** What happened at all. */
    readonly counts: Record<"acknowledged" | "answers" | "replies" | "parts" | "answered", number>,
  ) {
    const { random } = world;
    this.#settings = {
      isByGroup: random.pick([true, false]),
      mark: random.pick([0, 0, 20]),
      forgets: !isGentle && random.pick([true, false]),
      closes: random.pick([true, false]),
    };
    const loss = world.random.pick([0, 0.01, 0.1]);
    world.network({ latency: [1, world.random.pick([5, 20, 80])], loss, duplication: 0.3 });
    for (const name of NAMES) this.open(name);
    world.node("client").start(() => {
      const addresses = NAMES.map((name) => `tcp://${name}:7001`);
      this.#client = new DiscoveryClient({ addresses, ...USER });
    });
  }

  /** Unless it is there. */
  open(name: string): void {
    if (this.world.node(name).running) return;
    this.#count += 1;
    const id = `${name}${this.#count}`;
    const started = this.world.node(name).start(async () => {
      const life = new Life(id, this.#settings);
      this.#program(life);
      await life.node.start();
      this.lives.set(name, life);
      const users = { [USER.username]: USER.password };
      await new DiscoveryServer(life.node, { endpoint: "tcp://*:7001", users }).start();
    });
    started.catch(ignore);
  }

  #program(life: Life): void {
    const { node } = life;
    const { random } = this.world;
    const datagrams = new Set<string>();
    node.events.on("handler:failed", ignore);
    if (this.isGentle)
      for (const type of ["lost", "left", "back", "restarted", "minority", "draining"] as const)
        node.events.on(type, () => void this.wrong.push(`${life.id} sees that a node is ${type}`));
    for (const topic of ["x", "y"]) this.#subscribe(life, topic);
    node.subscribe("self", ({ data }) => this.#take(life, "self", String(data)));
    node.subscribe("state/+", { retained: true }, ({ data }) => this.#take(life, "state", String(data)));
    node.subscribe("ask", ({ data, sender }) => {
      node.sendTo(sender, `${life.id} ${data}`).catch(ignore);
    });
    for (const filter of ["state/+", "ask"]) life.filters.set(filter, { close: ignore });
    node.onMessage(({ channel, data, protocol }) => {
      // Datagrams may pass each other.
      if (protocol !== "udp") this.#take(life, String(channel), String(data));
      else if (datagrams.has(String(data))) this.wrong.push(`${life.id} got ${data} twice`);
      else datagrams.add(String(data));
    });
    node.onQuery(async ({ data }) => {
      await pause(random.integer(0, 60));
      return `${data}@${node.id}`;
    });
    const crew = this;
    node.serve("count", async function* (body: string) {
      for (let n = 1; n <= Number(body.split("*")[1]); n++) {
        crew.ahead = Math.max(crew.ahead, n - (crew.#read.get(body) ?? 0));
        yield n;
        await pause(random.integer(0, 5));
      }
    });
    if (SERVING.includes(life.id.charAt(0))) this.#serve(life);
  }

  #serve(life: Life): void {
    const { random } = this.world;
    const handler = async (body: string): Promise<string> => {
      if (body.startsWith("plain")) this.#runs.set(body, (this.#runs.get(body) ?? 0) + 1);
      await pause(random.integer(0, 60));
      if (body.endsWith("!")) throw new Error("as it was told");
      return `${body}?`;
    };
    const service = life.node.serve("work", handler, { concurrency: 4, maxQueue: 8 });
    // Until all know it, another one may not close.
    service.ready.then(() => {
      life.service = service;
    }, ignore);
  }

  /** It serves no more for a while, if another one does. */
  #close(life: Life): void {
    const { service } = life;
    if (!this.#settings.closes) return;
    const isOther = (other: Life): boolean => other !== life && other.service !== undefined && !other.isOver;
    if (service === undefined || ![...this.lives.values()].some(isOther)) return;
    life.service = undefined;
    this.#call(life, "closes a service", [], async () => {
      await service.close();
      await pause(this.world.random.integer(0, 1_000));
      this.#serve(life);
    });
  }

  #subscribe(life: Life, topic: string): void {
    const isSlow = this.world.random.pick([false, true]);
    // What has no room holds its link, within a batch, too.
    const options = isSlow ? { maxQueue: 3 } : {};
    const subscription = life.node.subscribe(topic, options, ({ data }) => {
      this.#take(life, topic, String(data));
      return isSlow ? pause(this.world.random.integer(0, 20)) : undefined;
    });
    life.filters.set(topic, subscription);
  }

  #take(at: Life, kind: string, data: string): void {
    const [from, text] = data.split(" ") as [string, string];
    const numbers = at.from(from, kind);
    const last = numbers.at(-1) ?? -1;
    if (Number(text) <= last) this.wrong.push(`${at.id} got ${from} ${kind} ${text} after ${last}`);
    numbers.push(Number(text));
  }

  // --- What nodes do -------------------------------------------------------------------------------------------------

  /** Does something at a node, if that has started. */
  #at(name: string, does: (life: Life) => void): void {
    const life = this.lives.get(name);
    if (life === undefined || life.isOver || !this.world.node(name).running) return;
    this.world
      .node(name)
      .run(() => {
        if (!life.isOver) does(life);
      })
      .catch(ignore);
  }

  /** A call that ends, and whose errors have these codes. @param call says when it goes on, which begins its time again */
  #call(
    life: Life,
    what: string,
    codes: readonly string[],
    call: (goesOn: () => void) => Promise<void>,
  ): void {
    let since = this.world.now;
    const goesOn = (): void => {
      const took = this.world.now - since;
      if (this.isGentle && took > IN_TIME) this.wrong.push(`${life.id} ${what}: took ${took} ms`);
      since = this.world.now;
    };
    this.#calls += 1;
    const name = `${what} (${this.#calls})`;
    life.open.add(name);
    call(goesOn)
      .catch((error: { code?: string; reason?: string; message: string }) => {
        const text = `${life.id} ${what}: ${error.message}`;
        if (life.isOver) return;
        if (this.isGentle && error.reason === "worker-lost") this.#lost.push(text);
        else if (!codes.includes(error.reason ?? error.code ?? "")) this.wrong.push(text);
      })
      .finally(() => {
        life.open.delete(name);
        goesOn();
      });
  }

  act(): void {
    const { random } = this.world;
    this.#at(random.pick(NAMES), (life) => {
      const acts = [
        () => this.#publish(life, random.pick(["x", "y"]), random.integer(1, 30)),
        () => this.#send(life),
        () => this.#query(life),
        () => this.#request(life, random.pick([1, 1, 40])),
        () => this.#stream(life),
        () => this.#retain(life),
        () => this.#ask(life),
        () => this.#change(life),
        () => this.#route(life),
      ];
      random.pick(acts)();
    });
  }

  #publish(life: Life, topic: string, count: number, mayDrop = true): void {
    const { random } = this.world;
    const onFull = mayDrop ? random.pick(["wait", "drop"] as const) : "wait";
    for (let i = 0; i < count; i++)
      this.#call(life, "publishes", [], async () => {
        const more = "x".repeat(random.pick([0, 0, 60, 200, 3_000, 20_000]));
        await life.node.publish(topic, `${life.id} ${life.take(topic)} ${more}`, { onFull });
      });
  }

  /** To all that it knows: on a channel, and to the own client of each. */
  #send(life: Life): void {
    const { node } = life;
    const members = node.members({ self: false });
    const channel = this.world.random.pick([0, 3, 7]);
    const number = life.take("self");
    const data = `${life.id} ${life.take(String(channel))}`;
    this.#call(life, "sends", [], async () => {
      const { failed } = await node.send({ members, channel, data, broadcast: channel === 3 });
      for (const { error } of failed) this.#checkFailure(`${life.id} sends`, error);
    });
    for (const { id } of members)
      this.#call(life, "sends to one", ["EHOSTUNREACH"], async () => {
        await node.sendTo(node.addressOf(id), `${life.id} ${number}`, { timeout: PATIENCE });
        this.counts.acknowledged += 1;
        const other = [...this.lives.values()].find((each) => each.node.id === id);
        if (other !== undefined) this.#acknowledged.push([life.id, other, number]);
      });
  }

  #query(life: Life): void {
    const { node } = life;
    const members = node.members({ self: false });
    const data = `${life.id} ${life.take("query")}`;
    // Who forgot the asker answers nobody, and the asker may not know.
    const { forgets } = this.#settings;
    const timeout = forgets ? 5_000 : PATIENCE;
    this.#call(life, "queries", [], async () => {
      const { replies, failed, missing } = await node.query({ members, data, timeout }).collect();
      if (life.isOver) return;
      const all = [...[...replies, ...failed].map(({ member }) => member), ...missing];
      if (missing.length > 0 && !forgets)
        this.wrong.push(`${data}: no answer of ${missing.map(({ name }) => name)}`);
      else if (sorted(all.map(({ id }) => id)) !== sorted(members.map(({ id }) => id)))
        this.wrong.push(`${data}: other answers`);
      this.counts.answers += replies.length;
      for (const { member, data: answer } of replies)
        if (answer !== `${data}@${member.id}`) this.wrong.push(`${data}: ${answer}`);
      for (const { error } of failed) this.#checkFailure(data, error);
    });
  }

  /** A node is out of reach, or takes no more. */
  #checkFailure(what: string, { code, message }: Error & { code?: string }): void {
    const isFull = this.#settings.mark > 0 && code === "EAGAIN";
    if (!isFull && (this.isGentle || code !== "EHOSTUNREACH")) this.wrong.push(`${what}: ${message}`);
  }

  /** Plain ones, which run once at most, and those that may be repeated, none of which fails. */
  #request(life: Life, count: number): void {
    const { random } = this.world;
    const isServing = SERVING.includes(life.id.charAt(0));
    const kind = random.pick(["plain", "idempotent"]);
    for (let i = 0; i < count; i++) {
      const number = life.take("work");
      const body = `${kind} ${life.id} ${number}${number % 11 === 0 && kind === "plain" ? "!" : ""}`;
      const terms =
        kind === "plain"
          ? { timeout: this.isGentle ? PATIENCE : 2_000, attemptTimeout: random.pick([-1, -1, 300]) }
          : { timeout: PATIENCE, waitForReady: true };
      const self = isServing || random.pick([true, false]);
      // A node that others fill refuses the only request of a caller as often as that repeats it.
      const options = { ...terms, idempotent: kind !== "plain", self, retries: 100 };
      const codes = kind !== "plain" ? [] : this.isGentle ? ["ETIMEDOUT"] : [...CODES];
      if (body.endsWith("!")) codes.push("worker-failed");
      if (this.#settings.mark > 0) codes.push("overloaded");
      this.#call(life, `requests ${kind} ${body}`, codes, async () => {
        const reply = await life.node.request("work", body, options);
        this.counts.replies += 1;
        if (reply !== `${body}?`) this.wrong.push(`${body} is answered ${reply}`);
      });
    }
  }

  #stream(life: Life): void {
    const { random } = this.world;
    const length = random.pick([1, 5, 40]);
    const body = `${life.id} ${life.take("count")}*${length}`;
    const codes = this.isGentle && this.#settings.mark === 0 ? [] : CODES;
    this.#call(life, `reads ${body}`, codes, async (goesOn) => {
      let came = 0;
      for await (const part of life.node.requestStream("count", body, { maxQueue: 3, self: false })) {
        came += 1;
        goesOn();
        this.#read.set(body, came);
        if (part !== came) this.wrong.push(`${body}: ${part} comes as ${came}`);
        await pause(random.pick([0, 2, 30]));
      }
      this.counts.parts += came;
      if (came !== length) this.wrong.push(`${body} ends after ${came}`);
    });
  }

  #retain(life: Life): void {
    const data = `${life.id} ${life.take("state")}`;
    this.#call(life, "retains", [], async () => {
      // One that is dropped, since a link is full, comes to that node with the next value.
      await life.node.publish(`state/${life.id}`, data, { retain: true, onFull: "wait" });
    });
  }

  /** Another client of it asks all, each of which answers that client. */
  #ask(life: Life): void {
    const client = life.node.createClient();
    const number = life.take("ask");
    const answers = new Set<string>();
    if (life.base !== undefined) this.#asked.push(answers);
    client.subscribe("self", ({ data }) => {
      const [from, text] = String(data).split(" ") as [string, string];
      if (text !== String(number) || answers.has(from)) this.wrong.push(`${life.id} ${number} gets ${data}`);
      answers.add(from);
      this.counts.answered += 1;
    });
    this.#call(life, "asks", [], async () => {
      // Behind values that wait for this node's own subscriptions it would be dropped here.
      await client.publish("ask", `${number}`, { onFull: "wait" });
    });
  }

  /** Tags, props and endpoints. */
  #change(life: Life): void {
    const number = life.take("change");
    life.node.tags(`t${number}`, { remove: [life.tags] });
    life.tags = `t${number}`;
    life.node.props({ number });
    const before = life.withdraw;
    life.endpoint = `tcp://${life.id}:${9_000 + number}`;
    const program = { drain: async () => undefined, close: async () => undefined };
    const announcement = life.node.announce({ kitchen: life.endpoint }, program);
    life.withdraw = () => announcement.withdraw();
    void before();
  }

  /** One filter, or so many that they are several items. */
  #route(life: Life): void {
    const { random } = this.world;
    const count = random.pick([1, 1, 3, 400]);
    const toggle = (filter: string): void => {
      const subscription = life.filters.get(filter);
      subscription?.close();
      if (subscription !== undefined) life.filters.delete(filter);
      else life.filters.set(filter, life.node.subscribe(filter, ignore));
    };
    if (count < 400) for (let i = 0; i < count; i++) toggle(`f/${random.integer(0, 11)}`);
    else for (let i = 0; i < count; i++) toggle(`many/${i}/of/them`);
  }

  // --- What happens to them ------------------------------------------------------------------------------------------

  break(faults: readonly Fault[]): void {
    const { random } = this.world;
    const { world } = this;
    const of = random.pick(NAMES);
    const others = NAMES.filter((name) => name !== of);
    const node = world.node(of);
    const life = this.lives.get(of);
    const cut = (ms: number, way: "both" | "in" | "out"): void => {
      for (const other of others)
        if (way === "both") world.cut(of, other);
        else world.cut(...((way === "in" ? [other, of] : [of, other]) as [string, string]), { oneWay: true });
      this.#later(ms, () => {
        for (const other of others) world.heal(of, other);
      });
    };
    const end = (how: () => void): void => {
      if (life !== undefined) life.isOver = true;
      how();
      this.#later(random.integer(0, 4_000), () => this.open(of));
    };
    const fault = random.pick(faults);
    if (fault === "reset") {
      if (this.isGentle && world.now < this.#cutUntil) return;
      this.#probedUntil = world.now + PROBE;
      world.reset(of, random.pick(others));
    } else if (fault === "blink") {
      if (this.isGentle && world.now < this.#probedUntil) return;
      const ms = random.integer(0, 250);
      this.#cutUntil = Math.max(this.#cutUntil, world.now + ms);
      cut(ms, random.pick(["both", "in", "out"] as const));
    } else if (fault === "split") cut(random.integer(0, 8_000), "both");
    else if (fault === "one-way") cut(random.integer(0, 8_000), random.pick(["in", "out"] as const));
    else if (!node.running) return;
    else if (fault === "stall") node.stall(random.integer(0, 200));
    else if (fault === "pause") node.stall(random.integer(0, 6_000));
    else if (fault === "kill") end(() => node.kill());
    else if (fault === "crash") end(() => node.crash());
    else if (fault === "rejoin") this.#at(of, (at) => at.node.heal());
    else if (fault === "close") this.#at(of, (at) => this.#close(at));
    else
      this.#at(of, (at) => {
        at.isOver = true;
        void at.node.leave().then(() => this.#later(0, () => end(() => node.running && node.kill())));
      });
  }

  #later(ms: number, does: () => void): void {
    void this.world.advance(ms).then(does);
  }

  /** Does these things at any time of the trouble. */
  async during(things: readonly (() => void)[]): Promise<void> {
    const { world } = this;
    const start = world.now;
    const schedule = things.map((does) => ({ at: start + world.random.next() * TROUBLE, does }));
    for (const { at, does } of schedule.sort((a, b) => a.at - b.at)) {
      await world.advance(Math.max(0, at - world.now));
      does();
    }
    await world.advance(Math.max(0, start + TROUBLE - world.now));
    world.heal();
    for (const name of NAMES) world.node(name).running && world.node(name).resume();
    // What was to be done at a stalled node, such as to leave, is done now.
    await world.advance(1);
  }

  // --- What holds in the end -----------------------------------------------------------------------------------------

  /** Looks now and then, since each look costs more than an event. */
  async #poll(holds: () => boolean, within: number): Promise<void> {
    const end = this.world.now + within;
    while (!holds() && this.world.now < end) await this.world.advance(50);
  }

  /** All have met all. */
  async meet(): Promise<void> {
    const together = (): boolean => {
      const lives = [...this.lives.values()].filter(({ isOver }) => !isOver);
      const ids = sorted(lives.map(({ node }) => node.id));
      const see = ({ node }: Life): boolean => sorted(node.members().map(({ id }) => id)) === ids;
      return lives.length === NAMES.length && lives.every(see);
    };
    await this.#poll(together, CONVERGES);
    expect(together(), "all have met all").toBe(true);
    for (const life of this.lives.values()) life.base ??= new Map(life.next);
  }

  /** In what the nodes and the client differ of what there is. */
  #differences(): string[] {
    const found: string[] = [];
    const lives = [...this.lives.values()];
    const ids = sorted(lives.map(({ node }) => node.id));
    const routes = new Map<string, string[]>();
    for (const { node, filters } of lives)
      for (const filter of filters.keys()) routes.set(filter, [...(routes.get(filter) ?? []), node.id]);
    const allRoutes = sorted([...routes].map(([filter, nodes]) => `${filter}: ${sorted(nodes)}`));
    const check = (what: string, is: unknown, expected: unknown): void => {
      if (is !== expected) found.push(`${what}: ${is}, not ${expected}`.slice(0, 300));
    };
    for (const at of lives) {
      check(`${at.id} members`, sorted(at.node.members().map(({ id }) => id)), ids);
      for (const of of lives) {
        const member = at.node.member(of.node.id);
        const what = `${at.id} of ${of.id}`;
        check(`${what}: tags`, member?.tags.join(), of.node.tags().join());
        check(`${what}: props`, member?.props.number, of.node.props().number);
        check(`${what}: endpoints`, member?.endpoints.kitchen?.join() ?? "", of.endpoint);
        const retained = (of.next.get("state") ?? 0) - 1;
        if (retained >= 0) check(`${what}: state`, at.from(of.id, "state").at(-1), retained);
      }
      const known = at.node
        .routes({ limit: 10_000 })
        .map(({ filter, nodes }) => `${filter}: ${sorted(nodes)}`);
      check(`${at.id} routes`, sorted(known), allRoutes);
      check(`${at.id} calls`, [...at.open].join(), "");
    }
    check("client", sorted(this.#client?.nodes.map(({ id }) => id) ?? []), ids);
    return found;
  }

  async end(): Promise<void> {
    const { world } = this;
    await this.meet();
    await this.#poll(() => this.#differences().length === 0, CONVERGES);
    expect(this.#differences()).toEqual([]);
    const lives = [...this.lives.values()];
    // A slow subscription drops what its own node publishes.
    const hasLast = (at: Life, of: Life): boolean =>
      at === of || at.from(of.id, "x").at(-1) === (of.next.get("x") ?? Number.NaN) - 1;
    const haveLast = (): boolean => lives.every((at) => lives.every((of) => hasLast(at, of)));
    // What one publishes now comes to all; the first may be lost on a link that the other end has forgotten.
    for (let round = this.#settings.forgets ? 2 : 1; round > 0; round--) {
      for (const name of NAMES) this.#at(name, (life) => this.#publish(life, "x", 1, false));
      await world.advance(100);
      await this.#poll(haveLast, 5_000);
    }
    expect(haveLast(), "the last publications are everywhere").toBe(true);
    expect(this.wrong).toEqual([]);
    for (const [body, count] of this.#runs) expect(count, `${body} runs`).toBeLessThanOrEqual(1);
    for (const [from, to, number] of this.#acknowledged)
      if (!to.from(from, "self").includes(number)) expect.fail(`${from} ${number} is not at ${to.id}`);
    expect(this.ahead).toBeLessThanOrEqual(5);
    await this.#rest();
    if (this.isGentle) this.#expectAll();
  }

  /** Nothing waits, each item is in one count, and nobody sends anything. */
  async #rest(): Promise<void> {
    const lives = [...this.lives.values()];
    const sent = (): number[] =>
      lives.map(({ node }) => linksOf(node).reduce((sum, each) => sum + each.sent, 0));
    // A node gives up a stream whose reader it does not hear any more.
    const isServed = (): boolean =>
      lives.every(({ node }) => node.stats().requests?.served.every(({ running }) => running === 0));
    await this.#poll(isServed, 4 * MAX_CHECK_AFTER);
    // What a cut held up, also of lives that have ended, is sent again, and answered.
    await this.world.advance(CONVERGES);
    const before = sent();
    await this.world.advance(5_000);
    expect(sent(), "items of idle nodes").toEqual(before);
    for (const { id, node } of lives) {
      const { messaging, memberMessages, requests } = node.stats();
      expect(messaging, id).toMatchObject({ directPending: 0 });
      expect(messaging?.routes, id).toMatchObject({ snapshots: 0, refused: {} });
      expect(memberMessages, id).toMatchObject({ queries: 0, awaited: 0, handling: 0, handlingBytes: 0 });
      expect(requests, id).toMatchObject({ pending: 0, pendingBytes: 0 });
      for (const { name, running, queued, queuedBytes } of requests?.served ?? [])
        expect([name, running, queued, queuedBytes], id).toEqual([name, 0, 0, 0]);
      for (const { id: peer, name, sent, delivered, waiting, dropped, lost } of linksOf(node)) {
        expect([name, delivered + waiting + dropped + lost], id).toEqual([name, sent]);
        // What waits for a life that is lost is kept, for it may be back.
        if (lives.some((of) => of.node.id === peer)) expect([name, waiting], id).toEqual([name, 0]);
      }
    }
  }

  /**
   * Each message came to each node, but for what was counted as lost: a connection that is reset right before a cut is
   * taken for the end of its process. A key ran once.
   */
  #expectAll(): void {
    const lives = [...this.lives.values()];
    let losses = 0;
    for (const of of lives)
      for (const at of lives) {
        if (at === of) continue;
        const { lost = 0, dropped = 0 } = linksOf(of.node).find(({ id }) => id === at.node.id) ?? {};
        losses += lost;
        let missing = 0;
        for (const kind of ["x", "y", "0", "7"]) {
          const base = of.base?.get(kind) ?? 0;
          const came = at.from(of.id, kind).filter((number) => number >= base).length;
          missing += (of.next.get(kind) ?? 0) - base - came;
        }
        expect(missing, `of ${of.id} at ${at.id}`).toBeLessThanOrEqual(lost + dropped);
      }
    if (losses > 0) return;
    expect(this.#lost, "requests that are lost").toEqual([]);
    if (this.#settings.mark === 0)
      for (const { size } of this.#asked) expect(size, "answers").toBe(NAMES.length);
  }
}

function linksOf(node: ClusterNode) {
  return node.stats().messaging?.links.peers ?? [];
}

const times = (count: number, thing: () => void): (() => void)[] =>
  Array.from({ length: count }, () => thing);

async function run(seed: number, isGentle: boolean): Promise<void> {
  const counts = { acknowledged: 0, answers: 0, replies: 0, parts: 0, answered: 0 };
  const { runs } = await simulate({ seed, runs: LONG ? 250 : 4 }, async (world) => {
    const { random } = world;
    const crew = new Crew(world, isGentle, counts);
    if (isGentle) await crew.meet();
    const act = (): void => crew.act();
    const fault = (): void => crew.break(isGentle ? GENTLE : HOSTILE);
    await crew.during([...times(60, act), ...times(random.integer(0, isGentle ? 16 : 8), fault)]);
    await crew.end();
  });
  if (mayCount(runs))
    for (const [what, count] of Object.entries(counts)) expect(count, what).toBeGreaterThan(5 * runs);
}

it("resets, short cuts, stalls and services that end lose nothing and repeat nothing", LIMIT, () =>
  run(1, true),
);

it(
  "whatever breaks: all is in order, nothing comes twice, each call ends, and in the end all know the same",
  LIMIT,
  () => run(1_000, false),
);
