/**
 * Topic names and topic filters, by the rules of MQTT 5, section 4.7, compared byte by byte as UTF-8.
 *
 *   topic    sensors/3/temperature       levels between "/"; a level may be empty: "/finance" has two
 *   filter   sensors/+/temperature       "+" is one whole level, any text, empty too
 *            sensors/#                   "#" is the last level: "sensors" itself and all below it
 *
 * A filter that begins with a wildcard matches no topic that begins with "$". Shared subscriptions ("$share/…") are
 * refused.
 */
import { Buffer } from "node:buffer";
import { invalidArgument } from "../../core/arguments.js";
import { MAX_SHORT_TOPIC, MAX_TOPIC, MAX_TOPIC_LEVELS } from "./bounds.js";

/** What a text must be, by its fault. */
const FAULTS = {
  type: "must be a text",
  empty: "must have at least one character",
  long: `must have at most ${MAX_TOPIC} bytes as UTF-8`,
  deep: `must have at most ${MAX_TOPIC_LEVELS} levels`,
  nul: "must have no NUL character",
  surrogate: "must be well-formed Unicode, without half a surrogate pair",
  wildcard: 'must have no wildcards "+" and "#"',
  share: 'must not begin with "$share": shared subscriptions are not supported',
};
export type TopicFault = keyof typeof FAULTS;

/** In Unicode mode a pair is one character, so only halves are of this kind. */
export const LONE_SURROGATE = /\p{Surrogate}/u;

/** Never throws. */
export function topicFault(text: unknown): TopicFault | undefined {
  const fault = textFault(text);
  if (fault !== undefined) return fault;
  return (text as string).includes("+") || (text as string).includes("#") ? "wildcard" : undefined;
}

/** Never throws. */
export function filterFault(text: unknown): TopicFault | undefined {
  const fault = textFault(text);
  if (fault !== undefined) return fault;
  const filter = text as string;
  if (filter.startsWith("$share/") || filter === "$share") return "share";
  for (let i = 0; i < filter.length; i++) {
    const character = filter[i];
    if (character !== "+" && character !== "#") continue;
    const begins = i === 0 || filter[i - 1] === "/";
    const last = i === filter.length - 1;
    const ends = last || (character === "+" && filter[i + 1] === "/");
    if (!begins || !ends) return "wildcard";
  }
  return undefined;
}

/** The cheap bounds come first. */
function textFault(text: unknown): TopicFault | undefined {
  if (typeof text !== "string") return "type";
  if (text.length === 0) return "empty";
  if (text.length > MAX_TOPIC || (text.length * 3 > MAX_TOPIC && Buffer.byteLength(text) > MAX_TOPIC))
    return "long";
  if (text.includes("\0")) return "nul";
  if (LONE_SURROGATE.test(text)) return "surrogate";
  let levels = 1;
  for (let at = text.indexOf("/"); at !== -1; at = text.indexOf("/", at + 1)) levels++;
  return levels > MAX_TOPIC_LEVELS ? "deep" : undefined;
}

/** @throws InvalidArgumentError `EINVAL` with the fault */
export function checkTopic(text: unknown): asserts text is string {
  const fault = topicFault(text);
  if (fault === undefined) return;
  throw invalidArgument(`A topic ${FAULTS[fault]}`, text);
}

/** @param text `undefined`: none @throws InvalidArgumentError `EINVAL` */
export function checkedSubtopic(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (topicFault(text) !== undefined || Buffer.byteLength(text) > MAX_SHORT_TOPIC)
    throw invalidArgument(
      `A subtopic must be a text of 1 to ${MAX_SHORT_TOPIC} bytes without wildcards`,
      text,
    );
  return text;
}

/** @throws InvalidArgumentError `EINVAL` with the fault */
export function checkFilter(text: unknown): asserts text is string {
  const fault = filterFault(text);
  if (fault === undefined) return;
  const wanted =
    fault === "wildcard" ? 'must have "+" as a whole level only, and "#" as the last one' : FAULTS[fault];
  throw invalidArgument(`A topic filter ${wanted}`, text);
}

/** Whether a valid filter matches a valid topic: slow, for one pair. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  if (topic.startsWith("$") && (wanted[0] === "+" || wanted[0] === "#")) return false;
  for (const [i, level] of wanted.entries()) {
    if (level === "#") return true;
    if (i >= levels.length) return false;
    if (level !== "+" && level !== levels[i]) return false;
  }
  return wanted.length === levels.length;
}
