/** Elements of the page. Names from remote programs enter it here, only as text. */

const SVG = "http://www.w3.org/2000/svg";

export type Attributes = Readonly<Record<string, string | number | undefined>>;
type Child = Node | string;

/** @param attributes `undefined` ones are omitted */
export function html<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(name), attributes, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  // Labels are read aloud; ids stay.
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined)
      element.setAttribute(name, name === "aria-label" ? harmless(`${value}`) : `${value}`);
  element.append(...children.map(textOf));
  return element;
}

function textOf(child: Child): Child {
  return typeof child === "string" ? harmless(child) : child;
}

export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element as E;
}

/** An equal text would cause a new layout. */
export function setText(element: Element, text: string): void {
  const shown = harmless(text);
  if (element.textContent !== shown) element.textContent = shown;
}

export function setClass(element: Element, name: string): void {
  if ((element.getAttribute("class") ?? "") !== name) element.setAttribute("class", name);
}

/** Control and bidirectional characters. */
function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}
