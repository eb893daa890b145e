/** Planes of ours, and nodes of zyre's, on a simulated link: what holds in each story, and where all end up in each. */
import { afterAll, beforeAll, expect, vi } from "vitest";
import { loadZmtpEngine } from "../../src/engine/zmtp/engine.js";
import { setPlatformStandIn } from "../../src/engine/zmtp/transport/transports.js";
import { currentPlatform, simulated } from "../../src/testing/engine.js";
import type { World } from "../../src/testing/index.js";
import type { ZreEvent } from "../../src/zre/rules.js";
import { LONG } from "../support/long.js";
import { worldTest } from "../support/world-test.js";
import { Plane } from "./planes.js";
import { startZyre } from "./zyre.js";

const test = worldTest({ runs: 25, long: 250, network: { latency: [0, 5] } });

const GROUPS = ["a", "b", "c"];
const PORT = 50_000;
const _LIMIT = { timeout: LONG ? 1_200_000 : 120_000 };

/** Time in which all that went wrong is put right: zyre forgets a peer after 30 s, and finds it again by its next beacon. */
const QUIET = 110_000;

/** Of what is malformed. */
const FAULTS = [
  "frames",
  "signature",
  "version",
  "command",
  "truncated",
  "oversized",
  "text",
  "groups",
  "headers",
];

const EVENTS = ["enter", "exit", "join", "leave", "whisper", "shout"] as const;

// A plane has a context of its own, which would be the real engine's.
beforeAll(() => {
  vi.spyOn(loadZmtpEngine(), "createContext").mockImplementation((options) =>
    simulated.createContext(options, false),
  );
});
afterAll(() => void vi.restoreAllMocks());

/** A machine with a node on it. */
class Host {
  readonly groups = new Set<string>();
  /** The peers that its program was shown, and their groups. */
  readonly shown = new Map<string, Set<string>>();
  /** Texts of messages, each with who sent it. */
  readonly got: (readonly [uuid: string, text: string])[] = [];
  readonly wrong: string[] = [];
  plane: Plane | undefined;
  zyre: Awaited<ReturnType<typeof startZyre>> | undefined;

  constructor(
    readonly world: World,
    readonly name: string,
    readonly uuid: string,
    readonly isZyre: boolean,
  ) {
    world.note(`${name} is ${uuid.slice(0, 4)}${isZyre ? ", zyre" : ""}`);
    world.node(name).start(async () => {
      if (isZyre) {
        this.zyre = await startZyre(uuid, PORT, (event) => this.#show(event));
        return;
      }
      const plane = new Plane({ uuid, ports: `${PORT}-${PORT}` });
      for (const type of EVENTS) plane.events.on(type, (event) => this.#show(event));
      await plane.start();
      this.plane = plane;
    });
  }

  get isUp(): boolean {
    return this.plane !== undefined || this.zyre !== undefined;
  }

  run(what: (node: Plane | NonNullable<Host["zyre"]>["model"]) => unknown): void {
    const node = this.plane ?? this.zyre?.model;
    if (node !== undefined) void this.world.node(this.name).run(() => what(node));
  }

  join(group: string): void {
    this.groups.add(group);
    this.run((node) => node.join(group));
  }

  leave(group: string): void {
    this.groups.delete(group);
    this.run((node) => node.leave(group));
  }

  whisper(uuid: string, text: string): void {
    this.run((node) => {
      if (!(node instanceof Plane)) node.whisper(uuid, [Buffer.from(text)]);
      else if (node.peer(uuid) !== undefined) node.whisper(uuid, text);
    });
  }

  shout(group: string, text: string): void {
    this.run((node) => {
      if (node instanceof Plane) node.shout(group, text);
      else node.shout(group, [Buffer.from(text)]);
    });
  }

  /** It says that it leaves, and ends. */
  async stop(): Promise<void> {
    await this.world.node(this.name).run(() => this.plane?.close() ?? this.zyre?.leaves());
    this.world.node(this.name).kill();
  }

  /** What a program may never see: two enters, an exit or a message without an enter, a group twice. */
  #show(event: ZreEvent): void {
    const { uuid } = event.peer;
    const groups = this.shown.get(uuid);
    const wrong = (what: string): void => void this.wrong.push(`${this.name}: ${uuid.slice(0, 4)} ${what}`);
    this.world.note(`${this.name} sees ${event.type} of ${uuid.slice(0, 4)}`);
    if (event.type === "enter") {
      if (groups !== undefined) wrong("enters twice");
      this.shown.set(uuid, new Set());
    } else if (groups === undefined) wrong(`never entered: ${event.type}`);
    else if (event.type === "exit") this.shown.delete(uuid);
    else if (event.type === "join") {
      if (groups.has(event.group)) wrong(`joins ${event.group} twice`);
      groups.add(event.group);
    } else if (event.type === "leave" && !groups.delete(event.group)) wrong("leaves twice");
    else if (event.type === "whisper" || event.type === "shout")
      this.got.push([uuid, String(event.frames[0])]);
  }
}

class Link {
  hosts: Host[] = [];
  #count = 0;

  constructor(readonly world: World) {}

  /** @param name of a machine that has lost its node; a new one otherwise */
  start(isZyre: boolean, name = `n${this.#count + 1}`): void {
    const uuid = (++this.#count).toString(16).padStart(4, "0").repeat(8);
    this.hosts.push(new Host(this.world, name, uuid, isZyre));
  }

  kill(host: Host): void {
    this.hosts = this.hosts.filter((each) => each !== host);
    this.world.node(host.name).kill();
  }

  /** One of what may happen. */
  step(most: number, zyres: number): void {
    const { random } = this.world;
    const kind = random.integer(0, 11);
    const live = this.hosts.filter(({ isUp }) => isUp);
    if (kind <= 1 || live.length === 0) {
      if (this.hosts.length < most) this.start(random.integer(1, most) <= zyres);
      return;
    }
    const host = random.pick(live);
    if (kind <= 3) host.join(random.pick(GROUPS));
    else if (kind === 4) host.leave(random.pick(GROUPS));
    else if (kind === 5) this.kill(host);
    else if (kind === 6) {
      this.hosts = this.hosts.filter((each) => each !== host);
      void host.stop().catch(() => undefined);
    } else if (kind === 7) this.world.reset(host.name, random.pick(live).name);
    else if (kind === 8) this.world.node(host.name).stall(random.integer(100, 45_000));
    else if (kind === 9) {
      // Again at its endpoint, with another uuid.
      if (zyres > 0) return;
      this.kill(host);
      this.start(false, host.name);
    } else {
      host.shout(random.pick(GROUPS), "said");
      for (const uuid of host.shown.keys()) host.whisper(uuid, "whispered");
    }
  }

  /**
   * All that live know each other and their groups, and a message of each reaches each, once: but for two of zyre's. When their HELLOs
   * cross they restart each other without end, in which nodes of ours have no part.
   */
  async expectOneView(): Promise<void> {
    const peersOf = (host: Host): Host[] =>
      this.hosts.filter((other) => other !== host && !(host.isZyre && other.isZyre));
    const zyres = new Set(this.hosts.filter(({ isZyre }) => isZyre).map(({ uuid }) => uuid));
    for (const host of this.hosts) {
      const shown = [...host.shown].filter(([uuid]) => !(host.isZyre && zyres.has(uuid)));
      const expected = peersOf(host).map(({ uuid, groups }) => [uuid, [...groups].sort()]);
      expect(shown.map(([uuid, groups]) => [uuid, [...groups].sort()]).sort(), host.name).toEqual(
        expected.sort(),
      );
      host.got.length = 0;
    }
    for (const host of this.hosts) {
      for (const { uuid } of peersOf(host)) host.whisper(uuid, `to ${uuid}`);
      for (const group of GROUPS) host.shout(group, `in ${group}`);
    }
    await this.world.advance(1_000);
    for (const host of this.hosts)
      for (const { uuid } of peersOf(host))
        expect(host.got.filter(([from]) => from === uuid).map(([, text]) => text)).toEqual([
          `to ${host.uuid}`,
          ...GROUPS.filter((group) => host.groups.has(group)).map((group) => `in ${group}`),
        ]);
  }
}

async function story(world: World, most: number, zyres: number): Promise<void> {
  const { random } = world;
  // A network of which each address is the only one is reached by the broadcast to all.
  setPlatformStandIn(() => {
    const platform = currentPlatform();
    const alone = { netmask: "255.255.255.255" };
    return (
      platform && {
        ...platform,
        interfaces: () => platform.interfaces().map((each) => ({ ...each, ...alone })),
      }
    );
  });
  world.network({ loss: random.pick([0, 0.1, 0.3]) });
  const link = new Link(world);
  const hosts = new Set<Host>();
  for (let steps = random.integer(5, 40); steps > 0; steps--) {
    link.step(most, zyres);
    for (const host of link.hosts) hosts.add(host);
    await world.advance(random.pick([0, 3, 10, 10, 200, 1_500, 20_000]));
  }
  world.network({ loss: 0 });
  await world.advance(QUIET);
  await link.expectOneView();
  expect([...hosts].flatMap(({ wrong }) => wrong)).toEqual([]);
  for (const { plane } of link.hosts) {
    if (plane === undefined) continue;
    // A node that is another one at its endpoint may be dialled for the one before: `identity`.
    for (const fault of FAULTS) expect(plane.counts[fault], fault).toBeUndefined();
  }
}

test("nodes that are killed, stopped, cut off and stalled end up with one picture", (world) =>
  story(world, 6, 0));

test("so do they among nodes of zyre's, none of which aborts", (world) => story(world, 6, 3));
