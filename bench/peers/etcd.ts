/** etcd, a replicated store of keys; here one server. Each put is on disk before it is answered. */
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { Broker, brokerAbsent, packageVersion } from "./broker.js";
import { KEY_VALUE_SCENARIOS } from "./key-value/roles.js";
import { sideArguments } from "./node/side.js";
import { freePort } from "./ports.js";
import { ask } from "./tools.js";

const MAIN = programFile("peers/etcd/main");
const GET =
  "install both (Debian: apt install etcd-server; macOS: brew install etcd; then npm install @grpc/grpc-js)";

let broker: Broker | undefined;
let port = 0;

export const etcd: Contender = {
  name: "etcd",
  title: "etcd",
  absent: () => brokerAbsent("etcd", "@grpc/grpc-js", GET),
  supports: (scenario, transport) => transport === "tcp" && KEY_VALUE_SCENARIOS.includes(scenario),
  command(side) {
    // The role that binds elsewhere reports the server and the prefix of its keys.
    const options = { ...side.options, server: `etcd://127.0.0.1:${port}` };
    return { file: process.execPath, args: [MAIN, ...sideArguments({ ...side, options })] };
  },
  async version() {
    const version = /Version: (\S+)/.exec((await ask("etcd", ["--version"])).stdout)?.[1] ?? "";
    return `etcd ${version}, npm @grpc/grpc-js ${packageVersion("@grpc/grpc-js")}`;
  },
  async prepare() {
    port = await freePort();
    const client = `http://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const args = async (folder: string) => [
      ...["--name", "bench", "--data-dir", folder, "--logger", "zap"],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", `bench=${peer}`],
      // Room for every value of a run without compaction.
      ...["--quota-backend-bytes", String(8 * 2 ** 30)],
    ];
    ({ broker } = await Broker.start("etcd", args, /serving (insecure )?client (requests|traffic)/i));
  },
  async dispose() {
    await broker?.stop();
    broker = undefined;
  },
};
