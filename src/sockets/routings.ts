/** Empty stand-ins for the routings that classes bring in a page; this engine has all. */
export const pair = undefined;
export const push = undefined;
export const pull = undefined;
export const publisher = undefined;
export const xPublisher = undefined;
export const subscriber = undefined;
export const xSubscriber = undefined;
export const request = undefined;
export const reply = undefined;
export const dealer = undefined;
export const router = undefined;
