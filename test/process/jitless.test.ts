/** Without WebAssembly: CURVE and a cluster's key are refused at once, with the reason; the rest works. */
import { expect, it } from "vitest";
import { run } from "./child.js";

const PROGRAM = `
import { curveKeyPair, Reply, Request } from "shoal";
import { ClusterNode } from "shoal/cluster";

const show = (call) => (error) => console.log(call, error.code, /WebAssembly/.test(error.message));
const { publicKey, secretKey } = curveKeyPair();
await new Reply({ curveServer: true, curveSecretKey: secretKey }).bind("tcp://127.0.0.1:*").catch(show("bind"));
try {
  new Request({ curveServerKey: publicKey, curvePublicKey: publicKey, curveSecretKey: secretKey }).connect("tcp://127.0.0.1:9");
} catch (error) {
  show("connect")(error);
}
const [cluster, key] = ["jitless-" + process.pid, "A".repeat(40)];
const sealed = new ClusterNode({ cluster, key });
await sealed.start().catch(show("start"));
await sealed.start().catch(show("start"));
await sealed.close();
const open = new ClusterNode({ cluster });
await open.start();
try {
  open.namespace("sealed", { key });
} catch (error) {
  show("namespace")(error);
}
await open.close();
console.log("done");
`;

it("refuses CURVE at bind and connect, and a cluster's key at start", async () => {
  const { stdout, stderr, code } = await run(PROGRAM, { node: ["--jitless"] });
  expect(stderr.replace(/^Warning: disabling flag --expose_wasm.*\n/, "")).toBe("");
  expect(stdout.split("\n")).toEqual([
    "bind ERR_ENGINE_UNAVAILABLE true",
    "connect ERR_ENGINE_UNAVAILABLE true",
    "start ERR_ENGINE_UNAVAILABLE true",
    "start ERR_ENGINE_UNAVAILABLE true",
    "namespace ERR_ENGINE_UNAVAILABLE true",
    "done",
    "",
  ]);
  expect(code).toBe(0);
});
