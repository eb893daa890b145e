/** What a node states of itself: the endpoints that it advertises at the address that it has. */
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createDetails, type Details, NO_DETAILS } from "../../src/cluster/details.js";
import { OwnDetails } from "../../src/cluster/node/own-details.js";
import { Pull } from "../../src/index.js";
import { CORE } from "../../src/sockets/socket-core.js";
import { collectGarbage } from "../support/collect-garbage.js";

class Node {
  current: Details | undefined;
  onSet: () => void = () => undefined;
  address = "";
  readonly refused: string[] = [];
  readonly details: OwnDetails;

  constructor(tags: readonly string[] = [], ipv6 = false) {
    this.details = new OwnDetails({ tags, props: {} }, ipv6, {
      address: () => this.address,
      set: (...parts) => {
        this.current = createDetails((this.current?.version ?? 0) + 1, ...parts);
        this.onSet();
      },
      dropped: () => this.refused.push("private"),
      refused: (name, endpoint, error) => this.refused.push(`${name} ${endpoint} ${error.code}`),
    });
  }

  start(address: string): void {
    this.address = address;
    this.current = NO_DETAILS;
    this.details.begin();
  }

  move(address: string): void {
    this.address = address;
    this.details.onAddress();
  }
}

/** So many bytes of tags, their lengths included. */
function tagsOf(bytes: number): string[] {
  const tags: string[] = [];
  for (let left = bytes; left > 0; left -= 60)
    tags.push(`${tags.length}`.padStart(2, "0") + "t".repeat(Math.min(60, left) - 3));
  return tags;
}

it("keeps what a listener states while it is stated", () => {
  const node = new Node();
  node.start("192.0.2.1:7946");
  node.onSet = () => {
    node.onSet = () => undefined;
    node.details.change(["second"], {});
  };
  node.details.change(["first"], {});
  node.details.change(["third"], {});
  expect(node.current?.tags).toEqual(["first", "second", "third"]);
});

describe("the prop that a node has for itself", () => {
  it("goes with the program's, which cannot set it, and survives its changes", () => {
    const node = new Node(["tag"]);
    node.details.setAdvert("1;tcp=5555");
    node.start("192.0.2.1:7946");
    node.details.change([], { site: "eu" });
    node.details.setAdvert("1;tcp=5556");
    expect({ ...node.current?.props }).toEqual({ "shoal-messages": "1;tcp=5556", site: "eu" });
    const set = (): void => node.details.change([], { "shoal-messages": "mine" });
    expect(set).toThrow(expect.objectContaining({ code: "EINVAL" }));
    node.details.setAdvert(undefined);
    expect(Object.keys(node.current?.props ?? {})).toEqual(["site"]);
  });

  it("is left out where the program's fill the details: the node starts all the same", () => {
    const node = new Node(tagsOf(990));
    node.details.setAdvert("1;tcp=5555");
    node.start("192.0.2.1:7946");
    expect(node.refused).toEqual(["private"]);
    expect({ ...node.current?.props }).toEqual({});
    node.details.setAdvert("1;tcp=5555");
    expect(node.refused).toEqual(["private", "private"]);
  });
});

describe("the endpoints that a node advertises", () => {
  it("have its address in place of a wildcard, follow it, and cost no statement where none depends on it", () => {
    const node = new Node(["eu"], true);
    node.details.advertise("billing", "tcp://10.0.0.9:5001");
    node.start("10.0.0.1:7946");
    node.move("10.0.0.2:7946");
    expect(node.current?.version).toBe(1);
    const withdraw = node.details.advertise("audit", "tcp://*:5002");
    node.move("10.0.0.3:7946");
    expect(node.current).toMatchObject({
      tags: ["eu"],
      endpoints: ["billing=tcp://10.0.0.9:5001", "audit=tcp://10.0.0.3:5002"],
    });
    node.move("[fd00::1]:7946");
    expect(node.current?.endpoints.at(-1)).toBe("audit=tcp://[fd00::1]:5002");
    withdraw();
    expect(node.current?.endpoints).toEqual(["billing=tcp://10.0.0.9:5001"]);
  });

  it("stay and are reported where they do not fit at the new address", () => {
    const node = new Node(tagsOf(960));
    node.details.advertise("billing", "tcp://*:5001");
    node.start("10.0.0.1:7946");
    const { current } = node;
    expect(current?.endpoints).toEqual(["billing=tcp://10.0.0.1:5001"]);
    node.move("[fd00:1111:2222:3333:4444:5555:6666:7777]:7946");
    expect(node.current).toBe(current);
    expect(node.refused).toEqual(["billing tcp://[fd00:1111:2222:3333:4444:5555:6666:7777]:5001 EINVAL"]);
  });

  it("are refused before the start where they might not fit", () => {
    new Node(tagsOf(960)).details.advertise("billing", "tcp://*:5001");
    const node = new Node(tagsOf(960), true);
    expect(() => node.details.advertise("billing", "tcp://*:5001")).toThrow("1024 bytes");
    node.start("10.0.0.1:7946");
    expect(node.current?.endpoints).toEqual([]);
  });

  it("of a socket that were refused cost no statement when it binds another one", async () => {
    const node = new Node(tagsOf(980));
    node.start("10.0.0.1:7946");
    const pull = new Pull();
    await pull.bind("tcp://127.0.0.1:*");
    const advertise = (): unknown => node.details.advertise("billing", pull);
    expect(advertise).toThrow(expect.objectContaining({ code: "EINVAL" }));
    const { current } = node;
    await pull.bind("tcp://127.0.0.1:*");
    await pull.close();
    expect(node.current).toBe(current);
  });

  it("of sockets that have closed keep nothing of them, also if nobody withdraws them", async () => {
    const node = new Node();
    node.start("10.0.0.1:7946");
    const advertised = async (): Promise<WeakRef<object>> => {
      const pull = new Pull();
      node.details.advertise("billing", pull);
      await pull.bind("tcp://127.0.0.1:*");
      expect(node.current?.endpoints).toHaveLength(1);
      await pull.close();
      expect(node.current?.endpoints).toEqual([]);
      return new WeakRef(pull[CORE]);
    };
    const closed: WeakRef<object>[] = [];
    for (let i = 0; i < 20; i++) closed.push(await advertised());
    await setImmediate();
    collectGarbage();
    expect(closed.filter((each) => each.deref() !== undefined).length).toBeLessThan(5);
  });
});
