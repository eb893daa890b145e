import { expect, test } from "vitest";
import { CurveClient } from "../../../../src/engine/zmtp/mechanism/curve-client.js";
import { CurveServer } from "../../../../src/engine/zmtp/mechanism/curve-server.js";
import { NullMechanism } from "../../../../src/engine/zmtp/mechanism/null.js";
import { PlainClient, PlainServer } from "../../../../src/engine/zmtp/mechanism/plain.js";
import { createMechanism } from "../../../support/mechanism.js";
import { newPair, optionsOf, shake } from "./support.js";

const server = newPair();
const client = newPair();
const ofServer = optionsOf({ asks: true, curveSecretKey: server.secretKey });
const ofClient = optionsOf({ curveSecretKey: client.secretKey, curveServerKey: server.publicKey });

test.each([
  ["NULL", NullMechanism, NullMechanism],
  ["PLAIN", PlainClient, PlainServer],
  ["CURVE", CurveClient, CurveServer],
] as const)("%s, both sides", (name, Client, Server) => {
  const one = createMechanism(name, false, ofClient);
  const other = createMechanism(name, true, ofServer);
  expect(one).toBeInstanceOf(Client);
  expect(other).toBeInstanceOf(Server);
  expect([one.name, other.name]).toEqual([name, name]);
  const outcome = shake(one, other);
  expect(outcome.server.claim?.mechanism).toBe(name);
  expect(outcome.client.done).toBeDefined();
  expect(outcome.server.done).toBeDefined();
});

test("two clients, or two servers, of one mechanism do not get anywhere", () => {
  for (const name of ["PLAIN", "CURVE"] as const) {
    const clients = shake(createMechanism(name, false, ofClient), createMechanism(name, false, ofClient));
    expect(clients.client.failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
    const servers = shake(createMechanism(name, true, ofServer), createMechanism(name, true, ofServer));
    expect(servers.client.done ?? servers.server.done).toBeUndefined();
  }
});
