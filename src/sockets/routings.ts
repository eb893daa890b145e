/** The routing that a class brings for its type: none, since the engine has all of them. A page has those that its classes bring. */
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
