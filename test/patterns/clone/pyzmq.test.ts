/** Against programs on pyzmq that speak CHP as its text and the Guide's programs do, both directions. */
import { describe, expect, it } from "vitest";
import { CloneClient, CloneServer } from "../../../src/patterns/index.js";
import { until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { freeRange } from "../../support/ports.js";
import { pythonIn } from "../pirate/python.js";

const track = closeAfterEach();
const python = pythonIn(track);

describe.skipIf(missing("pyzmq"))("with pyzmq", () => {
  it("our server serves a client of 12/CHP: snapshot, updates, ephemeral values, HUGZ", async () => {
    const server = track(new CloneServer({ heartbeatInterval: 200 }));
    const endpoint = await server.bind("tcp://127.0.0.1:*");
    const ours = track(new CloneClient(endpoint, { heartbeatInterval: 200 }));
    await within(ours.ready(), "the map");
    await ours.set("/client/a", "1");
    await ours.set("/other/b", "2");
    const [host, port] = endpoint.split(/:(?=\d+$)/) as [string, string];
    const theirs = python("chp_client.py", host, port, "/client/");
    expect(await within(theirs.line(), "an entry")).toBe("sync /client/a=1");
    await within(theirs.heard("whole"), "the snapshot");
    await within(theirs.heard("hugz"), "a sign of life");
    await ours.set("/other/c", "not theirs");
    await ours.set("/client/a", "3");
    expect(await within(theirs.line(), "an update")).toBe("pub /client/a=3");
    theirs.tell("/client/own=4=");
    expect(await within(theirs.line(), "its own")).toBe("own /client/own=4");
    await until(() => ours.has("/client/own"), "ours has it");
    theirs.tell("/client/soon=5=1");
    expect(await within(theirs.line(), "its own")).toBe("own /client/soon=5");
    await until(() => ours.has("/client/soon"), "ours has it, for a second");
    expect(await within(theirs.line(), "its end")).toBe("pub /client/soon=");
    await until(() => !ours.has("/client/soon"), "it is gone");
    theirs.tell("/client/a==");
    expect(await within(theirs.line(), "the delete")).toBe("own /client/a=");
    await until(() => !ours.has("/client/a"), "it is gone");
    expect(ours.stats().gaps).toBe(0);
  });

  it.each(["rfc", "guide"])("our client is one of a server that speaks as the %s does", async (dialect) => {
    const port = await freeRange(3);
    const server = python("chp_server.py", dialect, String(port));
    expect(await within(server.line(), "its sockets")).toBe("bound");
    const servers = `tcp://127.0.0.1:${port}`;
    const a = track(new CloneClient(servers, { heartbeatInterval: 200, liveness: 10 }));
    await within(a.ready(), "an empty map");
    expect(await within(a.set("/client/a", "1"), "a set")).toBe(1);
    await within(Promise.all(Array.from({ length: 100 }, (_, n) => a.set(`/many/${n}`, "x"))), "sets");
    await a.delete("/many/99");
    const b = track(new CloneClient(servers, { subtree: "/client/", heartbeatInterval: 200, liveness: 10 }));
    const c = track(new CloneClient(servers, { heartbeatInterval: 200, liveness: 10 }));
    await within(Promise.all([b.ready(), c.ready()]), "maps");
    expect([b.size, c.size]).toEqual([1, 100]);
    await a.set("/client/soon", "2", { ttl: 1_000 });
    await until(() => b.has("/client/soon") && c.has("/client/soon"), "the others have it");
    await until(() => ![a, b, c].some((client) => client.has("/client/soon")), "it ends");
    // By the text KTHXBAI is older than the last delete, which looks like a gap once; not more.
    await until(() => c.state === "live" && c.size === 100, "the map is right");
    expect(c.stats().gaps).toBeLessThanOrEqual(dialect === "rfc" ? 2 : 0);
    expect(a.stats()).toMatchObject({ gaps: 0, acknowledged: 103, faults: 0 });
  });
});
