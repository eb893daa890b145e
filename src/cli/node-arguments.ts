/**
 * What is wrong with a command's arguments whichever node is asked: by the library's own checks, at the side that asks, so that it is bad
 * usage and no node has to run to report it. What only the node knows is its refusal: a name of nobody, a group without --zre.
 */
import { createDetails } from "../cluster/details.js";
import { type ClusterChannel, checkChannel } from "../cluster/messaging/channels.js";
import { checkRuid } from "../cluster/messaging/hooks.js";
import { checkTopic } from "../cluster/messaging/topics.js";
import { checkAddress } from "../cluster/net/addresses.js";
import { checkServiceName } from "../cluster/requests/options.js";
import type { TagPair } from "../cluster/tags.js";
import { checkGroup } from "../zre/plane.js";
import { checkKeyTarget, type KeyAction } from "./node-keys.js";

/** As the command line has them, by their names. */
type Members = Readonly<Record<string, unknown>>;

/**
 * What looks like a number is one, and anything else a name.
 *
 * @throws InvalidArgumentError `EINVAL` for a number that is not a channel's, which nobody means as a name, and for what is no name
 */
export function channelOf(text: string): ClusterChannel {
  const channel = /^[-+]?[\d.]+$/.test(text) ? Number(text) : text;
  checkChannel(channel);
  return channel;
}

const texts = (value: unknown): readonly string[] => (value ?? []) as readonly string[];

function checkSend({ channel, id }: Members): void {
  if (channel !== undefined) channelOf(channel as string);
  if (id !== undefined) checkRuid(id);
}

const CHECKS: Readonly<Record<string, (members: Members) => void>> = {
  join({ addresses }) {
    for (const address of texts(addresses)) checkAddress("an address", address);
  },
  tags({ append, replace, map }) {
    const pairs = ((map ?? []) as readonly TagPair[]).map(([, to]) => to);
    for (const tag of [...texts(append), ...texts(replace), ...pairs]) createDetails(0, [tag], {}, []);
  },
  props({ set = {} }) {
    createDetails(0, [], set as Record<string, string>, []);
  },
  channels({ join, leave }) {
    for (const channel of [...texts(join), ...texts(leave)]) channelOf(channel);
  },
  keys({ action = "list", target }) {
    checkKeyTarget(action as KeyAction, target as string | undefined);
  },
  send: checkSend,
  query: checkSend,
  request({ service }) {
    checkServiceName(service);
  },
  routes({ topic }) {
    if (topic !== undefined) checkTopic(topic);
  },
  shout({ group }) {
    checkGroup(group);
  },
};

/** @throws InvalidArgumentError `EINVAL` */
export function checkArguments(command: string, members: Members): void {
  if (Object.hasOwn(CHECKS, command)) CHECKS[command]?.(members);
}
