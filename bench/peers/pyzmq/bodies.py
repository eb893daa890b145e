"""Messages that every implementation sends and checks, by the rule in bench/contract.ts."""

KINDS = 16


class Bodies:
    """Creates messages; they are filled only once."""

    def __init__(self, size):
        if size < 1:
            raise ValueError(f"a message has at least 1 byte; got {size}")
        self.width = min(4, size)
        self.mask = (1 << (8 * self.width)) - 1
        whole = [bytes((31 * kind + i) % 251 for i in range(min(size, 251))) for kind in range(KINDS)]
        # The pattern repeats every 251 bytes.
        self.rests = [(body * (size // len(body) + 1))[self.width : size] for body in whole]

    def make(self, k):
        """Message k in new memory."""
        return (k & self.mask).to_bytes(self.width, "big") + self.rests[k % KINDS]


class Tally:
    """Checks a stream of messages: length and counter of all, and the checksum of those after the warm-up.

    How counters have to come: "order" (0, 1, 2 …), "stride" (message k from sender k mod `strides`, each in order),
    or "once" (each exactly once).
    """

    def __init__(self, size, warmup, count, sequence="order", strides=1):
        self.size = size
        self.middle = size >> 1
        self.width = min(4, size)
        self.mask = (1 << (8 * self.width)) - 1
        self.warmup = warmup
        self.total = warmup + count
        self.seen = 0
        self.sum = 0
        self.ordered = True
        self.sequence = sequence
        self.strides = strides
        if sequence != "order" and size < 4:
            raise ValueError(f"messages of several senders need 4 bytes; got {size}")
        self.next = list(range(strides))
        self.marks = bytearray(self.total if sequence == "once" else 0)

    def take(self, message):
        if len(message) != self.size:
            raise ValueError(f"message {self.seen} has {len(message)} bytes in place of {self.size}")
        counter = int.from_bytes(message[: self.width], "big")
        position = self.seen
        self.seen = position + 1
        if self.sequence == "order":
            if counter != position & self.mask:
                self.ordered = False
        else:
            position = counter
            if counter >= self.total:
                self.ordered = False
            elif self.sequence == "stride":
                sender = counter % self.strides
                if counter != self.next[sender]:
                    self.ordered = False
                self.next[sender] = counter + self.strides
            else:
                if self.marks[counter]:
                    self.ordered = False
                self.marks[counter] = 1
        if position >= self.warmup:
            self.sum += message[0] + message[self.middle] + message[-1]

    @property
    def good(self):
        return self.ordered and self.seen == self.total
