import { expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import fc, { forAll } from "../../../support/properties.js";
import { weighted } from "../../support/weighted.js";
import { type FakePeer, RoutingWorld } from "./support.js";

/** The last request a peer has read: its envelope and its body. */
function lastRequest(peer: FakePeer): { envelope: string[]; body: string } | undefined {
  peer.reads();
  const message = peer.messages.at(-1);
  if (message === undefined) return undefined;
  const delimiter = message.indexOf("");
  return { envelope: message.slice(0, delimiter + 1), body: message[delimiter + 1] as string };
}

const step = fc.record({
  how: weighted({ offer: 2, take: 2, reply: 2, stray: 1, late: 1, accept: 1, leave: 1 }),
  who: fc.nat(10),
});

test.each([
  ["strict", {}],
  ["correlate", { correlate: true }],
  ["relaxed and correlate", { relaxed: true, correlate: true }],
])("%s: the reply that is taken answers the request that was sent last, whatever else comes", (_, options) => {
  forAll([fc.array(step, { maxLength: 100 })], { numRuns: 1_500, defaultRuns: 80 }, (steps) => {
    const world = new RoutingWorld({ type: "Request", options });
    const living = new Set<FakePeer>();
    /** Requests that a peer has seen and not answered, the newest last. */
    const old: { peer: FakePeer; envelope: string[]; body: string }[] = [];
    let asking: string | undefined;
    let number = 0;
    const relaxed = "relaxed" in options;
    for (const { how, who } of steps) {
      const peer = [...living][who % Math.max(1, living.size)];
      if (how === "accept" && living.size < 4) living.add(world.joined());
      else if (how === "offer") {
        number += 1;
        const body = `request ${number}`;
        const result = world.routing.offer(body);
        const free = asking === undefined || relaxed;
        expect(result === OfferResult.Accepted).toBe(free && living.size > 0);
        if (result !== OfferResult.Accepted) continue;
        asking = body;
        for (const other of living) {
          const request = lastRequest(other);
          if (request?.body === body) old.push({ peer: other, ...request });
        }
        expect(old.at(-1)?.body).toBe(body);
      } else if (how === "take") {
        const reply = world.take();
        if (reply === undefined) continue;
        expect(reply).toEqual([`reply to ${asking}`]);
        asking = undefined;
      } else if (how === "reply" || how === "late") {
        // Anybody who was asked may answer, in time or not, the newest request or an older one; each once.
        const at = how === "reply" ? old.length - 1 : who % Math.max(1, old.length);
        const [request] = old.splice(at, 1);
        if (request === undefined || !living.has(request.peer) || !request.peer.reading) continue;
        // Without ids, a request given up and answered late cannot be distinguished from the next: strict sockets wait.
        request.peer.says(...request.envelope, `reply to ${request.body}`);
      } else if (peer === undefined) continue;
      else if (how === "stray" && peer.pipe !== undefined) {
        // A peer that was not asked sends something.
        if (old.some((request) => request.peer === peer && request.body === asking)) continue;
        peer.says("", "nobody asked");
      } else if (how === "leave") {
        // A peer that was asked takes the request with it; only a relaxed socket could go on.
        if (!relaxed && old.some((request) => request.peer === peer)) continue;
        world.leaves(peer);
        living.delete(peer);
      }
    }
  });
});

test("a reply without a delimiter closes its peer, and a reply of the delimiter alone is an empty frame", () => {
  const world = new RoutingWorld({ type: "Request" });
  const peer = world.joined();
  world.routing.offer("q");
  peer.says("");
  expect(world.take()).toEqual([""]);
  world.routing.offer("q");
  peer.says("no delimiter");
  expect([world.take(), peer.closed]).toEqual([undefined, "protocol"]);
});

test("a late reply that is still arriving when the next request goes does not break the connection", () => {
  const world = new RoutingWorld({ type: "Request", options: { relaxed: true, correlate: true } });
  const peer = world.joined();
  const idOf = (): Buffer => {
    peer.reads();
    const id = Buffer.from((peer.messages.at(-1) as string[])[0] as string, "latin1");
    expect(id).toHaveLength(4);
    return id;
  };
  world.routing.offer("one");
  const first = Buffer.concat([Buffer.of(1, 4), idOf(), Buffer.from("01000003", "hex"), Buffer.from("old")]);
  peer.pipe.in.push(Buffer.from(first.subarray(0, 8)));
  peer.pipe.arrived();
  world.routing.offer("two");
  peer.pipe.in.push(Buffer.from(first.subarray(8)));
  peer.pipe.arrived();
  expect([world.take(), peer.closed]).toEqual([undefined, undefined]);
  peer.says(idOf(), "", "new");
  expect(world.take()).toEqual(["new"]);
});

test.each([
  ["", false],
  [" that the socket has found", true],
])("an untaken reply%s counts as late once a relaxed socket asks again", (_, finds) => {
  const world = new RoutingWorld({ type: "Request", options: { relaxed: true } });
  const peer = world.joined();
  world.routing.offer("one");
  peer.pipe.in.push(Buffer.concat([Buffer.from("01000003", "hex"), Buffer.from("old")]));
  if (finds) expect(world.routing.readable).toBe(true);
  world.routing.offer("two");
  expect([world.routing.late, world.routing.queuedIn]).toEqual([1, 0]);
});
