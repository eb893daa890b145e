/** Whether bytes go through the sockets of a kernel, which a program fills, and is filled by; a page has WebSockets only. */
export const KERNEL = true as boolean;
