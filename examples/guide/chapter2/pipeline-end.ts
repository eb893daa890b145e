/**
 * The pipeline of chapter 1 with an end: when the sink has everything, it ends the workers.
 *
 * Workers wait for tasks forever, and a PUSH cannot end all of them, since each message goes to one. So the sink has a PUB, over
 * which it sends KILL to everybody. Look at `waitForSubscribers`: a worker whose subscription had not arrived yet would miss the
 * one message that matters, and wait forever. Within one process, closing the workers' sockets does the same without a message.
 *
 *   node examples/guide/chapter2/pipeline-end.ts [ventilator | worker | sink]
 */
import { Publisher, Pull, Push, Subscriber } from "shoal";

const WORKERS = 2;
const TASKS = 20;
const [role = "all"] = process.argv.slice(2);
const at = (name: string, port: number) => (role === "all" ? `inproc://${name}` : `tcp://127.0.0.1:${port}`);
const [tasks, results, control] = [at("tasks", 5557), at("results", 5558), at("control", 5559)];

async function ventilate(): Promise<void> {
  const ventilator = new Push();
  await ventilator.bind(tasks);
  await ventilator.ready({ peers: WORKERS });
  for (let i = 0; i < TASKS; i++) await ventilator.send(`task ${i}`);
  await ventilator.close();
}

async function work(name: string): Promise<void> {
  const receiver = new Pull();
  const sender = new Push();
  const controller = new Subscriber();
  receiver.connect(tasks);
  sender.connect(results);
  controller.connect(control);
  controller.subscribe("KILL");

  const ending = controller.receive().then(() => receiver.close()); // The loop below ends with the socket.
  let done = 0;
  for await (const [task] of receiver) {
    await sender.send(`${task} done`);
    done += 1;
  }
  await ending;
  await Promise.all([sender.close(), controller.close()]);
  console.log(`worker ${name}: did ${done} tasks, ended by the sink`);
}

async function collect(): Promise<void> {
  const receiver = new Pull();
  const controller = new Publisher();
  await Promise.all([receiver.bind(results), controller.bind(control)]);
  for (let i = 0; i < TASKS; i++) await receiver.receive();
  await controller.waitForSubscribers({ count: WORKERS });
  await controller.send("KILL");
  await Promise.all([receiver.close(), controller.close()]);
  console.log(`sink: ${TASKS} results`);
}

if (role === "ventilator") await ventilate();
else if (role === "sink") await collect();
else if (role === "worker") await work(String(process.pid));
else await Promise.all([ventilate(), collect(), work("A"), work("B")]);
