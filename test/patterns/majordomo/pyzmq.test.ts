/** Against programs on pyzmq, which speak MDP as its text says it: 0.1 and 0.2, both directions. */
import { describe, expect, it } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/index.js";
import { within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "../pirate/python.js";

const track = closeAfterEach();
const python = pythonIn(track);

describe.skipIf(missing("pyzmq"))("with pyzmq", () => {
  it.each(["0.1", "0.2"])("our broker and client use a worker of %s", async (version) => {
    const endpoint = await track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    await python("mdp_worker.py", endpoint, version).heard("ready");
    for (const protocol of ["auto", "0.1", "0.2"] as const) {
      const client = track(new MajordomoClient(endpoint, { protocol }));
      const reply = client.request("upper", ["eel", "cod"]);
      if (version === "0.2" && protocol === "0.1")
        await expect(reply).rejects.toMatchObject({ reason: "invalid-reply" });
      else
        expect((await reply).map(String)).toEqual(version === "0.1" ? ["EEL", "COD"] : ["EEL", "COD", "END"]);
    }
  });

  it.each(["0.1", "0.2"])("our broker and worker serve a client of %s", async (version) => {
    const endpoint = await track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    track(new MajordomoWorker(endpoint, "upper", ([body]) => String(body).toUpperCase()));
    const client = python("mdp_client.py", endpoint, version);
    const lead = version === "0.1" ? "MDPC01|upper" : "MDPC02|\\x03|upper";
    for (let i = 0; i < 20; i++) expect(await client.line()).toBe(`${lead}|A${i}`);
  });

  it("our client and worker use a plain broker, one request at a time", async () => {
    const endpoint = await python("mdp_broker.py").line();
    const upper = async ([body]: Buffer[]) => String(body).toUpperCase();
    const worker = track(new MajordomoWorker(endpoint, "upper", upper, { concurrency: 3 }));
    const client = track(new MajordomoClient(endpoint));
    const replies = Promise.all(Array.from({ length: 60 }, (_, i) => client.request("upper", `a${i}`)));
    expect((await within(replies, "60 replies")).map(String)).toEqual(
      Array.from({ length: 60 }, (_, i) => `A${i}`),
    );
    expect(worker.stats().answered).toBe(60);
  });
});
