/** Props that are sent with the details, and that programs neither see nor set. */
import { InvalidArgumentError } from "../../core/errors.js";
import type { Details } from "../details.js";
import { MESSAGES_PROP } from "../messaging/advert.js";
import { ROUTES_PROP } from "../messaging/route-wire.js";

export type PrivateProp = typeof MESSAGES_PROP | typeof ROUTES_PROP;

const NAMES: readonly string[] = [MESSAGES_PROP, ROUTES_PROP];

type Props = Readonly<Record<string, string>>;

/** Cached, since details are frozen and shown often. */
const shown = new WeakMap<Pick<Details, "props">, Props>();

function isPrivate(name: string): boolean {
  return NAMES.includes(name);
}

/** Props of a node that programs see. */
export function shownProps(details: Pick<Details, "props">): Props {
  let props = shown.get(details);
  if (props === undefined) {
    props = Object.keys(details.props).some(isPrivate) ? without(details.props) : details.props;
    shown.set(details, props);
  }
  return props;
}

function without(props: Props): Props {
  const left = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(props)) if (!isPrivate(name)) left[name] = value;
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

/** @throws InvalidArgumentError `EINVAL` for the name of a private prop */
export function checkShown(props: Readonly<Record<string, unknown>>): void {
  for (const name of NAMES)
    if (Object.hasOwn(props, name)) throw new InvalidArgumentError(`the prop ${name} is the node's own`);
}
