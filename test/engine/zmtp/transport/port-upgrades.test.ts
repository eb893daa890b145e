/** Upgrades that are refused, or do not come: they are bounded, and end. */
import { expect, it, vi } from "vitest";
import { optionValues } from "../../../../src/core/option-table.js";
import type { Fault } from "../../../../src/engine/zmtp/mechanism/mechanism.js";
import type { Acceptor } from "../../../../src/engine/zmtp/transport/transport.js";
import { PortUpgrades } from "../../../../src/engine/zmtp/transport/ws.js";
import { turn } from "../../../support/settled.js";
import { request, streamOf, Wire } from "../support/ws-peer.js";

function upgradesWith(
  limit: number,
  changes: Partial<Acceptor> = {},
): { upgrades: PortUpgrades; faults: Fault[] } {
  const faults: Fault[] = [];
  const acceptor: Acceptor = {
    accepted: (stream) => void stream.socket.destroy(),
    refused: (_, fault) => void faults.push(fault),
    failed: () => undefined,
    ...changes,
  };
  const options = optionValues({ maxPendingHandshakes: limit });
  return { upgrades: new PortUpgrades("/", { acceptor, options }), faults };
}

/** @param takes whether the peer takes what is written */
function dial({ acceptor }: PortUpgrades, text: string, address?: string, takes = true): Wire {
  const socket = new Wire(takes);
  acceptor.accepted(streamOf(socket, address));
  if (text !== "") socket.push(Buffer.from(text, "latin1"));
  return socket;
}

/** What was pushed has been read and answered. */
async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await turn();
}

it("a refused peer gets the answer and the end, also one that takes nothing", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  try {
    const { upgrades, faults } = upgradesWith(4);
    const [reader, taker] = [true, false].map((takes) =>
      dial(upgrades, request("GET /nowhere HTTP/1.1"), undefined, takes),
    ) as [Wire, Wire];
    await settled();
    expect(reader.written).toMatch(/^HTTP\/1\.1 404 /);
    expect([reader.destroyed, taker.destroyed]).toEqual([true, false]);
    vi.advanceTimersByTime(1_000);
    expect(taker.destroyed).toBe(true);
    expect(faults.map(({ kind }) => kind)).toEqual(["protocol", "protocol"]);
  } finally {
    vi.useRealTimers();
  }
});

it("upgrades that do not come are no more than maxPendingHandshakes, and those of one address do not end others", async () => {
  const { upgrades, faults } = upgradesWith(3);
  const honest = dial(upgrades, "", "10.0.0.2");
  const flood: Wire[] = [];
  for (let i = 0; i < 20; i++) {
    flood.push(dial(upgrades, "", "10.0.0.1"));
    await settled();
  }
  expect(honest.destroyed).toBe(false);
  expect(flood.filter(({ destroyed }) => !destroyed)).toEqual(flood.slice(-2));
  expect(faults).toHaveLength(18);
  upgrades.close();
  expect([honest, ...flood].every(({ destroyed }) => destroyed)).toBe(true);
});

it("an address that may not connect is answered 403, without an event and without an upgrade", async () => {
  let accepted = 0;
  const { upgrades, faults } = upgradesWith(4, {
    admits: (address) => address !== "10.0.0.1",
    accepted: () => void accepted++,
  });
  const stranger = dial(upgrades, request());
  dial(upgrades, request(), "10.0.0.2");
  await settled();
  expect(stranger.written).toMatch(/^HTTP\/1\.1 403 /);
  expect(accepted).toBe(1);
  expect(faults).toEqual([]);
  upgrades.close();
});
