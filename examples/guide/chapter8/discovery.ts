/**
 * Discovery, finished: nodes that find each other, have names and ids, and know who is there and who is gone.
 *
 * The Guide's second and third model add ids, expiry and a thread with an interface of its own to the beacons. Look at
 * `ClusterNode`: it is that interface. Nodes also probe each other, so that one that dies is noticed by all, and one that is
 * only slow is not. Without options they stay on this machine; for a network give them a key, and `scope: "link"`.
 *
 *   node examples/guide/chapter8/discovery.ts [node] [NAME]
 */
import { ClusterNode } from "shoal/cluster";

const [role = "all", name = `node-${process.pid}`] = process.argv.slice(2);
const cluster = role === "all" ? `discovery-${process.pid}` : "discovery";

if (role === "node") {
  const node = new ClusterNode({ name, cluster });
  node.events.on("joined", ({ member }) => console.log(`joined: ${member.name}, id ${member.id}`));
  node.events.on("left", ({ member }) => console.log(`left: ${member.name}`));
  node.events.on("lost", ({ member, reason }) => console.log(`lost: ${member.name}, ${reason}`));
  await node.start();
  process.once("SIGINT", () => node.close());
} else {
  const first = new ClusterNode({ name: "first", cluster });
  const second = new ClusterNode({ name: "second", cluster });
  const joined = new Promise<void>((resolve) => {
    first.events.once("joined", ({ member }) => {
      console.log(`first: ${member.name.split("@")[0]} has joined`);
      resolve();
    });
  });
  await Promise.all([first.start(), second.start()]);
  await joined;
  console.log(`first: ${first.members().length} members`);

  const left = new Promise<void>((resolve) => {
    first.events.once("left", ({ member }) => {
      console.log(`first: ${member.name.split("@")[0]} has left`);
      resolve();
    });
  });
  await second.close(); // It leaves; after a crash the event would be "lost".
  await left;
  await first.close();
}
