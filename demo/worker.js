// @ts-check
/** Takes tasks, counts files, sends results. */
import { Pull, Push } from "shoal";
import { isProgram, joinMain, leave, readSettings } from "./child.js";
import { countFile } from "./count.js";
import { resultCodec, TASK_QUEUE, taskCodec } from "./protocol.js";

/** @param {typeof countFile} count how a file is counted; tests pass something else */
export async function runWorker(count = countFile, settings = readSettings()) {
  const { name, dir, endpoints } = settings;
  const { reports, control } = joinMain(settings);
  const tasks = new Pull({
    codec: taskCodec,
    receiveHighWaterMark: TASK_QUEUE,
  });
  tasks.connect(endpoints.tasks ?? "");
  const results = new Push({ codec: resultCodec });
  results.connect(endpoints.results ?? "");
  await Promise.all([tasks.ready(), results.ready(), control.ready(), reports.ready()]);
  await reports.send({ type: "ready", name });

  const stop = control.receive().then(() => leave([reports, control, tasks, results]));
  for await (const [{ id, path }] of tasks) {
    const answer = await count(dir, path);
    if (results.closed) break;
    await results.send({ type: "result", id, path, worker: name, count: answer });
  }
  await stop;
}

if (isProgram(import.meta.url)) await runWorker();
