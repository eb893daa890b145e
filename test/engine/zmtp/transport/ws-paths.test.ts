/** Upgrades that are refused: they count, are bounded, and give way first. */
import { describe, expect, it } from "vitest";
import { optionValues } from "../../../../src/core/option-table.js";
import type { Fault } from "../../../../src/engine/zmtp/mechanism/mechanism.js";
import type { Acceptor } from "../../../../src/engine/zmtp/transport/transport.js";
import { Paths } from "../../../../src/engine/zmtp/transport/ws.js";
import { turn } from "../../../support/settled.js";
import { request, streamOf, Wire } from "../support/ws-peer.js";

function pathsWith(limit: number, changes: Partial<Acceptor> = {}): { paths: Paths; faults: Fault[] } {
  const faults: Fault[] = [];
  const paths = new Paths();
  const acceptor: Acceptor = {
    accepted: (stream) => void stream.socket.destroy(),
    refused: (_, fault) => void faults.push(fault),
    failed: () => undefined,
    ...changes,
  };
  paths.add("/", { acceptor, options: optionValues({ maxPendingHandshakes: limit }) }, "ws://x");
  return { paths, faults };
}

/** Of a peer that takes nothing. */
function dial(paths: Paths, text: string | undefined, address?: string): Wire {
  const socket = new Wire(false);
  paths.accept(streamOf(socket, address));
  if (text !== undefined) socket.push(Buffer.from(text, "latin1"));
  return socket;
}

/** What was pushed has been read and answered. */
async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await turn();
}

const NOWHERE = request("GET /nowhere HTTP/1.1");

describe("refused upgrades", () => {
  it("are no more than maxPendingHandshakes, and the oldest is cut for a new one", async () => {
    const { paths, faults } = pathsWith(4);
    const peers: Wire[] = [];
    for (let i = 0; i < 10; i++) {
      peers.push(dial(paths, NOWHERE));
      await settled();
    }
    expect(peers.map(({ destroyed }) => destroyed)).toEqual([
      ...Array(6).fill(true),
      ...Array(4).fill(false),
    ]);
    expect(peers[9]?.written).toMatch(/^HTTP\/1\.1 404 /);
    expect(faults.map(({ kind }) => kind)).toEqual(Array(10).fill("protocol"));
    paths.close();
    expect(peers.every(({ destroyed }) => destroyed)).toBe(true);
  });

  it("of one address do not end the upgrades of others", async () => {
    const { paths } = pathsWith(3);
    const honest = dial(paths, undefined, "10.0.0.2");
    for (let i = 0; i < 20; i++) {
      dial(paths, i % 2 === 0 ? NOWHERE : undefined, "10.0.0.1");
      await settled();
    }
    expect(honest.destroyed).toBe(false);
    paths.close();
  });
});

it("an address that may not connect is answered 403, without an event and without an upgrade", async () => {
  let accepted = 0;
  const { paths, faults } = pathsWith(4, {
    admits: (address) => address !== "10.0.0.1",
    accepted: () => void accepted++,
  });
  const stranger = dial(paths, request());
  dial(paths, request(), "10.0.0.2");
  await settled();
  expect(stranger.written).toMatch(/^HTTP\/1\.1 403 /);
  expect(accepted).toBe(1);
  expect(faults).toEqual([]);
  paths.close();
});
