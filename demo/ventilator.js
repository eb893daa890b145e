// @ts-check
/** Lists the folder, and hands out one task for each file. */
import { Push } from "shoal";
import { isProgram, joinMain, leave, readSettings } from "./child.js";
import { listFiles } from "./count.js";
import { ANY_PORT, resultCodec, START, STOP, TASK_QUEUE, taskCodec } from "./protocol.js";

/** Paths in one message to main. */
const CHUNK = 1_000;

export async function runVentilator(settings = readSettings()) {
  const { reports, control } = joinMain(settings);
  control.subscribe(START);
  const tasks = new Push({
    codec: taskCodec,
    sendHighWaterMark: TASK_QUEUE,
  });
  await tasks.bind(ANY_PORT);
  const results = new Push({ codec: resultCodec });
  results.connect(settings.endpoints.results ?? "");
  await Promise.all([results.ready(), control.ready(), reports.ready()]);
  await reports.send({ type: "bound", name: settings.name, endpoints: { tasks: tasks.lastEndpoint ?? "" } });

  const { paths, problems } = await listFiles(settings.dir);
  for (let i = 0; i < paths.length || i === 0; i += CHUNK) {
    await reports.send({
      type: "files",
      paths: paths.slice(i, i + CHUNK),
      problems: i === 0 ? problems : [],
    });
  }
  await reports.send({ type: "ready", name: settings.name });

  const everything = [reports, control, tasks, results];
  for await (const [topic] of control) {
    if (topic?.toString() === STOP) await leave(everything);
    else handOut().catch((error) => stopped(error, tasks));
  }

  async function handOut() {
    await results.send({ type: "plan", files: paths.length });
    for (const [id, path] of paths.entries()) await tasks.send({ id, path });
  }
}

/**
 * A stop in the middle of the work is no fault; anything else is.
 *
 * @param {unknown} error
 * @param {import("shoal").Socket} socket
 */
function stopped(error, socket) {
  if (!socket.closed) throw error;
}

if (isProgram(import.meta.url)) await runVentilator();
