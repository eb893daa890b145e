/** The prop of messaging, which is sent with the details, and which programs neither see nor set. */
import { InvalidArgumentError } from "../../core/errors.js";
import type { Details } from "../details.js";
import { MESSAGES_PROP } from "../messaging/advert.js";

type Props = Readonly<Record<string, string>>;

/** Cached, since details are frozen and shown often. */
const shown = new WeakMap<Pick<Details, "props">, Props>();

/** Props of a node that programs see. */
export function shownProps(details: Pick<Details, "props">): Props {
  let props = shown.get(details);
  if (props === undefined) {
    props = Object.hasOwn(details.props, MESSAGES_PROP) ? without(details.props) : details.props;
    shown.set(details, props);
  }
  return props;
}

function without(props: Props): Props {
  const left = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(props)) if (name !== MESSAGES_PROP) left[name] = value;
  return Object.freeze(left);
}

/** Whether programs see no difference between two versions of a node's details. */
export function looksSame(one: Details, other: Details): boolean {
  if (one.tags.join("\0") !== other.tags.join("\0")) return false;
  if (one.endpoints.join("\0") !== other.endpoints.join("\0")) return false;
  const before = shownProps(one);
  const after = Object.entries(shownProps(other));
  return (
    Object.keys(before).length === after.length && after.every(([name, value]) => before[name] === value)
  );
}

/** @throws InvalidArgumentError `EINVAL` for the name of the private prop */
export function checkShown(props: Readonly<Record<string, unknown>>): void {
  if (Object.hasOwn(props, MESSAGES_PROP))
    throw new InvalidArgumentError(`the prop ${MESSAGES_PROP} is the node's own`);
}
