/** PUSH in a worker thread to PULL in this one. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { programFile } from "../../../places.js";
import { Receiving } from "../receiving.js";
import type { Sent } from "../threads-producer-main.js";
import { receive } from "./push-pull.js";
import type { Role, Roles } from "./role.js";

const both: Role = async (side, kit) => {
  const pull = new kit.Pull();
  await pull.bind(side.endpoint);
  const workerData: Sent = {
    library: kit.shoal ? "shoal" : "zeromq",
    api: side.option("api", "await"),
    endpoint: pull.lastEndpoint ?? side.endpoint,
    size: side.size,
    count: side.count,
    warmup: side.warmup,
  };
  const worker = new Worker(programFile("peers/node/threads-producer-main"), { workerData });
  const failed = once(worker, "error").then(([error]) => Promise.reject(error));
  const exited = new Promise((resolve) => worker.once("exit", resolve));
  await Promise.race([once(worker, "message"), failed]);
  await side.ready();
  worker.postMessage("start");
  const { receiving, stream } = Receiving.one(side);
  await Promise.race([receive(pull, stream, kit), failed]);
  worker.postMessage("received");
  await receiving.done();
  await exited;
  await pull.close();
};

export const roles: Roles = { both };
