/** What shoal looks for in `node:worker_threads`: a page has none of it. */
export default {};
