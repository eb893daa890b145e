import { describe, expect, test } from "vitest";
import type { NativeEvent } from "../../../src/engine/libzmq/native.js";
import { PeerTable } from "../../../src/engine/libzmq/peers.js";
import { nativeError } from "../../support/fake-native.js";
import fc, { forAll } from "../../support/properties.js";
import { weighted } from "../support/weighted.js";

const A = "tcp://127.0.0.1:1";
const B = "tcp://127.0.0.1:2";
const at = (type: string, address = A): NativeEvent => ({ type, address });

function typesOf(table: PeerTable, ...events: NativeEvent[]): string[][] {
  return events.map((event) => table.eventsFor(event).map(({ type }) => type));
}

describe("a peer", () => {
  test.each([
    "handshake:error:auth",
    "handshake:error:protocol",
    "handshake:error:other",
  ])("that failed with %s neither joined nor leaves, though libzmq reports its disconnect", (type) => {
    const table = new PeerTable();
    table.eventsFor(at("handshake"));
    expect(
      typesOf(table, { ...at(type), error: nativeError("EIO") }, at("disconnect"), at("disconnect")),
    ).toEqual([[type], ["disconnect"], ["disconnect", "peer:leave"]]);
    expect(table.connected).toBe(0);
  });

  test("that goes in its handshake without a reason had metadata that does not fit", () => {
    expect(typesOf(new PeerTable(), at("accept"), at("disconnect"))).toEqual([
      ["accept"],
      ["handshake:error:protocol", "disconnect"],
    ]);
  });

  test("that goes while another shakes hands is reported as soon as it is certain which of them went", () => {
    const table = new PeerTable();
    const types = typesOf(
      table,
      at("accept"),
      at("handshake"),
      at("accept"),
      at("disconnect"),
      at("handshake"),
    );
    expect(types.slice(3)).toEqual([["disconnect"], ["peer:leave", "handshake", "peer:join"]]);
    expect(table.connected).toBe(1);
    typesOf(table, at("accept"), at("disconnect"));
    expect(table.connected).toBe(1);
    expect(typesOf(table, at("disconnect"))).toEqual([["disconnect", "peer:leave"]]);
    expect(table.connected).toBe(0);
  });
});

test("events of the listener and the dialer go through with what belongs to them", () => {
  const table = new PeerTable();
  for (const type of ["accept", "bind", "connect", "connect:delay", "close"])
    expect(table.eventsFor(at(type))).toEqual([{ type, address: A }]);
  expect(table.eventsFor({ ...at("connect:retry"), interval: 120 })).toEqual([
    {
      type: "connect:retry",
      address: A,
      interval: 120,
      error: expect.objectContaining({ code: "ERR_TRANSPORT", endpoint: A }),
    },
  ]);
  for (const type of ["accept:error", "bind:error", "close:error"]) {
    expect(table.eventsFor({ ...at(type), error: nativeError("EADDRINUSE") })).toEqual([
      { type, address: A, error: expect.objectContaining({ code: "EADDRINUSE", endpoint: A }) },
    ]);
  }
  expect(table.eventsFor({ type: "something:new" })).toEqual([{ type: "unknown" }]);
});

test("an end that may have been a peer's is none any more once all peers have left", () => {
  const table = new PeerTable();
  for (const type of ["handshake", "accept", "disconnect", "disconnect", "handshake:error:other"])
    table.eventsFor({ type, address: A });
  expect(table.connected).toBe(0);
});

test("no sequence of events makes a count negative, or the peers differ from those that joined and did not leave", () => {
  const event = fc.oneof(
    fc.record({
      type: weighted({
        handshake: 2,
        disconnect: 2,
        "handshake:error:auth": 1,
        "handshake:error:other": 1,
        accept: 1,
        close: 1,
        "?": 1,
      }),
      address: fc.constantFrom(A, B),
    }),
    fc.record({ type: fc.constantFrom("+connecting", "+disconnecting"), address: fc.constantFrom(A, B) }),
  );
  forAll([fc.array(event, { maxLength: 60 })], { numRuns: 1_000, defaultRuns: 150 }, (events) => {
    const table = new PeerTable();
    let peers = 0;
    for (const { type, address } of events) {
      let heard = [] as ReturnType<PeerTable["eventsFor"]>;
      if (type === "+connecting") table.connecting(address);
      else if (type === "+disconnecting") {
        const before = table.connected;
        table.disconnecting(address);
        peers -= before - table.connected;
      } else heard = table.eventsFor({ type, address });
      for (const one of heard) {
        if (one.type === "peer:join") peers += 1;
        if (one.type === "peer:leave") peers -= 1;
      }
      expect(table.connected).toBe(peers);
      expect(peers).toBeGreaterThanOrEqual(0);
    }
  });
});
