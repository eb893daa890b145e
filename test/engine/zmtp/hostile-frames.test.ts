/** Frames and commands against the rules, after a good handshake: the peer loses its connection, nobody else notices. */
import { describe, expect, it } from "vitest";
import { collect, nextEvent, within } from "../../contract/support/wait.js";
import { command, frame } from "../../contract/support/zmtp-peer.js";
import { HostileWorld, MIB } from "./support/hostile-world.js";
import { shaken } from "./support/raw-server.js";

const world = new HostileWorld();

describe("a frame against the rules", () => {
  const cases: [string, Buffer][] = [
    ["reserved bits", Buffer.of(0x08, 1, 65)],
    [
      "65 MiB in MORE frames",
      Buffer.alloc(
        65 * 1_048_585,
        Buffer.concat([Buffer.from("030000000000100000", "hex"), Buffer.alloc(MIB)]),
      ),
    ],
  ];
  it.each(
    cases,
  )("(%s) ends its connection; what came before it is delivered, a good peer is served", async (_, bytes) => {
    // Without a mark in bytes: "before" waits, and the peer would not be read to its fault.
    const pull = world.pull({ receiveHighWaterMarkBytes: 0 });
    const { endpoint, works } = await world.good(pull);
    const peer = await shaken(world, endpoint, "PUSH");
    const left = nextEvent(pull, "disconnect");
    peer.write(frame("before"), bytes);
    expect((await left).reason).toBe("protocol");
    await within(peer.closed, "the connection's end");
    expect(await collect(pull, 1)).toEqual(["before"]);
    await works();
    expect(pull.stats()).toMatchObject({ peers: 1, receiveQueued: 0 });
  });

  it("or a command nobody knows, or one for another kind of socket, is passed over", async () => {
    const pull = world.pull();
    const peer = await shaken(world, pull, "PUSH");
    const odd = [..."SUBSCRIBE CANCEL JOIN LEAVE ERROR READY HELLO WELCOME".split(" "), "X".repeat(255)];
    for (const name of odd)
      peer.write(command(name, "data"), Buffer.of(0x01, 1, 65), command(name), frame(name));
    peer.write(
      Buffer.of(4, 0),
      Buffer.of(4, 1, 0),
      Buffer.of(4, 1, 9),
      Buffer.of(5, 0),
      command("PING"),
      frame("end"),
    );
    for (const name of odd) expect((await pull.receive({ timeout: 8_000 })).map(String)).toEqual(["A", name]);
    expect(await collect(pull, 1)).toEqual(["end"]);
    expect(pull.stats().peers).toBe(1);
  });
});
