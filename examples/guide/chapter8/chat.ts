/**
 * A chat without a server: those on the network find each other, and speak to a group.
 *
 * The Guide begins with a brute-force form (dechat), which subscribes at all 254 addresses of a network, and ends with Zyre. So
 * this is Zyre: with `zre` a node of a cluster speaks its protocol (36/ZRE), with programs in any language. Look at `shout`, to
 * a group, and `whisper`, to one peer. ZRE neither authenticates nor encrypts; between nodes of shoal alone, take the cluster's
 * own messages (docs/messaging.md).
 *
 *   node examples/guide/chapter8/chat.ts [join] [NAME] [INTERFACE]
 */
import { createInterface } from "node:readline";
import { ClusterNode } from "shoal/cluster";

const [role = "all", name = `guest-${process.pid}`, nic] = process.argv.slice(2);

if (role === "join") {
  const node = new ClusterNode({ name, zre: nic === undefined ? true : { interface: nic } });
  node.zre.events.on("join", ({ peer, group }) => console.log(`* ${peer.name} has joined ${group}`));
  node.zre.events.on("shout", ({ peer, frames }) => console.log(`${peer.name}: ${frames.join("")}`));
  await node.start();
  node.zre.join("CHAT");
  for await (const line of createInterface(process.stdin)) node.zre.shout("CHAT", line);
  await node.close();
} else {
  const group = `CHAT-${process.pid}`; // Others may be at the same port.
  const start = async (own: string) => {
    const node = new ClusterNode({
      name: own,
      multicast: false,
      zre: { interface: "127.0.0.1", port: 25_670, interval: 100 },
    });
    const other = new Promise<void>((resolve) => {
      node.zre.events.on("join", (event) => {
        if (event.group === group) resolve();
      });
    });
    const heard = new Promise<string>((resolve) => {
      node.zre.events.once("shout", ({ peer, frames }) =>
        resolve(`${own} hears ${peer.name}: ${frames.join("")}`),
      );
      node.zre.events.once("whisper", ({ peer, frames }) =>
        resolve(`${peer.name} whispers: ${frames.join("")}`),
      );
    });
    await node.start();
    node.zre.join(group);
    return { node, other, heard };
  };
  const [ana, joe] = await Promise.all([start("ana"), start("joe")]);
  await Promise.all([ana.other, joe.other]);
  console.log(`ana shouts to ${ana.node.zre.shout(group, "hello, everybody")} peer`);
  console.log(await joe.heard);
  joe.node.zre.whisper("ana", "hello, Ana");
  console.log(await ana.heard);
  await Promise.all([ana.node.close(), joe.node.close()]);
}
