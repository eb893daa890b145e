/**
 * Worker thread of the scenario `threads`: connects and reports, sends when it is told to, and closes when all
 * messages have arrived.
 */
import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { loadKit } from "./kit.js";
import { send } from "./roles/push-pull.js";

export interface Sent {
  readonly library: string;
  readonly api: string;
  readonly endpoint: string;
  readonly size: number;
  readonly count: number;
  readonly warmup: number;
}

const { library, api, endpoint, ...stream } = workerData as Sent;
const port = parentPort as NonNullable<typeof parentPort>;
const kit = await loadKit(library, api);
const push = new kit.Push();
push.connect(endpoint);
port.postMessage("connected");
await once(port, "message");
const received = once(port, "message");
await send(push, { ...stream, begin: () => undefined }, kit);
// Over ipc, a libzmq with a full queue drops the kernel's data when the sender closes.
await received;
await push.close();
