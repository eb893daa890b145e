/** No inproc to other threads; stands in for engine/zmtp/threads. Nothing makes one: contexts of a page share no names. */
export class NodeThreads {}
export class ThreadNames {}
export class PortLink {}
