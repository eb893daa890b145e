/** The error numbers of `node:os`, always Linux's. */
export const constants = {
  errno: {
    ENOENT: 2,
    EBADF: 9,
    EAGAIN: 11,
    EACCES: 13,
    ENODEV: 19,
    EINVAL: 22,
    EMFILE: 24,
    ENAMETOOLONG: 36,
    EPROTONOSUPPORT: 93,
    EADDRINUSE: 98,
    EADDRNOTAVAIL: 99,
    ETIMEDOUT: 110,
    ECONNREFUSED: 111,
    EHOSTUNREACH: 113,
  },
} as const;
