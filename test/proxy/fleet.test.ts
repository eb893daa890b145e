/** The proxies of a configuration: their end at once, whatever is under way. */
import { describe, expect, it } from "vitest";
import { Pull } from "../../src/index.js";
import { Fleet, type FleetMember } from "../../src/proxy/config/fleet.js";
import { optionsOf, type ProxyConfiguration } from "../../src/proxy/config/model.js";
import { SocketProxy } from "../../src/proxy/index.js";
import { failure, within } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ANY } from "./support.js";

const own = closeAfterEach();

/** @param onCreated gets how many there are */
function create(onCreated: (count: number) => void = () => undefined) {
  const created: FleetMember[] = [];
  const fleet = new Fleet({
    create: (_, configuration) => new SocketProxy(optionsOf(configuration)),
    created: (member) => {
      created.push(member);
      own(member.proxy);
      onCreated(created.length);
    },
    started: () => undefined,
    made: () => undefined,
    ended: () => undefined,
    empty: () => undefined,
  });
  return { fleet, created };
}

function streamer(linger: number, bind = ANY): ProxyConfiguration {
  const side = (type: string) => ({ bind: [bind], connect: [], options: { type, linger } });
  return { kind: "streamer", frontend: side("pull"), backend: { ...side("push"), bind: [ANY] } };
}

it("the drain of a configuration is the one of its proxies, whoever drains them", async () => {
  const { fleet, created } = create();
  await fleet.apply({ drain: 1_500, proxies: { a: streamer(0) } });
  expect(created[0]?.proxy.drainTimeout).toBe(1_500);
  await fleet.apply({ drain: 0, proxies: { a: streamer(0) } });
  expect(created[0]?.proxy.drainTimeout).toBe(0);
  await fleet.close({ linger: 0 });
});

describe("a fleet that ends at once", () => {
  it("ends a proxy that is starting, too", async () => {
    const { fleet, created } = create();
    const applying = fleet.apply({ drain: 1_000, proxies: { a: streamer(0), b: streamer(0) } });
    expect(created.map(({ proxy }) => proxy.state)).toEqual(["starting"]);
    await within(fleet.close({ linger: 0 }), "the end");
    expect(await within(applying, "the changes")).toEqual([]);
    expect(created.map(({ proxy }) => proxy.state)).toEqual(["stopped"]);
    expect(fleet.sources()).toEqual({});
  });

  it("and does so after it has begun to drain", async () => {
    const { fleet, created } = create();
    const applying = fleet.apply({ drain: 1_000, proxies: { a: streamer(0) } });
    const draining = fleet.close({ linger: 1_000 });
    await within(fleet.close({ linger: 0 }), "the end");
    expect(created.map(({ proxy }) => proxy.state)).toEqual(["stopped"]);
    await within(Promise.all([applying, draining]), "the changes");
    expect(fleet.sources()).toEqual({});
  });

  it("starts none of those again that a failed change is to turn back", async () => {
    const taken = own(new Pull());
    const endpoint = await taken.bind(ANY);
    let ending: Promise<unknown> | undefined;
    const { fleet, created } = create((count) => {
      // a, b, the new a, the new b that cannot start, and the old b again.
      if (count === 5) queueMicrotask(() => (ending = fleet.close({ linger: 0 })));
    });
    await fleet.apply({ drain: 1_000, proxies: { a: streamer(0), b: streamer(0) } });
    const wanted = { a: streamer(1), b: streamer(1, endpoint) };
    const error = await failure(fleet.apply({ drain: 1_000, proxies: wanted }));
    expect(error.message).toMatch(/^b: /);
    expect(error.message).not.toMatch(/which ran before/);
    await within(Promise.resolve(ending), "the end");
    expect(created.map(({ name }) => name)).toEqual(["a", "b", "a", "b", "b"]);
    expect(new Set(created.map(({ proxy }) => proxy.state))).toEqual(new Set(["stopped"]));
  });
});
