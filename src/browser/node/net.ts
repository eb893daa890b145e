/** The part of `node:net` that shoal calls. */

/** @returns 4, 6, or 0 for anything but an address */
export function isIP(text: string): 0 | 4 | 6 {
  const parts = text.split(".");
  if (parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return 4;
  return text.includes(":") && URL.canParse(`http://[${text}]`) ? 6 : 0;
}
