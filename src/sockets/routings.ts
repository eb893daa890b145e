/** Empty stand-ins for the routings that classes bring in a page; this engine has all. */
export const Pair = undefined;
export const Push = undefined;
export const Pull = undefined;
export const Publisher = undefined;
export const XPublisher = undefined;
export const Subscriber = undefined;
export const XSubscriber = undefined;
export const Request = undefined;
export const Reply = undefined;
export const Dealer = undefined;
export const Router = undefined;
